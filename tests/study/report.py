"""The study as markdown: tables, and sentences made from the numbers in them.

Belongs here: wording. Does not belong here: computing (`figures`), drawing (`plots`).
"""

from __future__ import annotations

from collections.abc import Sequence

from defiyield_core.parameters import parameters
from defiyield_core.reporting.figures import basis_points, count, percent, usd
from defiyield_core.reporting.metrics import PerformanceMetrics
from tests.study.cases import (
    BOOKS_USD,
    DILUTED_BOOK_USD,
    EXACT,
    RULES,
    SMALL_BOOK_BELOW_USD,
    WIDE_TVL_SHARE,
    preset_of,
)
from tests.study.figures import Figures, of_book, ranked, regrets

REGRETTED = ("gas_blind", "older_rule")
WAYS = {
    ("off", "off"): "decided without, accrued without",
    ("off", "pro_rata"): "decided without, accrued with",
    ("pro_rata", "pro_rata"): "decided with, accrued with",
}


def study_text(rules: Sequence[Figures], dilution: Sequence[Figures]) -> str:
    """The whole document."""
    parts = [_opening(rules)]
    parts += [_size(of_book(rules, book_usd)) for book_usd in BOOKS_USD]
    parts += [_regret(rules), _dilution(dilution)]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _opening(rules: Sequence[Figures]) -> str:
    money = rules[0].money
    below = usd(SMALL_BOOK_BELOW_USD)
    listed = "\n".join(f"- `{rule.key}`: {rule.says}." for rule in RULES)
    return f"""# What the allocation rules would have earned

Written by `make study` from the recorded year: {money.days} days of decisions, {money.first_day} to {money.last_day}.
Every rule starts with USDC, sees the same forecasts, pays the same gas and conversion fees, and keeps the same books.
Books from {below} on have the preset `{preset_of(SMALL_BOOK_BELOW_USD)}`, smaller ones `{preset_of(0.0)}`; all rules of
one size have the same.

Only pools that were still alive at the end of the record were listed when it was made. Pools that failed before are
missing (survivorship): every rule earns too much here, and a rule that concentrates most of all. One year of one market
is one sample: differences of a few basis points mean nothing.

{listed}

`equal_weight`, `best_apy` and `hold_aave_usdc` obey no caps: they take risks that the others are not allowed to take.
`exact` is exact for its forecasts, and forecasts err.

In the tables, "pools paid" is the APY before costs; prices, gas and conversion are basis points of the book a year;
turnover is deposits and withdrawals over the mean book.

![Net APY of the rules by size of the book](img/study_net_apy.svg)

![Value over the optimiser's, at one million dollars](img/study_paths.svg)"""


def _size(runs: Sequence[Figures]) -> str:
    header = [
        *("rule", "net APY", "pools paid", "prices", "gas", "conversion", "gas USD", "conversion USD", "turnover"),
        *("idle", "positions", "days traded"),
    ]
    rows = [_row(run) for run in ranked(runs)]
    first = runs[0]
    return f"""## {usd(first.book_usd)} (preset `{first.preset}`)

{table(header, rows)}

{_standing(runs)}"""


def _row(run: Figures) -> list[str]:
    money = run.money
    return [
        f"`{run.rule}`",
        percent(money.net_apy),
        percent(money.gross_apy),
        basis_points(run.yearly_bps(money.revaluation_usd) / 1e4, signed=True),
        basis_points(-run.yearly_bps(money.gas_usd) / 1e4, signed=True),
        basis_points(-run.yearly_bps(money.conversion_usd) / 1e4, signed=True),
        usd(money.gas_usd, digits=0),
        usd(money.conversion_usd, digits=0),
        f"{money.turnover:.1f}",
        percent(money.mean_idle_share, digits=1),
        f"{run.mean_positions:.1f}",
        f"{run.trading_days}",
    ]


def _standing(runs: Sequence[Figures]) -> str:
    """Where the optimiser stands, and by how much."""
    order = ranked(runs)
    place = next(number for number, run in enumerate(order, 1) if run.rule == EXACT.key)
    exact = order[place - 1].money
    if place == 1:
        ahead = exact.net_apy - order[1].money.net_apy
        said = f"`{EXACT.key}` has the highest net APY, {basis_points(ahead)} above `{order[1].rule}`."
    else:
        above = ", ".join(f"`{run.rule}`" for run in order[: place - 1])
        behind = order[0].money.net_apy - exact.net_apy
        said = (
            f"`{EXACT.key}` is number {place} of {len(order)} by net APY, behind {above}; "
            f"`{order[0].rule}` has {basis_points(behind)} more."
        )
    said += f" `{EXACT.key}` paid {usd(exact.fees_usd, digits=0)} in gas and conversion fees, {_of_accrual(exact)}"
    most = max(runs, key=lambda run: run.money.fees_usd)
    if most.rule == EXACT.key:
        said += ", the most of all."
    else:
        said += (
            f"; the most was paid by `{most.rule}`: {usd(most.money.fees_usd, digits=0)}, {_of_accrual(most.money)}."
        )
    failed = [run for run in runs if run.money.days_not_ok]
    for run in failed:
        named = ", ".join(f"{status} {days}" for status, days in run.money.status_counts.items() if status != "ok")
        said += f" `{run.rule}` held on {count(run.money.days_not_ok, 'day')} without a decision ({named})."
    return said


def _of_accrual(money: PerformanceMetrics) -> str:
    share = money.fees_usd / money.accrual_usd if money.accrual_usd > 0 else float("nan")
    return f"{percent(share, digits=0)} of what its pools paid"


def _regret(rules: Sequence[Figures]) -> str:
    found = regrets(rules, EXACT.key, REGRETTED)
    rows = [
        [
            f"`{item.rule}`",
            usd(item.book_usd),
            basis_points(item.apy, signed=True),
            usd(item.usd, signed=True, digits=0),
            usd(item.costs_usd, signed=True, digits=0),
        ]
        for item in found
    ]
    header = ["rule", "book", "net APY lost to `exact`", "USD lost by the end", "more paid in costs"]
    worst = max(found, key=lambda item: item.apy)
    better = [item for item in found if item.apy < 0]
    said = (
        f"Most is lost by `{worst.rule}` at {usd(worst.book_usd)}: {basis_points(worst.apy)} of net APY. "
        if worst.apy > 0
        else ""
    )
    said += (
        "In no row did the other rule end ahead."
        if not better
        else "Where the number is negative the rule ended ahead. "
        + " ".join(f"`{item.rule}` did at {usd(item.book_usd)}, by {basis_points(-item.apy)}." for item in better)
    )
    return f"""## What ignoring costs loses

{table(header, rows)}

{said}"""


def _dilution(runs: Sequence[Figures]) -> str:
    given = parameters(preset_of(DILUTED_BOOK_USD))
    header = ["caps on a pool's TVL", "dilution", "net APY", "pools paid", "costs", "idle", "positions"]
    rows, said = [], []
    by_caps: dict[str, dict[tuple[str, str], Figures]] = {}
    for run in runs:
        caps, decided, accrued = run.label.split("|")
        by_caps.setdefault(caps, {})[decided, accrued] = run
        rows.append(
            [
                caps,
                WAYS[decided, accrued],
                percent(run.money.net_apy),
                percent(run.money.gross_apy),
                usd(run.money.fees_usd, digits=0),
                percent(run.money.mean_idle_share, digits=1),
                f"{run.mean_positions:.1f}",
            ]
        )
    for caps, ways in by_caps.items():
        promised, blind, aware = (ways[way].money.net_apy for way in WAYS)
        said.append(
            f"With {caps}: books that leave dilution out show a net APY of {percent(promised)}, the same decisions "
            f"with it earn {percent(blind)} ({basis_points(blind - promised, signed=True)}); decisions that know of it "
            f"earn {percent(aware)} ({basis_points(aware - blind, signed=True)})."
        )
    return f"""## Own deposits: what dilution changes at {usd(DILUTED_BOOK_USD)}

`exact` with dilution `pro_rata`: a reward is shared by all who are in the pool. Total supply is not in the record, so
the utilisation curve of lending pools is not used. The caps as given allow {percent(given.pool_tvl_share, digits=0)} of
a pool's TVL, the wide ones {percent(WIDE_TVL_SHARE, digits=0)}.

{table(header, rows)}

{" ".join(said)}"""

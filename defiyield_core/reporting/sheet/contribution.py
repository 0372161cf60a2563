"""Where the profit came from: by cause, pool, protocol, chain and token, to the cent."""

from __future__ import annotations

import pandas as pd

from defiyield_core.portfolio.state import WALLET
from defiyield_core.reporting.analysis import Analysis
from defiyield_core.reporting.attribution import Attribution
from defiyield_core.reporting.figures import count, percent
from defiyield_core.reporting.inputs import ReportInputs, label_of, pool_labels
from defiyield_core.reporting.markup import Html, element, join, table
from defiyield_core.reporting.sheet.parts import money, note
from defiyield_core.reporting.tables import Column

POOLS = 12
_CAUSES = {
    "accrual": "Yield of the pools",
    "revaluation": "Prices of tokens",
    "gas": "Gas",
    "conversion": "Conversion fees",
}
_WALLET = "Wallet (conversions, prices of idle money)"


def contribution(report: ReportInputs, found: Analysis) -> Html:
    """The parts of the profit, each table adding up to it."""
    heading = element("h2", "Contribution")
    parts = found.attribution
    if parts is None:
        return join((heading, element("p", found.attribution_gap)))
    labels = {**pool_labels(report.details, report.pools), WALLET: _WALLET}
    pools = _named(parts, "pool_id", labels)
    return join(
        (
            heading,
            note(
                "Profit of every day taken apart into what each pool and token gained and paid. Each table adds up to "
                "the same total, to the cent."
            ),
            _bars("By cause", _named(parts, "cause", _CAUSES)),
            _bars("By pool", _shortened(pools)),
            element(
                "div",
                _bars("By protocol", _shortened(_named(parts, "protocol", {WALLET: "Wallet"}), "protocol")),
                element(
                    "div",
                    _bars("By token", _shortened(_named(parts, "token", {}), "token")),
                    _bars("By chain", _named(parts, "chain", {WALLET: "Wallet"})),
                ),
                class_="pair",
            ),
        )
    )


def _named(parts: Attribution, name: str, labels: dict[str, str]) -> pd.DataFrame:
    """Label and cents, the largest gain first."""
    sums = parts.in_cents(name)
    shown = pd.DataFrame({"label": [label_of(key, labels) for key in sums[name]], "cents": sums["cents"]})
    return shown.sort_values(["cents", "label"], ascending=[False, True], ignore_index=True)


def _shortened(sums: pd.DataFrame, noun: str = "pool") -> pd.DataFrame:
    """The rows that matter most, gains and losses, and the sum of all others."""
    if len(sums) <= POOLS + 1:
        return sums
    kept = sums["cents"].abs().sort_values(ascending=False, kind="stable").index[:POOLS].sort_values()
    rest = sums.drop(kept)
    others = {"label": count(len(rest), f"other {noun}"), "cents": int(rest["cents"].sum())}
    return pd.concat([sums.loc[kept], pd.DataFrame([others])], ignore_index=True)


def _bars(title: str, sums: pd.DataFrame) -> Html:
    total = int(sums["cents"].sum())
    largest = max(int(sums["cents"].abs().max()), 1) if len(sums) else 1
    rows = [
        [
            join((row.label, _bar(row.cents / largest))),
            money(row.cents),
            percent(row.cents / total, digits=1) if total else "n/a",
        ]
        for row in sums.itertuples()
    ]
    columns = (Column(title), Column("Contribution", numeric=True), Column("Share", numeric=True))
    footer = ["Total", money(total), percent(1.0, digits=1) if total else "n/a"]
    return table(columns, rows, caption=f"Contribution {title.lower()}", footer=footer)


def _bar(part: float) -> Html:
    kind = "gain" if part >= 0 else "loss"
    return element("span", element("i", style=f"width:{abs(part) * 100:.1f}%", class_=kind), class_="bar part")

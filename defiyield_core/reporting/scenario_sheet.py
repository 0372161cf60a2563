"""The comparison sheet: one self-contained HTML page over a set of scenarios, 2 to some hundreds.

Belongs here: the page's sections and words. Does not belong here: figures (see `scenario_tradeoffs`,
`scenario_effects`), pictures (see `scenario_charts`), the frame of the page (see `page`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from defiyield_core.reporting import scenario_charts as charts
from defiyield_core.reporting.figures import basis_points, count, is_unknown, percent, usd
from defiyield_core.reporting.markup import Html, element, join, safe, table
from defiyield_core.reporting.page import breakable, dense, facts, header, note, page, picture, tiles
from defiyield_core.reporting.scenario_effects import parameter_effects, value_text
from defiyield_core.reporting.scenario_tradeoffs import Comparison, compare, seed_spread, trade_offs
from defiyield_core.reporting.scenarios import Scenario, differing
from defiyield_core.reporting.tables import Column
from defiyield_core.reporting.tearsheet import SIMULATED, SURVIVORSHIP

MOST_ROWS = 30
"""Longer tables show the best, the baseline and the worst."""
_WORST_ROWS = 5
_EFFECT_ROWS = 40


def scenario_sheet(
    scenarios: Iterable[Scenario],
    *,
    title: str = "Scenarios",
    baseline: str | None = None,
    source: str = "",
    run_info: Mapping[str, str] | None = None,
) -> str:
    """The page as HTML text.

    Args:
        baseline: the variant or run that the others are held against (see `scenario_tradeoffs.compare`).
        source: name of the data source; a simulated one is said to be one.
        run_info: what identifies the set, for people: matrix file, data fingerprint, code version.

    Raises:
        ConfigurationError, DataError: see `scenario_tradeoffs.compare`.
    """
    comparison = compare(scenarios, baseline)
    sections = (
        _header(comparison, title),
        _trade_offs(comparison),
        _ranking(comparison),
        _side_by_side(comparison),
        _nav(comparison),
        _parameters(comparison),
        _seeds(comparison),
        _descriptions(comparison),
        _limits(source),
        _footer(comparison, source, run_info or {}),
    )
    return page(f"{title}: {_size(comparison)}", (section for section in sections if section))


def _size(comparison: Comparison) -> str:
    runs, variants = len(comparison.scenarios), len(comparison.means)
    return count(runs, "scenario") if runs == variants else f"{count(variants, 'variant')}, {count(runs, 'run')}"


def _header(comparison: Comparison, title: str) -> Html:
    choices, base = comparison.choices, comparison.means.loc[comparison.baseline]
    first = comparison.scenarios[0].figures
    lead = f"Everything is net of gas and conversion fees. {comparison.note}"
    if len(choices):
        best = str(choices.index[0])
        free = int(choices["not_dominated"].sum())
        many = "is" if free == 1 else "are"
        against = "" if best == comparison.baseline else f" {comparison.baseline} earned {percent(base['net_apy'])}."
        lead = (
            f"{best} earned most, {percent(choices['net_apy'].iloc[0])} a year net of all costs.{against} "
            f"{free} of {len(choices)} {many} not dominated: no other earned at least as much with no more drawdown, "
            f"fees and concentration. {comparison.note}"
        )
    kicker = f"Comparison · {_size(comparison)} · {first.first_day} to {first.last_day}"
    return join((header(kicker, title, lead.strip()), tiles(_tiles(comparison, choices, base))))


def _tiles(comparison: Comparison, choices: pd.DataFrame, base: pd.Series) -> list[tuple[str, str, str]]:
    shown = [("Net APY of " + comparison.baseline, percent(base["net_apy"]), "what the others are held against")]
    wanted = [("Highest net APY", "net_apy", False), ("Smallest drawdown", "max_drawdown", True)]
    fees = "fees_usd" if comparison.in_usd else "fees_bps"
    wanted += [
        ("Lowest fees", fees, True),
        ("Least concentrated", "mean_hhi", True),
        ("Highest Sharpe", "sharpe", False),
    ]
    for heading, column, is_lowest in wanted:
        known = choices[column].dropna()
        if len(known):
            name = str(known.idxmin() if is_lowest else known.idxmax())
            shown.append((heading, _figure_text(comparison, column, float(known[name])), name))
    return shown


def _figure_text(comparison: Comparison, column: str, value: float) -> str:
    if is_unknown(value):
        return "n/a"
    if column == "fees_usd":
        return usd(value, digits=0 if value >= 10 else 2)
    if column == "fees_bps":
        return basis_points(value / 1e4, digits=1)
    if column in ("mean_hhi", "sharpe"):
        return f"{value:.2f}"
    if column == "turnover":
        return f"{value:.1f}x"
    if column == "days_not_ok":
        return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
    if column == "solve_seconds":
        return f"{value:,.2f} s"
    return percent(value, digits=1 if column == "mean_idle_share" else 2)


def _trade_offs(comparison: Comparison) -> Html:
    said = trade_offs(comparison)
    if not said:
        return Html("")
    items = (element("li", breakable(sentence)) for sentence in said)
    known = comparison.means["mean_hhi"].notna().any()
    weighed = "net APY, drawdown, fees and concentration" if known else "net APY, drawdown and fees"
    return join(
        (
            element("h2", "Trade-offs"),
            element("ul", *items, class_="said"),
            picture(
                "tradeoffs",
                "Net APY against drawdown, fees and concentration",
                lambda style: charts.trade_off_chart(comparison, style),
            ),
            note(
                f"Up and to the left is better. Weighed are {weighed}; a variant is dominated when another one is at "
                "least as good in each and better in one. Numbers are ranks by net APY, as in the table."
            ),
        )
    )


_RANKED = {
    "net_apy": "Net APY",
    "max_drawdown": "Draw\u00addown",
    "volatility": "Vola\u00adtility",
    "sharpe": "Sharpe",
    "fees": "Fees",
    "turnover": "Turn\u00adover",
    "mean_idle_share": "Idle",
    "mean_hhi": "HHI",
    "days_not_ok": "Days not ok",
    "solve_seconds": "Solve time",
}


def _ranking(comparison: Comparison) -> Html:
    fees = "fees_usd" if comparison.in_usd else "fees_bps"
    names = {fees if column == "fees" else column: heading for column, heading in _RANKED.items()}
    if comparison.means["mean_hhi"].isna().all():
        del names["mean_hhi"]
    shown, left_out = _shown(comparison)
    rows = []
    for name in shown:
        row = comparison.means.loc[name]
        cells = [_figure_text(comparison, column, float(row[column])) for column in names]
        rows.append([_named(comparison, name), cells[0], _against(comparison, name), *cells[1:]])
    heads = list(names.values())
    heads[1:1] = ["Against it"]
    columns = [Column("Scenario"), *(Column(head, numeric=True) for head in heads)]
    words = [f"“Against it” is the net APY less that of {comparison.baseline}, in basis points."]
    if comparison.is_seeded:
        words.append("A row is the mean over the runs of a variant; “against it” is over the seeds that both have.")
    if "mean_hhi" in names:
        words.append("HHI is the sum of squared shares of the positions: 0.25 is as concentrated as four equal ones.")
    if left_out:
        words.append(f"{count(left_out, 'variant')} between the best and the worst are left out here.")
    return join(
        (
            element("h2", "Ranking by net APY"),
            dense(table(columns, rows, caption="Scenarios by net APY")),
            note(" ".join(words)),
        )
    )


def _shown(comparison: Comparison) -> tuple[list[str], int]:
    """Names for a table, by rank, and how many had no room."""
    names = [str(name) for name in comparison.means.index]
    if len(names) <= MOST_ROWS:
        return names, 0
    kept = {*names[: MOST_ROWS - _WORST_ROWS], *names[-_WORST_ROWS:], comparison.baseline}
    shown = [name for name in names if name in kept]
    return shown, len(names) - len(shown)


def _named(comparison: Comparison, name: str) -> Html:
    row = comparison.means.loc[name]
    tags = [
        tag
        for tag, is_so in (
            ("baseline", name == comparison.baseline),
            ("knows the future", row["is_bound"]),
            ("not dominated", row["not_dominated"]),
        )
        if is_so
    ]
    rank = "" if pd.isna(row["rank"]) else f"{row['rank']}. "
    seeds = f" × {row['runs']}" if row["runs"] > 1 else ""
    marked = element("div", ", ".join(tags), class_="tag") if tags else Html("")
    return Html(f"{safe(rank)}{breakable(name)}{safe(seeds)}{marked}")


def _against(comparison: Comparison, name: str) -> str:
    more = comparison.more_apy(name)
    if name == comparison.baseline or is_unknown(more):
        return ""
    text = basis_points(more, signed=True, digits=0 if abs(more) >= 1e-3 else 1)
    return element("span", text, class_="good" if more >= 0 else "bad")


def _side_by_side(comparison: Comparison) -> Html:
    return join(
        (
            element("h2", "Side by side"),
            picture(
                "beside",
                "Share allocated, weighted APY, costs and solve time",
                lambda style: charts.side_by_side_chart(comparison, style),
            ),
            note(
                "Allocated and weighted APY (the forecast of the book, idle money at 0) are those of the last close; "
                f"costs are of all days, over AUM at the last close. {comparison.baseline} has its own colour."
            ),
        )
    )


def _nav(comparison: Comparison) -> Html:
    heading = "Net asset value" if comparison.in_usd else "Growth of one dollar"
    return join(
        (
            element("h2", heading),
            picture("nav", heading, lambda style: charts.nav_chart(comparison, style)),
        )
    )


def _parameters(comparison: Comparison) -> Html:
    effects = parameter_effects(comparison)
    if effects.empty:
        return Html("")
    rows = [
        [
            breakable(row.parameter),
            row.value,
            f"{row.runs:,}",
            percent(row.mean_net_apy),
            percent(row.lowest),
            percent(row.highest),
            basis_points(row.reach),
        ]
        for row in effects.head(_EFFECT_ROWS).itertuples()
    ]
    names = ("Parameter", "Value", "Runs", "Net APY", "Lowest", "Highest", "Moves it by")
    columns = [Column(name, numeric=number >= 2) for number, name in enumerate(names)]
    words = (
        "Runs are held against those that are equal in everything else, seed included; net APY is what remains of a "
        "value then. Lowest and highest are single runs."
    )
    loose = [str(name) for name in effects.loc[~effects["is_matched"].astype(bool), "parameter"].unique()]
    if loose:
        words += (
            f" No two runs differ in nothing but {' or '.join(loose)}: its figures are plain means over everything "
            "else, and no proof that it is the cause."
        )
    return join(
        (
            element("h2", "Which parameter matters"),
            picture("parameters", "Net APY by parameter", lambda style: charts.parameter_chart(effects, style)),
            dense(table(columns, rows, caption="Net APY by value of each parameter")),
            note(words),
        )
    )


def _seeds(comparison: Comparison) -> Html:
    spread = seed_spread(comparison)
    if spread.empty:
        return Html("")
    rows = [
        [
            breakable(row.variant),
            f"{row.runs:,}",
            percent(row.mean),
            percent(row.deviation),
            percent(row.worst),
            percent(row.best),
            "" if is_unknown(row.ahead) else percent(row.ahead, digits=0),
        ]
        for row in spread.head(MOST_ROWS).itertuples()
    ]
    names = ("Variant", "Seeds", "Mean", "Devi\u00adation", "Worst", "Best", "Ahead")
    columns = [Column(name, numeric=number >= 1) for number, name in enumerate(names)]
    return join(
        (
            element("h2", "What is luck: net APY over seeds"),
            picture("seeds", "Net APY of every run", lambda style: charts.seeds_chart(comparison, style)),
            dense(table(columns, rows, caption="Net APY over seeds")),
            note(
                f"Ahead: share of the seeds on which the variant earned more than {comparison.baseline} did. "
                "A difference of means that is small beside the deviation, and is not there on most seeds, is luck."
            ),
        )
    )


def _descriptions(comparison: Comparison) -> Html:
    frame = differing(comparison.scenarios).map(value_text)
    yardstick = comparison.runs_of(comparison.baseline)[0]
    base, same = frame.loc[yardstick.name], yardstick.description
    rows = []
    for name in _shown(comparison)[0]:
        run = comparison.runs_of(name)[0]
        changed = [f"{breakable(key)} {safe(text)}" for key, text in frame.loc[run.name].items() if text != base[key]]
        own = run.description if run.description != same or name == comparison.baseline else ""
        rows.append([breakable(name), own, Html(", ".join(changed))])
    if not any(row[1] or row[2] for row in rows):
        return Html("")
    described = any(row[1] for row in rows)
    columns = [Column("Scenario"), *([Column("What it is")] if described else []), Column("Differs by")]
    cells = [row if described else [row[0], row[2]] for row in rows]
    return join(
        (
            element("h2", "The scenarios"),
            dense(table(columns, cells, caption="Scenarios and their parameters", cards=True)),
            note(f"Differs by: against {comparison.baseline}. Shares and rates are fractions: 0.25 is 25%."),
        )
    )


def _limits(source: str) -> Html:
    return join(
        (
            element("h2", "What this does not tell"),
            element("p", SIMULATED if source.startswith("simulated") else SURVIVORSHIP),
            element(
                "p",
                "The best of many variants is best in part by luck: chosen on these days, it will do less well on "
                "others. APY is an effective annual rate, and past yield is no guarantee of later yield.",
            ),
        )
    )


def _footer(comparison: Comparison, source: str, run_info: Mapping[str, str]) -> Html:
    first = comparison.scenarios[0].figures
    days = f"{first.first_day}..{first.last_day} ({count(len(comparison.scenarios[0].rows), 'day')})"
    modes: Sequence[str] = sorted({run.mode for run in comparison.scenarios})
    pairs = {"scenarios": _size(comparison), "days": days, "mode": ", ".join(modes)}
    return facts({**pairs, **({"source": source} if source else {}), **run_info})

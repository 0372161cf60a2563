"""One decision as a page: what was done, what it promises and costs, why not otherwise; and its pictures as PNG.

Belongs here: the page's sections and words, reading what it needs, writing the files. Does not belong here: the text of
the terminal (see `decision`), pictures (see `decision_charts`), the frame of the page (see `page`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from defiyield_core.allocation.curves import RateCurve
from defiyield_core.allocation.problem_file import problem_from_json
from defiyield_core.allocation.strict_json import parse_json
from defiyield_core.calendar import Window
from defiyield_core.errors import AllocationError, ConfigurationError
from defiyield_core.reporting.charts import ChartStyle, to_png
from defiyield_core.reporting.decision import SHOWN_CANDIDATES, DecisionReport, decision_json
from defiyield_core.reporting.decision_charts import PICTURES, DecisionFigures, decision_figures
from defiyield_core.reporting.figures import count, is_unknown, percent, usd
from defiyield_core.reporting.inputs import label_of
from defiyield_core.reporting.markup import Html, element, join, table
from defiyield_core.reporting.page import facts, header, note, page, picture, tiles
from defiyield_core.reporting.tables import Column
from defiyield_core.warehouse.port import Warehouse

PAGE = "decision.html"
_WORDS = {"WITHDRAWAL": "Withdraw", "ALLOCATION": "Deposit", "CONVERSION": "Convert"}
_LARGEST_APY = 10.0


def read_figures(warehouse: Warehouse, decision: DecisionReport) -> DecisionFigures:
    """The figures of a decision's pictures. A stored problem that cannot be read costs only the rate curves."""
    window, scope = Window(decision.day, decision.day), {"portfolio": decision.portfolio}
    problems = warehouse.read("allocation_problems", window, scope=scope)
    curves: dict[str, RateCurve] = {}
    if len(problems):
        try:
            problem = problem_from_json(parse_json(problems["problem"].iloc[0]))
            curves = {problem.pool_ids[number]: curve for number, curve in problem.rate_curves.items()}
        except AllocationError:
            curves = {}
    positions = warehouse.read("asset_allocations", window, scope=scope)
    return decision_figures(decision, positions, warehouse.read("daily_ledger", window, scope=scope), curves)


def write_decision(
    folder: Path, decision: DecisionReport, figures: DecisionFigures, *, candidates: int | None = SHOWN_CANDIDATES
) -> tuple[Path, ...]:
    """Write the page and a PNG of every picture; their paths, the page first.

    Args:
        candidates: how many of those that were not used are on the page; None for all.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    paths = [folder / PAGE, *(folder / f"{name}.png" for name in PICTURES)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(decision_sheet(decision, figures, candidates=candidates), encoding="utf-8")
        for path, (_, draw) in zip(paths[1:], PICTURES.values(), strict=True):
            path.write_bytes(to_png(draw(figures, ChartStyle())))
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: cannot be written: {error}") from error
    return tuple(paths)


def decision_sheet(
    decision: DecisionReport, figures: DecisionFigures, *, candidates: int | None = SHOWN_CANDIDATES
) -> str:
    """The page as HTML text."""
    told = decision_json(decision)
    sections = (
        _header(decision, told),
        _positions(decision, figures),
        _tokens(figures),
        _amounts(figures),
        _costs(decision, figures),
        _unused(decision, candidates),
        _parameters(told),
        _footer(decision, told),
    )
    return page(f"{decision.portfolio}: decision of {decision.day}", (section for section in sections if section))


def _header(decision: DecisionReport, told: Mapping[str, Any]) -> Html:
    horizon = f"{told['horizon_days']:g} days"
    moves = decision.moves
    if decision.details.empty:
        lead = "Nothing was decided: every position was kept."
    elif moves.empty:
        lead = f"Every position is kept: nothing that could be done would earn its costs over {horizon}."
    else:
        lead = f"{count(len(moves), 'move')} of {usd(float(moves['amount_usd'].sum()))} for {usd(decision.costs_usd)}."
    gain, back = told["gain_over_hold_usd"], told["break_even_days"]
    shown = [
        ("AUM", usd(decision.aum_usd), "wallet and positions before costs"),
        ("Promise", usd(told["objective_usd"]), f"over {horizon}, net of costs"),
        ("Gain over holding", usd(gain, signed=True), f"holding: {usd(told['hold_objective_usd'])}"),
        ("Costs", usd(decision.costs_usd), f"gas {usd(told['costs_usd']['gas'])}"),
        ("Earned back in", "n/a" if is_unknown(back) else f"{back:.1f} days", f"of {horizon}"),
        ("Forecast APY", percent(float(decision.daily["weighted_apy"])), "of the book, idle at 0"),
    ]
    parts = [header(f"Decision · {decision.day} · run {decision.run_id}", decision.portfolio, lead), tiles(shown)]
    if told["status"] != "ok":
        text = f"The day did not end ok ({told['status']}): {told['reason'] or 'no reason was recorded'}."
        parts.append(element("div", element("p", text), class_="warning", role="note"))
    parts += [note(text) for text in told["notes"]]
    return join(parts)


def _drawn(name: str, figures: DecisionFigures) -> Html:
    title, draw = PICTURES[name]
    return picture(name, title, lambda style: draw(figures, style))


def _positions(decision: DecisionReport, figures: DecisionFigures) -> Html:
    parts = [element("h2", "Allocation by pool"), _drawn("allocation_by_pool", figures)]
    book = decision.positions
    if book.empty:
        return join(parts)
    rows = [
        [
            label_of(item.pool_id, decision.labels),
            usd(item.value_usd),
            percent(item.share_of_aum, digits=1),
            percent(item.apy_forecast),
            percent(item.marginal_apy),
            item.reason,
        ]
        for item in book.itertuples()
    ]
    names = ("Pool", "Value", "Share", "APY", "Last dollar", "What holds it there")
    columns = [Column(name, numeric=1 <= number <= 4) for number, name in enumerate(names)]
    return join((*parts, table(columns, rows, caption="Positions after the decision", cards=True)))


def _tokens(figures: DecisionFigures) -> Html:
    return join((element("h2", "Allocation by token"), _drawn("allocation_by_token", figures)))


def _amounts(figures: DecisionFigures) -> Html:
    if not figures.curves:
        return Html("")
    words = "A line ends at the largest position that the caps allow; the point is what was chosen. "
    if figures.dilution == "off":
        words += (
            "The decision took rates as they are, whatever we deposit. Dotted: what would be left if everybody's money "
            "shares a fixed reward."
        )
    else:
        words += "Solid: the average of the position. Dashed: its last dollar, which is what decides."
    return join((element("h2", "APY against amount"), _drawn("apy_against_amount", figures), note(words)))


def _costs(decision: DecisionReport, figures: DecisionFigures) -> Html:
    parts = [element("h2", "Costs by type"), _drawn("costs_by_type", figures), element("h3", "Moves")]
    if decision.moves.empty:
        return join((*parts, element("p", "None: every position is kept.")))
    rows = []
    for item in decision.moves.itertuples():
        place = item.to_location if item.type == "ALLOCATION" else item.from_location
        rows.append(
            [
                f"{item.seq}. {_WORDS[item.type]}",
                "" if item.type == "CONVERSION" else label_of(place, decision.labels),
                item.token if item.token == item.to_token else f"{item.token} to {item.to_token}",
                usd(item.amount_usd, digits=2),
                usd(item.gas_cost_usd),
                usd(item.conversion_cost_usd) if item.conversion_cost_usd else "",
            ]
        )
    names = ("What", "Pool", "Token", "Amount", "Gas", "Fee")
    columns = [Column(name, numeric=number >= 3) for number, name in enumerate(names)]
    sums = decision.moves[["gas_cost_usd", "conversion_cost_usd"]].sum()
    total = ["Total", "", "", "", usd(sums["gas_cost_usd"]), usd(sums["conversion_cost_usd"])]
    return join((*parts, table(columns, rows, caption="Moves in order of execution", cards=True, footer=total)))


def _unused(decision: DecisionReport, candidates: int | None) -> Html:
    unused = decision.unused
    if unused.empty:
        return Html("")
    shown = unused if candidates is None else unused[:candidates]
    rows = [
        [
            label_of(item.pool_id, decision.labels),
            str(item.pool_group),
            percent(item.apy_forecast),
            _needed(float(item.break_even_apy)),
            item.reason,
        ]
        for item in shown.itertuples()
    ]
    names = ("Pool", "Tier", "APY", "Pays from", "Why not")
    columns = [Column(name, numeric=1 <= number <= 3) for number, name in enumerate(names)]
    words = "Pays from: the forecast APY at which a move into the pool would have been worth its costs."
    if len(shown) < len(unused):
        words += f" {count(len(unused) - len(shown), 'more candidate')} of a lower forecast are left out."
    return join(
        (
            element("h2", "Not used"),
            table(columns, rows, caption="Candidates without a position", cards=True),
            note(words),
        )
    )


def _needed(apy: float) -> str:
    if is_unknown(apy):
        return "–"
    return percent(apy) if apy <= _LARGEST_APY else f"> {percent(_LARGEST_APY, digits=0)}"


def _parameters(told: Mapping[str, Any]) -> Html:
    changes = told["changed_parameters"]
    lead = f"Preset {told['preset']}" + (", but:" if changes else ", unchanged.")
    items = (element("li", element("span", name), element("span", str(value))) for name, value in changes.items())
    parts = [element("h2", "Parameters"), element("p", lead)]
    return join([*parts, element("ul", *items, class_="parameters")] if changes else parts)


def _footer(decision: DecisionReport, told: Mapping[str, Any]) -> Html:
    pairs = {"run id": decision.run_id, "policy": str(told["policy"]), "status": str(told["status"])}
    if told["engine"]:
        pairs["engine"] = str(told["engine"])
    if told["bound_usd"] is not None:
        pairs["proof"] = (
            f"no plan can promise more than {usd(told['bound_usd'], digits=2)} (gap {told['gap_bps']:.4f} bps)"
        )
    else:
        pairs["proof"] = "a rule decided: nothing is proven"
    return join((note("A forecast is no promise: the pools may pay less than they did."), facts(pairs)))

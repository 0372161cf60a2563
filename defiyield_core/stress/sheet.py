"""A stress run as one self-contained page.

Belongs here: its sections and their order. Does not belong here: figures (see `outcomes`), pictures (see `pictures`),
words for a terminal (see `report`), the frame of pages (see `reporting.page`).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import numpy as np

from defiyield_core.reporting.figures import UNKNOWN, count, day_text, percent, usd
from defiyield_core.reporting.markup import Html, element, join, table
from defiyield_core.reporting.page import dense, facts, header, note, page, picture, tiles
from defiyield_core.reporting.tables import Column
from defiyield_core.stress.cases import BOOTSTRAP, MARKET
from defiyield_core.stress.notes import Telling, method, notes
from defiyield_core.stress.outcomes import StressOutcome, StressRun
from defiyield_core.stress.pictures import Spread, groups_of, spread_chart
from defiyield_core.stress.report import SORTS, distribution, kinds_table, reference_sentence, worst_sentence

_WORST_SHOWN = 15


def stress_sheet(run: StressRun, telling: Telling) -> str:
    """The page as text."""
    title = f"Stress test of {run.portfolio.replace('_', ' ')}"
    kicker = f"{run.start} to {run.end}, {count(len(run.outcomes), 'case')}, seed {telling.seed}"
    sections = [header(kicker, title, f"Worst loss: {worst_sentence(run)}")]
    if run.finished:
        sections += [_tiles(run), _by_kind(run), _rates(run), _worst_cases(run), _distributions(run)]
    sections += [_failures(run), _reading(run, telling)]
    identity = {"source": telling.source, "seed": f"{telling.seed}", "forecaster": telling.forecaster}
    return page(title, [*sections, facts({**identity, **telling.facts})])


def _tiles(run: StressRun) -> Html:
    worst, base = run.worst()[0], run.baseline
    losses = run.quantiles("loss_usd", (0.5, 0.95))
    drawdown = max(one.max_drawdown for one in run.finished)
    return tiles(
        (
            ("Net APY undisturbed", percent(base.net_apy), f"{usd(base.final_nav_usd)} at the end"),
            ("Median loss", usd(losses[0.5]), f"over {count(len(run.finished), 'case')}"),
            ("Loss in 1 of 20 cases", usd(losses[0.95]), "or more"),
            ("Worst loss", usd(worst.loss_usd), percent(worst.loss_share, digits=1) + " of the undisturbed value"),
            ("Lowest net APY", percent(min(one.net_apy for one in run.finished)), "of any case"),
            ("Largest drawdown", percent(drawdown, digits=1), f"{percent(base.max_drawdown)} undisturbed"),
        )
    )


def _by_kind(run: StressRun) -> Html:
    rows, summary = kinds_table(run), run.summary_rows()
    losses = {kind: np.array([one.loss_usd for one in cases]) for kind, cases in run.by_kind().items()}
    spread = Spread(groups_of([row["kind"] for row in summary[:-1]], losses), 0.0, "high", in_usd=True)
    return join(
        (
            element("h2", "Loss by kind of case"),
            note(
                "Against the undisturbed run, at the end of the range. The scale is of powers of ten: each step to the "
                "right is ten times the loss. Left of 0 a case gained."
            ),
            picture("losses", "Loss of every case by kind", partial(spread_chart, spread)),
            dense(table(rows.columns, rows.rows, caption="Cases by kind, the heaviest worst loss first", cards=True)),
        )
    )


def _rates(run: StressRun) -> Html:
    found = {kind: np.array([one.net_apy for one in cases]) for kind, cases in run.by_kind().items()}
    groups = groups_of((BOOTSTRAP, MARKET), found)
    if not groups:
        return Html("")
    reference = _reference_of(run, groups)
    spread = Spread(groups, reference.net_apy, "low", in_usd=False)
    return join(
        (
            element("h2", "Net APY in other markets"),
            note(
                "Monte Carlo: the range's own rates drawn anew in blocks of days, and simulated markets. "
                f"{reference_sentence(reference)}."
            ),
            picture("rates", "Net APY of draws and simulated markets", partial(spread_chart, spread)),
        )
    )


def _reference_of(run: StressRun, kinds: Collection[str]) -> StressOutcome:
    """The undisturbed run with the forecaster of these kinds."""
    used = {one.forecaster for one in run.finished if one.kind in kinds}
    return next((one for one in run.references if one.forecaster in used), run.baseline)


def _worst_cases(run: StressRun) -> Html:
    heads = ("Loss", "Share", "Net APY", "Drawdown", "Worst return", "Worst day", "Days held")
    rows = [
        (
            one.name,
            usd(one.loss_usd),
            percent(one.loss_share, digits=1),
            percent(one.net_apy),
            percent(one.max_drawdown, digits=1),
            percent(one.worst_day_return),
            day_text(one.worst_day) if one.worst_day else UNKNOWN,
            f"{one.days_not_ok}",
        )
        for one in run.worst(_WORST_SHOWN)
    ]
    columns = (Column("Case"), *(Column(head, numeric=True) for head in heads))
    return join(
        (
            element("h2", "Worst cases"),
            dense(table(columns, rows, caption="The cases that lost most", cards=True)),
            note(
                "Days held: no decision could be taken or carried out, and the portfolio kept what it had. Every case "
                "is in cases.csv."
            ),
        )
    )


def _distributions(run: StressRun) -> Html:
    parts: list[Html] = [element("h2", "Distribution")]
    for name, kinds in SORTS:
        number = sum(one.kind in kinds for one in run.finished)
        if number:
            rows = distribution(run, kinds)
            parts.append(element("h3", f"{count(number, 'case')} of {name}"))
            parts.append(dense(table(rows.columns, rows.rows, caption=f"Percentiles: {name}")))
    return join(parts)


def _failures(run: StressRun) -> Html:
    if not run.failures:
        return Html("")
    rows = [(one.name, one.failure) for one in run.failures]
    columns = (Column("Case"), Column("Why"))
    return join((element("h2", "Cases without a result"), table(columns, rows, caption="Failed cases", cards=True)))


def _reading(run: StressRun, telling: Telling) -> Html:
    said = (*(f"{reference_sentence(one)}." for one in run.references), *notes(run, telling), *method(run, telling))
    return join(
        (
            element("h2", "How to read this"),
            element("ul", *(element("li", sentence) for sentence in said), class_="said"),
        )
    )

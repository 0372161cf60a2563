"""A stress run as text for a terminal, and as JSON values.

Belongs here: words and tables. Does not belong here: figures (see `outcomes`), the page (see `sheet`), files (see
`outputs`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from defiyield_core.reporting.figures import count, percent, usd
from defiyield_core.reporting.tables import Column, TextTable
from defiyield_core.stress.cases import BOOTSTRAP, EVENT_KINDS, MARKET
from defiyield_core.stress.notes import Telling, method, notes
from defiyield_core.stress.outcomes import LEVELS, StressOutcome, StressRun

_FIGURES = (
    ("Net APY", "net_apy", percent),
    ("Loss", "loss_usd", usd),
    ("Largest loss on a day", "deepest_loss_usd", usd),
    ("Drawdown", "max_drawdown", percent),
)
SORTS = (("events", EVENT_KINDS), ("draws of the APY panel", (BOOTSTRAP,)), ("simulated markets", (MARKET,)))


def terminal_text(run: StressRun, telling: Telling, width: int = 120) -> str:
    """The whole result for a terminal, without a final line end."""
    parts = [
        f"STRESS  {run.portfolio}, {run.start} to {run.end}, {count(len(run.outcomes), 'case')}, seed {telling.seed}",
        "",
        *(reference_sentence(one) for one in run.references),
        "",
        kinds_table(run).render(width),
    ]
    for name, kinds in SORTS:
        if any(one.kind in kinds for one in run.finished):
            parts += ["", f"DISTRIBUTION  {name}", "", distribution(run, kinds).render(width)]
    parts += ["", f"Worst loss: {worst_sentence(run)}", ""]
    parts += [line for note in notes(run, telling) for line in textwrap.wrap(note, width)]
    if run.failures:
        parts += ["", f"FAILED  {count(len(run.failures), 'case')} without a result", ""]
        parts += [f"{one.name}: {one.failure}" for one in run.failures]
    return "\n".join(parts)


def worst_sentence(run: StressRun) -> str:
    """The worst loss of all cases with the case's name."""
    worst = run.worst()
    if not worst:
        return "no case has a result."
    return f"{usd(worst[0].loss_usd)} ({percent(worst[0].loss_share, digits=1)}) in {worst[0].name}."


def reference_sentence(one: StressOutcome) -> str:
    """What an undisturbed run earned."""
    return (
        f"{one.name.capitalize()}: net APY {percent(one.net_apy)}, {usd(one.final_nav_usd)} at the end, "
        f"drawdown {percent(one.max_drawdown)}"
    )


def kinds_table(run: StressRun) -> TextTable:
    """A row per kind, the heaviest worst loss first, and one over all cases."""
    heads = ("Cases", "Median APY", "Worst APY", "Median loss", "Worst loss", "Share", "Drawdown")
    columns = (Column("Kind"), *(Column(head, numeric=True) for head in heads), Column("Worst case"))
    return TextTable(columns, tuple(_kind_row(row) for row in run.summary_rows()))


def _kind_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["kind"],
        f"{row['cases']}",
        percent(row["median_net_apy"]),
        percent(row["lowest_net_apy"]),
        usd(row["median_loss_usd"]),
        usd(row["worst_loss_usd"]),
        percent(row["worst_loss_share"], digits=1),
        percent(row["worst_drawdown"], digits=1),
        row["worst_case"],
    )


def distribution(run: StressRun, kinds: Sequence[str]) -> TextTable:
    """Percentiles of the figures over the cases of these kinds."""
    columns = (Column("Percentile"), *(Column(percent(level, digits=0), numeric=True) for level in LEVELS))
    rows = (
        (name, *(write(value) for value in run.quantiles(figure, LEVELS, kinds).values()))
        for name, figure, write in _FIGURES
    )
    return TextTable(columns, tuple(rows))


def summary(run: StressRun, telling: Telling) -> dict[str, Any]:
    """The result as JSON values; timings are left out, so that equal seeds give equal bytes."""
    return {
        "portfolio": run.portfolio,
        "start": str(run.start),
        "end": str(run.end),
        "source": telling.source,
        "seed": telling.seed,
        "forecaster": telling.forecaster,
        "models_of_undisturbed_run": telling.lends,
        **telling.facts,
        "cases": len(run.outcomes),
        "undisturbed": [_plain(one.as_row()) for one in run.references],
        "worst": [_plain(one.as_row()) for one in run.worst(1)],
        "kinds": [_plain(row) for row in run.summary_rows()],
        "quantiles": {
            name: {
                figure: {f"{level:g}": _number(value) for level, value in run.quantiles(figure, LEVELS, kinds).items()}
                for _, figure, _ in _FIGURES
            }
            for name, kinds in (*SORTS, ("all", None))
        },
        "failures": {one.name: one.failure for one in run.failures},
        "notes": [*notes(run, telling), *method(run, telling)],
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _number(value) if isinstance(value, float) else value for name, value in row.items()}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

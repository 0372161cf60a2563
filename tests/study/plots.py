"""The study's two plots, as SVG files that are equal for equal numbers.

Belongs here: drawing. Does not belong here: figures and wording.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from defiyield_core.reporting.figures import percent, usd
from tests.study.cases import EXACT, RULES
from tests.study.figures import Figures, of_book, ranked

PATHS_BOOK_USD = 1_000_000.0
_EXACT_COLOUR, _OTHER_COLOUR, _INK = "#0072b2", "#b9c0ca", "#1b2330"
_COLOURS = ("#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c7a1f", "#5d6878", "#332288")
_STYLE: Any = {
    "svg.hashsalt": "study",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5d6878",
    "text.color": _INK,
}


def draw(rules: Sequence[Figures], folder: Path) -> list[Path]:
    """Write both plots; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(_STYLE):
        for name, figure in (("study_net_apy", net_apy(rules)), ("study_paths", paths(rules))):
            written.append(folder / f"{name}.svg")
            figure.savefig(written[-1], metadata={"Date": None}, facecolor="white")
    return written


def net_apy(rules: Sequence[Figures]) -> Figure:
    """A panel per size: bars of net APY, the highest on top. A loss is drawn to the left edge, its number says it."""
    books = sorted({run.book_usd for run in rules})
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    panels = np.ravel(figure.subplots(2, -(-len(books) // 2), sharex=True))
    highest = max(run.money.net_apy for run in rules)
    for panel, book_usd in zip(panels, books, strict=False):
        _bars(panel, ranked(of_book(rules, book_usd)), highest)
        panel.set_title(f"{usd(book_usd)}", loc="left", fontsize=11, fontweight="bold")
    for panel in panels[len(books) :]:
        panel.set_axis_off()
    figure.supxlabel("net APY", fontsize=10)
    return figure


def _bars(panel: Axes, runs: Sequence[Figures], highest: float) -> None:
    lowest = -0.25 * highest
    for place, run in enumerate(runs):
        value = max(run.money.net_apy, lowest)
        panel.barh(place, value, color=_EXACT_COLOUR if run.rule == EXACT.key else _OTHER_COLOUR)
        panel.text(max(value, 0.0) + 0.015 * highest, place, percent(run.money.net_apy), va="center", fontsize=9)
    panel.set_yticks(range(len(runs)), [run.rule for run in runs])
    panel.invert_yaxis()
    panel.set_xlim(lowest, 1.2 * highest)
    panel.axvline(0.0, color="#5d6878", linewidth=0.8)
    panel.xaxis.set_major_formatter(lambda value, _: percent(value, digits=0))
    panel.tick_params(axis="y", length=0)


def paths(rules: Sequence[Figures]) -> Figure:
    """Value of each rule over the optimiser's on the same day, at one size, in basis points."""
    runs = {run.rule: run for run in of_book(rules, PATHS_BOOK_USD)}
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    axes = figure.subplots()
    exact = runs[EXACT.key].growth
    days = np.arange(1, len(exact) + 1)
    colours = dict(zip((rule.key for rule in RULES if rule.key != EXACT.key), _COLOURS, strict=True))
    for run in ranked(list(runs.values())):
        colour, width = colours.get(run.rule, _EXACT_COLOUR), 2.2 if run.rule == EXACT.key else 1.4
        axes.plot(days, (run.growth / exact - 1.0) * 1e4, color=colour, linewidth=width, label=run.rule)
    axes.set_xlim(0, len(days))
    axes.set_xlabel(f"days since {runs[EXACT.key].money.first_day}")
    axes.set_ylabel(f"value against {EXACT.key}, bps")
    axes.set_title(f"{usd(PATHS_BOOK_USD)}", loc="left", fontsize=11, fontweight="bold")
    axes.grid(axis="y", color="#dfe3e9", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right center", frameon=False)
    return figure

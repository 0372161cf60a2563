"""Pictures of outcomes: how far cases of each kind spread.

Belongs here: the one picture and what is put into it. Does not belong here: figures (see `outcomes`), the page (see
`report`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from defiyield_core.reporting.plots import GRID, INK, MUTED, PAPER, SERIES, ChartStyle
from defiyield_core.units import FloatArray

_INCH = 100
_CASE, _WORST = SERIES[0], SERIES[5]
_LINEAR_USD = 100.0
"""Losses up to here are drawn to scale, larger ones by their power of ten."""
_SPREAD = 0.26
_NARROW_PX = 700
_HALF_MEDIAN = 0.34


@dataclass(frozen=True)
class Spread:
    """Values of the cases of several kinds, side by side.

    Attributes:
        groups: by kind, from top to bottom; at least one value each.
        reference: of the undisturbed run. worst: where the bad end is, `high` or `low`.
        in_usd: dollars on a scale of powers of ten; else fractions on a plain one, written as percent.
    """

    groups: Mapping[str, FloatArray]
    reference: float
    worst: str
    in_usd: bool


def spread_chart(spread: Spread, style: ChartStyle) -> Figure:
    """A row per kind: a dot per case, a bar at the median, the worst case in another colour, a line for undisturbed."""
    height = style.font_px * (2.7 * len(spread.groups) + 5.5)
    figure = Figure(figsize=(style.width_px / _INCH, height / _INCH), dpi=_INCH, facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    points = style.font_px * 72 / _INCH
    for row, values in enumerate(spread.groups.values()):
        _row(axes, row, values, spread.worst, points)
    axes.axvline(spread.reference, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    _scale(axes, spread, style)
    axes.set_yticks(range(len(spread.groups)), list(spread.groups))
    axes.set_ylim(len(spread.groups) - 0.5, -0.5)
    axes.tick_params(axis="y", colors=INK, labelsize=points, length=0)
    axes.tick_params(axis="x", colors=MUTED, labelsize=points, length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    _legend(figure, style, points)
    return figure


def _row(axes: Axes, row: int, values: FloatArray, worst: str, points: float) -> None:
    """Dots are moved up and down in turn, in order of size, so that near ones do not hide each other."""
    ordered = np.sort(values)
    places = row + _SPREAD * np.resize([0.0, -1.0, 1.0, -0.5, 0.5], len(ordered))
    at = len(ordered) - 1 if worst == "high" else 0
    others = np.delete(np.arange(len(ordered)), at)
    look: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": points * 0.55, "markeredgewidth": 0}
    axes.plot(ordered[others], places[others], color=_CASE, alpha=0.6, zorder=3, **look)
    axes.plot([ordered[at]], [places[at]], color=_WORST, zorder=4, **look)
    median = float(np.median(ordered))
    axes.plot([median, median], [row - _HALF_MEDIAN, row + _HALF_MEDIAN], color=INK, linewidth=2.2, zorder=5)


def _scale(axes: Axes, spread: Spread, style: ChartStyle) -> None:
    values = np.concatenate([*spread.groups.values(), [spread.reference]])
    if not spread.in_usd:
        axes.margins(x=0.04)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8 if style.width_px >= _NARROW_PX else 4))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        return
    axes.set_xscale("symlog", linthresh=_LINEAR_USD, linscale=0.6)
    low, high = float(values.min()), float(values.max())
    axes.set_xlim(_beyond(low, -1.0), _beyond(high, 1.0))
    ticks = [0.0, *_powers(high), *(-power for power in _powers(-low))]
    if style.width_px < _NARROW_PX:
        ticks = [
            tick for tick in ticks if tick == 0 or (abs(tick) > _LINEAR_USD and round(np.log10(abs(tick))) % 2 == 0)
        ]
    axes.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short_usd(float(value))))


def _powers(highest: float) -> list[float]:
    """100, 1,000 ... up to the highest value."""
    if highest < _LINEAR_USD:
        return []
    return [float(10**power) for power in range(2, int(np.log10(highest)) + 1)]


def _beyond(value: float, sign: float) -> float:
    """An end of the axis with some air behind the value."""
    return sign * max(1.6 * sign * value, 0.5 * _LINEAR_USD)


def _short_usd(value: float) -> str:
    size = abs(value)
    text = next((f"{size / unit:g}{name}" for unit, name in ((1e6, "M"), (1e3, "k")) if size >= unit), f"{size:g}")
    return f"{'-' if value < 0 else ''}${text}"


def _legend(figure: Figure, style: ChartStyle, points: float) -> None:
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": points * 0.55, "markeredgewidth": 0}
    handles = [
        Line2D([], [], color=_CASE, alpha=0.6, label="a case", **dot),
        Line2D([], [], color=_WORST, label="the worst", **dot),
        Line2D([], [], color=INK, linewidth=2.2, label="median"),
        Line2D([], [], color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="undisturbed"),
    ]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=4 if style.width_px >= _NARROW_PX else 2,
        frameon=False,
        fontsize=points,
        labelcolor=INK,
        handlelength=1.6,
        columnspacing=1.4,
        borderaxespad=0.2,
    )


def groups_of(names: Sequence[str], values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The groups of these names that have a value, finite ones only."""
    finite = {name: values[name][np.isfinite(values[name])] for name in names if name in values}
    return {name: found for name, found in finite.items() if len(found)}

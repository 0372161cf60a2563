"""Pictures of the forecast report: error by horizon, error by pool, coverage, single pools, value in money.

Belongs here: one function per picture. Does not belong here: numbers that are not drawn, wording (see `report`).
The look is that of `reporting.charts`: no pyplot, colours that become CSS variables in SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from defiyield_core.backtest.forecast_value import ForecastValue
from defiyield_core.reporting.charts import GRID, IDLE, INK, MUTED, PAPER, SERIES, ChartStyle
from defiyield_core.reporting.figures import percent
from defiyield_core.units import FloatArray

COVERAGE_TARGET, COVERAGE_RANGE = 0.80, (0.75, 0.85)
_PIXELS_PER_INCH = 100
_NARROW_PX = 600
_SMALLEST_RATIO, _LARGEST_RATIO = 0.4, 2.5
_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Line:
    """Values of one model over horizons; NaN where it has none."""

    model: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """Lines of several models for one target."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class PoolPath:
    """A pool's forecasts at one horizon.

    Attributes:
        rows: of the scores, one per origin in order: target_date, actual, forecast, lower, upper (fractions).
    """

    title: str
    rows: pd.DataFrame


def relative_error(panels: Sequence[Panel], horizons: Sequence[int], subject: str, style: ChartStyle) -> Figure:
    """Error over that of persistence by horizon, a line per model; 1 is persistence."""
    figure, axes = _canvas(style, len(panels), share_y=True)
    for axis, panel in zip(axes, panels, strict=True):
        axis.axhline(1.0, color=MUTED, linewidth=1.2)
        _lines(axis, panel, horizons, subject)
        axis.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}"))
    return _with_legend(figure, axes, panels, style, "days ahead")


def coverage(panels: Sequence[Panel], horizons: Sequence[int], subject: str, style: ChartStyle) -> Figure:
    """Share of outcomes inside the bands of 80 % by horizon; the shaded stripe is what is aimed at."""
    figure, axes = _canvas(style, len(panels), share_y=True)
    for axis, panel in zip(axes, panels, strict=True):
        axis.axhspan(*COVERAGE_RANGE, color=SERIES[2], alpha=0.15, linewidth=0)
        axis.axhline(COVERAGE_TARGET, color=SERIES[2], linewidth=1.0)
        _lines(axis, panel, horizons, subject)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    known = np.array([value for panel in panels for line in panel.lines for value in line.values])
    known = known[np.isfinite(known)]
    low, high = min(known.min(initial=1.0), 0.7) - 0.02, max(known.max(initial=0.0), 0.9) + 0.02
    for axis in axes:
        axis.set_ylim(max(low, 0.0), min(high, 1.0))
    return _with_legend(figure, axes, panels, style, "days ahead")


def pool_errors(ratios: Sequence[tuple[str, FloatArray]], style: ChartStyle) -> Figure:
    """A dot per pool: its error over that of persistence (log scale), a row per horizon, the median as a bar.

    Pools far outside the others are drawn at the edge.

    Args:
        ratios: (label of the row, (n,) ratios of its pools), from top to bottom.
    """
    figure, axes = _canvas(style, 1)
    axis = axes[0]
    axis.axvline(1.0, color=MUTED, linewidth=1.2)
    for row, (_, values) in enumerate(ratios):
        shown = np.sort(np.clip(values[~np.isnan(values)], _SMALLEST_RATIO, _LARGEST_RATIO))
        if not len(shown):
            continue
        height = row + 0.32 * _spread(np.log(shown))
        better = shown < 1.0
        for chosen, colour in ((better, SERIES[0]), (~better, SERIES[5])):
            axis.plot(shown[chosen], height[chosen], "o", color=colour, alpha=0.65, markersize=5, markeredgewidth=0)
        middle = float(np.median(shown))
        axis.plot([middle, middle], [row - 0.4, row + 0.4], color=INK, linewidth=2.4)
    axis.set_xscale("log")
    axis.set_xlim(_SMALLEST_RATIO * 0.97, _LARGEST_RATIO * 1.03)
    ticks = [0.5, 0.7, 1.0, 1.4, 2.0]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", which="minor", length=0)
    axis.set_yticks(range(len(ratios)), [label for label, _ in ratios])
    axis.set_ylim(len(ratios) - 0.4, -0.6)
    _dress(axis, style, grid="x")
    axis.set_xlabel("error of the pool over that of persistence", fontsize=_points(style), color=MUTED)
    return figure


def _spread(values: FloatArray) -> FloatArray:
    """Heights in [-1, 1] that keep ordered values apart: neighbours within a bin fan out from the middle."""
    bins = np.floor((values - values.min()) / 0.045) if len(values) else values
    heights = np.zeros(len(values))
    for number in np.unique(bins):
        members = np.flatnonzero(bins == number)
        place = np.arange(len(members))
        heights[members] = np.where(place % 2 == 0, 1.0, -1.0) * ((place + 1) // 2)
    return heights / max(float(np.abs(heights).max(initial=0.0)), 4.0)


def pool_paths(paths: Sequence[PoolPath], style: ChartStyle) -> Figure:
    """What came (dots), what was forecast for the day (line) and the band of 80 %, a panel per pool."""
    columns = 1 if style.width_px < _NARROW_PX else 2
    rows = -(-len(paths) // columns)
    height = (150 if columns == 1 else 210) * rows + 50
    figure, axes = _canvas(ChartStyle(style.width_px, height, style.font_px, style.titled), len(paths), columns)
    for axis, path in zip(axes, paths, strict=True):
        frame = path.rows
        axis.fill_between(
            frame["target_date"],
            frame["lower"].to_numpy(dtype=float),
            frame["upper"].to_numpy(dtype=float),
            color=SERIES[0],
            alpha=0.18,
            linewidth=0,
            label="band of 80 %",
        )
        axis.plot(frame["target_date"], frame["forecast"], color=SERIES[0], linewidth=1.8, label="forecast")
        axis.plot(frame["target_date"], frame["actual"], "o", color=INK, markersize=3.5, label="what came")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100.0 * value:.3g}%"))
        axis.set_title(path.title, loc="left", fontsize=_points(style), color=INK, parse_math=False)
        _dress(axis, style)
        axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
        locator = AutoDateLocator(minticks=3, maxticks=5)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(
            ConciseDateFormatter(
                locator, zero_formats=["%Y", "%b\n%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"], show_offset=False
            )
        )
    _legend(figure, axes[:1], style)
    return figure


def value_by_book(value: ForecastValue, labels: Sequence[str], subject: str, style: ChartStyle) -> Figure:
    """Net APY by size of the book, a dot per forecast on the line from persistence to foresight.

    Args:
        labels: of the books, in the order of `value.books_usd`.
    """
    figure, axes = _canvas(style, 1)
    axis = axes[0]
    for row, book in enumerate(value.books_usd):
        found = [value.row(name, book).money.net_apy for name in value.forecasts]
        axis.plot([min(found), max(found)], [row, row], color=IDLE, linewidth=3, zorder=1, solid_capstyle="round")
    for number, name in enumerate(value.forecasts):
        net = [value.row(name, book).money.net_apy for book in value.books_usd]
        colour = {subject: SERIES[0], "persistence": MUTED, "foresight": SERIES[2]}.get(
            name, SERIES[1 + number % 2 * 4]
        )
        size = 11 if name == subject else 8
        axis.plot(net, range(len(net)), "o", color=colour, markersize=size, label=name, zorder=3, markeredgecolor=PAPER)
        if name == subject:
            for row, figure_ in enumerate(net):
                axis.annotate(
                    percent(figure_, digits=1),
                    (figure_, row),
                    (0, 10),
                    textcoords="offset points",
                    ha="center",
                    fontsize=_points(style),
                    color=INK,
                )
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.6)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _dress(axis, style, grid="x")
    axis.set_xlabel("net APY", fontsize=_points(style), color=MUTED)
    _legend(figure, axes, style)
    return figure


def _lines(axis: Axes, panel: Panel, horizons: Sequence[int], subject: str) -> None:
    """The subject strong and in front, the others thin; horizons at equal distances."""
    places = np.arange(len(horizons))
    for line in panel.lines:
        if line.model == subject:
            axis.plot(places, line.values, color=SERIES[0], linewidth=2.8, marker="o", zorder=4, label=line.model)
    for number, line in enumerate(line for line in panel.lines if line.model != subject):
        colour = SERIES[1 + number % (len(SERIES) - 1)]
        dash = _DASHES[number // (len(SERIES) - 1) % len(_DASHES)]
        look: dict[str, Any] = {"color": colour, "linestyle": dash, "linewidth": 1.5, "marker": "o", "markersize": 4}
        axis.plot(places, line.values, label=line.model, **look)
    axis.set_xticks(places, [str(horizon) for horizon in horizons])
    axis.set_xlim(-0.25, len(horizons) - 0.75)


def _canvas(
    style: ChartStyle, panels: int, columns: int | None = None, *, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, below each other on a phone."""
    wide = columns if columns is not None else (panels if style.width_px >= _NARROW_PX else 1)
    rows = -(-panels // wide)
    height = style.height_px if columns is not None or rows == 1 else 60 + 230 * rows
    size = (style.width_px / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH)
    figure = Figure(figsize=size, dpi=_PIXELS_PER_INCH, facecolor=PAPER, layout="constrained")
    axes = list(np.ravel(figure.subplots(rows, wide, squeeze=False, sharey=share_y)))
    for axis in axes:
        axis.set_facecolor("none")
    for spare in axes[panels:]:
        spare.set_axis_off()
    return figure, axes[:panels]


def _with_legend(
    figure: Figure, axes: Sequence[Axes], panels: Sequence[Panel], style: ChartStyle, below: str
) -> Figure:
    for axis, panel in zip(axes, panels, strict=True):
        axis.set_title(panel.title, loc="left", fontsize=_points(style), color=INK)
        _dress(axis, style)
    axes[-1].set_xlabel(below, fontsize=_points(style), color=MUTED)
    _legend(figure, axes, style)
    return figure


def _dress(axis: Axes, style: ChartStyle, grid: str = "y") -> None:
    """Spare axes and a light grid in one direction."""
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(MUTED)
    axis.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axis.set_axisbelow(True)
    axis.tick_params(axis="both", which="major", colors=MUTED, labelsize=_points(style), length=0)


def _legend(figure: Figure, axes: Sequence[Axes], style: ChartStyle) -> None:
    """Names above the panels, each once; as many columns as fit."""
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    longest = max(map(len, named), default=1)
    fitting = int(style.width_px * 0.95 // (style.font_px * (0.58 * longest + 3.4)))
    figure.legend(
        named.values(),
        named.keys(),
        loc="outside upper left",
        ncols=min(max(fitting, 1), max(len(named), 1)),
        frameon=False,
        fontsize=_points(style),
        labelcolor=INK,
        handlelength=1.6,
        columnspacing=1.4,
        borderaxespad=0.2,
    )


def _points(style: ChartStyle) -> float:
    return style.font_px * 72 / _PIXELS_PER_INCH

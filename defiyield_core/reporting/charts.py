"""Pictures by matplotlib's object interface: figures, as PNG for run metadata or as inline SVG.

Belongs here: drawing a `Plot`, and the look of all figures. Does not belong here: what a picture shows (see `plots`),
pictures of the tear sheet (see `vector`, which needs no matplotlib). No pyplot: a chart leaves no state behind, and any
thread may draw one.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DayLocator
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, MaxNLocator, PercentFormatter

from defiyield_core.reporting.plots import (
    CSS_VARIABLES,
    GRID,
    IDLE,
    INK,
    MUTED,
    PAPER,
    SERIES,
    Band,
    ChartStyle,
    Dots,
    Layer,
    Line,
    Plot,
    Stack,
    apy_plot,
    costs_plot,
    drawdown_plot,
    drawn_order,
    nav_plot,
    positions_plot,
    shares_plot,
    tick_texts,
)
from defiyield_core.units import FloatArray

__all__ = [
    "CSS_VARIABLES",
    "GRID",
    "IDLE",
    "INK",
    "MUTED",
    "PAPER",
    "SERIES",
    "WIDE",
    "ChartStyle",
    "UsdFormatter",
    "allocation_chart",
    "apy_chart",
    "costs_chart",
    "draw",
    "drawdown_chart",
    "nav_chart",
    "positions_chart",
    "to_png",
    "to_svg",
]

_FEW_DAYS = 4.0
_PIXELS_PER_INCH = 100
_DATES = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S"]
_FIRST_DATES = ["%Y", "%b\n%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
"""Formats of ticks at years, months, days and less; the second of ticks that begin the next larger unit."""
_SVG_LOCK = threading.Lock()
WIDE = ChartStyle()


def draw(plot: Plot, style: ChartStyle = WIDE) -> Figure:
    """A picture as a figure."""
    figure, axes = _canvas(style, plot.title)
    under = sorted(range(len(plot.layers)), key=lambda place: drawn_order(plot.layers[place]))
    for place, layer in enumerate(plot.layers):
        _add(axes, plot, layer, zorder=2.0 + 0.01 * under.index(place))
    low, high = axes.get_ylim()
    axes.set_ylim(low if plot.lowest is None else plot.lowest, high if plot.highest is None else plot.highest)
    # Whole percents of a share need no decimals; the formatter finds them for anything else.
    whole = plot.unit == "percent" and any(isinstance(layer, Stack) for layer in plot.layers)
    percent = PercentFormatter(1.0, decimals=0 if whole else None)
    axes.yaxis.set_major_formatter(UsdFormatter() if plot.unit == "usd" else percent)
    if plot.note:
        at: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "bottom"}
        axes.text(1.0, 1.01, plot.note, color=MUTED, fontsize="small", **at)
    return _finish(figure, axes, style)


def nav_chart(daily: Mapping[str, pd.DataFrame], style: ChartStyle = WIDE) -> Figure:
    """See `nav_plot`."""
    return draw(nav_plot(daily), style)


def drawdown_chart(daily: Mapping[str, pd.DataFrame], style: ChartStyle = WIDE) -> Figure:
    """See `drawdown_plot`."""
    return draw(drawdown_plot(daily), style)


def allocation_chart(shares: pd.DataFrame, style: ChartStyle = WIDE, *, owner: str = "protocol") -> Figure:
    """See `shares_plot`."""
    return draw(shares_plot(shares, owner), style)


def positions_chart(held: pd.DataFrame, style: ChartStyle = WIDE) -> Figure:
    """See `positions_plot`."""
    return draw(positions_plot(held), style)


def apy_chart(daily: pd.DataFrame, style: ChartStyle = WIDE) -> Figure:
    """See `apy_plot`."""
    return draw(apy_plot(daily), style)


def costs_chart(daily: pd.DataFrame, style: ChartStyle = WIDE) -> Figure:
    """See `costs_plot`."""
    return draw(costs_plot(daily), style)


def to_png(figure: Figure, *, scale: float = 2.0) -> bytes:
    """PNG bytes; `scale` device pixels per pixel of the style (2 is sharp on any screen)."""
    buffer = io.BytesIO()
    figure.set_dpi(_PIXELS_PER_INCH * scale)
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure, *, name: str, title: str) -> str:
    """An `<svg>` element for a page: text in the page's font, colours as CSS variables, scaled to its container.

    Args:
        name: letters that no other picture of the page has; keeps their inner references apart.
        title: what the picture shows, for readers who do not see it. Must be escaped for HTML.
    """
    buffer = io.BytesIO()
    figure.patch.set_alpha(0.0)
    with _SVG_LOCK, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    box = re.search(r'viewBox="[^"]+"', text)
    assert box is not None, "matplotlib writes a viewBox"
    shape = f'{box[0]} preserveAspectRatio="xMinYMid" role="img" aria-label="{title}"'
    opening = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {shape}>'
    text = re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)
    for colour, variable in CSS_VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text.strip()


class UsdFormatter(Formatter):
    """`$1.004M`, `$250k`, `$80`: as many decimals as tell every tick exactly."""

    def __init__(self) -> None:
        self._ticks: FloatArray = np.empty(0)

    def set_locs(self, locs: Sequence[float]) -> None:
        """Called by matplotlib with all ticks before it asks for their texts."""
        self._ticks = np.asarray(locs, dtype=float)

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The text of one tick."""
        return tick_texts(np.append(self._ticks, x), "usd")[-1]


def _canvas(style: ChartStyle, title: str) -> tuple[Figure, Axes]:
    size = (style.width_px / _PIXELS_PER_INCH, style.height_px / _PIXELS_PER_INCH)
    figure = Figure(figsize=size, dpi=_PIXELS_PER_INCH, facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.set_label(title if style.titled else "")
    return figure, axes


def _add(axes: Axes, plot: Plot, layer: Layer, zorder: float) -> None:
    look: dict[str, Any] = {"zorder": zorder}
    match layer:
        case Line():
            look |= {"color": layer.colour, "linewidth": layer.width_px, "linestyle": layer.dash}
            if layer.filled:
                axes.fill_between(plot.days, layer.values, 0.0, color=layer.colour, alpha=0.15, linewidth=0)
            axes.plot(plot.days, layer.values, label=layer.label, **look)
        case Dots():
            look |= {"color": layer.colour, "alpha": 0.45, "markersize": 5}
            axes.plot(plot.days, layer.values, ".", label=layer.label, **look)
        case Band():
            look |= {"color": layer.colour, "alpha": 0.3, "linewidth": 0}
            axes.fill_between(plot.days, layer.low, layer.high, label=layer.label, **look)
        case Stack():
            # Each amount holds to the next day, the last one too: without that a single day would not be seen.
            days = np.append(plot.days, plot.days[-1:] + np.timedelta64(1, "D"))
            amounts = np.hstack([layer.values, layer.values[:, -1:]])
            look = {"colors": layer.colours, "edgecolor": PAPER, "linewidth": 0.6, "step": "post"}
            axes.stackplot(days, *amounts, labels=layer.labels, **look)


def _finish(figure: Figure, axes: Axes, style: ChartStyle) -> Figure:
    """Spare axes, light horizontal grid, legend above the data under the title (a figure's own title would overlap)."""
    points = style.font_px * 72 / _PIXELS_PER_INCH
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=points, length=0)
    axes.tick_params(axis="x", length=4, color=MUTED)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5 if style.height_px < 450 else 7))
    first, last = axes.get_xlim()
    # A few days leave no room for three ticks that are whole days.
    days = AutoDateLocator(minticks=3, maxticks=7 if style.width_px >= 700 else 4)
    locator = DayLocator() if last - first < _FEW_DAYS else days
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator, formats=_DATES, zero_formats=_FIRST_DATES, show_offset=False)
    )
    axes.margins(x=0.01)
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=_legend_columns(labels, style),
        frameon=False,
        fontsize=points,
        labelcolor=INK,
        handlelength=1.6,
        title=axes.get_label() or None,
        title_fontproperties={"weight": "bold", "size": points * 1.15},
        alignment="left",
        columnspacing=1.4,
        borderaxespad=0.2,
    )
    legend.get_title().set_color(INK)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name with dollar signs is no formula
    return figure


def _legend_columns(labels: Sequence[str], style: ChartStyle) -> int:
    """As many columns as fit, a letter being about 0.58 of the font size wide."""
    longest = max((len(label) for label in labels), default=1)
    width = style.font_px * (0.58 * longest + 3.2)
    return int(np.clip(style.width_px * 0.95 // width, 1, max(len(labels), 1)))

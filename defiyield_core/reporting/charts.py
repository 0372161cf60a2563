"""Charts for run metadata and the tear sheet: figures by matplotlib's object interface, as PNG or inline SVG.

Belongs here: one function per picture, and the look they share. Does not belong here: arithmetic on returns (see
`metrics`). No pyplot: a chart leaves no state behind, and any thread may draw one.
Colours are Okabe and Ito's, told apart by colour-blind readers; in SVG each becomes a CSS variable, so that one picture
serves light and dark pages.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

from defiyield_core.reporting.metrics import by_day, drawdown, forecast_apy, realised_apy, return_index
from defiyield_core.units import FloatArray

SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c7a1f")
_FEW_DAYS = 4.0
INK, MUTED, GRID, PAPER, IDLE = "#1b2330", "#5d6878", "#dfe3e9", "#ffffff", "#b9c0ca"
CSS_VARIABLES: dict[str, str] = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    IDLE: "--idle",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)},
}
"""Which CSS variable stands for which colour in `to_svg`."""

_PIXELS_PER_INCH = 100
_MEAN_DAYS = 7
_DATES = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S"]
_FIRST_DATES = ["%Y", "%b\n%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
"""Formats of ticks at years, months, days and less; the second of ticks that begin the next larger unit."""
_SVG_LOCK = threading.Lock()


@dataclass(frozen=True)
class ChartStyle:
    """Size and wording of a chart; `font_px` is the size of its smallest text at 100 %."""

    width_px: int = 900
    height_px: int = 400
    font_px: float = 14.0
    titled: bool = True


WIDE = ChartStyle()


def nav_chart(daily: Mapping[str, pd.DataFrame], style: ChartStyle = WIDE) -> Figure:
    """NAV in USD at the close of each day, one line per portfolio, the first one strongest."""
    figure, axes = _canvas(style, "Net asset value")
    for number, (name, frame) in enumerate(daily.items()):
        rows = by_day(frame)
        axes.plot(rows["date"], rows["aum_close_usd"], label=name, **_line(number))
    axes.yaxis.set_major_formatter(UsdFormatter())
    return _finish(figure, axes, style)


def drawdown_chart(daily: Mapping[str, pd.DataFrame], style: ChartStyle = WIDE) -> Figure:
    """Fall below the running peak of the return index (external flows excluded), one line per portfolio."""
    figure, axes = _canvas(style, "Drawdown from the peak, net of costs")
    for number, (name, frame) in enumerate(daily.items()):
        rows = by_day(frame)
        fall = drawdown(return_index(rows))
        if number == 0:
            axes.fill_between(rows["date"], fall, 0.0, color=SERIES[0], alpha=0.15, linewidth=0)
        axes.plot(rows["date"], fall, label=name, **_line(number))
    axes.set_ylim(top=0.0, bottom=min(axes.get_ylim()[0], -1e-4))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    return _finish(figure, axes, style)


def allocation_chart(shares: pd.DataFrame, style: ChartStyle = WIDE) -> Figure:
    """Stacked shares of NAV by protocol and day; what is missing to 1 is drawn as idle.

    Args:
        shares: index days, one column per protocol, values in [0, 1] (`inputs.protocol_shares`).
    """
    figure, axes = _canvas(style, "Allocation by protocol, share of NAV")
    idle = np.clip(1.0 - shares.sum(axis=1).to_numpy(dtype=float), 0.0, 1.0)
    layers = [shares[name].to_numpy(dtype=float) for name in shares.columns]
    colours = [SERIES[number % len(SERIES)] for number in range(len(layers))]
    axes.stackplot(
        shares.index,
        *layers,
        idle,
        labels=[*(str(name) for name in shares.columns), "idle"],
        colors=[*colours, IDLE],
        edgecolor=PAPER,
        linewidth=0.6,
        step="post",
    )
    axes.set_ylim(0.0, 1.0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return _finish(figure, axes, style)


def apy_chart(daily: pd.DataFrame, style: ChartStyle = WIDE) -> Figure:
    """Realised APY of each day (dots), its mean of 7 days, and what the forecasts had promised for the day.

    Days on which no money was at work are left out. Days far outside the others do not set the scale; the chart says
    how many lie beyond it.
    """
    figure, axes = _canvas(style, "APY on NAV: realised and forecast")
    rows = by_day(daily)
    at_work = (rows["accrual_usd"].to_numpy() != 0) | (rows["forecast_accrual_usd"].to_numpy() != 0)
    realised = np.where(at_work, realised_apy(rows), np.nan)
    promised = np.where(at_work, forecast_apy(rows), np.nan)
    axes.plot(rows["date"], realised, ".", color=SERIES[0], alpha=0.45, markersize=5, label="realised, each day")
    axes.plot(rows["date"], _trailing_mean(realised), label=f"realised, mean of {_MEAN_DAYS} days", **_line(0))
    axes.plot(rows["date"], promised, label="forecast", **_line(1))
    beyond = _limit_to_bulk(axes, np.concatenate([realised, promised]))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if beyond:
        note = f"{beyond} value{'s' if beyond > 1 else ''} beyond the scale"
        axes.text(1.0, 1.01, note, transform=axes.transAxes, ha="right", va="bottom", color=MUTED, fontsize="small")
    return _finish(figure, axes, style)


def costs_chart(daily: pd.DataFrame, style: ChartStyle = WIDE) -> Figure:
    """Gas and conversion fees, added up since the first day, in USD."""
    figure, axes = _canvas(style, "Costs since the first day")
    rows = by_day(daily)
    axes.stackplot(
        rows["date"],
        np.cumsum(rows["gas_usd"].to_numpy(dtype=float)),
        np.cumsum(rows["conversion_usd"].to_numpy(dtype=float)),
        labels=["gas", "conversion fees"],
        colors=[SERIES[0], SERIES[1]],
        edgecolor=PAPER,
        linewidth=0.6,
        step="post",
    )
    axes.set_ylim(bottom=0.0)
    axes.yaxis.set_major_formatter(UsdFormatter())
    return _finish(figure, axes, style)


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
        ticks = self._ticks if len(self._ticks) else np.array([x])
        largest = float(np.abs(ticks).max())
        unit, suffix = next((u, s) for u, s in ((1e9, "B"), (1e6, "M"), (1e4, "k"), (0.0, "")) if largest >= u)
        unit = {"k": 1e3, "": 1.0}.get(suffix, unit)
        places = next((n for n in range(6) if np.allclose(ticks / unit, np.round(ticks / unit, n), 0, 1e-9)), 6)
        sign = "-" if x < 0 else ""
        return f"{sign}${abs(x) / unit:,.{places}f}{suffix}"


def _canvas(style: ChartStyle, title: str) -> tuple[Figure, Axes]:
    size = (style.width_px / _PIXELS_PER_INCH, style.height_px / _PIXELS_PER_INCH)
    figure = Figure(figsize=size, dpi=_PIXELS_PER_INCH, facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.set_label(title if style.titled else "")
    return figure, axes


def _line(number: int) -> dict[str, Any]:
    """The first line is the subject, the others are what it is compared with."""
    return {
        "color": SERIES[number % len(SERIES)],
        "linewidth": 2.4 if number == 0 else 1.7,
        "linestyle": ("-", "-", "--", "-.", ":")[number % 5],
        "zorder": 3 if number == 0 else 2,
    }


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


def _trailing_mean(values: FloatArray) -> FloatArray:
    """Mean of the last 7 values that are numbers; NaN where there is none."""
    means = np.full(len(values), np.nan)
    for end in range(len(values)):
        window = values[max(0, end - _MEAN_DAYS + 1) : end + 1]
        window = window[np.isfinite(window)]
        if len(window):
            means[end] = window.mean()
    return means


def _limit_to_bulk(axes: Axes, values: FloatArray) -> int:
    """Scale to the values within four interquartile ranges of the middle half; how many are beyond."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0
    low, high = np.quantile(known, [0.25, 0.75])
    reach = 4.0 * max(high - low, 1e-4)
    inside = known[(known >= low - reach) & (known <= high + reach)]
    pad = 0.08 * max(float(inside.max() - inside.min()), 1e-4)
    axes.set_ylim(float(inside.min()) - pad, float(inside.max()) + pad)
    return int(len(known) - len(inside))

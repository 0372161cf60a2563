"""What charts that are not a series over days share: canvas, panels, bars with their values, legends.

Belongs here: the look of such charts, the same as that of `charts`. Does not belong here: what they show (see
`scenario_charts`, `decision_charts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from defiyield_core.reporting.charts import GRID, INK, MUTED, PAPER, SERIES, ChartStyle
from defiyield_core.reporting.tables import ELLIPSIS

INCH_PX = 100
NARROW_BELOW_PX = 700
"""Narrower charts put their panels under each other."""
BAR_PX = 24
_POINTS_PER_INCH = 72


def is_narrow(style: ChartStyle) -> bool:
    """Whether it is for a phone."""
    return style.width_px < NARROW_BELOW_PX


def points(style: ChartStyle) -> float:
    """The style's text size in matplotlib's points."""
    return style.font_px * _POINTS_PER_INCH / INCH_PX


def panels(
    style: ChartStyle, title: str, headings: Sequence[str], *, height_px: float | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each heading: side by side, or under each other on a phone.

    Args:
        title: of the whole; `legend` draws it when the style is titled. An empty heading draws none.
        height_px: of one panel; None takes the style's.
    """
    rows, columns = (len(headings), 1) if is_narrow(style) else (1, len(headings))
    height = (height_px or style.height_px) * rows + (style.font_px * 2.5 if style.titled else 0)
    size = (style.width_px / INCH_PX, height / INCH_PX)
    figure = Figure(figsize=size, dpi=INCH_PX, facecolor=PAPER, layout="constrained")
    all_axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes, heading in zip(all_axes, headings, strict=True):
        axes.set_facecolor("none")
        if heading:
            axes.set_title(heading, loc="left", fontsize=points(style), color=INK, fontweight="bold")
            axes.title.set_parse_math(False)
    figure.set_label(title if style.titled else "")
    return figure, all_axes


def tidy(axes: Axes, style: ChartStyle, *, grid: str = "y", ticks: int = 5) -> None:
    """Spare axes with a light grid across one direction (`x`, `y` or `both`)."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=points(style), length=0)
    for name in ("x", "y") if grid == "both" else (grid,):
        (axes.xaxis if name == "x" else axes.yaxis).set_major_locator(MaxNLocator(nbins=ticks))


def axis_names(axes: Axes, style: ChartStyle, x: str = "", y: str = "") -> None:
    """Names of the two axes, quiet."""
    look: dict[str, Any] = {"fontsize": points(style), "color": MUTED}
    for text, named in ((x, axes.set_xlabel), (y, axes.set_ylabel)):
        if text:
            named(text, **look).set_parse_math(False)


def shortened(text: str, letters: int) -> str:
    """At most so many letters, with an ellipsis where some are missing."""
    return text if len(text) <= letters else text[: letters - 1] + ELLIPSIS


def bars(
    axes: Axes,
    style: ChartStyle,
    names: Sequence[str],
    lengths: Sequence[float],
    write: Callable[[float], str],
    *,
    colours: Sequence[str] | str = SERIES[0],
    marks: Sequence[float] | None = None,
    letters: int = 26,
) -> None:
    """Horizontal bars from zero, the first on top, each with its value behind it; what is not known says so.

    Args:
        marks: where a line across each bar stands; 0 for none.
    """
    places = np.arange(len(names))
    known = np.nan_to_num(np.asarray(lengths, dtype=float), nan=0.0)
    axes.barh(places, known, height=0.62, color=colours, linewidth=0)
    crossed = np.zeros(len(names)) if marks is None else np.asarray(marks, dtype=float)
    for place in np.flatnonzero(crossed):
        axes.plot([crossed[place]] * 2, [place - 0.4, place + 0.4], color=INK, linewidth=2.2)
    ends = np.maximum(np.maximum(known, crossed), 0.0)
    for place, value in zip(places, lengths, strict=True):
        label(axes, style, write(value), ends[place], float(place))
    axes.set_yticks(places, [shortened(name, letters) for name in names])
    plain(axes.get_yticklabels())
    axes.set_ylim(len(names) - 0.4, -0.6)
    longest, shortest = ends.max(initial=0.0), min(known.min(initial=0.0), 0.0)
    reach = (longest - shortest) or 1.0
    axes.set_xlim(shortest * 1.1, shortest + reach * _room(axes, style, [write(value) for value in lengths]))
    tidy(axes, style, grid="x", ticks=3)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.tick_params(axis="x", labelbottom=False)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.axvline(0.0, color=MUTED, linewidth=0.8)


def _room(axes: Axes, style: ChartStyle, texts: Sequence[str]) -> float:
    """How much longer than the longest bar a panel must be for the text behind it; a letter is about 0.6 em wide."""
    spec = axes.get_subplotspec()
    columns = spec.get_gridspec().ncols if spec is not None else 1
    names_px = 0.6 * style.font_px * max((len(text.get_text()) for text in axes.get_yticklabels()), default=0)
    panel_px = max((style.width_px - names_px) / columns - 16, 1.0)
    text_px = 0.6 * style.font_px * max((len(text) for text in texts), default=0) + 8
    return panel_px / max(panel_px - text_px, 0.25 * panel_px)


def label(axes: Axes, style: ChartStyle, text: str, x: float, y: float, **look: Any) -> None:
    """A small text right of a point, never read as a formula."""
    where = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "ha": "left", **look}
    axes.annotate(text, (x, y), fontsize=points(style) * 0.95, color=INK, parse_math=False, **where)


def plain(texts: Sequence[Text]) -> None:
    """Names are no formulas, whatever dollar signs are in them."""
    for text in texts:
        text.set_parse_math(False)


def legend(figure: Figure, style: ChartStyle, handles: Sequence[Artist] = (), names: Sequence[str] = ()) -> Figure:
    """The title and one legend above all panels, in as many columns as fit; the finished figure.

    One box for both, or they would overlap.
    """
    title = str(figure.get_label())
    if not handles and not title:
        return figure
    longest = max((len(name) for name in names), default=1)
    columns = int(np.clip(style.width_px * 0.95 // (style.font_px * (0.58 * longest + 3.4)), 1, max(len(names), 1)))
    box = figure.legend(
        list(handles),
        list(names),
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=points(style),
        labelcolor=INK,
        handlelength=1.6,
        columnspacing=1.4,
        borderaxespad=0.2,
        title=title or None,
        title_fontproperties={"weight": "bold", "size": points(style) * 1.15},
        alignment="left",
    )
    box.get_title().set_color(INK)
    plain([*box.get_texts(), box.get_title()])
    return figure

"""Charts of forecasts: pools with their fans, and how good a model was from day to day.

Belongs here: one function per picture. Does not belong here: what is read (see `defiyield_dagster.pictures`), figures
(see `forecasting.matured_card`). Colours and the object interface are those of `charts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from defiyield_core.calendar import DayArray
from defiyield_core.reporting.charts import GRID, INK, MUTED, PAPER, SERIES, UsdFormatter
from defiyield_core.units import FloatArray

_INCH = 100
_SMALL, _TEXT, _LARGE = 7.5, 8.5, 10.5
_DATES = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S"]
_FIRST_DATES = ["%Y", "%b\n%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
NOMINAL = 0.8
_REFERENCE: dict[str, Any] = {"color": INK, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 1}
_HORIZON_COLOURS = {1: SERIES[4], 7: SERIES[0], 14: SERIES[2], 30: SERIES[1]}


@dataclass(frozen=True)
class Fan:
    """A pool's history and what is expected of it.

    Attributes:
        name: heading of its panel. note: smaller, behind the name.
        days, observed: (n_days,) the history, NaN where nothing was observed.
        horizons: (n,) days ahead of the last of `days`, ascending.
        point, lower, upper: (n,) at each horizon; NaN bounds are not drawn.
    """

    name: str
    note: str
    days: DayArray
    observed: FloatArray
    horizons: FloatArray
    point: FloatArray
    lower: FloatArray
    upper: FloatArray

    @property
    def bands(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Point, lower and upper bound."""
        return self.point, self.lower, self.upper


def fan_chart(fans: Sequence[Fan], title: str, *, in_usd: bool = False) -> Figure:
    """Up to four pools, each with its history, the points of the newest forecast and its band of 80 %.

    A few days far above the rest do not set the scale of a panel; it says how many are beyond.
    """
    rows, columns = (len(fans) + 1) // 2, 1 if len(fans) == 1 else 2
    figure = _paper(0.55 + 1.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, fan in zip(panels, fans, strict=False):
        _fan(axes, fan, in_usd)
    for axes in panels[len(fans) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    _headline(figure, title, handles, labels)
    return figure


def quality_chart(cards: pd.DataFrame, title: str) -> Figure:
    """Error relative to persistence and coverage of the bounds, day by day, a line per horizon.

    A horizon begins on the first day whose skill has an interval: before, too little is known to be drawn. While no
    horizon has one, all days are.

    Args:
        cards: rows of `forecast_scorecard` of one model and target.
    """
    figure = _paper(4.4)
    error, inside = figure.subplots(2, 1, sharex=True)
    solid = cards[cards["skill_low"].notna()]
    cards = solid if len(solid) else cards
    for horizon, rows in cards.sort_values("date").groupby("horizon_days", sort=True):
        colour = _HORIZON_COLOURS.get(int(horizon), SERIES[3])
        drawn: dict[str, Any] = {
            "color": colour,
            "linewidth": 1.8,
            "marker": "o" if len(rows) < 3 else None,
            "markersize": 4,
        }
        error.plot(rows["date"], 1.0 - rows["skill"], label=f"{horizon} days" if horizon != 1 else "1 day", **drawn)
        inside.plot(rows["date"], rows["coverage"], **drawn)
        inside.plot(rows["date"], rows["recent_coverage"], color=colour, linewidth=0.9, alpha=0.45)
    for axes in (error, inside):
        _spare(axes)
    _scale(error, 1.0 - cards["skill"].to_numpy(dtype=float), around=1.0, least=0.04, within=(0.5, 1.5))
    error.axhline(1.0, **_REFERENCE)
    error.set_title("error over 182 days, of that of persistence (dashed: equal)", **_heading())
    error.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    shares = cards[["coverage", "recent_coverage"]].to_numpy(dtype=float).ravel()
    _scale(inside, shares, around=NOMINAL, least=0.12, within=(0.0, 1.0))
    inside.axhline(NOMINAL, **_REFERENCE)
    inside.set_title("outcomes inside the bounds, of 182 days (thin: of 28 days; dashed: promised)", **_heading())
    inside.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _dates(inside)
    handles, labels = error.get_legend_handles_labels()
    _headline(figure, title, handles, labels)
    return figure


def _paper(height_inches: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.05)
    return Figure(figsize=(9.0, height_inches), dpi=_INCH, facecolor=PAPER, layout=layout)


def _fan(axes: Axes, fan: Fan, in_usd: bool) -> None:
    today, newest = fan.days[-1], fan.observed[-1]
    # The fan opens from what was observed today; without that it begins at its first horizon.
    begun = np.isfinite(newest)
    days = np.concatenate([today[None], today + fan.horizons.astype(np.int64)])[0 if begun else 1 :]
    point, lower, upper = (np.concatenate([[newest], values])[0 if begun else 1 :] for values in fan.bands)
    bounded = np.isfinite(lower) & np.isfinite(upper)
    if bounded[1:].any():
        band: dict[str, Any] = {"color": SERIES[1], "linewidth": 0, "alpha": 0.28, "label": "80 % band"}
        axes.fill_between(_dates_of(days[bounded]), lower[bounded], upper[bounded], **band)
    axes.plot(_dates_of(fan.days), fan.observed, color=SERIES[0], linewidth=1.5, label="observed")
    marks: dict[str, Any] = {"marker": "o", "markersize": 3.2, "markevery": slice(1 if begun else 0, None)}
    axes.plot(_dates_of(days), point, color=SERIES[5], linewidth=1.5, label="expected", **marks)
    axes.axvline(_dates_of(today[None])[0], color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    _spare(axes)
    beyond = _bulk(axes, fan.observed, np.concatenate(fan.bands))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.yaxis.set_major_formatter(UsdFormatter() if in_usd else PercentFormatter(1.0))
    axes.set_title(fan.name, **_heading(), parse_math=False)
    note = f"{fan.note} · {beyond} beyond the scale" if beyond else fan.note
    axes.text(
        1.0,
        1.0,
        note,
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        color=MUTED,
        fontsize=_SMALL,
        parse_math=False,
    )
    _dates(axes)


def _bulk(axes: Axes, observed: FloatArray, future: FloatArray) -> int:
    """Scale to the forecast and to the history without its wildest days; how many days are beyond."""
    known = observed[np.isfinite(observed)]
    if len(known):
        low, high = np.quantile(known, [0.05, 0.95])
        reach = max(float(high - low), 0.1 * abs(float(high)), 1e-6)
        inside = known[(known >= low - reach) & (known <= high + reach)]
    else:
        inside = known
    shown = np.concatenate([inside, future[np.isfinite(future)]])
    if not len(shown):
        return 0
    low, high = float(shown.min()), float(shown.max())
    pad = 0.08 * max(high - low, 0.02 * abs(high), 1e-6)
    axes.set_ylim(low - pad if low - pad > 0 or low < 0 else 0.0, high + pad)
    return int(len(known) - len(inside))


def _scale(axes: Axes, values: FloatArray, *, around: float, least: float, within: tuple[float, float]) -> None:
    """Limits that hold the values (at most `within`) and the reference line, no closer to it than `least`."""
    known = np.clip(values[np.isfinite(values)], *within)
    low, high = min(known.min(initial=around), around - least), max(known.max(initial=around), around + least)
    pad = 0.05 * (high - low)
    axes.set_ylim(max(float(low - pad), within[0]), min(float(high + pad), within[1]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))


def _heading() -> dict[str, Any]:
    return {"loc": "left", "fontsize": _TEXT, "fontweight": "bold", "color": INK, "pad": 4}


def _headline(figure: Figure, title: str, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    legend = figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=max(len(labels), 1),
        frameon=False,
        fontsize=_TEXT,
        labelcolor=INK,
        handlelength=1.6,
        title=title,
        title_fontproperties={"weight": "bold", "size": _LARGE},
        alignment="left",
        columnspacing=1.4,
        borderaxespad=0.2,
    )
    legend.get_title().set_color(INK)
    legend.get_title().set_parse_math(False)


def _spare(axes: Axes) -> None:
    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=_SMALL, length=0)
    axes.tick_params(axis="x", length=3, color=MUTED)
    axes.margins(x=0.01)


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator, formats=_DATES, zero_formats=_FIRST_DATES, show_offset=False)
    )


def _dates_of(days: DayArray) -> np.ndarray:
    return days.astype("datetime64[ns]")

"""Pictures as data: what lies over which days, in which colour and unit, and where a scale ends.

Belongs here: turning rows of tables into layers. Does not belong here: drawing them (`vector` for pages, `charts` for
PNG), so that both show the same. Nothing here needs a drawing library.
Colours are Okabe and Ito's, told apart by colour-blind readers; on a page each is a CSS variable, so that one picture
serves light and dark. Shapes: n days, k layers of a stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from defiyield_core.reporting.daily import base_usd, by_day, drawdown, forecast_apy, realised_apy, return_index, values
from defiyield_core.units import FloatArray

DayArray: TypeAlias = npt.NDArray[np.datetime64]
Unit: TypeAlias = Literal["usd", "percent"]

SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c7a1f", "#7b61c9", "#6b8e9f")
INK, MUTED, GRID, PAPER, IDLE = "#1b2330", "#5d6878", "#dfe3e9", "#ffffff", "#b9c0ca"
CSS_VARIABLES: dict[str, str] = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    IDLE: "--idle",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)},
}
"""Which CSS variable stands for which colour on a page."""

DASHES: Mapping[str, tuple[float, ...]] = {"-": (), "--": (6, 3), "-.": (6, 3, 1.5, 3), ":": (1.5, 3)}
"""Lengths of strokes and gaps of a line, in widths of a thin one."""
MEAN_DAYS = 7
_DASH_ORDER = ("-", "-", "--", "-.", ":")


@dataclass(frozen=True)
class ChartStyle:
    """Size and wording of a picture; `font_px` is the size of its smallest text at 100 %."""

    width_px: int = 900
    height_px: int = 400
    font_px: float = 14.0
    titled: bool = True


@dataclass(frozen=True)
class Line:
    """(n,) values; NaN breaks the line. `filled`: faintly, down or up to zero."""

    label: str
    values: FloatArray
    colour: str
    dash: str = "-"
    width_px: float = 1.7
    filled: bool = False


@dataclass(frozen=True)
class Dots:
    """(n,) values as points; NaN has none."""

    label: str
    values: FloatArray
    colour: str


@dataclass(frozen=True)
class Band:
    """(n,) from low to high."""

    label: str
    low: FloatArray
    high: FloatArray
    colour: str


@dataclass(frozen=True)
class Stack:
    """(k, n) amounts on top of each other, the first at the bottom; each holds from its day to the next."""

    labels: tuple[str, ...]
    values: FloatArray
    colours: tuple[str, ...]


Layer: TypeAlias = Line | Dots | Band | Stack


def drawn_order(layer: Layer) -> tuple[int, float]:
    """What a layer is sorted by before it is drawn."""
    return {Band: 0, Stack: 0, Dots: 1, Line: 2}[type(layer)], layer.width_px if isinstance(layer, Line) else 0.0


@dataclass(frozen=True)
class Plot:
    """One picture.

    Attributes:
        layers: in the order of the legend. Bands and stacks lie below dots, dots below lines, thin lines below thick.
        days: (n,) in order.
        lowest, highest: ends of the scale; None where the data set them.
        note: small text over the upper right corner.
    """

    title: str
    days: DayArray
    layers: tuple[Layer, ...]
    unit: Unit
    lowest: float | None = None
    highest: float | None = None
    note: str = ""


def nav_plot(daily: Mapping[str, pd.DataFrame], beside: Sequence[Layer] = ()) -> Plot:
    """NAV in USD at the close of each day, one line per portfolio, the first one strongest.

    Args:
        beside: layers on the same days to draw below the lines (a band of random portfolios).
    """
    days, closes = _together(daily, lambda rows: values(rows, "aum_close_usd"))
    return Plot("Net asset value", days, (*_lines(closes), *beside), "usd")


def growth_plot(daily: Mapping[str, pd.DataFrame], beside: Sequence[Layer] = ()) -> Plot:
    """The same for what was there on the first day: `worth_usd`, so that money put in or taken out is no gain."""
    days, worth = _together(daily, worth_usd)
    return Plot("Growth of the opening value, external flows excluded", days, (*_lines(worth), *beside), "usd")


def worth_usd(daily: pd.DataFrame) -> FloatArray:
    """(n,) return index times the value that the first day opened with, or received where it opened empty."""
    rows = by_day(daily)
    return return_index(rows) * base_usd(rows)[0]


def drawdown_plot(daily: Mapping[str, pd.DataFrame]) -> Plot:
    """Fall below the running peak of the return index (external flows excluded), one line per portfolio."""
    days, falls = _together(daily, lambda rows: drawdown(return_index(rows)))
    known = np.concatenate([fall[np.isfinite(fall)] for fall in falls.values()])
    lowest = min(1.05 * float(known.min(initial=0.0)), -1e-4)
    return Plot("Drawdown from the peak, net of costs", days, _lines(falls, filled=True), "percent", lowest, 0.0)


def shares_plot(shares: pd.DataFrame, owner: str = "protocol") -> Plot:
    """Stacked shares of NAV by day; what is missing to 1 is drawn as idle.

    Args:
        shares: index days, one column per owner, values in [0, 1] (`inputs.protocol_shares`, `inputs.token_shares`).
        owner: what a column is.
    """
    layers = shares.to_numpy(dtype=float).T
    idle = np.clip(1.0 - shares.sum(axis=1).to_numpy(dtype=float), 0.0, 1.0)
    stack = _stack([*shares.columns.map(str), "idle"], np.vstack([layers, idle]))
    title = f"Allocation by {owner}, share of NAV"
    return Plot(title, _days(shares.index), (stack,), "percent", 0.0, 1.0)


def positions_plot(held: pd.DataFrame) -> Plot:
    """Stacked USD in each pool at the closes; index days, one column per pool, `idle` last (`inputs.held_values`)."""
    stack = _stack(list(held.columns.map(str)), held.to_numpy(dtype=float).T)
    return Plot("Positions at the close", _days(held.index), (stack,), "usd", 0.0)


def apy_plot(daily: pd.DataFrame) -> Plot:
    """Realised APY of each day (dots), its mean of 7 days, and what the forecasts had promised for the day.

    Days on which no money was at work are left out. Days far outside the others do not set the scale; the picture says
    how many lie beyond it.
    """
    rows = by_day(daily)
    at_work = (rows["accrual_usd"].to_numpy() != 0) | (rows["forecast_accrual_usd"].to_numpy() != 0)
    realised = np.where(at_work, realised_apy(rows), np.nan)
    promised = np.where(at_work, forecast_apy(rows), np.nan)
    lowest, highest, beyond = _bulk(np.concatenate([realised, promised]))
    return Plot(
        "APY on NAV: realised and forecast",
        _days(rows["date"]),
        (
            Dots("realised, each day", realised, SERIES[0]),
            line_of(0, f"realised, mean of {MEAN_DAYS} days", _trailing_mean(realised)),
            line_of(1, "forecast", promised),
        ),
        "percent",
        lowest,
        highest,
        f"{beyond} value{'s' if beyond > 1 else ''} beyond the scale" if beyond else "",
    )


def costs_plot(daily: pd.DataFrame) -> Plot:
    """Gas and conversion fees, added up since the first day, in USD."""
    rows = by_day(daily)
    sums = np.cumsum([values(rows, "gas_usd"), values(rows, "conversion_usd")], axis=1)
    stack = Stack(("gas", "conversion fees"), sums, (SERIES[0], SERIES[1]))
    return Plot("Costs since the first day", _days(rows["date"]), (stack,), "usd", 0.0)


def tick_texts(ticks: FloatArray, unit: Unit) -> list[str]:
    """`$1.004M`, `$250k`, `$80`, `2.5%`: as many decimals as tell every tick exactly."""
    if unit == "percent":
        shown, suffix, prefix = ticks * 100.0, "%", ""
    else:
        largest = float(np.abs(ticks).max(initial=0.0))
        size, suffix = next((u, s) for u, s in ((1e9, "B"), (1e6, "M"), (1e4, "k"), (0.0, "")) if largest >= u)
        shown, prefix = ticks / {"k": 1e3, "": 1.0}.get(suffix, size), "$"
    places = next((n for n in range(6) if np.allclose(shown, np.round(shown, n), 0, 1e-9)), 6)
    signs = ["-" if round(value, places) < 0 else "" for value in shown]
    return [f"{sign}{prefix}{abs(value):,.{places}f}{suffix}" for sign, value in zip(signs, shown, strict=True)]


def line_of(number: int, label: str, series: FloatArray, *, filled: bool = False) -> Line:
    """The look of line `number`: the first is the subject, the others are what it is compared with."""
    return Line(
        label,
        series,
        SERIES[number % len(SERIES)],
        _DASH_ORDER[number % len(_DASH_ORDER)],
        2.4 if number == 0 else 1.7,
        filled and number == 0,
    )


def _lines(series: Mapping[str, FloatArray], *, filled: bool = False) -> tuple[Layer, ...]:
    return tuple(line_of(number, name, each, filled=filled) for number, (name, each) in enumerate(series.items()))


def _stack(labels: Sequence[str], amounts: FloatArray) -> Stack:
    """The last layer is what is idle."""
    colours = [SERIES[number % len(SERIES)] for number in range(len(labels) - 1)]
    return Stack(tuple(labels), amounts, (*colours, IDLE))


def _days(dates: pd.Series | pd.Index) -> DayArray:
    return np.asarray(dates, dtype="datetime64[s]")


def _together(
    daily: Mapping[str, pd.DataFrame], series: Callable[[pd.DataFrame], FloatArray]
) -> tuple[DayArray, dict[str, FloatArray]]:
    """A series of each portfolio on all days of any of them, NaN where it has no row."""
    rows = {name: by_day(frame) for name, frame in daily.items()}
    days = np.unique(np.concatenate([_days(frame["date"]) for frame in rows.values()]))
    found = {}
    for name, frame in rows.items():
        found[name] = np.full(len(days), np.nan)
        found[name][np.searchsorted(days, _days(frame["date"]))] = series(frame)
    return days, found


def _trailing_mean(series: FloatArray) -> FloatArray:
    """(n,) mean of the last 7 values that are numbers; NaN where there is none."""
    known = np.isfinite(series)
    padded = np.concatenate([np.zeros((2, MEAN_DAYS)), np.vstack([np.where(known, series, 0.0), known])], axis=1)
    sums = np.cumsum(padded, axis=1)
    total, number = sums[:, MEAN_DAYS:] - sums[:, :-MEAN_DAYS]
    return np.divide(total, number, out=np.full(len(series), np.nan), where=number > 0)


def _bulk(series: FloatArray) -> tuple[float | None, float | None, int]:
    """Ends of a scale for the values within four interquartile ranges of the middle half, and how many are beyond."""
    known = series[np.isfinite(series)]
    if not len(known):
        return None, None, 0
    low, high = np.quantile(known, [0.25, 0.75])
    reach = 4.0 * max(high - low, 1e-4)
    inside = known[(known >= low - reach) & (known <= high + reach)]
    pad = 0.08 * max(float(inside.max() - inside.min()), 1e-4)
    return float(inside.min()) - pad, float(inside.max()) + pad, int(len(known) - len(inside))

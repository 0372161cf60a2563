"""Statistics of a series of returns: risk, ratios, falls and stretches. Pure functions of one array.

Belongs here: anything that needs the returns alone. Does not belong here: money, days, tables (see `daily`, `metrics`).

Returns are net, one per period, fractions of what the period opened with, shape (n,). A year has 365 periods (days)
unless `periods_per_year` says otherwise (8760: hours). What is not defined - no period, one period where a deviation
is asked for, a ratio over zero - is NaN, never infinite. A return of -1 is a total loss: after it the index stays at 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from defiyield_core.errors import DataError
from defiyield_core.units import DAYS_PER_YEAR, FloatArray, annualised

HOURS_PER_YEAR = 24 * DAYS_PER_YEAR
TAIL = 0.05
"""Share of the periods that value at risk and expected shortfall look at."""
ROUNDING = 1e-12
"""A deviation, a fall or a gain below it (a millionth of a dollar in a million) is rounding and counts as none."""


@dataclass(frozen=True)
class Fall:
    """The deepest fall of the index below its running peak. Places are numbers of periods.

    Attributes:
        depth: fraction of the peak, 0 to 1. peak: period at whose close the peak stood, -1 for what was invested.
        trough: period of the lowest close. recovery: first later close at the peak or above; None when there is none.
        under_water: closes below that peak, up to the recovery or the end.
    """

    depth: float
    peak: int
    trough: int
    recovery: int | None
    under_water: int


@dataclass(frozen=True)
class Stretch:
    """A run of consecutive periods: its compounded return, first and last period."""

    growth: float
    first: int
    last: int


def checked(returns: FloatArray) -> FloatArray:
    """The returns as an array of floats.

    Raises:
        DataError: not one-dimensional, not finite, or a loss of more than everything.
    """
    values = np.asarray(returns, dtype=float)
    if values.ndim != 1:
        raise DataError(f"returns have the shape {values.shape}: one series is expected")
    wrong = np.flatnonzero(~np.isfinite(values) | (values < -1.0))
    if len(wrong):
        raise DataError(f"return number {wrong[0]} is {values[wrong[0]]}: a fraction of at least -1 is expected")
    return values


def growth_index(returns: FloatArray) -> FloatArray:
    """(n,) growth of one dollar to the close of each period: `prod(1 + r)`."""
    return np.asarray(np.cumprod(1.0 + np.asarray(returns, dtype=float)), dtype=float)


def falls(index: FloatArray) -> FloatArray:
    """(n,) fall of the index below its running peak, at most 0; the peak starts at the 1 invested."""
    peak = np.maximum(np.maximum.accumulate(index), 1.0)
    return np.asarray(index / peak - 1.0, dtype=float)


def total_return(returns: FloatArray) -> float:
    """`prod(1 + r) - 1`; 0 without a period."""
    index = growth_index(checked(returns))
    return float(index[-1] - 1.0) if len(index) else 0.0


def cagr(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """`(1 + total) ** (periods_per_year / n) - 1`; NaN without a period and after a total loss."""
    return annualised(total_return(returns), len(returns) * DAYS_PER_YEAR / periods_per_year)


def volatility(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """`std(r) * sqrt(periods_per_year)`, the sample's (n - 1); NaN below two periods."""
    values = checked(returns)
    return float(values.std(ddof=1) * math.sqrt(periods_per_year)) if len(values) > 1 else math.nan


def sharpe(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR, risk_free_apy: float = 0.0) -> float:
    """`mean(e) / std(e) * sqrt(periods_per_year)` with `e = r - f`; NaN below two periods and without deviation.

    Args:
        risk_free_apy: effective annual rate F; `f = (1 + F) ** (1 / periods_per_year) - 1`.
    """
    excess = _excess(returns, periods_per_year, risk_free_apy)
    if len(excess) < 2:
        return math.nan
    return _ratio(float(excess.mean()), float(excess.std(ddof=1)), periods_per_year)


def sortino(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR, risk_free_apy: float = 0.0) -> float:
    """`mean(e) / sqrt(mean(min(e, 0) ** 2)) * sqrt(periods_per_year)`, `e` as in `sharpe`.

    NaN below two periods and where no period falls short.
    """
    excess = _excess(returns, periods_per_year, risk_free_apy)
    if len(excess) < 2:
        return math.nan
    short = float(np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2)))
    return _ratio(float(excess.mean()), short, periods_per_year)


def calmar(returns: FloatArray, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """CAGR over the depth of the deepest fall; NaN without a fall and after a total loss."""
    fall = deepest_fall(returns)
    return cagr(returns, periods_per_year) / fall.depth if fall is not None else math.nan


def deepest_fall(returns: FloatArray) -> Fall | None:
    """The deepest fall, the first of equal ones; None without one."""
    index = growth_index(checked(returns))
    below = falls(index)
    if not len(below) or below.min() >= -ROUNDING:
        return None
    trough = int(np.argmin(below))
    dry = np.flatnonzero(below[:trough] >= -ROUNDING)
    peak = int(dry[-1]) if len(dry) else -1
    recovered = np.flatnonzero(below[trough:] >= -ROUNDING)
    recovery = trough + int(recovered[0]) if len(recovered) else None
    end = len(below) if recovery is None else recovery
    return Fall(float(-below[trough]), peak, trough, recovery, end - peak - 1)


def longest_under_water(returns: FloatArray) -> int:
    """The most closes in a row below a running peak, of any fall, deep or not; 0 without a fall."""
    below = falls(growth_index(checked(returns))) < -ROUNDING
    edges = np.flatnonzero(np.diff(np.concatenate(([False], below, [False])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def value_at_risk(returns: FloatArray, tail: float = TAIL) -> float:
    """Loss of one period that only a share of `tail` of the periods exceeds: minus that quantile (interpolated).

    A loss is positive; below zero when even those periods gained. NaN without a period.
    """
    values = checked(returns)
    return float(-np.quantile(values, tail)) if len(values) else math.nan


def expected_shortfall(returns: FloatArray, tail: float = TAIL) -> float:
    """CVaR: minus the mean of the worst `floor(tail * (n - 1)) + 1` returns. NaN without a period."""
    values = np.sort(checked(returns))
    return float(-values[: int((len(values) - 1) * tail) + 1].mean()) if len(values) else math.nan


def hit_rate(returns: FloatArray) -> float:
    """Share of periods with a return above zero; NaN without a period."""
    values = checked(returns)
    return float((values > ROUNDING).mean()) if len(values) else math.nan


def best_and_worst(returns: FloatArray, periods: int) -> tuple[Stretch, Stretch] | None:
    """The best and the worst `periods` consecutive periods, the first of equal ones; None when there are fewer.

    Raises:
        ValueError: fewer than one period is asked for.
    """
    if periods < 1:
        raise ValueError(f"a stretch of {periods} periods: at least 1 is needed")
    values = checked(returns)
    if len(values) < periods:
        return None
    # A window of products, not a quotient of two indexes: after a total loss the index is 0 for good.
    growth = np.lib.stride_tricks.sliding_window_view(1.0 + values, periods).prod(axis=1) - 1.0
    best, worst = int(np.argmax(growth)), int(np.argmin(growth))
    last = periods - 1
    return Stretch(float(growth[best]), best, best + last), Stretch(float(growth[worst]), worst, worst + last)


def _excess(returns: FloatArray, periods_per_year: float, risk_free_apy: float) -> FloatArray:
    risk_free = (1.0 + risk_free_apy) ** (1.0 / periods_per_year) - 1.0
    return np.asarray(checked(returns) - risk_free, dtype=float)


def _ratio(mean: float, deviation: float, periods_per_year: float) -> float:
    return mean / deviation * math.sqrt(periods_per_year) if deviation > ROUNDING else math.nan

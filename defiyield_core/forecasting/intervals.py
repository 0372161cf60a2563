"""Conformal bands around any forecaster's points, from its own past errors.

Belongs here: the calibration, the wrapper that adds quantiles to a forecaster, the risk-adjusted APY. Does not belong
here: points (see the models), scores (see `evaluation`).

An error of horizon h made on day s is known on s+h and not before. TVL and gas are treated in logs, APY as it is.

    move_s  = (mean sqrt |change of a day|)^2 of the pool on s      60 days, weights 0.95^k, drawn towards all pools'
    scale_s = mean |error| of the pool known on s                   60 days, weights 0.97^k, drawn towards move_s times
              the median ratio of all pools, times the cube root    so quiet and wild pools, and quiet and wild times,
              of move_s / mean move when those errors were made     become comparable
    z_s     = error_s / scale_s                                     pooled over pools and 60 days of known errors: Z_t
    L, U    = f_t quantile(Z_t, a_t), f_t quantile(Z_t, 1 - b_t)
    band_t  = point_t + scale_t [(1 - w_t) L - w_t U, (1 - w_t) U - w_t L]

Long horizons are the hard ones: d days of known errors hold only about n = d/h separate spans of the market. Hence two
corrections that fade as n grows: f_t = q90 of Student's t with 5 + n degrees of freedom (one series alone, such as gas:
half of 1 + n, at least 1) / q90 of the normal distribution widens the band, and w_t = 1 / (2 + n) takes each side
partly from the other one, for the market's drift in a few spans tells of those spans more than of the next. The working
levels a_t and b_t are those of adaptive conformal inference: over the newest 60 days whose outcome is known, from the
oldest on, beginning with alpha = 10 %,

    a <- a + 0.02 (alpha - share of pools below their quantile a)           and the like for b above

so a side that was missed too often moves out, and only that side (misses are counted before f_t and w_t). Every window
is fixed, so the band of a day does not depend on the day a run began. With fewer than 50 known errors the quantiles are
those of the normal distribution. No bound of a TVL or a gas price is more than a hundred times its point, nor less than
a hundredth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.port import (
    APY,
    APY_AT,
    GAS,
    MAX_AGE_DAYS,
    POINTS_OF,
    TVL,
    DayForecasts,
    Forecaster,
    History,
    WalkedDay,
    forecast_days,
)
from defiyield_core.units import FloatArray, IntArray

LOWER, UPPER = 0.1, 0.9
"""Probabilities of the two bounds: a band of 80 %."""
RISK_WEIGHT = 0.5
"""Weight of the lower bound in the risk-adjusted APY."""
ERROR_DAYS = 60
"""Days of known errors in a distribution."""
LEVEL_DAYS = 60
"""Days of known outcomes that move the working levels."""
SCALE_DAYS = 60
"""Days of known errors in a pool's scale."""
ALPHA, STEP = 0.1, 0.02
LEVELS = (0.005, 0.3)
"""The working levels stay between these."""
FEWEST_ERRORS = 50
_KEEP, _MOVEMENT_KEEP = 0.97, 0.95
_PRIOR_ERRORS, _PRIOR_CHANGES, _FEWEST_FOR_RATIO = 5.0, 2.0, 5.0
_NORMAL_Q90 = 1.2815515655446004
_NORMAL_Q90_PER_MEAN_ERROR = _NORMAL_Q90 * np.sqrt(np.pi / 2.0)
_RELATIVE_FLOOR = 1e-3
_LOWEST_MOVEMENT = {APY: 1e-6, APY_AT: 1e-6, TVL: 1e-4, GAS: 1e-3}
_SMALLEST = {TVL: 1.0, GAS: 1e-6}
"""Points in logs, and the value below which the log is taken of this instead."""
_LIVELIER = (0.2, 5.0)
_WIDEST_LOG = np.log(100.0)
_SERIES_OF = {point: name for name, points in POINTS_OF.items() for point in points}
_MEANS = frozenset({APY, GAS})

Bounds: TypeAlias = tuple[FloatArray, FloatArray]


def burn_days(horizon_days: int) -> int:
    """Days of forecasts before the first band wanted that decide it."""
    return 3 * horizon_days + LEVEL_DAYS + ERROR_DAYS + SCALE_DAYS


def risk_adjusted_apy(apy: FloatArray, lower: FloatArray, weight: float = RISK_WEIGHT) -> FloatArray:
    """`(1 - weight) apy + weight lower`: the point blended with its 10 % quantile; the point where there is no bound.

    With the default weight of one half it is the mean of the two. Fractions, any shape.
    """
    return np.where(np.isfinite(lower), (1.0 - weight) * apy + weight * lower, apy)


def calibrated(forecaster: Forecaster, longest_horizon_days: int = 30) -> Forecaster:
    """The forecaster with conformal quantiles up to a horizon; one that has them already stays as it is."""
    return forecaster if isinstance(forecaster, Calibrated) else Calibrated(forecaster, longest_horizon_days)


@dataclass(frozen=True)
class Calibrated:
    """A forecaster with conformal quantiles; its points stay as they are.

    Attributes:
        longest_horizon_days: horizon up to which `lookback_days` reaches far enough.
    """

    inner: Forecaster
    longest_horizon_days: int = 30

    @property
    def name(self) -> str:
        """The inner forecaster's."""
        return self.inner.name

    @property
    def targets(self) -> frozenset[str]:
        """The inner forecaster's."""
        return self.inner.targets

    @property
    def lookback_days(self) -> int:
        """Longest history it can use."""
        return self.inner.lookback_days + burn_days(self.longest_horizon_days)

    def fit(self, history: History) -> WalkedDay:
        """The forecaster at the end of the history."""
        return WalkedDay(self, history)

    def walk(self, history: History, first: int, horizons: Sequence[int]) -> DayForecasts:
        """Points and quantiles at the end of every day from position `first` on; see `forecast_days`."""
        start = max(first - burn_days(max(horizons)), 0)
        walked = forecast_days(self.inner, history, start, horizons)
        return with_quantiles(walked, history, start, first)


def with_quantiles(walked: DayForecasts, history: History, start: int, first: int) -> DayForecasts:
    """Forecasts of the days from position `start` on, cut to those from `first` on, with their quantiles.

    Args:
        walked: answers of `forecast_days` from position `start` on.
    """
    answers: DayForecasts = {}
    for horizon, rows in walked.items():
        answers[horizon] = {key: values[first - start :] for key, values in rows.items() if isinstance(key, str)}
        begin = max(first - burn_days(horizon), start)
        for point in [key for key in rows if isinstance(key, str)]:
            observed = history.series[_SERIES_OF[point]]
            lower, upper = conformal_bands(rows[point][begin - start :], observed, point, horizon, (begin, first))
            answers[horizon] |= {(point, LOWER): lower, (point, UPPER): upper}
    return answers


def conformal_bands(
    points: FloatArray, observed: FloatArray, point: str, horizon_days: int, days: tuple[int, int]
) -> Bounds:
    """Bounds of 10 and 90 % around points.

    Args:
        points: (n_days - days[0], n) forecasts made at the end of each day; NaN: none.
        observed: (n_days, n) the series.
        point: `apy` and `gas_price_gwei` are means over the horizon, `apy_at` and `tvl_usd` values at its end.
        days: positions of the first forecast there is, and of the first one that a band is wanted for.

    Returns:
        Lower and upper bound, each (n_days - days[1], n), in the units of the points, at least 0 (unless the point is
        below), with the point between them; NaN where there is no point.
    """
    start, first = days
    record = _Record(points, observed, point, horizon_days, start)
    low, high = record.quantiles(first - start)
    middle, width = record.points[first - start :], record.scale[first - start :]
    below, above = width * low[:, None], width * high[:, None]
    original = points[first - start :]
    if point in _SMALLEST:
        lower = np.exp(middle + np.maximum(below, -_WIDEST_LOG))
        upper = np.exp(middle + np.minimum(above, _WIDEST_LOG))
    else:
        lower, upper = middle + below, middle + above
    return np.minimum(np.maximum(lower, 0.0), original), np.maximum(upper, original)


class _Record:
    """Points, scales and scaled errors of one point and horizon, by the day on which the forecast was made."""

    def __init__(self, points: FloatArray, observed: FloatArray, point: str, horizon_days: int, start: int) -> None:
        self.horizon_days = horizon_days
        values = observed
        outcome = rolling.mean_ahead(values, horizon_days) if point in _MEANS else rolling.ahead(values, horizon_days)
        if point in _SMALLEST:
            points, values, outcome = (np.log(np.maximum(x, _SMALLEST[point])) for x in (points, values, outcome))
        self.points = points
        fresh = rolling.discounted_sums(observed, 1.0, MAX_AGE_DAYS + 1, start)[1] > 0
        error = np.where(fresh, outcome[start:] - points, np.nan)
        self.scale = self._scales(error, _movement(values, points, point, start))
        self.scaled = error / self.scale
        seen = np.isfinite(self.scaled)
        order = np.argsort(self.scaled[seen], kind="stable")
        self._ascending = self.scaled[seen][order]
        self._made_on = np.nonzero(seen)[0].astype(np.int32)[order]
        self._seen = seen

    def _scales(self, error: FloatArray, movement: FloatArray) -> FloatArray:
        """(n_days, n) the pool's running error at its movement of the day; above 0 wherever there is a point."""
        known = rolling.lag(np.abs(error), self.horizon_days)
        total, count = _discounted_sums(known, _KEEP)
        then = np.where(np.isnan(known), np.nan, rolling.lag(movement, self.horizon_days))
        moved = _discounted_sums(then, _KEEP)[0]
        # A pool that was always right, such as one that never moves, says nothing about the size of errors.
        told = (count > _FEWEST_FOR_RATIO) & (total > 0)
        ratio = np.where(told, rolling.divided(total, count) / movement, np.nan)
        usual = _median_of_pools(ratio, np.sqrt(self.horizon_days))[:, None]
        size = (total + _PRIOR_ERRORS * usual * movement) / (count + _PRIOR_ERRORS)
        livelier = movement * (count + _PRIOR_ERRORS) / (moved + _PRIOR_ERRORS * movement)
        return np.asarray(size * np.cbrt(np.clip(livelier, *_LIVELIER)))

    def quantiles(self, first: int) -> Bounds:
        """(n_days - first,) quantiles of the scaled error at the working levels, widened for few separate spans."""
        n_days = len(self.scaled)
        start = max(first - self.horizon_days - LEVEL_DAYS, 0)
        below, above = np.full_like(self.scaled, np.nan), np.full_like(self.scaled, np.nan)
        known = {}
        judged = range(start, max(n_days - self.horizon_days, start))
        for day in sorted({*judged, *range(first, n_days)}):
            known[day] = errors = self._known_on(day)
            if day in judged and len(errors) >= FEWEST_ERRORS:
                made = np.isfinite(self.scaled[day])
                below[day, made] = np.searchsorted(errors, self.scaled[day, made], "right") / len(errors)
                above[day, made] = 1.0 - np.searchsorted(errors, self.scaled[day, made], "left") / len(errors)
        wanted = np.arange(first, n_days)
        levels = (_working_levels(ranks, wanted - self.horizon_days) for ranks in (below, above))
        low, high = (
            np.array([_quantile(known[day], level if side < 0 else 1.0 - level, side) for day, level in pairs])
            for side, pairs in zip((-1, 1), (zip(wanted.tolist(), level, strict=True) for level in levels), strict=True)
        )
        spans, freedom = self._spans(wanted)
        from scipy.special import stdtrit  # a slow import that bounds alone need

        wider, mirrored = stdtrit(freedom, UPPER) / _NORMAL_Q90, 1.0 / (2.0 + spans)
        return (
            wider * ((1.0 - mirrored) * low - mirrored * high),
            wider * ((1.0 - mirrored) * high - mirrored * low),
        )

    def _made(self, day: int) -> tuple[int, int]:
        """First and last position (the latter not included) of the forecasts whose errors a day knows and uses."""
        end = max(day - self.horizon_days + 1, 0)
        return max(end - ERROR_DAYS, 0), end

    def _known_on(self, day: int) -> FloatArray:
        """The scaled errors known at the end of a day, ascending."""
        begin, end = self._made(day)
        return self._ascending[(self._made_on >= begin) & (self._made_on < end)]

    def _spans(self, days: IntArray) -> tuple[FloatArray, FloatArray]:
        """Separate spans of the market in the errors known on each day, and the degrees of freedom they give."""
        used = [self._seen[slice(*self._made(day))] for day in days.tolist()]
        spans = np.array([seen.any(axis=1).sum() for seen in used]) / self.horizon_days
        pools = np.array([seen.any(axis=0).sum() for seen in used])
        return spans, np.where(pools == 1, np.maximum(0.5 + 0.5 * spans, 1.0), 5.0 + spans)


def _discounted_sums(values: FloatArray, keep: float, first: int = 0) -> tuple[FloatArray, FloatArray]:
    """As `rolling.discounted_sums` over `SCALE_DAYS`, bit for bit; gaps are filled once instead of at every lag."""
    begin = max(first - SCALE_DAYS + 1, 0)
    seen = ~np.isnan(values[begin:])
    before = np.zeros((SCALE_DAYS - 1 - (first - begin), values.shape[1]))
    filled = np.concatenate([before, np.where(seen, values[begin:], 0.0)])
    weighted = np.concatenate([before, seen.astype(float)])
    rows = len(values) - first
    total, count = np.zeros((rows, values.shape[1])), np.zeros((rows, values.shape[1]))
    for back in reversed(range(SCALE_DAYS)):
        there = slice(SCALE_DAYS - 1 - back, SCALE_DAYS - 1 - back + rows)
        total += keep**back * filled[there]
        count += keep**back * weighted[there]
    return total, count


def _movement(values: FloatArray, points: FloatArray, point: str, start: int) -> FloatArray:
    """(n_days - start, n) daily movement that a single jump does not decide; above 0.

    It is drawn towards the median of all pools, which for APY is taken relative to the point.
    """
    roots = np.sqrt(np.abs(values - rolling.lag(values, 1)))
    total, count = _discounted_sums(roots, _MOVEMENT_KEEP, start)
    level = np.abs(points) if point not in _SMALLEST else np.ones_like(points)
    lowest = np.fmax(_RELATIVE_FLOOR * level, _LOWEST_MOVEMENT[point])
    size = np.sqrt(np.fmax(level, _LOWEST_MOVEMENT[point]))
    usual = _median_of_pools(rolling.divided(total, count) / size, 0.0)[:, None] * size
    return np.asarray(np.maximum(((total + _PRIOR_CHANGES * usual) / (count + _PRIOR_CHANGES)) ** 2, lowest))


def _median_of_pools(values: FloatArray, otherwise: float) -> FloatArray:
    """(n_days,) median of the pools that have a value."""
    if not values.shape[1]:
        return np.full(len(values), otherwise)
    ordered = np.sort(values, axis=1)
    count = np.isfinite(ordered).sum(axis=1)
    row = np.arange(len(values))
    middle = 0.5 * (
        ordered[row, np.maximum(count - 1, 0) // 2] + ordered[row, np.minimum(count // 2, count.clip(1) - 1)]
    )
    return np.where(count > 0, middle, otherwise)


def _working_levels(ranks: FloatArray, newest: IntArray) -> FloatArray:
    """(m,) level of each decision, after the misses of the days up to `newest` (m,).

    Args:
        ranks: (n_days, n) share of the errors then known that lay at or beyond; a miss is a rank under the level.
    """
    level = np.full(len(newest), ALPHA)
    seen = np.isfinite(ranks)
    pools = seen.sum(axis=1)
    for back in reversed(range(LEVEL_DAYS)):
        day = np.maximum(newest - back, 0)
        counts = (newest - back >= 0) & (pools[day] > 0)
        missed = (seen[day] & (ranks[day] < level[:, None])).sum(axis=1) / np.maximum(pools[day], 1)
        level = np.where(counts, level + STEP * (ALPHA - missed), level)
    return np.clip(level, *LEVELS)


def _quantile(errors: FloatArray, probability: float, side: int) -> float:
    """Quantile of ascending errors, interpolated; that of the normal distribution where there are too few."""
    if len(errors) < FEWEST_ERRORS:
        return float(side * _NORMAL_Q90_PER_MEAN_ERROR)
    position = probability * (len(errors) + 1.0) - 1.0
    return float(np.interp(position, np.arange(len(errors)), errors))

"""Rolling statistics over the days before and including each day, of arrays (n_days, n).

Belongs here: statistics that many forecasters share. Does not belong here: what they mean.

Each is a fixed window of elementwise sums or a sort, never a running total: the number of a day must not depend, in any
bit, on the day the array begins (provided that the window is inside it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defiyield_core.panel import lagged, newest_observed
from defiyield_core.units import FloatArray, IntArray


def lag(values: FloatArray, days: int) -> FloatArray:
    """(n_days, n) the value of `days` days before; NaN before the first."""
    return lagged(values, days, 0)


def ahead(values: FloatArray, days: int) -> FloatArray:
    """(n_days, n) the value `days` days later; NaN after the last. For training targets only."""
    moved = np.full_like(values, np.nan)
    moved[: max(len(values) - days, 0)] = values[days:]
    return moved


def divided(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """The quotient, NaN where the denominator is 0."""
    safe = np.where(denominator != 0, denominator, np.nan)
    return np.asarray(numerator / safe)


def carried(values: FloatArray, limit_days: int) -> tuple[FloatArray, IntArray]:
    """The newest value of the last `limit_days` days, and its age in days (`limit_days` where there is none)."""
    newest = newest_observed(values)
    age = np.where(newest >= 0, np.arange(len(values))[:, None] - newest, limit_days)
    age = np.minimum(age, limit_days)
    found = np.take_along_axis(values, np.maximum(newest, 0), axis=0) if len(values) else values
    return np.where(age < limit_days, found, np.nan), age


def discounted_sums(values: FloatArray, keep: float, days: int, first: int = 0) -> tuple[FloatArray, FloatArray]:
    """`sum_k keep^k x_{t-k}` and `sum_k keep^k` over the observed days k = 0 .. days-1, for t from `first` on."""
    rows, seen = len(values) - first, ~np.isnan(values)
    known, ones = np.where(seen, values, 0.0), seen.astype(np.float64)
    total = np.zeros((rows, values.shape[1]))
    weights, term = np.zeros_like(total), np.empty_like(total)
    for back in reversed(range(days)):
        # Days before the axis add nothing: only the rows that reach one are touched, and nothing is allocated.
        begin = max(back - first, 0)
        if begin < rows:
            earlier, part, weight = slice(first + begin - back, len(values) - back), term[begin:], keep**back
            total[begin:] += np.multiply(known[earlier], weight, out=part)
            weights[begin:] += np.multiply(ones[earlier], weight, out=part)
    return total, weights


def discounted_mean(values: FloatArray, keep: float, days: int) -> FloatArray:
    """The weighted mean with weights `keep^k` over the observed days among the last `days`; NaN without any."""
    return divided(*discounted_sums(values, keep, days))


def over_pools(values: FloatArray) -> FloatArray:
    """(n_days, 1) sum over the pools, one after the other: a pool that adds 0 changes no bit of it.

    numpy's own sum groups its terms by their number, so that a pool which begins later would change the past.
    """
    if not values.shape[1]:
        return np.zeros((len(values), 1))
    return np.cumsum(values, axis=1)[:, -1:]


def mean_ahead(values: FloatArray, days: int) -> FloatArray:
    """(n_days, n) mean over the next `days` days; NaN where fewer than half are observed or some are not over yet."""
    total, count = np.zeros_like(values), np.zeros_like(values)
    for step in range(1, days + 1):
        value = ahead(values, step)
        seen = ~np.isnan(value)
        total += np.where(seen, value, 0.0)
        count += seen
    mean = np.where(count >= 0.5 * days, divided(total, count), np.nan)
    mean[max(len(values) - days, 0) :] = np.nan
    return mean


@dataclass(frozen=True)
class SortedWindow:
    """The observed values of each day's window, ascending: (n_days, n, window) with NaN last, and their number."""

    values: FloatArray
    count: IntArray

    def _at(self, position: IntArray) -> FloatArray:
        return np.take_along_axis(self.values, np.maximum(position, 0)[..., None], axis=2)[..., 0]

    def lowest(self) -> FloatArray:
        """Minimum; NaN without observations."""
        return self.values[..., 0]

    def highest(self) -> FloatArray:
        """Maximum; NaN without observations."""
        return self._at(self.count - 1)

    def median(self) -> FloatArray:
        """Median; NaN without observations."""
        return 0.5 * (self._at((self.count - 1) // 2) + self._at(self.count // 2))

    def deviation(self) -> FloatArray:
        """Population standard deviation; NaN without observations."""
        seen = ~np.isnan(self.values)
        mean = divided(np.where(seen, self.values, 0.0).sum(axis=2), self.count.astype(float))
        squares = np.where(seen, (self.values - mean[..., None]) ** 2, 0.0).sum(axis=2)
        return np.sqrt(divided(squares, self.count.astype(float)))


def sorted_window(values: FloatArray, days: int) -> SortedWindow:
    """The last `days` days of each day, sorted."""
    stacked = np.stack([lag(values, back) for back in range(days)], axis=2)
    stacked.sort(axis=2)
    return SortedWindow(stacked, (~np.isnan(stacked)).sum(axis=2))


def median(values: FloatArray, days: int) -> FloatArray:
    """(n_days, n) median of the observed days among the last `days`; NaN without any."""
    return sorted_window(values, days).median()

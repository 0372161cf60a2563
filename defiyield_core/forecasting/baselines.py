"""Baselines: newest value, weighted means, median of a week, simple exponential smoothing. Flat over every horizon.

Belongs here: forecasters without anything to learn but a smoothing constant. Every model has to beat these. Does not
belong here: fitted models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.port import APY, GAS, TVL, Forecast, History, flat_points
from defiyield_core.panel import lagged
from defiyield_core.units import FloatArray

_ALL = frozenset({APY, TVL, GAS})


@dataclass(frozen=True)
class FlatForecast:
    """The same level for every horizon."""

    level: dict[str, FloatArray]

    def predict(self, horizons: Sequence[int]) -> list[Forecast]:
        """One forecast per horizon."""
        points = {key: values for key, values in flat_points(self.level).items() if isinstance(key, str)}
        return [Forecast(horizon, points) for horizon in horizons]


@dataclass(frozen=True)
class _Flat(ABC):
    """What the baselines share: a level per series, worked out for any number of days."""

    name: str
    lookback_days: int = 30
    targets: frozenset[str] = _ALL

    @abstractmethod
    def levels(self, values: FloatArray, first: int) -> FloatArray:
        """(n_days - first, n) level at the end of each day; NaN where nothing was observed in the lookback."""

    def fit(self, history: History) -> FlatForecast:
        """The level at the end of the history's last day."""
        last = len(history.days) - 1
        known = {name: values for name, values in history.series.items() if name in self.targets}
        return FlatForecast({name: self.levels(values, last)[0] for name, values in known.items()})


@dataclass(frozen=True)
class Persistence(_Flat):
    """The newest observation of the last 30 days."""

    name: str = "persistence"

    def levels(self, values: FloatArray, first: int) -> FloatArray:
        """(n_days - first, n) newest observation at the end of each day."""
        level = lagged(values, 0, first).copy()
        for lag in range(1, self.lookback_days):
            level = np.where(np.isnan(level), lagged(values, lag, first), level)
        return level


@dataclass(frozen=True)
class Ewma(_Flat):
    """`sum(w_k x_{t-k}) / sum(w_k)` with `w_k = (1 - alpha) ** k` over the observed days among the last 30."""

    name: str = "ewma"
    alpha: float = 0.5

    def levels(self, values: FloatArray, first: int) -> FloatArray:
        """(n_days - first, n) weighted mean at the end of each day."""
        start = max(first - self.lookback_days, 0)
        return rolling.discounted_mean(values[start:], 1.0 - self.alpha, self.lookback_days)[first - start :]


@dataclass(frozen=True)
class Median(_Flat):
    """The median of the observed days among the last 7; where there is none, the newest of the last 30."""

    name: str = "median_7d"
    window_days: int = 7

    def levels(self, values: FloatArray, first: int) -> FloatArray:
        """(n_days - first, n) median at the end of each day."""
        start = max(first - self.window_days, 0)
        median = rolling.median(values[start:], self.window_days)[first - start :]
        return np.where(np.isnan(median), Persistence().levels(values, first), median)


@dataclass(frozen=True)
class OptimisedSes(_Flat):
    """Simple exponential smoothing with the constant that served each pool best.

    `alpha_t = argmin_a sum_k 0.97^k |x_{t-k} - level_a(t-k-1)|` over the last 60 days, among nine constants; the
    largest (closest to persistence) where nothing is known yet. `level_a` as in `Ewma`.
    """

    name: str = "ses"
    lookback_days: int = 92
    alphas: tuple[float, ...] = (1.0, 0.85, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.06)
    error_days: int = 60
    keep: float = 0.97

    def levels(self, values: FloatArray, first: int) -> FloatArray:
        """(n_days - first, n) smoothed level at the end of each day."""
        start = max(first - self.error_days - 1, 0)
        kept = first - start
        best = self._level(values, start, self.alphas[0])
        observed = values[start:]
        level, lowest = best[kept:].copy(), self._loss(observed, best)[kept:]
        for alpha in self.alphas[1:]:
            other = self._level(values, start, alpha)
            loss = self._loss(observed, other)[kept:]
            better = loss < lowest
            level, lowest = np.where(better, other[kept:], level), np.where(better, loss, lowest)
        return level

    @staticmethod
    def _level(values: FloatArray, start: int, alpha: float) -> FloatArray:
        flat = Persistence() if alpha == 1.0 else Ewma(alpha=alpha)
        return flat.levels(values, start)

    def _loss(self, observed: FloatArray, level: FloatArray) -> FloatArray:
        return rolling.discounted_sums(np.abs(observed - rolling.lag(level, 1)), self.keep, self.error_days)[0]

"""Baselines: the newest value, and an exponentially weighted mean. Flat over every horizon.

Belongs here: forecasters without anything to learn. Every model has to beat these. Does not belong here: fitted models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from defiyield_core.forecasting.port import APY, GAS, TVL, Forecast, History
from defiyield_core.panel import lagged
from defiyield_core.units import FloatArray

_ALL = frozenset({APY, TVL, GAS})


@dataclass(frozen=True)
class FlatForecast:
    """The same level for every horizon."""

    level: dict[str, FloatArray]

    def predict(self, horizons: Sequence[int]) -> list[Forecast]:
        """One forecast per horizon."""
        return [Forecast(horizon, self.level) for horizon in horizons]


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
        total = np.zeros((len(values) - first, values.shape[1]))
        weights = np.zeros_like(total)
        for lag in reversed(range(self.lookback_days)):
            value, weight = lagged(values, lag, first), (1.0 - self.alpha) ** lag
            seen = ~np.isnan(value)
            total += np.where(seen, weight * value, 0.0)
            weights += np.where(seen, weight, 0.0)
        known = weights > 0
        return np.where(known, total / np.where(known, weights, 1.0), np.nan)

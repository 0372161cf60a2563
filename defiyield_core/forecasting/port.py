"""The forecasting port: what a forecaster gets to see and what it answers.

Belongs here: the protocol, its frozen inputs and answers, and the walk over days. Does not belong here: any model.

A forecaster is fitted on a history that ends on the day of the forecast, so it cannot see later. One that can do many
days at once without looking ahead may also offer `levels`; its rows must equal, bit by bit, those of day after day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from defiyield_core.calendar import DayArray
from defiyield_core.panel import ObjectArray
from defiyield_core.parameters import Parameters
from defiyield_core.units import FloatArray

APY, TVL, GAS = "apy", "tvl_usd", "gas_price_gwei"
"""Series that may be forecast."""
MAX_AGE_DAYS = 3
"""Nothing is forecast whose newest observation is older."""


@dataclass(frozen=True)
class History:
    """Observations up to a day.

    Attributes:
        days: (n_days,) consecutive; the last one is the day of the forecast.
        ids: (n,) pools, or the one label of a single series.
        series: arrays (n_days, n) by name; NaN is missing. Flagged values are missing here.
    """

    days: DayArray
    ids: ObjectArray
    series: Mapping[str, FloatArray]

    def up_to(self, position: int) -> History:
        """The history that ends on the day at `position`."""
        end = position + 1
        return History(self.days[:end], self.ids, {name: values[:end] for name, values in self.series.items()})


@dataclass(frozen=True)
class Forecast:
    """Points per series over one horizon.

    Attributes:
        points: (n,) by series. `apy` and `gas_price_gwei` are means over the horizon, `tvl_usd` is its end.
        quantiles: (n,) by series and probability; empty for a point forecaster.
    """

    horizon_days: int
    points: Mapping[str, FloatArray]
    quantiles: Mapping[tuple[str, float], FloatArray] = field(default_factory=dict)


class Fitted(Protocol):
    """A forecaster that has seen a history."""

    def predict(self, horizons: Sequence[int]) -> list[Forecast]:
        """One forecast per horizon, in days, in their order."""
        ...


class Forecaster(Protocol):
    """A way to forecast.

    Attributes:
        name: under which it is registered and stored.
        lookback_days: longest history it can use; what is older changes nothing.
        targets: series it can forecast.
    """

    @property
    def name(self) -> str: ...

    @property
    def lookback_days(self) -> int: ...

    @property
    def targets(self) -> frozenset[str]: ...

    def fit(self, history: History) -> Fitted:
        """Learn from a history; the forecast is made at the end of its last day."""
        ...


@runtime_checkable
class LevelForecaster(Protocol):
    """A forecaster whose forecast is one level for every horizon, worked out for all days at once."""

    def levels(self, values: FloatArray, first: int) -> FloatArray:
        """(n_days - first, n) level at the end of each day from position `first` on; NaN: no forecast."""
        ...


def forecast_days(
    forecaster: Forecaster, history: History, first: int, horizons: Sequence[int]
) -> dict[int, dict[str, FloatArray]]:
    """Forecasts at the end of every day from position `first` on: horizon -> series -> (n_days - first, n)."""
    wanted = [name for name in history.series if name in forecaster.targets]
    if isinstance(forecaster, LevelForecaster):
        level = {name: forecaster.levels(history.series[name], first) for name in wanted}
        return dict.fromkeys(horizons, level)
    shape = (len(history.days) - first, len(history.ids))
    answers = {h: {name: np.full(shape, np.nan) for name in wanted} for h in horizons}
    for row in range(shape[0]):
        for forecast in forecaster.fit(history.up_to(first + row)).predict(horizons):
            for name in wanted:
                answers[forecast.horizon_days][name][row] = forecast.points[name]
    return answers


def horizon_of(parameters: Parameters) -> int:
    """The stored horizon that answers for a portfolio's: the nearest whole number of days, at least 1."""
    return max(1, round(parameters.horizon_days))

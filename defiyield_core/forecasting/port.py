"""The forecasting port: what a forecaster gets to see and what it answers.

Belongs here: the protocols, their frozen inputs and answers, and the walk over days. Does not belong here: any model.

A forecaster is fitted on a history that ends on the day of the forecast, so it cannot see later. One that can do many
days at once without looking ahead may also offer `levels` or `walk`; their rows must equal those of day after day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np

from defiyield_core.calendar import DayArray
from defiyield_core.panel import ObjectArray
from defiyield_core.parameters import Parameters
from defiyield_core.units import BoolArray, FloatArray

if TYPE_CHECKING:
    from defiyield_core.forecasting.store import StoredModel

APY, TVL, GAS = "apy", "tvl_usd", "gas_price_gwei"
"""Series that may be forecast."""
GAS_ID = "gas"
"""The one id of the gas price, and what stands in `pool_id` for it."""
APY_AT = "apy_at"
"""Point for the APY on the last day of the horizon (`apy` is the mean over the horizon)."""
POINTS_OF: dict[str, tuple[str, ...]] = {APY: (APY, APY_AT), TVL: (TVL,), GAS: (GAS,)}
"""Points that a forecast of each series has."""
MAX_AGE_DAYS = 3
"""Nothing is forecast whose newest observation is older."""

PointOrQuantile: TypeAlias = str | tuple[str, float]
"""The name of a point, or name and probability of a quantile."""
DayForecasts: TypeAlias = dict[int, dict[PointOrQuantile, FloatArray]]
"""Horizon -> point or quantile -> (n_days, n)."""


@dataclass(frozen=True)
class History:
    """Observations up to a day.

    Attributes:
        days: (n_days,) consecutive; the last one is the day of the forecast.
        ids: (n,) pools, or the one label of a single series.
        series: arrays (n_days, n) by name (`apy`, `tvl_usd`, `apy_base`, `apy_reward`, or `gas_price_gwei`); NaN is
            missing. Flagged values are missing here.
        labels: (n,) by name: `protocol`, `chain`, `symbol`, `token` (the main token, or `a-b`). May be empty.
        labelled_from: (n,) first day on which a pool's labels were known, NaT where they never were; None: known on all
            days. What is forecast or learnt of an earlier day must not use them.
        market: (n_days,) by name: `gas_price_gwei`, `eth_usd`, `btc_usd` and closes of stablecoins by symbol. May be
            empty; NaN is missing.
    """

    days: DayArray
    ids: ObjectArray
    series: Mapping[str, FloatArray]
    labels: Mapping[str, ObjectArray] = field(default_factory=dict)
    market: Mapping[str, FloatArray] = field(default_factory=dict)
    labelled_from: DayArray | None = None

    @property
    def labelled(self) -> BoolArray:
        """(n_days, n) whether the labels were known on the day."""
        if self.labelled_from is None:
            return np.ones((len(self.days), len(self.ids)), dtype=bool)
        return np.asarray(self.days[:, None] >= self.labelled_from)  # nothing is after NaT

    def up_to(self, position: int) -> History:
        """The history that ends on the day at `position`."""
        return self.between(0, position)

    def between(self, first: int, last: int) -> History:
        """The days from position `first` to position `last`, both included."""
        kept = slice(max(first, 0), last + 1)
        return History(
            self.days[kept],
            self.ids,
            {name: values[kept] for name, values in self.series.items()},
            self.labels,
            {name: values[kept] for name, values in self.market.items()},
            self.labelled_from,
        )


@dataclass(frozen=True)
class Forecast:
    """Points per series over one horizon.

    Attributes:
        points: (n,) by name. `apy` and `gas_price_gwei` are means over the horizon; `apy_at` and `tvl_usd` are the
            values on its last day.
        quantiles: (n,) by point and probability; empty for a point forecaster.
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


@runtime_checkable
class WalkForecaster(Protocol):
    """A forecaster that works out many days at once, each from what was known on it.

    Models are refitted on fixed days of the calendar, so the forecast of a day does not depend on the first day asked.
    """

    def walk(self, history: History, first: int, horizons: Sequence[int]) -> DayForecasts:
        """The answer of `forecast_days`."""
        ...


@runtime_checkable
class TrainedForecaster(Protocol):
    """A forecaster whose answers come from models that are trained and kept (see `store`)."""

    def models_used(self, history: History, first: int, horizons: Sequence[int]) -> list[tuple[int, StoredModel]]:
        """Day number (since 1970-01-01) and model behind each forecast made at the end of a day.

        One entry per day from position `first` on and per point and horizon that has a model of its own; models that
        are not stored yet are trained.
        """
        ...


@dataclass(frozen=True)
class WalkedDay:
    """The fitted form of a forecaster that walks: a walk of one day, the last one of the history."""

    forecaster: WalkForecaster
    history: History

    def predict(self, horizons: Sequence[int]) -> list[Forecast]:
        """One forecast per horizon."""
        answers = self.forecaster.walk(self.history, len(self.history.days) - 1, horizons)
        return [_forecast(horizon, answers[horizon]) for horizon in horizons]


def _forecast(horizon: int, rows: Mapping[PointOrQuantile, FloatArray]) -> Forecast:
    points = {key: values[0] for key, values in rows.items() if isinstance(key, str)}
    quantiles = {key: values[0] for key, values in rows.items() if isinstance(key, tuple)}
    return Forecast(horizon, points, quantiles)


def flat_points(level: Mapping[str, FloatArray]) -> dict[PointOrQuantile, FloatArray]:
    """The points of a forecast that stays at one level per series."""
    return {point: values for name, values in level.items() for point in POINTS_OF[name]}


def forecast_days(forecaster: Forecaster, history: History, first: int, horizons: Sequence[int]) -> DayForecasts:
    """Forecasts at the end of every day from position `first` on.

    Returns:
        By horizon: points by name, and quantiles by name and probability where the forecaster has any, each
        (n_days - first, n), NaN where there is no forecast.
    """
    wanted = [name for name in history.series if name in forecaster.targets]
    if isinstance(forecaster, LevelForecaster):
        level = {name: forecaster.levels(history.series[name], first) for name in wanted}
        return {horizon: flat_points(level) for horizon in horizons}
    if isinstance(forecaster, WalkForecaster):
        return forecaster.walk(history, first, horizons)
    shape = (len(history.days) - first, len(history.ids))
    answers: DayForecasts = {horizon: {} for horizon in horizons}
    for row in range(shape[0]):
        for forecast in forecaster.fit(history.up_to(first + row)).predict(horizons):
            found: list[tuple[PointOrQuantile, FloatArray]] = [*forecast.points.items(), *forecast.quantiles.items()]
            for key, values in found:
                answers[forecast.horizon_days].setdefault(key, np.full(shape, np.nan))[row] = values
    return answers


def horizon_of(parameters: Parameters) -> int:
    """The stored horizon that answers for a portfolio's: the nearest whole number of days, at least 1."""
    return max(1, round(parameters.horizon_days))

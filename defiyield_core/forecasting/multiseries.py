"""Global models through skforecast: one recursive model over all pools' APY series.

Belongs here: the change of shape to and from skforecast, and its settings. Does not belong here: the direct models.

Each pool's series is `log1p(APY)` divided by the pool's daily movement (mean |daily change| over 60 days, as in
`features`), because one model over raw levels mixes scales; it is differenced once. No encoding of the pool, so that a
pool that was unknown at the refit is forecast like any other. Days beyond the first are forecast from forecasts. Refits
on the Mondays of `global_model`; between them the last window moves on. TVL is the newest one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from skforecast.preprocessing import RollingFeatures
from skforecast.recursive import ForecasterRecursiveMultiSeries

from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.baselines import Ewma, Persistence
from defiyield_core.forecasting.global_model import REFIT_EVERY_DAYS, refit_days
from defiyield_core.forecasting.port import APY, APY_AT, TVL, DayForecasts, History, WalkedDay
from defiyield_core.units import BoolArray, FloatArray

_LAGS = 14
_WINDOW_DAYS = 30
_NEEDED_DAYS = _WINDOW_DAYS + 2
_FEWEST_DAYS = 45
_FEWEST_SERIES = 3
_MOVEMENT_DAYS = 60
_LARGEST = 3.0


@dataclass(frozen=True)
class MultiSeries:
    """A recursive multi-series forecaster around a regressor."""

    name: str
    estimator: Callable[[], Any]
    window_days: int = 365
    targets: frozenset[str] = frozenset({APY, TVL})

    @property
    def lookback_days(self) -> int:
        """Longest history it can use."""
        return self.window_days + REFIT_EVERY_DAYS + _MOVEMENT_DAYS + _WINDOW_DAYS

    def fit(self, history: History) -> WalkedDay:
        """The forecaster at the end of the history."""
        return WalkedDay(self, history)

    def walk(self, history: History, first: int, horizons: Sequence[int]) -> DayForecasts:
        """Points at the end of every day from position `first` on; see `forecast_days`."""
        answers: DayForecasts = {horizon: {} for horizon in horizons}
        if APY in history.series:
            paths = self._paths(history, first, max(horizons))
            for horizon in horizons:
                answers[horizon] |= {APY: paths[:, :horizon].mean(axis=1), APY_AT: paths[:, horizon - 1].copy()}
        if TVL in history.series:
            newest = Persistence().levels(history.series[TVL], first)
            for horizon in horizons:
                answers[horizon][TVL] = newest
        return answers

    def _paths(self, history: History, first: int, steps: int) -> FloatArray:
        """(n_days - first, steps, n) APY of each coming day; flat at the weighted mean where there is no model."""
        apy = history.series[APY]
        filled, _ = rolling.carried(apy, _WINDOW_DAYS)
        level = np.log1p(np.maximum(filled, -0.99))
        moved = rolling.discounted_mean(np.abs(apy - rolling.lag(apy, 1)), 0.95, _MOVEMENT_DAYS)
        scale = np.fmax(np.fmax(moved, 0.005 * np.abs(filled)), 2e-5)
        paths = np.repeat(Ewma().levels(apy, first)[:, None, :], steps, axis=1)
        refits = refit_days(history.days[first:]) - int(history.days[0].astype(np.int64))
        for refit in np.unique(refits).tolist():
            if refit < 0:
                continue
            model = self._trained(history, level, scale, refit)
            for row in np.flatnonzero(refits == refit).tolist() if model is not None else ():
                day = first + row
                pools = _complete(level, scale, day)
                if pools.any():
                    paths[row][:, pools] = _forecast(model, history, level, scale[day], day, pools, steps)
        return paths

    def _trained(self, history: History, level: FloatArray, scale: FloatArray, refit: int) -> Any:
        """The model of a refit day; None with too few series."""
        begin = max(refit - self.window_days + 1, 0)
        days = pd.DatetimeIndex(history.days[begin : refit + 1].astype("datetime64[ns]"), freq="D")
        series = {}
        for pool, name in enumerate(history.ids):
            values = pd.Series(level[begin : refit + 1, pool] / scale[refit, pool], index=days)
            values = (
                values.loc[values.first_valid_index() : values.last_valid_index()]
                if values.notna().any()
                else values[:0]
            )
            if len(values) >= _FEWEST_DAYS:
                series[str(name)] = values.asfreq("D").ffill()
        if len(series) < _FEWEST_SERIES:
            return None
        model = ForecasterRecursiveMultiSeries(
            estimator=self.estimator(),
            lags=_LAGS,
            window_features=RollingFeatures(stats=["mean", "std", "mean"], window_sizes=[7, 7, _WINDOW_DAYS]),
            encoding=None,
            transformer_series=None,
            differentiation=1,
        )
        model.fit(series=series, suppress_warnings=True)
        return model


def _complete(level: FloatArray, scale: FloatArray, day: int) -> BoolArray:
    """(n,) pools whose last window has no gap."""
    if day + 1 < _NEEDED_DAYS:
        return np.zeros(level.shape[1], dtype=bool)
    return np.asarray(np.isfinite(level[day + 1 - _NEEDED_DAYS : day + 1]).all(axis=0) & np.isfinite(scale[day]))


def _forecast(
    model: Any, history: History, level: FloatArray, scale: FloatArray, day: int, pools: BoolArray, steps: int
) -> FloatArray:
    """(steps, n_pools) APY of the coming days."""
    window = slice(day + 1 - _NEEDED_DAYS, day + 1)
    names = [str(name) for name in history.ids[pools]]
    index = pd.DatetimeIndex(history.days[window].astype("datetime64[ns]"), freq="D")
    last_window = pd.DataFrame(level[window][:, pools] / scale[pools], index=index, columns=names)
    found = model.predict(
        steps=steps, levels=names, last_window=last_window, suppress_warnings=True, check_inputs=False
    )
    grid = found.set_index("level", append=True)["pred"].unstack("level")[names].to_numpy()
    apy = np.expm1(np.minimum(grid * scale[pools], _LARGEST))
    lowest = np.minimum(np.expm1(level[day, pools]), 0.0)
    return np.maximum(apy, lowest)

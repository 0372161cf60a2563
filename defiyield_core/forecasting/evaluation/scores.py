"""The table of scores: every forecast of every model at every origin, beside what came.

Belongs here: which forecasts are made and scored, and what is counted when one is not. Does not belong here: metrics.

At origin t observations up to and including t are known. All models are scored on the same rows: those where every
model has a forecast and the outcome was observed. A model without any forecast of a target and horizon is left out of
that comparison, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.evaluation.metrics import naive_scales
from defiyield_core.forecasting.intervals import LOWER, UPPER
from defiyield_core.forecasting.port import (
    APY,
    APY_AT,
    GAS,
    MAX_AGE_DAYS,
    TVL,
    DayForecasts,
    History,
    PointOrQuantile,
)
from defiyield_core.units import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Target:
    """What is scored: the point of a forecast against a series, on its last day or as a mean over the horizon."""

    point: str
    series: str
    is_mean: bool


TARGETS = {
    "apy": Target(APY_AT, APY, is_mean=False),
    "mean_apy": Target(APY, APY, is_mean=True),
    "tvl": Target(TVL, TVL, is_mean=False),
    "gas": Target(GAS, GAS, is_mean=True),
}
COLUMNS = (
    "target",
    "pool_id",
    "model",
    "origin",
    "target_date",
    "horizon_days",
    "forecast",
    "lower",
    "upper",
    "actual",
    "lifetime_scale",
    "lifetime_rms",
    "tvl_usd",
    "eligible",
)
SCORED = "scored"
STALE = "newest observation older than 3 days (a gap, or the pool ended)"
LATER = "outcome after the last day"
NOT_FORECAST = "not forecast by every model"
NOT_OBSERVED = "outcome not observed (a gap, or the pool ended)"


@dataclass(frozen=True)
class Scores:
    """Scored forecasts and an account of the others.

    Attributes:
        frame: columns `COLUMNS`, ordered by horizon, target, model, origin and pool. APY are fractions, TVL is USD,
            gas is gwei. `lifetime_scale` and `lifetime_rms` are the mean absolute and the root mean square change from
            one day to the next over all days up to the origin (`naive_scale` of the stored scores is over 60 days),
            `tvl_usd` the newest TVL, `eligible` whether a deposit would have been allowed.
        skipped: pairs of pool and origin by target, horizon and reason (`scored` is one); pools count from their first
            observation on.
        warnings: sentences about models that were left out.
    """

    frame: pd.DataFrame
    skipped: pd.DataFrame
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origins:
    """When forecasts are made, and the market's state that is the same for all of them.

    Attributes:
        positions: (n_origins,) of the days in the history.
        last: position of the last day whose outcomes count.
        eligible: (n_origins, n) whether a deposit would have been allowed.
    """

    positions: IntArray
    last: int
    eligible: BoolArray


def outcome(history: History, target: str, horizon_days: int) -> FloatArray:
    """(n_days, n) what came of a forecast made at the end of each day; NaN where it was not observed.

    Of day t+h, or the mean of t+1 .. t+h (at least half of them observed).
    """
    values = history.series[TARGETS[target].series]
    return rolling.mean_ahead(values, horizon_days) if TARGETS[target].is_mean else rolling.ahead(values, horizon_days)


def may_be_forecast(history: History) -> BoolArray:
    """(n_days, n) the newest observation (of the APY, for pools) is at most 3 days old."""
    return rolling.discounted_sums(_main_series(history), 1.0, MAX_AGE_DAYS + 1)[1] > 0


def _main_series(history: History) -> FloatArray:
    return history.series[APY if APY in history.series else GAS]


def origin_positions(history: History, start: date, end: date, step_days: int) -> IntArray:
    """Positions of every `step_days`-th day from `start` to `end`, both included."""
    begin = np.datetime64(history.days[0], "D")
    first, last = (int((np.datetime64(day, "D") - begin).astype(np.int64)) for day in (start, end))
    return np.arange(first, last + 1, step_days)


def score(history: History, forecasts: Mapping[str, DayForecasts], first: int, origins: Origins) -> Scores:
    """Scores of all models at the origins, on the targets whose series the history has.

    Args:
        forecasts: by model, answers of `forecast_days` from position `first` on.
    """
    known = _Known(history, forecasts, first, origins)
    parts: list[pd.DataFrame] = []
    skipped: list[tuple[str, int, str, int]] = []
    warnings: list[str] = []
    for horizon in sorted({horizon for answers in forecasts.values() for horizon in answers}):
        for target in (name for name, what in TARGETS.items() if what.series in history.series):
            rows, account, without = known.scored(target, horizon)
            parts.extend(rows)
            skipped.extend((target, horizon, reason, pairs) for reason, pairs in account.items())
            warnings.extend(f"{model} has no forecast of {target} at {horizon} days: left out" for model in without)
    frame = pd.concat(parts, ignore_index=True) if parts else _empty()
    account_frame = pd.DataFrame(skipped, columns=["target", "horizon_days", "reason", "pairs"])
    return Scores(frame[list(COLUMNS)], account_frame, tuple(warnings))


def together(*scores: Scores) -> Scores:
    """Scores of several histories as one."""
    frames = [one.frame for one in scores if len(one.frame)] or [scores[0].frame]
    return Scores(
        pd.concat(frames, ignore_index=True),
        pd.concat([one.skipped for one in scores], ignore_index=True),
        tuple(warning for one in scores for warning in one.warnings),
    )


@dataclass(frozen=True)
class _Known:
    """What all targets and horizons have in common."""

    history: History
    forecasts: Mapping[str, DayForecasts]
    first: int
    origins: Origins

    def scored(self, target: str, horizon: int) -> tuple[list[pd.DataFrame], dict[str, int], list[str]]:
        """Rows of every model, the account of pairs, and models without any forecast."""
        at = self.origins.positions
        actual = outcome(self.history, target, horizon)[at]
        inside = (at + horizon <= self.origins.last)[:, None]
        begun = np.isfinite(_main_series(self.history)).cumsum(axis=0)[at] > 0
        fresh = may_be_forecast(self.history)[at]
        wanted = fresh & inside
        made, without = self._made(target, horizon, wanted)
        everywhere = wanted & bool(made)
        for forecast, _, _ in made.values():
            everywhere = everywhere & np.isfinite(forecast)
        scored = everywhere & np.isfinite(actual)
        absolute, squared = naive_scales(self.history.series[TARGETS[target].series])
        size = self._size()[at]
        shared = {"actual": actual, "lifetime_scale": absolute[at], "lifetime_rms": squared[at], "tvl_usd": size}
        rows = []
        for model, (forecast, lower, upper) in made.items():
            columns = {"forecast": forecast, "lower": lower, "upper": upper, **shared}
            rows.append(self._rows(scored, {**columns, "eligible": self.origins.eligible}, (target, model, horizon)))
        account = {
            SCORED: scored,
            STALE: begun & ~fresh & inside,
            LATER: begun & ~inside,
            NOT_FORECAST: wanted & ~everywhere,
            NOT_OBSERVED: everywhere & ~scored,
        }
        return rows, {reason: int(pairs.sum()) for reason, pairs in account.items()}, without

    def _size(self) -> FloatArray:
        """(n_days, n) newest TVL; NaN for gas."""
        if TVL not in self.history.series:
            return np.full_like(_main_series(self.history), np.nan)
        return rolling.carried(self.history.series[TVL], MAX_AGE_DAYS + 1)[0]

    def _made(
        self, target: str, horizon: int, wanted: BoolArray
    ) -> tuple[dict[str, tuple[FloatArray, FloatArray, FloatArray]], list[str]]:
        """Point and bounds at the origins by model, and the models that tried but have none where one is wanted."""
        made, without = {}, []
        for model, answers in self.forecasts.items():
            rows, point = answers.get(horizon, {}), TARGETS[target].point
            if point not in rows:
                continue
            made[model] = _at(rows, point, self.origins.positions - self.first)
            if wanted.any() and not np.isfinite(made[model][0][wanted]).any():
                without.append(model)
                made.pop(model)
        return made, without

    def _rows(self, scored: BoolArray, columns: Mapping[str, np.ndarray], what: tuple[str, str, int]) -> pd.DataFrame:
        at_origin, at_pool = np.nonzero(scored)
        target, model, horizon = what
        origin = self.history.days[self.origins.positions[at_origin]]
        frame = pd.DataFrame({name: values[at_origin, at_pool] for name, values in columns.items()})
        return frame.assign(
            target=np.full(len(frame), target, dtype=object),
            pool_id=self.history.ids[at_pool],
            model=np.full(len(frame), model, dtype=object),
            origin=origin.astype("datetime64[ns]"),
            target_date=(origin + horizon).astype("datetime64[ns]"),
            horizon_days=np.int64(horizon),
        )


def _at(
    rows: Mapping[PointOrQuantile, FloatArray], point: str, positions: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Point and bounds at the origins; NaN bounds for a forecaster without quantiles."""
    forecast = rows[point][positions]
    unknown = np.full_like(forecast, np.nan)
    lower, upper = (rows[point, p][positions] if (point, p) in rows else unknown for p in (LOWER, UPPER))
    return forecast, lower, upper


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})

"""The combination: the global model, shrunk towards the smooth baselines by what each pool's past errors say.

Belongs here: the candidates and their weights. Does not belong here: the candidates' own forecasts.

Weights of day t come from errors that are known on t: of forecasts made h days before or earlier. Per candidate,

    ratio = discounted mean |error| / that of persistence     (last 60 days, weights 0.97^k, at most 3)
    score = (n ratio + 20 mean ratio of all pools) / (n + 20)     n: discounted number of errors of the pool

so that a pool with a short record is judged by all pools. The blend is a mean with weights `exp(-20 score)` of the
model and of its mixtures with the smooth baselines; the fallback is the like of the baselines alone. A pool whose blend
has been worse than its fallback by a fifth moves to the fallback, and a pool that is too young for the model is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.baselines import Ewma, Median, OptimisedSes, Persistence
from defiyield_core.forecasting.boosting import LightGBM
from defiyield_core.forecasting.global_model import FEWEST_SEEN_DAYS, GlobalModel
from defiyield_core.forecasting.port import (
    APY,
    APY_AT,
    GAS,
    POINTS_OF,
    TVL,
    DayForecasts,
    Forecaster,
    History,
    LevelForecaster,
    WalkedDay,
    forecast_days,
)
from defiyield_core.units import FloatArray

ERROR_DAYS = 60
"""Days of errors that decide the weights."""
BURN_DAYS = 90
"""Days of forecasts before the first one wanted; a horizon over 30 days has fewer days of errors for it."""
_KEEP = 0.97
_PRIOR_COUNT = 20.0
_WORST_RATIO = 3.0
_FEWEST_ERRORS = 3.0
_SHRINK = 0.35
_RATE, _SWITCH_RATE, _SWITCH_MARGIN = 20.0, 30.0, 0.2
_LOWEST_ERROR = {APY: 1e-5, TVL: 1.0, GAS: 1e-6}
_ENDS = frozenset({APY_AT, TVL})
"""Points that are the value on the last day of the horizon; the others are means over it."""
_PERSISTENCE = Persistence()
_SMOOTH: tuple[LevelForecaster, ...] = (
    Ewma(alpha=0.35),
    Ewma(alpha=0.15),
    Median(),
    Median(window_days=14),
)
_BASELINES: tuple[LevelForecaster, ...] = (_PERSISTENCE, Ewma(), *_SMOOTH, OptimisedSes())


@dataclass(frozen=True)
class Combination:
    """The member's APY blended with baselines; TVL and gas are combinations of the baselines alone."""

    member: Forecaster = field(default_factory=lambda: GlobalModel(LightGBM()))
    name: str = "combination"
    targets: frozenset[str] = frozenset({APY, TVL, GAS})

    @property
    def lookback_days(self) -> int:
        """Longest history it can use."""
        return BURN_DAYS + max(self.member.lookback_days, OptimisedSes().lookback_days)

    def fit(self, history: History) -> WalkedDay:
        """The forecaster at the end of the history."""
        return WalkedDay(self, history)

    def walk(self, history: History, first: int, horizons: Sequence[int]) -> DayForecasts:
        """Points at the end of every day from position `first` on; see `forecast_days`."""
        start = max(first - BURN_DAYS, 0)
        answers: DayForecasts = {horizon: {} for horizon in horizons}
        modelled = forecast_days(self.member, history, start, horizons) if APY in history.series else {}
        for name in (name for name in history.series if name in self.targets):
            values = history.series[name]
            flat = [baseline.levels(values, start) for baseline in _BASELINES]
            seen = rolling.discounted_sums(values, 1.0, ERROR_DAYS, first)[1]
            for horizon in horizons:
                for point in POINTS_OF[name]:
                    if point == APY_AT and horizon == 1:
                        answers[horizon][APY_AT] = answers[horizon][APY]
                        continue
                    record = _Record(values, (start, first), point, horizon, flat[0], _LOWEST_ERROR[name])
                    if name == APY:
                        answers[horizon][point] = _shrunk(record, np.asarray(modelled[horizon][point]), flat, seen)
                    else:
                        answers[horizon][point] = record.blend(flat)[0]
        return answers


def _shrunk(record: _Record, model: FloatArray, flat: Sequence[FloatArray], seen: FloatArray) -> FloatArray:
    """The blend of model and mixtures, moved to the fallback where that has been better for the pool."""
    smooth = flat[2 : 2 + len(_SMOOTH)]
    fallback, fallback_score = record.blend(flat)
    blend, score = record.blend([model, *((1.0 - _SHRINK) * model + _SHRINK * level for level in smooth)])
    share = 1.0 / (1.0 + np.exp(-_SWITCH_RATE * (score - fallback_score - _SWITCH_MARGIN)))
    share = np.where((seen < FEWEST_SEEN_DAYS) | np.isnan(blend), 1.0, share)
    return np.asarray(share * fallback + (1.0 - share) * np.where(np.isnan(blend), fallback, blend))


class _Record:
    """The errors known at the end of each day, of forecasts of one point over one horizon.

    Args:
        days: positions of the first forecast there is, and of the first day that weights are wanted for.
        newest: (n_days - days[0], n) the forecast of persistence.
    """

    def __init__(
        self,
        values: FloatArray,
        days: tuple[int, int],
        point: str,
        horizon_days: int,
        newest: FloatArray,
        lowest_error: float,
    ) -> None:
        outcome = values if point in _ENDS else rolling.lag(rolling.mean_ahead(values, horizon_days), horizon_days)
        start, first = days
        self._outcome = outcome[start:]
        self._first = first - start
        self._horizon_days = horizon_days
        self._days = min(ERROR_DAYS, max(BURN_DAYS - horizon_days, 0))
        total, count = self._errors(newest)
        yardstick = rolling.divided(total, count)
        self._yardstick = np.where(yardstick > lowest_error, yardstick, np.nan)

    def _errors(self, forecast: FloatArray) -> tuple[FloatArray, FloatArray]:
        error = np.abs(self._outcome - rolling.lag(forecast, self._horizon_days))
        return rolling.discounted_sums(error, _KEEP, self._days, self._first)

    def score(self, forecast: FloatArray) -> FloatArray:
        """(n_days, n) error relative to persistence, shrunk towards the mean of all pools; 1 without any record."""
        total, count = self._errors(forecast)
        ratio = np.minimum(rolling.divided(total, count) / self._yardstick, _WORST_RATIO)
        known = (count > _FEWEST_ERRORS) & np.isfinite(ratio)
        ratio = np.where(known, ratio, 0.0)
        pools = known.sum(axis=1, keepdims=True)
        everywhere = np.where(pools > 0, ratio.sum(axis=1, keepdims=True) / np.maximum(pools, 1), 1.0)
        own = np.where(known, count, 0.0)
        return np.asarray((own * ratio + _PRIOR_COUNT * everywhere) / (own + _PRIOR_COUNT))

    def blend(self, candidates: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
        """(n_days, n) mean of the candidates with weights `exp(-20 score)`, and the same mean of their scores.

        NaN where there is no candidate. The mean of scores stands for the score of the mean (which, errors being
        convex, is hardly ever above it): that one would need the weights of earlier days.
        """
        scores = np.stack([self.score(candidate) for candidate in candidates])
        stacked = np.stack([candidate[self._first :] for candidate in candidates])
        weights = np.exp(-_RATE * (scores - scores.min(axis=0))) * np.isfinite(stacked)
        total = weights.sum(axis=0)
        mean = rolling.divided((weights * np.nan_to_num(stacked)).sum(axis=0), total)
        return mean, rolling.divided((weights * scores).sum(axis=0), total)

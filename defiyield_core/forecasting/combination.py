"""The combination: the global model, shrunk towards the smooth baselines by what each pool's past errors say.

Belongs here: the candidates and their weights. Does not belong here: the candidates' own forecasts.

Weights of day t come from errors that are known on t: of forecasts made h days before or earlier. Per candidate,

    ratio = discounted mean |error| / that of persistence     (last 60 days, weights 0.97^k, at most 3)
    score = (n ratio + 20 mean ratio of all pools) / (n + 20)     n: discounted number of errors of the pool

so that a pool with a short record is judged by all pools. The blend is a mean with weights `exp(-20 score)` of the
model and of its mixtures with the smooth baselines (35 % of them; from 14 days on also 65 %, because long horizons have
few separate outcomes to learn from). A pool is on its fallback

    - where the model is too young for it or has no forecast, or its blend's score has been worse than that of the
      baselines by a fifth (softly, around that margin): on the mean of the baselines with weights of the same kind;
    - where the model's skill over persistence is negative beyond doubt: on the one baseline with the lowest score.

Beyond doubt is a t value above 1.64 (5 % on one side), over the same days and weights,

    t = mean d / sqrt(var d / (n / h))     d = |error of the model| - |error of persistence|, h: errors overlap

because a month of errors says little: leaving the model after any bad month costs the typical pool more than it saves.

A still pool keeps its newest APY to the last bit: one that has not moved in 30 days, or of whose known outcomes three
quarters were the newest APY of their origin. The median of what comes is that APY, and a model that is off by nothing
worth mentioning is still off every day.
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
    TrainedForecaster,
    WalkedDay,
    forecast_days,
)
from defiyield_core.forecasting.store import StoredModel
from defiyield_core.units import BoolArray, FloatArray

ERROR_DAYS = 60
"""Days of errors that decide the weights."""
BURN_DAYS = 90
"""Days of forecasts before the first one wanted; a horizon over 30 days has fewer days of errors for it."""
_KEEP = 0.97
_PRIOR_COUNT = 20.0
_WORST_RATIO = 3.0
_FEWEST_ERRORS = 3.0
_NO_VARIANCE = 1e-24
_STILL_DAYS, _STILL_SHARE, _STILL_ERROR = 30, 0.75, 1e-9
_SHRINK, _LONG_SHRINK, _LONG_DAYS = 0.35, 0.65, 14
_WORST_T = 1.64
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
    Median(window_days=30),
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

    def models_used(self, history: History, first: int, horizons: Sequence[int]) -> list[tuple[int, StoredModel]]:
        """Those of the member."""
        return self.member.models_used(history, first, horizons) if isinstance(self.member, TrainedForecaster) else []

    def walk(self, history: History, first: int, horizons: Sequence[int]) -> DayForecasts:
        """Points at the end of every day from position `first` on; see `forecast_days`."""
        start = max(first - BURN_DAYS, 0)
        answers: DayForecasts = {horizon: {} for horizon in horizons}
        modelled = forecast_days(self.member, history, start, horizons) if APY in history.series else {}
        for name in (name for name in history.series if name in self.targets):
            values = history.series[name]
            flat = [baseline.levels(values, start) for baseline in _BASELINES]
            seen = rolling.discounted_sums(values, 1.0, ERROR_DAYS, first)[1]
            unmoved = _unmoved(values)[first:]
            for horizon in horizons:
                for point in POINTS_OF[name]:
                    if point == APY_AT and horizon == 1:
                        answers[horizon][APY_AT] = answers[horizon][APY]
                        continue
                    record = _Record(values, (start, first), point, horizon, flat[0], _LOWEST_ERROR[name])
                    if name != APY:
                        answers[horizon][point] = record.blend(flat, record.scores(flat))[0]
                        continue
                    model = np.asarray(modelled[horizon][point])
                    forecast = _shrunk(record, model, flat, seen)
                    still = unmoved | record.still()
                    answers[horizon][point] = np.where(still, flat[0][first - start :], forecast)
        return answers


def _shrunk(record: _Record, model: FloatArray, flat: Sequence[FloatArray], seen: FloatArray) -> FloatArray:
    """The blend of model and mixtures, moved to the fallback where that serves the pool better."""
    smooth = flat[2 : 2 + len(_SMOOTH)]
    shrinks = (_SHRINK, _LONG_SHRINK) if record.horizon_days >= _LONG_DAYS else (_SHRINK,)
    mixtures = [(1.0 - shrink) * model + shrink * level for shrink in shrinks for level in smooth]
    modelled = [model, *mixtures]
    blend, score = record.blend(modelled, record.scores(modelled))
    flat_scores = record.scores(flat)
    fallback, fallback_score = record.blend(flat, flat_scores)
    share = 1.0 / (1.0 + np.exp(-_SWITCH_RATE * (score - fallback_score - _SWITCH_MARGIN)))
    share = np.where((seen < FEWEST_SEEN_DAYS) | np.isnan(blend), 1.0, share)
    harmed = record.harm(model) > _WORST_T
    mixed = share * fallback + (1.0 - share) * np.where(np.isnan(blend), fallback, blend)
    return np.where(harmed, record.best(flat, flat_scores), mixed)


def _unmoved(values: FloatArray) -> BoolArray:
    """(n_days, n) all values of the last 30 days are the same."""
    window = rolling.sorted_window(values, _STILL_DAYS)
    return np.asarray(window.highest() == window.lowest())


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
        self.horizon_days = horizon_days
        self._days = min(ERROR_DAYS, max(BURN_DAYS - horizon_days, 0))
        self._newest = newest
        total, count = self._errors(newest)
        yardstick = rolling.divided(total, count)
        self._yardstick = np.where(yardstick > lowest_error, yardstick, np.nan)

    def _misses(self, forecast: FloatArray) -> FloatArray:
        """|error| by the day on which it was known."""
        return np.abs(self._outcome - rolling.lag(forecast, self.horizon_days))

    def _errors(self, forecast: FloatArray) -> tuple[FloatArray, FloatArray]:
        return rolling.discounted_sums(self._misses(forecast), _KEEP, self._days, self._first)

    def harm(self, forecast: FloatArray) -> FloatArray:
        """(n_days, n) t value of |error| - |error of persistence|; minus infinity with hardly any errors known."""
        worse = self._misses(forecast) - self._misses(self._newest)
        total, count = rolling.discounted_sums(worse, _KEEP, self._days, self._first)
        squares, _ = rolling.discounted_sums(worse * worse, _KEEP, self._days, self._first)
        mean = rolling.divided(total, count)
        variance = np.maximum(rolling.divided(squares, count) - mean * mean, 0.0)
        separate = np.maximum(count / self.horizon_days, 1.0)
        return np.where(count > _FEWEST_ERRORS, mean / np.sqrt(variance / separate + _NO_VARIANCE), -np.inf)

    def still(self) -> BoolArray:
        """(n_days, n) at least three quarters of the known outcomes were what persistence had said."""
        misses = self._misses(self._newest)
        hits = np.where(np.isnan(misses), np.nan, (misses < _STILL_ERROR).astype(float))
        total, count = rolling.discounted_sums(hits, _KEEP, self._days, self._first)
        return np.asarray((count > _FEWEST_ERRORS) & (total >= _STILL_SHARE * count))

    def scores(self, candidates: Sequence[FloatArray]) -> FloatArray:
        """(n_candidates, n_days, n) the score of each."""
        return np.stack([self.score(candidate) for candidate in candidates])

    def best(self, candidates: Sequence[FloatArray], scores: FloatArray) -> FloatArray:
        """(n_days, n) the candidate with the lowest score, the first of equal ones."""
        lowest = np.argmin(scores, axis=0)
        stacked = np.stack([candidate[self._first :] for candidate in candidates])
        return np.asarray(np.take_along_axis(stacked, lowest[None], axis=0)[0])

    def score(self, forecast: FloatArray) -> FloatArray:
        """(n_days, n) error relative to persistence, shrunk towards the mean of all pools; 1 without any record."""
        total, count = self._errors(forecast)
        ratio = np.minimum(rolling.divided(total, count) / self._yardstick, _WORST_RATIO)
        known = (count > _FEWEST_ERRORS) & np.isfinite(ratio)
        ratio = np.where(known, ratio, 0.0)
        pools = known.sum(axis=1, keepdims=True)
        everywhere = np.where(pools > 0, rolling.over_pools(ratio) / np.maximum(pools, 1), 1.0)
        own = np.where(known, count, 0.0)
        return np.asarray((own * ratio + _PRIOR_COUNT * everywhere) / (own + _PRIOR_COUNT))

    def blend(self, candidates: Sequence[FloatArray], scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(n_days, n) mean of the candidates with weights `exp(-20 score)`, and the same mean of their scores.

        NaN where there is no candidate. The mean of scores stands for the score of the mean (which, errors being
        convex, is hardly ever above it): that one would need the weights of earlier days.
        """
        stacked = np.stack([candidate[self._first :] for candidate in candidates])
        weights = np.exp(-_RATE * (scores - scores.min(axis=0))) * np.isfinite(stacked)
        total = weights.sum(axis=0)
        mean = rolling.divided((weights * np.nan_to_num(stacked)).sum(axis=0), total)
        return mean, rolling.divided((weights * scores).sum(axis=0), total)

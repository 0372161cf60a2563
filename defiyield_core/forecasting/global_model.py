"""One gradient boosting model over all pools, for each horizon directly, refitted on fixed Mondays.

Belongs here: targets, training rows, the calendar of refits, the walk. Does not belong here: features, the libraries.

The model of refit day r learns, from the 365 days up to r whose outcome is known on r,

    target_t = clip((outcome_t - smooth_t) / scale_t, -20, 20)        smooth, scale: see `features`

and answers `smooth_t + scale_t * prediction_t` for the days from r until the next refit. The outcome is the APY on day
t+h (`apy_at`) or its mean over t+1 .. t+h (`apy`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import numpy as np

from defiyield_core.calendar import DayArray
from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.baselines import Persistence
from defiyield_core.forecasting.boosting import Booster, Engine
from defiyield_core.forecasting.features import (
    FEATURE_DAYS,
    FEATURE_VERSION,
    FIRST_MONDAY,
    Features,
    features,
    is_known,
)
from defiyield_core.forecasting.port import APY, APY_AT, MAX_AGE_DAYS, TVL, DayForecasts, History, WalkedDay
from defiyield_core.forecasting.store import MemoryModels, ModelKey, Models, StoredModel
from defiyield_core.units import BoolArray, FloatArray, IntArray

REFIT_EVERY_DAYS = 7
"""Refits are on Mondays, whatever day a run begins."""
FEWEST_ROWS = 400
"""With fewer training rows there is no model, and the forecast is the smooth level."""
FEWEST_SEEN_DAYS = 14
"""A pool with fewer observed days among the last 60 is forecast at its smooth level."""
_CLIP = 20.0
_EVERY_DAYS = 2


class Target(NamedTuple):
    """What one model forecasts."""

    point: str
    horizon_days: int


def _targets(horizons: Sequence[int]) -> list[Target]:
    """What has to be modelled: a mean over one day is the value on it."""
    return [Target(APY_AT, h) for h in horizons] + [Target(APY, h) for h in horizons if h > 1]


def refit_days(days: DayArray) -> IntArray:
    """(n_days,) day number (since 1970-01-01) of the newest refit up to each day."""
    numbers = days.astype(np.int64)
    return np.asarray(numbers - (numbers - FIRST_MONDAY) % REFIT_EVERY_DAYS)


@dataclass(frozen=True)
class GlobalModel:
    """A global model of one engine.

    Attributes:
        models: where trained models are kept; a stored one is used only for exactly the same data and settings.
        window_days: days up to a refit that it learns from.
    """

    engine: Engine
    models: Models = field(default_factory=MemoryModels, compare=False)
    window_days: int = 365
    version: str = "1"
    targets: frozenset[str] = frozenset({APY, TVL})

    @property
    def name(self) -> str:
        """The engine's."""
        return self.engine.name

    @property
    def lookback_days(self) -> int:
        """Longest history it can use."""
        return self.window_days + REFIT_EVERY_DAYS + FEATURE_DAYS

    def fit(self, history: History) -> WalkedDay:
        """The forecaster at the end of the history; boosters that are not in the store are trained when it predicts."""
        return WalkedDay(self, history)

    def walk(self, history: History, first: int, horizons: Sequence[int]) -> DayForecasts:
        """Points at the end of every day from position `first` on; see `forecast_days`."""
        answers: DayForecasts = {horizon: {} for horizon in horizons}
        if APY in history.series:
            values = self._apy(history, first, horizons)
            for horizon in horizons:
                at = values[Target(APY_AT, horizon)]
                answers[horizon] |= {APY: values.get(Target(APY, horizon), at), APY_AT: at}
        if TVL in history.series:
            newest = Persistence().levels(history.series[TVL], first)
            for horizon in horizons:
                answers[horizon][TVL] = newest
        return answers

    def models_used(self, history: History, first: int, horizons: Sequence[int]) -> list[tuple[int, StoredModel]]:
        """Day number and model behind each forecast made at the end of a day from position `first` on.

        Missing ones are trained. A mean over one day is the model of `apy_at`; where too few rows were known there is
        no model. In the order of days, points and horizons.
        """
        wanted = _targets(horizons)
        refits = refit_days(history.days[first:])
        models, _, _ = self._models(history, first, np.unique(refits), wanted)
        numbers = history.days[first:].astype(np.int64).tolist()
        places = (
            (day, (refit, target)) for day, refit in zip(numbers, refits.tolist(), strict=True) for target in wanted
        )
        return [(day, models[place]) for day, place in places if place in models]

    def _apy(self, history: History, first: int, horizons: Sequence[int]) -> dict[Target, FloatArray]:
        """(n_days - first, n) forecasts by target; a mean over one day is the value on it."""
        wanted = _targets(horizons)
        refits = refit_days(history.days[first:])
        models, known, earliest = self._models(history, first, np.unique(refits), wanted)
        known = features(history, first) if known is None else known
        boosters = {place: model.booster for place, model in models.items()}
        return self._predict(known, first - earliest, refits, wanted, boosters)

    def _models(
        self, history: History, first: int, refits: IntArray, wanted: Sequence[Target]
    ) -> tuple[dict[tuple[int, Target], StoredModel], Features | None, int]:
        """The models by refit day and target; missing ones are trained.

        Returns:
            Besides the models: the features, if any had to be trained, and the position of their first day.
        """
        keys = self._keys(history, refits, wanted)
        found = {key: self.models.get(key) for key in keys.values()}
        missing = [key for key, model in found.items() if model is None and _rows(history, key) >= FEWEST_ROWS]
        known, earliest = None, first
        if missing:
            begin = min(np.datetime64(key.trained_from, "D") for key in missing)
            earliest = max(0, min(first, int((begin - history.days[0]).astype(np.int64))))
            known = features(history, earliest)
            part = history.between(earliest, len(history.days) - 1)
            found.update(zip(missing, self._train(part, known, missing), strict=True))
        models = {place: model for place, key in keys.items() if (model := found[key]) is not None}
        return models, known, earliest

    def _keys(self, history: History, refits: IntArray, wanted: Sequence[Target]) -> dict[tuple[int, Target], ModelKey]:
        """The key of every model that is needed."""
        origin = int(history.days[0].astype(np.int64))
        names = features(history.between(0, 0), 0).names
        settings = {**self.engine.settings, "features": FEATURE_VERSION, "model": self.version}
        keys = {}
        for refit in refits.tolist():
            last = refit - origin
            if last < 0:
                continue
            begin = last - self.window_days + 1
            data = fingerprint(history.between(begin - FEATURE_DAYS, last))
            for target in wanted:
                what = json.dumps([settings, names, target, self.window_days], sort_keys=True, default=str)
                keys[refit, target] = ModelKey(
                    name=self.name,
                    version=self.version,
                    point=target.point,
                    horizon_days=target.horizon_days,
                    trained_from=_date(refit - self.window_days + 1),
                    trained_through=_date(refit),
                    fingerprint=hashlib.sha256((data + what).encode()).hexdigest(),
                    features=names,
                    settings=settings,
                )
        return keys

    def _train(self, part: History, known: Features, missing: Iterable[ModelKey]) -> list[StoredModel]:
        """The models of the keys, several at a time."""
        apy = part.series[APY]
        keys = list(missing)
        places = {Target(key.point, key.horizon_days) for key in keys}
        outcomes = {target: _scaled_outcome(apy, known, target) for target in places}

        def train(key: ModelKey) -> StoredModel:
            outcome = outcomes[Target(key.point, key.horizon_days)]
            rows = _training_rows(part.days, known.known, outcome, key)
            values, wanted = known.values[rows], outcome[rows]
            booster = self.engine.train(values, wanted)
            model = StoredModel(key, booster, _metrics(booster, values, wanted))
            self.models.put(model)
            return model

        with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
            return list(pool.map(train, keys))

    @staticmethod
    def _predict(
        known: Features,
        first: int,
        refits: IntArray,
        wanted: Sequence[Target],
        boosters: dict[tuple[int, Target], Booster],
    ) -> dict[Target, FloatArray]:
        newest, smooth, scale = (array[first:] for array in (known.newest, known.smooth, known.scale))
        usable = known.known[first:] & (known.seen_days[first:] >= FEWEST_SEEN_DAYS)
        answers = {}
        for target in wanted:
            forecast = smooth.copy()
            for refit in np.unique(refits).tolist():
                booster = boosters.get((refit, target))
                rows = usable & (refits == refit)[:, None]
                if booster is not None and rows.any():
                    forecast[rows] += scale[rows] * booster.predict(known.values[first:][rows])
            answers[target] = np.where(forecast < 0.0, np.fmin(newest, 0.0), forecast)
        return answers


def fingerprint(history: History) -> str:
    """sha256 of a history's content.

    Pools, series and market series without any observation in it do not count: they decide no training row, and a run
    over more days knows of ones that were first seen later. So it is with labels that were not known by its last day;
    of others, the day from which they were known counts where the pool had been observed before.
    """
    observed = {name: np.isfinite(values).any(axis=0) for name, values in history.series.items()}
    names = sorted(name for name, pools in observed.items() if pools.any())
    seen = np.any([observed[name] for name in names], axis=0) if names else np.zeros(len(history.ids), dtype=bool)
    digest = hashlib.sha256(repr((str(history.days[:1]), len(history.days), names)).encode())
    digest.update(repr(history.ids[seen].tolist()).encode())
    for name in names:
        digest.update(_bytes(history.series[name][:, seen]))
    labelled = history.labelled[:, seen]
    for name in sorted(history.labels):
        known = np.where(labelled[-1:].any(axis=0), history.labels[name][seen], "")
        digest.update(repr((name, known.tolist())).encode())
    late = _labelled_late(labelled, [history.series[name][:, seen] for name in names])
    if late:
        digest.update(repr(late).encode())
    for name in sorted(name for name, values in history.market.items() if np.isfinite(values).any()):
        digest.update(name.encode() + _bytes(history.market[name]))
    return digest.hexdigest()


def _labelled_late(labelled: BoolArray, series: Sequence[FloatArray]) -> list[tuple[int, int]]:
    """Place of each pool that was observed before its labels were known, and its days before that."""
    observed = np.any([np.isfinite(values) for values in series], axis=0) if series else np.zeros_like(labelled)
    pools = np.flatnonzero((observed & ~labelled).any(axis=0))
    return [(int(pool), int((~labelled[:, pool]).sum())) for pool in pools]


def _bytes(values: FloatArray) -> bytes:
    """The numbers as bytes; every missing value is the same one."""
    return np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes()


def _date(number: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + number)


def _scaled_outcome(apy: FloatArray, known: Features, target: Target) -> FloatArray:
    """(n_days, n) what the model learns; NaN where the outcome is not known."""
    outcome = (_outcome(apy, target) - known.smooth) / known.scale
    return np.clip(outcome, -_CLIP, _CLIP)


def _outcome(apy: FloatArray, target: Target) -> FloatArray:
    return (rolling.mean_ahead if target.point == APY else rolling.ahead)(apy, target.horizon_days)


def _rows(history: History, key: ModelKey) -> int:
    """Number of training rows, without the features: they take most of the time, and a young market has no model."""
    begin, end = (np.datetime64(day, "D") - history.days[0] for day in (key.trained_from, key.trained_through))
    part = history.between(int(begin.astype(np.int64)) - MAX_AGE_DAYS, int(end.astype(np.int64)))
    apy = part.series[APY]
    outcome = _outcome(apy, Target(key.point, key.horizon_days))
    return int(_training_rows(part.days, is_known(apy), outcome, key).sum())


def _training_rows(days: DayArray, known: BoolArray, outcome: FloatArray, key: ModelKey) -> BoolArray:
    """(n_days, n) rows of the window whose outcome was known on the refit day, every other day."""
    numbers = days.astype(np.int64)
    begin, end = (int(np.datetime64(day, "D").astype(np.int64)) for day in (key.trained_from, key.trained_through))
    inside = (numbers >= begin) & (numbers <= end - key.horizon_days) & (numbers % _EVERY_DAYS == 0)
    return np.asarray(known & np.isfinite(outcome) & inside[:, None])


def _metrics(booster: Booster, rows: np.ndarray, wanted: FloatArray) -> dict[str, float]:
    """How well the trees fit their own rows, in the pools' daily movements; says nothing about other days."""
    return {
        "rows": float(len(wanted)),
        "in_sample_mae_scaled": float(np.abs(booster.predict(rows) - wanted).mean()),
        "smooth_level_mae_scaled": float(np.abs(wanted).mean()),
    }

"""DefiLlama's classifier, rebuilt as a yardstick: will the yield hold?

Belongs here: its target, its six inputs (APY, TVL, mean and deviation of the APY so far, chain, protocol), a forest
refitted on past labels, and what forecasts with bounds imply for the same target. Does not belong here: forecasts of
APY.

    label_t = 1 when median(APY of t+1 .. t+30) >= 0.8 APY_t          (at least 15 of the days observed)

The original counts today in the median and trains on labels that overlap its test days. Here today is left out, and a
forest that answers on day t has learnt only from labels whose 30 days were over on t.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.evaluation.metrics import auc, brier, mean_of_known
from defiyield_core.forecasting.intervals import LOWER, UPPER
from defiyield_core.forecasting.port import APY, MAX_AGE_DAYS, TVL, DayForecasts, History
from defiyield_core.panel import ObjectArray
from defiyield_core.units import BoolArray, FloatArray, IntArray

FOREST = "defillama_forest"
HORIZON_DAYS = 30
HOLD_SHARE = 0.8
FEWEST_OBSERVED = 7
"""The original says nothing about a pool with fewer observed days, nor about one without yield."""
REFIT_DAYS = 28
TRAIN_EVERY_DAYS = 3
_TREES = 100
_SEED = 1
_Q90_WIDTH = 2.0 * 1.2815515655446004


@dataclass(frozen=True)
class Yardstick:
    """How well one model tells yields that hold.

    Attributes:
        auc: area under the ROC curve. brier: mean squared error of its probability. rows: pairs of pool and origin,
            the same for all. base_rate: share of them on which the yield held.
    """

    model: str
    auc: float
    brier: float
    rows: int
    base_rate: float


def holds(apy: FloatArray) -> FloatArray:
    """(n_days, n) the label of each day; NaN where it is not known or today has no positive APY."""
    window = rolling.sorted_window(apy, HORIZON_DAYS)
    median = rolling.ahead(window.median(), HORIZON_DAYS)
    count = rolling.ahead(window.count.astype(float), HORIZON_DAYS)
    known = (count >= HORIZON_DAYS / 2) & (apy > 0)
    return np.where(known, (median >= HOLD_SHARE * apy).astype(float), np.nan)


def inputs(history: History) -> FloatArray:
    """(n_days, n, 4) APY, TVL, mean and standard deviation of the APY so far; labels are added by each forest."""
    apy = history.series[APY]
    seen = np.isfinite(apy)
    count = np.maximum(seen.cumsum(axis=0), 1)
    filled = np.where(seen, apy, 0.0)
    mean = filled.cumsum(axis=0) / count
    variance = np.maximum((filled**2).cumsum(axis=0) / count - mean**2, 0.0)
    tvl = rolling.carried(history.series[TVL], MAX_AGE_DAYS + 1)[0]
    return np.stack([apy, tvl, mean, np.sqrt(variance)], axis=2)


def forest_probabilities(history: History, origins: IntArray) -> FloatArray:
    """(n_origins, n) probability that the yield holds, by forests refitted every 28 days; NaN where none is made."""
    label, known = holds(history.series[APY]), inputs(history)
    allowed = _answerable(history)
    answers = np.full((len(origins), len(history.ids)), np.nan)
    epoch = (origins - origins[0]) // REFIT_DAYS if len(origins) else origins
    for number in np.unique(epoch).tolist():
        rows = np.flatnonzero(epoch == number)
        forest = _Forest(history, known, label, allowed, int(origins[rows[0]]))
        for row in rows.tolist():
            pools = np.flatnonzero(allowed[origins[row]])
            answers[row, pools] = forest.probability(known[origins[row], pools], pools)
    return answers


def _answerable(history: History) -> BoolArray:
    apy = history.series[APY]
    return np.asarray((apy > 0) & (np.isfinite(apy).cumsum(axis=0) >= FEWEST_OBSERVED))


class _Forest:
    """A forest of one refit day, with the codes of chains and protocols it has met."""

    def __init__(self, history: History, known: FloatArray, label: FloatArray, allowed: BoolArray, day: int) -> None:
        from sklearn.ensemble import RandomForestClassifier

        last = day - HORIZON_DAYS
        usable = allowed & np.isfinite(label)
        usable[max(last + 1, 0) :] = False
        usable &= (history.days.astype(np.int64) % TRAIN_EVERY_DAYS == 0)[:, None]
        rows, pools = np.nonzero(usable)
        self._names = [history.labels.get(name) for name in ("chain", "protocol")]
        self._codes = [_codes(names, pools) for names in self._names]
        outcome = label[rows, pools]
        self._constant = float(outcome.mean()) if len(outcome) and outcome.min() == outcome.max() else None
        self._model = None
        if len(outcome) and self._constant is None:
            self._model = RandomForestClassifier(_TREES, random_state=_SEED, n_jobs=1)
            self._model.fit(self._rows(known[rows, pools], pools), outcome)

    def _rows(self, values: FloatArray, pools: IntArray) -> FloatArray:
        coded = [
            np.array([codes.get(names[pool], -1) if names is not None else -1 for pool in pools], dtype=float)
            for names, codes in zip(self._names, self._codes, strict=True)
        ]
        return np.nan_to_num(np.column_stack([values, *coded]), nan=-1.0)

    def probability(self, values: FloatArray, pools: IntArray) -> FloatArray:
        if self._model is None:
            return np.full(len(pools), np.nan if self._constant is None else self._constant)
        if not len(pools):
            return np.empty(0)
        return np.asarray(self._model.predict_proba(self._rows(values, pools))[:, 1])


def _codes(names: ObjectArray | None, pools: IntArray) -> dict[object, int]:
    """Labels of the pools, numbered in alphabetical order."""
    if names is None:
        return {}
    return {name: place for place, name in enumerate(sorted({str(names[pool]) for pool in pools}))}


def implied_probabilities(history: History, answers: DayForecasts, first: int, origins: IntArray) -> FloatArray:
    """(n_origins, n) what a forecast of the mean APY over 30 days implies for the same label.

    `Phi((forecast - 0.8 APY_t) / sigma)` with `sigma = (q90 - q10) / 2.563`; a half where forecast and bound meet with
    no width.
    """
    rows = answers[HORIZON_DAYS]
    at = origins - first
    point, lower, upper = rows[APY][at], rows[APY, LOWER][at], rows[APY, UPPER][at]
    margin = point - HOLD_SHARE * history.series[APY][origins]
    sigma = np.maximum((upper - lower) / _Q90_WIDTH, 1e-9)
    return np.where(_answerable(history)[origins], ndtr(margin / sigma), np.nan)


def probabilities(
    history: History, forecasts: Mapping[str, DayForecasts], first: int, origins: IntArray, last: int
) -> pd.DataFrame:
    """What the forest and every model with bounds for 30 days say at the origins whose 30 days end by position `last`.

    Returns:
        pool_id, origin, model, probability, label (1: the yield held), on the pairs that all of them answer. A model
        that answers none is left out.
    """
    kept = origins[origins + HORIZON_DAYS <= last]
    label = holds(history.series[APY])[kept]
    made = {FOREST: forest_probabilities(history, kept)}
    for model, answers in forecasts.items():
        if (APY, LOWER) in answers.get(HORIZON_DAYS, {}):
            made[model] = implied_probabilities(history, answers, first, kept)
    wanted = np.isfinite(label)
    made = {model: found for model, found in made.items() if np.isfinite(found[wanted]).any()}
    for found in made.values():
        wanted = wanted & np.isfinite(found)
    at_origin, at_pool = np.nonzero(wanted)
    shared = {
        "pool_id": history.ids[at_pool],
        "origin": history.days[kept[at_origin]].astype("datetime64[ns]"),
        "label": label[at_origin, at_pool],
    }
    parts = [
        pd.DataFrame({**shared, "model": np.full(len(at_pool), model, dtype=object), "probability": found[wanted]})
        for model, found in made.items()
    ]
    columns = ["pool_id", "origin", "model", "probability", "label"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def yardsticks(rows: pd.DataFrame) -> list[Yardstick]:
    """How well each model of `probabilities` tells yields that hold, in the order of the rows."""
    found = []
    for model, own in rows.groupby("model", sort=False):
        label, said = (own[name].to_numpy(dtype=float) for name in ("label", "probability"))
        found.append(Yardstick(str(model), auc(label, said), brier(label, said), len(own), mean_of_known(label)))
    return found

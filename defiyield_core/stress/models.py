"""Forecast models of the undisturbed run, lent to cases.

Belongs here: which trained models a run used, and a forecast step that takes them instead of training. Does not belong
here: training and storing (see `forecasting`), which cases may borrow (see `branch`).

To train every weekly model of a case anew takes far longer than all the rest of it. A case of events therefore
borrows: on day d it is forecast with the trees that the undisturbed run used on day d. They see the event in their
inputs, and what levels and errors they are combined with follows it, but the trees did not learn from it. They were
trained on days up to d alone, so nothing later is known. That does not hold for a market whose days come in another
order: trees may know what followed a drawn day. Such a case must never borrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from defiyield_core.calendar import Window
from defiyield_core.forecasting.baselines import Ewma, Median, OptimisedSes, Persistence
from defiyield_core.forecasting.combination import Combination
from defiyield_core.forecasting.global_model import GlobalModel
from defiyield_core.forecasting.intervals import Calibrated
from defiyield_core.forecasting.port import Forecaster
from defiyield_core.forecasting.registry import find_forecaster
from defiyield_core.forecasting.store import MemoryModels, ModelKey, Models, ModelStore, StoredModel
from defiyield_core.forecasting.tables import pool_forecast_rows
from defiyield_core.pipeline.forecast_inputs import pool_history
from defiyield_core.pipeline.forecast_steps import needed_forecasts
from defiyield_core.pipeline.step import Step, StepContext, StepResult
from defiyield_core.pipeline.universe_steps import read_observations, written

_Place = tuple[str, int, date]
_IN_MEMORY: dict[Path, MemoryModels] = {}
"""Models that this process has read, by store."""


@dataclass(frozen=True)
class Lent:
    """The models that an undisturbed run used, by what they forecast and when they were trained.

    Attributes:
        root: folder of the model store. keys: what the run asked it for.
    """

    root: Path
    keys: tuple[ModelKey, ...]


def is_trained(name: str) -> bool:
    """Whether the forecaster of that name learns models, which takes time: all but the plain baselines."""
    return not isinstance(_innermost(find_forecaster(name)), Persistence | Ewma | Median | OptimisedSes)


def models_of(context: StepContext, window: Window) -> Lent:
    """The models behind every forecast that the loaded window used, those of its burn-in too."""
    needed = needed_forecasts(context)
    history = pool_history(context, window, needed.history_days)
    keys: dict[ModelKey, None] = {}
    for forecaster in needed.forecasters:
        member = _innermost(forecaster)
        if isinstance(member, GlobalModel):
            burn_in = forecaster.lookback_days - member.lookback_days
            first = int((np.datetime64(window.start, "D") - history.days[0]).astype(np.int64)) - burn_in
            used = member.models_used(history, max(first, 0), needed.horizons)
            keys |= dict.fromkeys(model.key for _, model in used)
    return Lent(context.settings.model_store, tuple(keys))


def borrowing(steps: Sequence[Step], lent: Lent) -> tuple[Step, ...]:
    """The steps with forecasts by the lent models, and without the record of what was trained."""

    def compute(context: StepContext, window: Window) -> StepResult:
        needed = needed_forecasts(context)
        forecasters = [_with_models(one, lent) for one in needed.forecasters]
        observed = read_observations(context, window, needed.history_days)
        history = pool_history(context, window, needed.history_days, observed)
        rows = pool_forecast_rows(observed, window, forecasters, needed.horizons, history)
        return written("pool_forecasts", rows, window)

    kept = (step for step in steps if step.name != "forecast_models")
    return tuple(replace(step, compute=compute) if step.name == "pool_forecasts" else step for step in kept)


class _LentModels:
    """A store that answers with the lent model of the same target and day, whatever data it is asked for."""

    def __init__(self, lent: Lent, model: GlobalModel) -> None:
        self._keys: Mapping[_Place, ModelKey] = {_place(key): key for key in lent.keys if key.name == model.name}
        self._memory = _IN_MEMORY.setdefault(lent.root, MemoryModels())
        self._store = ModelStore(lent.root, model.engine)
        self._own = MemoryModels()

    def get(self, key: ModelKey) -> StoredModel | None:
        """The lent model; one that was trained here where none was lent."""
        lent = self._keys.get(_place(key))
        if lent is None:
            return self._own.get(key)
        model = self._memory.get(lent) or self._store.get(lent)
        if model is not None:
            self._memory.put(replace(model, key=lent))
            return model
        return self._own.get(key)

    def put(self, model: StoredModel) -> None:
        """Keep it for this case."""
        self._own.put(model)


def _place(key: ModelKey) -> _Place:
    return key.point, key.horizon_days, key.trained_through


def _with_models(forecaster: Forecaster, lent: Lent) -> Forecaster:
    match forecaster:
        case Calibrated():
            return replace(forecaster, inner=_with_models(forecaster.inner, lent))
        case Combination():
            return replace(forecaster, member=_with_models(forecaster.member, lent))
        case GlobalModel():
            models: Models = _LentModels(lent, forecaster)
            return replace(forecaster, models=models)
    return forecaster


def _innermost(forecaster: Forecaster) -> Forecaster:
    match forecaster:
        case Calibrated():
            return _innermost(forecaster.inner)
        case Combination():
            return _innermost(forecaster.member)
    return forecaster

"""Forecasters by name. A new one is one line below; portfolios name it in `forecaster`.

Belongs here: the list. Does not belong here: models. Learning libraries are imported when a model that needs them is
asked for, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.baselines import Ewma, Median, OptimisedSes, Persistence
from defiyield_core.forecasting.port import Forecaster

ALWAYS = ("ewma", "persistence")
"""Baselines that are stored whatever the portfolios use, so that every model has its yardstick."""


def _lightgbm() -> Forecaster:
    from defiyield_core.forecasting.boosting import LightGBM
    from defiyield_core.forecasting.global_model import GlobalModel

    return GlobalModel(LightGBM())


def _xgboost() -> Forecaster:
    from defiyield_core.forecasting.boosting import XGBoost
    from defiyield_core.forecasting.global_model import GlobalModel

    return GlobalModel(XGBoost())


def _combination() -> Forecaster:
    from defiyield_core.forecasting.combination import Combination

    return Combination(find_forecaster("lightgbm"))


def _skforecast_lightgbm() -> Forecaster:
    from defiyield_core.forecasting.boosting import LightGBM
    from defiyield_core.forecasting.multiseries import MultiSeries

    return MultiSeries("skforecast_lightgbm", LightGBM().estimator)


def _skforecast_xgboost() -> Forecaster:
    from defiyield_core.forecasting.boosting import XGBoost
    from defiyield_core.forecasting.multiseries import MultiSeries

    return MultiSeries("skforecast_xgboost", XGBoost().estimator)


FORECASTERS: dict[str, Callable[[], Forecaster]] = {
    "persistence": Persistence,
    "ewma": Ewma,
    "median_7d": Median,
    "ses": OptimisedSes,
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "combination": _combination,
    "skforecast_lightgbm": _skforecast_lightgbm,
    "skforecast_xgboost": _skforecast_xgboost,
}


DEFAULT = "combination"
"""The model that portfolios use unless told otherwise; chosen on 2024-09..2024-11, before the test span."""


@cache
def find_forecaster(name: str) -> Forecaster:
    """The forecaster by that name.

    Raises:
        ConfigurationError: listing the names there are.
    """
    if name not in FORECASTERS:
        raise ConfigurationError(f"no forecaster '{name}': there are {', '.join(sorted(FORECASTERS))}")
    return FORECASTERS[name]()


def with_store(forecaster: Forecaster, root: Path) -> Forecaster:
    """The forecaster with its trained models kept under a directory; one without such models stays as it is."""
    from defiyield_core.forecasting.combination import Combination
    from defiyield_core.forecasting.global_model import GlobalModel
    from defiyield_core.forecasting.store import Layered, MemoryModels, ModelStore

    if isinstance(forecaster, Combination):
        return replace(forecaster, member=with_store(forecaster.member, root))
    if isinstance(forecaster, GlobalModel):
        lasting = ModelStore(root, forecaster.engine)
        return replace(forecaster, models=Layered(MemoryModels(), lasting))
    return forecaster


def prune_models(root: Path, keep: int) -> int:
    """Remove all but the `keep` last used models of each engine under a directory; the number removed."""
    from defiyield_core.forecasting.boosting import LightGBM, XGBoost
    from defiyield_core.forecasting.store import ModelStore

    engines = [engine for engine in (LightGBM(), XGBoost()) if (root / engine.name).is_dir()]
    return sum(ModelStore(root, engine).prune(keep) for engine in engines)

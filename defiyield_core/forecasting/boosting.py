"""Gradient boosting engines: train on arrays, predict, and to and from their own text formats.

Belongs here: the two libraries and their settings. Does not belong here: features, targets, the calendar of refits.

Both minimise the absolute error and run on one thread each with fixed seeds, so that the same rows always give the same
trees; several models are trained side by side instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from defiyield_core.errors import DataError
from defiyield_core.units import FloatArray

# Both libraries bring scikit-learn and scipy.stats, a second of imports: only what trains or predicts imports them.
if TYPE_CHECKING:
    import lightgbm
    import xgboost

_LIGHTGBM = {
    "objective": "l1",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "max_bin": 63,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
_XGBOOST = {
    "objective": "reg:absoluteerror",
    "learning_rate": 0.05,
    "max_depth": 4,
    "min_child_weight": 50,
    "colsample_bynode": 0.5,
    "subsample": 0.7,
    "reg_lambda": 1.0,
    "max_bin": 64,
    "tree_method": "hist",
    "base_score": 0.0,
    "seed": 1,
    "nthread": 1,
    "verbosity": 0,
}


class Booster(Protocol):
    """A trained model."""

    def predict(self, rows: np.ndarray) -> FloatArray:
        """(n_rows,) predictions for features (n_rows, f)."""
        ...

    def text(self) -> str:
        """The model in its library's own text format."""
        ...


class Engine(Protocol):
    """A library: its name, its settings, and the suffix and first characters of its text format."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def opening(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def train(self, rows: np.ndarray, target: FloatArray) -> Booster:
        """Fit features (n_rows, f) to the target (n_rows,)."""
        ...

    def read(self, text: str) -> Booster:
        """The model that `text()` wrote.

        Raises:
            DataError: the library cannot read it.
        """
        ...


@dataclass(frozen=True)
class _LightGBMBooster:
    model: lightgbm.Booster

    def predict(self, rows: np.ndarray) -> FloatArray:
        return np.asarray(self.model.predict(rows, num_threads=1), dtype=float)

    def text(self) -> str:
        return str(self.model.model_to_string())


@dataclass(frozen=True)
class LightGBM:
    """LightGBM with an absolute loss."""

    rounds: int = 150
    parameters: Mapping[str, Any] = field(default_factory=lambda: dict(_LIGHTGBM), hash=False)
    name: str = "lightgbm"
    suffix: str = ".txt"
    opening: str = "tree"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that decides the trees besides the rows."""
        return {**self.parameters, "rounds": self.rounds, "library": version("lightgbm")}

    def estimator(self) -> lightgbm.LGBMRegressor:
        """The same trees as an estimator of scikit-learn's kind."""
        import lightgbm

        return lightgbm.LGBMRegressor(n_estimators=self.rounds, **self.parameters)

    def train(self, rows: np.ndarray, target: FloatArray) -> Booster:
        """Fit features (n_rows, f) to the target (n_rows,)."""
        import lightgbm

        data = lightgbm.Dataset(rows, target, params=dict(self.parameters))
        return _LightGBMBooster(lightgbm.train(dict(self.parameters), data, self.rounds))

    def read(self, text: str) -> Booster:
        """The model that `text()` wrote; see `Engine`."""
        import lightgbm

        try:
            return _LightGBMBooster(lightgbm.Booster(model_str=text))
        except lightgbm.basic.LightGBMError as error:
            raise DataError(f"not a model that LightGBM can read: {_first_line(error)}") from error


@dataclass(frozen=True)
class _XGBoostBooster:
    model: xgboost.Booster

    def predict(self, rows: np.ndarray) -> FloatArray:
        return np.asarray(self.model.inplace_predict(rows), dtype=float)

    def text(self) -> str:
        return self.model.save_raw("json").decode()


@dataclass(frozen=True)
class XGBoost:
    """XGBoost with an absolute loss."""

    rounds: int = 150
    parameters: Mapping[str, Any] = field(default_factory=lambda: dict(_XGBOOST), hash=False)
    name: str = "xgboost"
    suffix: str = ".json"
    opening: str = "{"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that decides the trees besides the rows."""
        return {**self.parameters, "rounds": self.rounds, "library": version("xgboost-cpu")}

    def estimator(self) -> xgboost.XGBRegressor:
        """The same trees as an estimator of scikit-learn's kind."""
        import xgboost

        return xgboost.XGBRegressor(n_estimators=self.rounds, **self.parameters)

    def train(self, rows: np.ndarray, target: FloatArray) -> Booster:
        """Fit features (n_rows, f) to the target (n_rows,)."""
        import xgboost

        return _XGBoostBooster(
            xgboost.train(dict(self.parameters), xgboost.DMatrix(rows, target, nthread=1), self.rounds)
        )

    def read(self, text: str) -> Booster:
        """The model that `text()` wrote; see `Engine`."""
        import xgboost

        model = xgboost.Booster({"nthread": 1})
        try:
            model.load_model(bytearray(text.encode()))
        except xgboost.core.XGBoostError as error:
            raise DataError(f"not a model that XGBoost can read: {_first_line(error)}") from error
        return _XGBoostBooster(model)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

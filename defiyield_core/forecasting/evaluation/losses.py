"""Losses of all models on one target and horizon, as arrays from the table of scores.

Belongs here: the shape of the arrays and the units of an error. Does not belong here: figures (see `scorecard`).

Errors of APY are in percentage points. Errors of TVL are in percent of the pool's mean TVL over its scored origins, so
that no pool decides a total by its size, while the error of a pool over that of persistence is the same as in USD.
Errors of gas are in gwei.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from defiyield_core.forecasting.evaluation.metrics import mean_by_pool
from defiyield_core.units import FloatArray, IntArray

REFERENCE = "persistence"
"""The model that all others are compared with."""
SHARED = ("actual", "lifetime_scale", "lifetime_rms", "tvl_usd", "eligible")
OWN = ("forecast", "lower", "upper")


@dataclass(frozen=True)
class Group:
    """Scores of all models on one target and horizon, as arrays (n_origins, n_pools); NaN where there is no pair.

    Attributes:
        shared: what all models have in common by column: actual, lifetime_scale, lifetime_rms, eligible.
        own: by model and column: forecast, lower, upper.
        tvl_usd: (n_pools,) mean over the scored origins.
        unit: (n_pools,) factor from the unit of the forecast to that of the error.
    """

    target: str
    horizon_days: int
    pools: list[str]
    shared: Mapping[str, FloatArray]
    own: Mapping[str, Mapping[str, FloatArray]]
    tvl_usd: FloatArray
    unit: FloatArray

    def loss(self, model: str) -> FloatArray:
        """Absolute errors in the unit of the card."""
        return np.asarray(np.abs(self.own[model]["forecast"] - self.shared["actual"]) * self.unit)


def groups(frame: pd.DataFrame) -> Iterator[Group]:
    """The scores by target and horizon, in their order; models in alphabetical order, persistence first."""
    for (target, horizon), rows in frame.groupby(["target", "horizon_days"], sort=True):
        origin, origins = pd.factorize(rows["origin"], sort=True)
        place, pools = pd.factorize(rows["pool_id"], sort=True)
        models = rows["model"].to_numpy()
        shape = (len(origins), len(pools))

        flat = origin * shape[1] + place
        values = {name: rows[name].to_numpy(dtype=float) for name in (*SHARED, *OWN)}
        names = sorted(set(models), key=lambda name: (name != REFERENCE, name))
        at = {name: np.flatnonzero(models == name) for name in names}
        own = {name: {key: _panel(values[key][at[name]], flat[at[name]], shape) for key in OWN} for name in names}
        shared = {key: _panel(values[key][at[names[0]]], flat[at[names[0]]], shape) for key in SHARED}
        tvl = mean_by_pool(shared["tvl_usd"])
        yield Group(str(target), int(horizon), list(pools), shared, own, tvl, _unit(str(target), tvl))


def _unit(target: str, tvl_usd: FloatArray) -> FloatArray:
    """(n_pools,) factor from the unit of the forecast to that of the error."""
    if target == "tvl":
        return np.divide(100.0, tvl_usd, out=np.full_like(tvl_usd, np.nan), where=tvl_usd > 0)
    return np.full(len(tvl_usd), 1.0 if target == "gas" else 100.0)


def _panel(values: FloatArray, flat: IntArray, shape: tuple[int, int]) -> FloatArray:
    filled = np.full(shape[0] * shape[1], np.nan)
    filled[flat] = values
    return filled.reshape(shape)

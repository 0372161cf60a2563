"""A small made-up market with something to learn: pools that revert to a slow level; one has gaps, one dies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from defiyield_core.forecasting.boosting import LightGBM, XGBoost
from defiyield_core.forecasting.global_model import GlobalModel
from defiyield_core.forecasting.port import DayForecasts, History
from defiyield_core.forecasting.store import MemoryModels

N_POOLS = 12
DIES, GAPPED, YOUNG = 3, 4, 5


def market(n_days: int = 220, seed: int = 3, begin: str = "2024-01-01") -> History:
    """`N_POOLS` pools; one dies 30 days before the end, one misses every fifth day, one is 10 days old."""
    random = np.random.default_rng(seed)
    days = np.datetime64(begin, "D") + np.arange(n_days)
    level = (
        0.05 + 0.02 * random.standard_normal((1, N_POOLS)) + 0.002 * random.standard_normal((n_days, N_POOLS)).cumsum(0)
    )
    apy = np.abs(level + 0.01 * random.standard_normal((n_days, N_POOLS)))
    tvl = 1e7 * np.exp(0.02 * random.standard_normal((n_days, N_POOLS)).cumsum(0))
    for values in (apy, tvl):
        values[-30:, DIES] = np.nan
        values[::5, GAPPED] = np.nan
        values[:-10, YOUNG] = np.nan
    ids = np.array([f"p{pool:02d}" for pool in range(N_POOLS)], dtype=object)
    labels = {
        "protocol": np.array(["aave", "curve", "euler"] * 4, dtype=object),
        "chain": np.array(["ethereum", "base"] * 6, dtype=object),
        "symbol": ids,
        "token": np.array(["USDC", "USDT", "DAI-USDC"] * 4, dtype=object),
    }
    prices = {name: np.exp(0.03 * random.standard_normal(n_days).cumsum()) for name in ("eth_usd", "btc_usd")}
    coins = {"USDC": 1.0 + 0.001 * random.standard_normal(n_days), "gas_price_gwei": 5.0 + random.random(n_days)}
    series = {"apy": apy, "tvl_usd": tvl, "apy_base": 0.7 * apy, "apy_reward": 0.3 * apy}
    return History(days, ids, series, labels, {**prices, **coins})


def scrambled_after(history: History, position: int, seed: int = 9) -> History:
    """The history with everything after `position` replaced by noise."""
    random = np.random.default_rng(seed)

    def spoilt(values: np.ndarray) -> np.ndarray:
        changed = values.copy()
        changed[position + 1 :] = random.random(changed[position + 1 :].shape) * 7.0
        return changed

    series = {name: spoilt(values) for name, values in history.series.items()}
    return replace(history, series=series, market={name: spoilt(values) for name, values in history.market.items()})


def quick(engine: LightGBM | XGBoost | None = None, window_days: int = 90) -> GlobalModel:
    """A global model with few trees, a short window, and no models of other tests."""
    return GlobalModel(replace(engine or LightGBM(), rounds=15), MemoryModels(), window_days)


def assert_same(left: DayForecasts, right: DayForecasts, tolerance: float = 0.0) -> None:
    """Equal horizons, names and numbers, missing ones included."""
    assert left.keys() == right.keys()
    for horizon, rows in left.items():
        assert rows.keys() == right[horizon].keys()
        for key, values in rows.items():
            np.testing.assert_allclose(
                values, right[horizon][key], rtol=tolerance, atol=0.0, err_msg=f"{horizon} {key}"
            )

"""Gas prices by the hour and by the day.

Belongs here: the means. Does not belong here: what a transaction costs (see `units.gas_leg_usd`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

_MEANS = ("base_fee_gwei", "priority_fee_gwei", "eth_usd")


def hourly_gas(raw: pd.DataFrame) -> pd.DataFrame:
    """Rows of `gas_fees_hourly`: the mean of the raw rows of each hour."""
    ordered = raw.sort_values("valid_at", kind="stable")
    hours, index = np.unique(ordered["valid_at"].to_numpy(dtype="datetime64[h]"), return_inverse=True)
    return _means(ordered, index, {"date": _midnight(hours), "hour": hours.astype("datetime64[ns]")})


def daily_gas(hourly: pd.DataFrame) -> pd.DataFrame:
    """Rows of `gas_fees_daily`: means over the observed hours of each day, and the highest hourly price."""
    ordered = hourly.sort_values("hour", kind="stable")
    days, index = np.unique(ordered["hour"].to_numpy(dtype="datetime64[D]"), return_inverse=True)
    highest = np.full(len(days), -np.inf)
    np.maximum.at(highest, index, (ordered["base_fee_gwei"] + ordered["priority_fee_gwei"]).to_numpy())
    return _means(ordered, index, {"date": _midnight(days)}).assign(
        max_gas_price_gwei=highest, hours=np.bincount(index, minlength=len(days))
    )


def _midnight(moments: np.ndarray) -> np.ndarray:
    return moments.astype("datetime64[D]").astype("datetime64[ns]")


def _means(ordered: pd.DataFrame, index: np.ndarray, keys: dict[str, np.ndarray]) -> pd.DataFrame:
    size = len(keys["date"])
    count = np.bincount(index, minlength=size)
    sums = {name: np.bincount(index, ordered[name].to_numpy(dtype=float), size) for name in _MEANS}
    return pd.DataFrame({**keys, **{name: total / count for name, total in sums.items()}})

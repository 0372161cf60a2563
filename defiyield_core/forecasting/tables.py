"""Rows of the forecast tables.

Belongs here: what may be forecast, the bounds of a forecast, the shape of its rows. Does not belong here: models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.forecasting.port import APY, GAS, MAX_AGE_DAYS, TVL, Forecaster, History, forecast_days
from defiyield_core.panel import Panel, newest_observed, to_long
from defiyield_core.units import FloatArray
from defiyield_core.universe.metrics import FLAG_APY

LOWEST_APY = -1.0
LOWEST_TVL_USD = 0.0
_GAS_ID = np.array(["gas"], dtype=object)


def history_days(forecasters: Sequence[Forecaster]) -> int:
    """Days before a window that its forecasts need."""
    return max((forecaster.lookback_days for forecaster in forecasters), default=1)


def pool_forecast_rows(
    observed: Panel, window: Window, forecasters: Sequence[Forecaster], horizons: Sequence[int]
) -> pd.DataFrame:
    """Rows of `pool_forecasts` for the window.

    A pool is forecast when its newest observation is at most 3 days old and not flagged; flagged days are missing days.

    Args:
        observed: `apy` and `tvl_usd`, from `history_days` before the window on.
    """
    first = observed.index_of(window.start)
    apy = observed["apy"]
    sane = np.where(apy > FLAG_APY, np.nan, apy)
    newest, newest_sane = newest_observed(apy)[first:], newest_observed(sane)[first:]
    age = np.arange(first, len(apy))[:, None] - newest
    allowed = (newest >= 0) & (newest == newest_sane) & (age <= MAX_AGE_DAYS)
    history = History(observed.days, observed.ids, {APY: sane, TVL: observed["tvl_usd"]})
    parts = []
    for forecaster in forecasters:
        if not {APY, TVL} <= forecaster.targets:
            continue
        for horizon, point in forecast_days(forecaster, history, first, horizons).items():
            known = allowed & np.isfinite(point[APY]) & np.isfinite(point[TVL])
            columns = {
                "apy": np.maximum(point[APY], LOWEST_APY),
                "tvl_usd": np.maximum(point[TVL], LOWEST_TVL_USD),
                "observed_age_days": age,
            }
            rows = to_long(observed.days[first:], observed.ids, known, columns, id_column="pool_id")
            parts.append(_labelled(rows, forecaster.name, horizon))
    return pd.concat(parts, ignore_index=True)


def gas_forecast_rows(
    daily: Mapping[str, FloatArray],
    days: np.ndarray,
    window: Window,
    forecasters: Sequence[Forecaster],
    horizons: Sequence[int],
) -> pd.DataFrame:
    """Rows of `gas_forecasts` for the window; none on a day whose newest gas price is more than 3 days old.

    Args:
        daily: `gas_price_gwei` (base fee and tip) and `eth_usd`, each (n_days,), NaN is missing.
        days: (n_days,) consecutive, from `history_days` before the window on.
    """
    gas = daily["gas_price_gwei"][:, None]
    first = int((np.datetime64(window.start, "D") - days[0]).astype(np.int64))
    newest = newest_observed(gas)[first:]
    allowed = (newest >= 0) & (np.arange(first, len(gas))[:, None] - newest <= MAX_AGE_DAYS)
    eth = daily["eth_usd"][np.maximum(newest, 0)]
    history = History(days, _GAS_ID, {GAS: gas})
    parts = []
    for forecaster in forecasters:
        if GAS not in forecaster.targets:
            continue
        for horizon, point in forecast_days(forecaster, history, first, horizons).items():
            known = allowed & np.isfinite(point[GAS])
            columns = {"gas_price_gwei": np.maximum(point[GAS], 0.0), "eth_usd": eth}
            rows = to_long(days[first:], _GAS_ID, known, columns, id_column="series")
            parts.append(_labelled(rows.drop(columns="series"), forecaster.name, horizon))
    return pd.concat(parts, ignore_index=True)


def _labelled(rows: pd.DataFrame, model: str, horizon: int) -> pd.DataFrame:
    return rows.assign(model=np.full(len(rows), model, dtype=object), horizon_days=horizon)

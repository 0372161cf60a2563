"""Rows of the forecast tables.

Belongs here: what may be forecast, the bounds of a forecast, the shape of its rows. Does not belong here: models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.forecasting.intervals import LOWER, UPPER, Calibrated, risk_adjusted_apy
from defiyield_core.forecasting.port import (
    APY,
    APY_AT,
    GAS,
    GAS_ID,
    MAX_AGE_DAYS,
    TVL,
    Forecaster,
    History,
    PointOrQuantile,
    TrainedForecaster,
    forecast_days,
)
from defiyield_core.panel import Panel, newest_observed, to_long
from defiyield_core.units import FloatArray
from defiyield_core.universe.metrics import FLAG_APY

if TYPE_CHECKING:
    from defiyield_core.forecasting.store import StoredModel

LOWEST_APY = -1.0
LOWEST_TVL_USD = 0.0
_GAS_IDS = np.array([GAS_ID], dtype=object)
_POOL_COLUMNS: dict[str, tuple[PointOrQuantile, float]] = {
    "apy": (APY, LOWEST_APY),
    "apy_lower": ((APY, LOWER), LOWEST_APY),
    "apy_upper": ((APY, UPPER), LOWEST_APY),
    "apy_at": (APY_AT, LOWEST_APY),
    "apy_at_lower": ((APY_AT, LOWER), LOWEST_APY),
    "apy_at_upper": ((APY_AT, UPPER), LOWEST_APY),
    "tvl_usd": (TVL, LOWEST_TVL_USD),
    "tvl_lower_usd": ((TVL, LOWER), LOWEST_TVL_USD),
    "tvl_upper_usd": ((TVL, UPPER), LOWEST_TVL_USD),
}
"""Column -> point or quantile of a forecast, and the lowest value there is."""


def history_days(forecasters: Sequence[Forecaster]) -> int:
    """Days before a window that its forecasts need."""
    return max((forecaster.lookback_days for forecaster in forecasters), default=1)


def pool_forecast_rows(
    observed: Panel,
    window: Window,
    forecasters: Sequence[Forecaster],
    horizons: Sequence[int],
    history: History | None = None,
) -> pd.DataFrame:
    """Rows of `pool_forecasts` for the window.

    A pool is forecast when its newest observation is at most 3 days old and not flagged; flagged days are missing days.

    Args:
        observed: `apy` and `tvl_usd`, from `history_days` before the window on.
        history: the same pools and days with everything that models may use (default: APY and TVL alone).
    """
    first = observed.index_of(window.start)
    apy = observed["apy"]
    sane = np.where(apy > FLAG_APY, np.nan, apy)
    newest, newest_sane = newest_observed(apy)[first:], newest_observed(sane)[first:]
    age = np.arange(first, len(apy))[:, None] - newest
    allowed = (newest >= 0) & (newest == newest_sane) & (age <= MAX_AGE_DAYS)
    known = history or History(observed.days, observed.ids, {APY: sane, TVL: observed["tvl_usd"]})
    parts = []
    for forecaster in forecasters:
        if not {APY, TVL} <= forecaster.targets:
            continue
        for horizon, rows in forecast_days(forecaster, known, first, horizons).items():
            made = allowed & np.isfinite(rows[APY]) & np.isfinite(rows[TVL])
            columns = {**_pool_columns(rows), "observed_age_days": age}
            long = to_long(observed.days[first:], observed.ids, made, columns, id_column="pool_id")
            parts.append(_labelled(long, forecaster.name, horizon))
    return pd.concat(parts, ignore_index=True)


def _pool_columns(rows: Mapping[PointOrQuantile, FloatArray]) -> dict[str, FloatArray]:
    """Points and bounds of one horizon by column; NaN where the forecaster has none."""
    unknown = np.full_like(rows[APY], np.nan)
    found = {column: rows.get(key, unknown) for column, (key, _) in _POOL_COLUMNS.items()}
    found["risk_adjusted_apy"] = risk_adjusted_apy(found["apy"], found["apy_lower"])
    if (APY, LOWER) not in rows:
        found["risk_adjusted_apy"] = unknown
    lowest = {"risk_adjusted_apy": LOWEST_APY, **{column: low for column, (_, low) in _POOL_COLUMNS.items()}}
    return {column: np.maximum(values, lowest[column]) for column, values in found.items()}


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
    history = History(days, _GAS_IDS, {GAS: gas})
    parts = []
    for forecaster in forecasters:
        if GAS not in forecaster.targets:
            continue
        for horizon, rows in forecast_days(forecaster, history, first, horizons).items():
            known = allowed & np.isfinite(rows[GAS])
            unknown = np.full_like(rows[GAS], np.nan)
            prices = {
                "gas_price_gwei": rows[GAS],
                "lower_gwei": rows.get((GAS, LOWER), unknown),
                "upper_gwei": rows.get((GAS, UPPER), unknown),
            }
            columns = {**{name: np.maximum(values, 0.0) for name, values in prices.items()}, "eth_usd": eth}
            long = to_long(days[first:], _GAS_IDS, known, columns, id_column="series")
            parts.append(_labelled(long.drop(columns="series"), forecaster.name, horizon))
    return pd.concat(parts, ignore_index=True)


def model_rows(
    history: History, first: int, forecasters: Sequence[Forecaster], horizons: Sequence[int]
) -> pd.DataFrame:
    """Rows of `forecast_models` for the days from position `first` on; models that are not in the store are trained."""
    rows = []
    newest = newest_observed(np.where(np.isfinite(history.series[APY]).any(axis=1), 0.0, np.nan)[:, None])[:, 0]
    for forecaster in forecasters:
        trained = _inner(forecaster)
        if not isinstance(trained, TrainedForecaster):
            continue
        for day, model in trained.models_used(history, first, horizons):
            through = int((np.datetime64(model.key.trained_through, "D") - history.days[0]).astype(np.int64))
            seen = newest[through] if through >= 0 else -1
            observed = history.days[seen] if seen >= 0 else np.datetime64("NaT", "D")
            rows.append((np.datetime64(day, "D"), forecaster.name, *_model_facts(model), observed))
    frame = pd.DataFrame(rows, columns=list(table("forecast_models").column_names))
    dates = ("date", "trained_from", "trained_through", "observed_through")
    return frame.astype(dict.fromkeys(dates, "datetime64[ns]"))


def is_trained(forecaster: Forecaster) -> bool:
    """Whether it uses models that are trained and kept."""
    return isinstance(_inner(forecaster), TrainedForecaster)


def _inner(forecaster: Forecaster) -> Forecaster:
    return forecaster.inner if isinstance(forecaster, Calibrated) else forecaster


def _model_facts(model: StoredModel) -> tuple[object, ...]:
    """Columns of `forecast_models` between the forecaster's name and the newest observation."""
    key, known = model.key, model.metrics
    return (
        key.point,
        key.horizon_days,
        key.version,
        key.trained_from,
        key.trained_through,
        key.fingerprint,
        int(known.get("rows", 0)),
        known.get("in_sample_mae_scaled", np.nan),
        known.get("smooth_level_mae_scaled", np.nan),
    )


def _labelled(rows: pd.DataFrame, model: str, horizon: int) -> pd.DataFrame:
    return rows.assign(model=np.full(len(rows), model, dtype=object), horizon_days=horizon)

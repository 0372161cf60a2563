"""Metrics of pools by the day (domain, section 3): rolling statistics, changes, gaps and flags.

Belongs here: the formulas. Does not belong here: where observations come from (see `observations`), what is made of
them (see `groups`, `eligibility`). Every statistic is a loop over lags with elementwise arithmetic, so that a day's row
is the same bits whether it is computed alone or in a long window.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.panel import Panel, lagged, newest_observed, to_long
from defiyield_core.units import FloatArray
from defiyield_core.universe.observations import FRESH_DAYS

CARRY_DAYS = FRESH_DAYS
FLAG_APY = 10.0
"""Above this (1000 %) an APY is absurd: kept, flagged, never used."""
ROW_DAYS = 30
"""A pool keeps its rows for this long after its newest observation, so that its absence shows."""
LONG_DAYS = 30


def rolling_mean_std(values: FloatArray, days: int, first: int) -> tuple[FloatArray, FloatArray]:
    """Mean and sample standard deviation of the observed days among the last `days`, ending on each day.

    `mean = sum(x) / n`, `std = sqrt(sum((x - mean)^2) / (n - 1))`; NaN with fewer than 2 observations.

    Args:
        values: (n_days, n). first: position of the first day wanted.

    Returns:
        Two arrays (n_days - first, n).
    """
    shape = (len(values) - first, values.shape[1])
    count, total, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for lag in reversed(range(days)):
        value = lagged(values, lag, first)
        seen = ~np.isnan(value)
        count += seen
        total += np.where(seen, value, 0.0)
    enough = count >= 2
    mean = np.where(enough, total / np.where(enough, count, 1.0), np.nan)
    for lag in reversed(range(days)):
        value = lagged(values, lag, first)
        distance = np.where(np.isnan(value), 0.0, value - mean)
        squares += distance * distance
    return mean, np.where(enough, np.sqrt(squares / np.where(enough, count - 1.0, 1.0)), np.nan)


def carried(values: FloatArray, first: int) -> tuple[FloatArray, FloatArray]:
    """Values with gaps filled by the newest observation of at most 3 days before, and the age of what was used.

    Returns:
        Two arrays (n_days - first, n): filled values (NaN where the gap is longer), age in days (NaN before any value).
    """
    newest = newest_observed(values)[first:]
    age = np.where(newest >= 0, np.arange(first, len(values))[:, None] - newest, np.nan)
    filled = np.take_along_axis(values, np.maximum(newest, 0), axis=0)
    return np.where(age <= CARRY_DAYS, filled, np.nan), age


def pool_metrics(panel: Panel, window: Window) -> pd.DataFrame:
    """Rows of `pool_daily_metrics` for the window.

    A pool has rows from its first observation until 30 days after its newest. An observation is a day with an APY.

    Args:
        panel: `apy` and `tvl_usd` from the first stored day to the end of the window; the part before it is warm-up.
    """
    first = max(panel.index_of(window.start), 0)
    apy, tvl = panel["apy"], panel["tvl_usd"]
    apy_filled, age = carried(apy, first)
    tvl_filled, tvl_age = carried(tvl, first)
    columns: dict[str, npt.NDArray] = {
        "apy": apy[first:],
        "tvl_usd": tvl[first:],
        "apy_filled": apy_filled,
        "tvl_usd_filled": tvl_filled,
        "is_carried": ((age > 0) & ~np.isnan(apy_filled)) | ((tvl_age > 0) & ~np.isnan(tvl_filled)),
        "is_flagged": np.nan_to_num(apy_filled) > FLAG_APY,
        "apy_change_1d": apy[first:] - lagged(apy, 1, first),
        "tvl_change_1d_usd": tvl[first:] - lagged(tvl, 1, first),
    }
    for days in (7, LONG_DAYS):
        columns[f"apy_mean_{days}d"], columns[f"apy_std_{days}d"] = rolling_mean_std(apy, days, first)
        columns[f"tvl_mean_{days}d_usd"], columns[f"tvl_std_{days}d_usd"] = rolling_mean_std(tvl, days, first)
    observed = ~np.isnan(apy)
    so_far = np.cumsum(observed, axis=0, dtype=np.int64)
    columns["history_days"] = so_far[first:]
    columns["missing_share_30d"] = _missing_share(observed, first)
    columns["age_days"] = np.nan_to_num(age).astype(np.int64)
    return to_long(panel.days[first:], panel.ids, age <= ROW_DAYS, columns, id_column="pool_id")


def _missing_share(observed: np.ndarray, first: int) -> FloatArray:
    """Missing days among the last 30, counted from a pool's first observation on."""
    begun_at = np.where(observed.any(axis=0), observed.argmax(axis=0), len(observed))
    days_since = np.arange(first, len(observed))[:, None] - begun_at + 1
    of_days = np.clip(days_since, 1, LONG_DAYS)
    seen = np.zeros(of_days.shape)
    values = np.where(observed, 1.0, np.nan)
    for lag in range(LONG_DAYS):
        seen += ~np.isnan(lagged(values, lag, first))
    return np.asarray(np.clip(1.0 - seen / of_days, 0.0, 1.0))

"""What was observed of pools, day by day: the chart, completed by the day's snapshot.

Belongs here: which number of which table stands for a pool's day, and when silence means that a pool is gone.
Does not belong here: statistics (see `metrics`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from defiyield_core.calendar import DayArray
from defiyield_core.panel import Panel, lagged, newest_observed, to_panel
from defiyield_core.units import BoolArray, IntArray

FRESH_DAYS = 3
"""A gap is carried forward for at most this many days."""
REFERENCE_DAYS = 14
"""Days whose pools a day is held against, to tell an outage that lets a few pools through from pools that are gone."""
SOURCE_UP_SHARE = 0.5
"""The source counts as up on a day when at least this share of the reporting pools has a row."""


def pool_observations(history: pd.DataFrame, snapshots: pd.DataFrame, days: DayArray) -> Panel:
    """APY and TVL of every pool with a row on `days`: panel of `apy` and `tvl_usd`.

    The chart's number wins; where it has none for a day, the snapshot of that same day stands in.

    Args:
        history: rows of `raw_defillama_pool_history`.
        snapshots: rows of `raw_defillama_pools`; only those of stablecoin pools count.
    """
    stable = snapshots[snapshots["stablecoin"].to_numpy(dtype=bool)]
    known = np.asarray(sorted({*history["pool_id"].unique(), *stable["pool_id"].unique()}), dtype=object)
    chart = to_panel(history, ("apy", "tvl_usd"), id_column="pool_id", days=days, ids=known)
    snapshot = to_panel(stable, ("apy", "tvl_usd"), id_column="pool_id", days=days, ids=known)
    merged = {name: np.where(np.isnan(chart[name]), snapshot[name], chart[name]) for name in ("apy", "tvl_usd")}
    return Panel(days, known, merged)


def source_is_up(observed: BoolArray) -> BoolArray:
    """(n_days,) whether the source as a whole reported.

    It did when at least half of the pools that had a row in the 14 days before have one today (any row will do when
    there were none). A day on which the source is down is no pool's absence.
    """
    values = np.where(observed, 1.0, np.nan)
    reporting = np.zeros_like(observed)
    for lag in range(1, REFERENCE_DAYS + 1):
        reporting |= ~np.isnan(lagged(values, lag, 0))
    still_there = (observed & reporting).sum(axis=1)
    return np.asarray(observed.any(axis=1) & (still_there >= SOURCE_UP_SHARE * reporting.sum(axis=1)))


def absent_days(observed: BoolArray) -> IntArray:
    """(n_days, n_pools) days in a row, up to and including the day, on which the source was up and the pool had no row.

    A pool without any row so far is absent since the first day of the panel.
    """
    up_so_far = np.concatenate([[0], np.cumsum(source_is_up(observed))])
    newest = newest_observed(np.where(observed, 1.0, np.nan))
    return np.asarray(up_so_far[1:, None] - up_so_far[newest + 1], dtype=np.int64)

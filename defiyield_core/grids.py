"""Rows of long frames placed into arrays of days and names, and what is known there from before.

Belongs here: placing, carrying, ages. Does not belong here: which tables are read (see `history`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from defiyield_core.calendar import DayArray
from defiyield_core.units import BoolArray, FloatArray, IntArray

NEVER = 10_000
"""Age in days of something that was never observed."""


class Grid:
    """Places rows of a long frame into [days x names] arrays."""

    def __init__(self, days: DayArray, names: tuple[str, ...], key: str) -> None:
        self._first = days[0]
        self._shape = (len(days), len(names))
        self._names = pd.Index(names)
        self._key = key

    def of(self, frame: pd.DataFrame, column: str, missing: float | bool | np.int64) -> np.ndarray:
        """Array of one column, `missing` where there is no row."""
        grid = np.full(self._shape, missing)
        self.put(frame, column, grid)
        return grid

    def put(self, frame: pd.DataFrame, column: str, grid: np.ndarray) -> None:
        """Write one column into an existing array."""
        column_of = self._names.get_indexer(frame[self._key])
        row_of = (frame["date"].to_numpy().astype("datetime64[D]") - self._first).astype(int)
        inside = (column_of >= 0) & (row_of >= 0) & (row_of < self._shape[0])
        grid[row_of[inside], column_of[inside]] = frame[column].to_numpy()[inside]


def carried(values: FloatArray) -> FloatArray:
    """Last finite value of each column, NaN before the first."""
    rows = np.where(np.isfinite(values), np.arange(len(values))[:, None], -1)
    last = np.maximum.accumulate(rows, axis=0)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), np.nan)


def age_days(observed: BoolArray) -> IntArray:
    """Days since the last observation of each column, NEVER before the first."""
    steps = np.arange(len(observed))[:, None]
    last = np.maximum.accumulate(np.where(observed, steps, -1), axis=0)
    return np.where(last >= 0, steps - last, NEVER)

"""The warehouse in memory: for tests and short calculations.

Belongs here: the port's behaviour with frames in a dictionary. Does not belong here: anything that is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts.schema import Table
from defiyield_core.errors import DataError, WarehouseError
from defiyield_core.warehouse.frames import CheckedWrite, check_write, select
from defiyield_core.warehouse.port import TableWrite


class MemoryWarehouse:
    """Frames by table name; a replace builds new frames aside and swaps them in at once."""

    def __init__(self) -> None:
        self._frames: dict[str, pd.DataFrame] = {}
        self._lock = threading.Lock()

    def migrate(self) -> list[str]:
        """Nothing to do: tables exist as soon as they are written."""
        return []

    def read(
        self,
        table: str,
        window: Window | None = None,
        *,
        scope: Mapping[str, str | bool] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """See `Warehouse.read`."""
        selection = select(table, window, scope, columns)
        frame = self._frames.get(table)
        if frame is None:
            frame = selection.table.empty()
        inside = _inside(selection.table, frame, window, selection.scope)
        names = [column.name for column in selection.columns]
        return frame.loc[inside, names].reset_index(drop=True)

    def replace(self, writes: Sequence[TableWrite]) -> None:
        """See `Warehouse.replace`."""
        checked = [check_write(write) for write in writes]
        with self._lock:
            staged = dict(self._frames)
            for write in checked:
                staged[write.table.name] = _replaced(staged.get(write.table.name), write)
            self._frames = staged

    def days(self, table: str, *, scope: Mapping[str, str] | None = None) -> list[date]:
        """See `Warehouse.days`."""
        window = select(table, None, scope, None).table.window
        if window is None:
            raise WarehouseError(f"{table} has no days: it is read as a whole")
        return [stamp.date() for stamp in sorted(self.read(table, scope=scope, columns=[window])[window].unique())]

    def describe(self) -> str:
        """Where it is."""
        return "memory (gone when the process ends)"


def _inside(
    table: Table, frame: pd.DataFrame, window: Window | None, scope: Mapping[str, str | bool]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    inside = np.ones(len(frame), dtype=bool)
    if window is not None and table.window is not None:
        days = frame[table.window].to_numpy()
        inside &= (days >= np.datetime64(window.start)) & (days <= np.datetime64(window.end))
    for name, value in scope.items():
        inside &= (frame[name] == value).to_numpy(dtype=bool)
    return inside


def _refuse_repeated(write: CheckedWrite, frame: pd.DataFrame) -> None:
    """Rows of the write differ among themselves (`check_write`), and from those outside of its window or scope where
    the key tells them."""
    key = list(write.table.key)
    if write.window is None or write.table.window in key:
        return
    repeated = frame.duplicated(key)
    if repeated.any():
        row = frame.loc[repeated, key].iloc[0].to_dict()
        raise DataError(
            f"{write.table.name}: rule 'key' is broken: {row} is already stored outside of the window {write.window}"
        )


def _replaced(before: pd.DataFrame | None, write: CheckedWrite) -> pd.DataFrame:
    table, frame = write.table, write.frame
    key = list(table.key)
    kept = before[~_inside(table, before, write.window, write.scope)] if before is not None else frame[:0]
    if len(kept) and len(frame):
        frame = pd.concat([kept, frame], ignore_index=True)
        _refuse_repeated(write, frame)
    elif len(kept):
        frame = kept
    return frame.sort_values(key, kind="stable", ignore_index=True)

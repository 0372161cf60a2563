"""Dense panels: long frames as arrays of shape [n_days, n_ids], and back.

Belongs here: the change of shape, its order and its treatment of gaps. Does not belong here: what the numbers mean.
Days are consecutive, ids sorted, NaN is missing. The order never depends on the order of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from defiyield_core.calendar import DayArray
from defiyield_core.errors import DataError
from defiyield_core.units import BoolArray, FloatArray, IntArray

NS_PER_DAY = 86_400_000_000_000
ObjectArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Panel:
    """Values of ids by the day.

    Attributes:
        days: (n_days,) consecutive `datetime64[D]`.
        ids: (n_ids,) labels, ascending.
        values: arrays (n_days, n_ids) by name; NaN where there is no row.
    """

    days: DayArray
    ids: ObjectArray
    values: Mapping[str, FloatArray]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of days, number of ids."""
        return len(self.days), len(self.ids)

    def __getitem__(self, name: str) -> FloatArray:
        return self.values[name]

    def index_of(self, day: object) -> int:
        """Position of a day on the axis (before the first day it is negative)."""
        return int(np.datetime64(day, "D").astype(np.int64) - self.days[0].astype(np.int64))  # type: ignore[call-overload]


def day_numbers(dates: pd.Series) -> IntArray:
    """Days since 1970-01-01 of a datetime column."""
    return np.asarray(dates.to_numpy(dtype="datetime64[ns]").view(np.int64) // NS_PER_DAY)


def days_between(first: object, last: object) -> DayArray:
    """Every day from `first` to `last`, both included, as `datetime64[D]`."""
    begin, end = (np.datetime64(day, "D") for day in (first, last))  # type: ignore[call-overload]
    return np.asarray(begin + np.arange((end - begin).astype(np.int64) + 1))


def to_panel(
    frame: pd.DataFrame,
    columns: Sequence[str],
    *,
    id_column: str,
    days: DayArray,
    ids: ObjectArray | None = None,
) -> Panel:
    """The frame's numeric `columns` as a panel over `days`.

    Args:
        frame: has `date`, `id_column` and `columns`; rows outside `days` (or `ids`, where given) are left out.
        ids: axis to use; by default the distinct ids of the frame, ascending.

    Raises:
        DataError: a pair of day and id has two rows.
    """
    if ids is None:
        codes, found = pd.factorize(frame[id_column], sort=True)
        axis = np.asarray(found, dtype=object)
    else:
        axis = ids
        codes = pd.Index(ids).get_indexer(frame[id_column])
    rows = day_numbers(frame["date"]) - days[:1].astype(np.int64).sum()
    inside = (rows >= 0) & (rows < len(days)) & (codes >= 0)
    flat = rows[inside] * len(axis) + codes[inside]
    if len(flat) and np.bincount(flat).max() > 1:
        twice = int(np.argmax(np.bincount(flat) > 1))
        raise DataError(
            f"{id_column} {axis[twice % len(axis)]} has two rows on {days[twice // len(axis)]}: one was expected"
        )
    values = {}
    for name in columns:
        filled = np.full(len(days) * len(axis), np.nan)
        filled[flat] = frame[name].to_numpy(dtype=float)[inside]
        values[name] = filled.reshape(len(days), len(axis))
    return Panel(days, axis, values)


def to_long(
    days: DayArray, ids: ObjectArray, mask: BoolArray, columns: Mapping[str, npt.NDArray], *, id_column: str
) -> pd.DataFrame:
    """Rows of the entries that `mask` selects: `date`, `id_column` and `columns`, ordered by day and id.

    Args:
        mask: (n_days, n_ids). columns: arrays (n_days, n_ids) by name.
    """
    at_day, at_id = np.nonzero(mask)
    frame = {"date": days.astype("datetime64[ns]")[at_day], id_column: ids[at_id]}
    frame.update({name: values[at_day, at_id] for name, values in columns.items()})
    return pd.DataFrame(frame)


def lagged(values: FloatArray, lag: int, first: int) -> FloatArray:
    """(n_days - first, n_ids) values of `lag` days before, for the days from position `first` on; NaN before the axis.

    Statistics built on these by elementwise arithmetic do not depend on how many days are asked for at once.
    """
    start = first - lag
    if start >= 0:
        return values[start : len(values) - lag]
    gap = np.full((min(-start, len(values) - first), values.shape[1]), np.nan)
    return np.concatenate([gap, values[: max(len(values) - lag, 0)]])


def newest_observed(values: FloatArray) -> IntArray:
    """(n_days, n_ids) position of the newest day up to each day that has a value; -1 where there is none yet."""
    positions = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    return np.maximum.accumulate(positions, axis=0) if len(values) else positions.astype(np.int64)

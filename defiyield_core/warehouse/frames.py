"""Frames between the adapters and their databases: the check before a write, and Arrow in both directions.

Belongs here: what all adapters do alike, so that they accept and return the same rows. Does not belong here: SQL of one
engine, connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from defiyield_core.calendar import Window
from defiyield_core.contracts import table as contract
from defiyield_core.contracts.checks import require_valid
from defiyield_core.contracts.schema import Column, Table, conform
from defiyield_core.errors import DataError, WarehouseError
from defiyield_core.warehouse.port import TableWrite

_ARROW: dict[str, pa.DataType] = {
    "text": pa.string(),
    "double": pa.float64(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


@dataclass(frozen=True)
class CheckedWrite:
    """A write whose frame is canonical, meets its contract, and lies inside its window and scope."""

    table: Table
    frame: pd.DataFrame
    window: Window | None
    scope: Mapping[str, str]


@dataclass(frozen=True)
class Selection:
    """A read whose names are known to the contract."""

    table: Table
    columns: tuple[Column, ...]
    window: Window | None
    scope: Mapping[str, str | bool]


def check_write(write: TableWrite) -> CheckedWrite:
    """The write, or the reason why it is refused.

    Raises:
        DataError: rows break the contract, or lie outside of the window or scope.
        WarehouseError: window or scope do not suit the table.
    """
    table = contract(write.table)
    _check_window(table, write.window, needed=True)
    _check_scope(table, write)
    frame = conform(table, write.frame)
    require_valid(table, frame)
    if write.window is not None and table.window is not None:
        days = frame[table.window]
        outside = (days < pd.Timestamp(write.window.start)) | (days > pd.Timestamp(write.window.end))
        if outside.any():
            raise DataError(
                f"{table.name}: {int(outside.sum())} rows lie outside of the window {write.window} that they would"
                f" replace, for example {days[outside].iloc[0].date()}; nothing was written"
            )
    for name, value in write.scope.items():
        foreign = frame[name] != value
        if foreign.any():
            raise DataError(
                f"{table.name}: {int(foreign.sum())} rows are outside of the scope {name}='{value}' that they would"
                f" replace, for example '{frame.loc[foreign, name].iloc[0]}'; nothing was written"
            )
    return CheckedWrite(table, frame, write.window, dict(write.scope))


def select(
    name: str, window: Window | None, scope: Mapping[str, str | bool] | None, columns: Sequence[str] | None
) -> Selection:
    """What a read asks for.

    Raises:
        WarehouseError: an unknown or repeated column, a scope of another type than text or boolean, a window where
            there is none.
    """
    table = contract(name)
    _check_window(table, window, needed=False)
    wanted = table.column_names if columns is None else tuple(columns)
    unknown = [column for column in wanted if column not in table.column_names]
    if unknown or not wanted or len(set(wanted)) != len(wanted):
        known = ", ".join(table.column_names)
        raise WarehouseError(f"{name}: cannot read columns {list(wanted)}: each once, and out of {known}")
    for key in scope or {}:
        if key not in table.column_names or table.column(key).type not in ("text", "boolean"):
            raise WarehouseError(f"{name}: cannot filter by '{key}': a scope names text or boolean columns")
    return Selection(table, tuple(table.column(column) for column in wanted), window, dict(scope or {}))


def to_arrow(table: Table, frame: pd.DataFrame) -> pa.Table:
    """A canonical frame as Arrow; NaN, None and NaT become null."""
    arrays = [_to_array(frame[column.name], column) for column in table.columns]
    return pa.table(arrays, names=list(table.column_names))


def arrow_types(columns: Sequence[Column]) -> dict[str, pa.DataType]:
    """Arrow types of columns by name, as the adapters exchange them."""
    return {column.name: _ARROW[column.type] for column in columns}


def from_arrow(columns: Sequence[Column], rows: pa.Table) -> pd.DataFrame:
    """Arrow (of any types that cast safely) as a canonical frame: the inverse of `to_arrow`."""
    series = {column.name: _to_series(rows.column(column.name), column) for column in columns}
    return pd.DataFrame(series, columns=[column.name for column in columns], copy=False)


def _to_array(values: pd.Series, column: Column) -> pa.Array:
    if column.type in ("date", "timestamp"):
        unit = "datetime64[D]" if column.type == "date" else "datetime64[us]"
        return pa.array(values.to_numpy().astype(unit), type=_ARROW[column.type])
    return pa.array(values, type=_ARROW[column.type], from_pandas=True)


def _to_series(values: pa.ChunkedArray, column: Column) -> pd.Series:
    cast = values.cast(_ARROW[column.type])
    if column.type in ("date", "timestamp"):
        stamps = cast.cast(pa.timestamp("us")).combine_chunks() if column.type == "date" else cast.combine_chunks()
        return pd.Series(stamps.to_numpy(zero_copy_only=False).astype("datetime64[ns]"))
    if column.type == "double":
        # A copy, because Arrow's memory is read only and a null is stored as any value under its mask.
        return pd.Series(np.array(cast.to_numpy(), dtype=np.float64))
    if column.type == "text" or cast.null_count:
        return pd.Series(cast.to_pandas(integer_object_nulls=True), dtype=object)
    return pd.Series(np.array(cast.to_numpy(), dtype=np.int64 if column.type == "bigint" else np.bool_))


def _check_window(table: Table, window: Window | None, *, needed: bool) -> None:
    if table.window is None and window is not None:
        raise WarehouseError(f"{table.name} has no days: it is read and written as a whole, not by the window {window}")
    if needed and table.window is not None and window is None:
        raise WarehouseError(f"{table.name} is written by windows of days: give the window that the rows replace")


def _check_scope(table: Table, write: TableWrite) -> None:
    """A table's scope columns are required; other text columns of its key may narrow the write further."""
    missing = [name for name in table.scope if name not in write.scope]
    if missing:
        raise WarehouseError(f"{table.name} is shared between writers: give the scope of {', '.join(missing)}")
    for name in write.scope:
        if name not in table.key or table.column(name).type != "text":
            raise WarehouseError(f"{table.name}: '{name}' is no text column of its key, so it cannot scope a write")

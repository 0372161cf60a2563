"""What a table contract is, and the small notation it is written in.

Belongs here: `Column`, `Table`, the parser of the notation, and `conform` (a frame in the contract's types and order).
A column is one line: `name type unit | description`. A `?` after the type allows nulls, `-` means no unit,
`type[low,high]` bounds the values (either side may be empty).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from defiyield_core.errors import DataError

ColumnType = Literal["text", "double", "bigint", "boolean", "date", "timestamp"]
_EXACT_IN_DOUBLE = 2.0**53 - 1  # a double holds every integer up to here
COLUMN_TYPES: tuple[ColumnType, ...] = ("text", "double", "bigint", "boolean", "date", "timestamp")
_LINE = re.compile(
    r"^(?P<name>[a-z][a-z0-9_]*) (?P<type>[a-z]+)(?:\[(?P<low>[^,]*),(?P<high>[^\]]*)\])?(?P<null>\??)"
    r" (?P<unit>\S+) \| (?P<doc>.+)$"
)


@dataclass(frozen=True)
class Column:
    """One column: its type, unit (empty when it has none), whether nulls are allowed, and inclusive bounds."""

    name: str
    type: ColumnType
    unit: str
    doc: str
    nullable: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        layer: raw, universe, forecast or portfolio; also the heading in the table reference.
        key: columns that identify a row.
        window: the date column by which windows are replaced; None for tables written as a whole.
        scope: columns that separate independent writers of one window (a portfolio's name).
    """

    name: str
    layer: Literal["raw", "universe", "forecast", "portfolio"]
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    window: str | None = "date"
    scope: tuple[str, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in storage order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column by that name (KeyError when there is none)."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name}.{name}")

    def empty(self) -> pd.DataFrame:
        """A frame with this table's columns and no rows."""
        return conform(self, pd.DataFrame({name: [] for name in self.column_names}))


def columns(notation: str) -> tuple[Column, ...]:
    """Parse the notation above; a line that does not fit it is an error at import."""
    return tuple(_column(line.strip()) for line in notation.strip().splitlines())


def _column(line: str) -> Column:
    match = _LINE.match(line)
    if match is None or match["type"] not in COLUMN_TYPES:
        raise ValueError(f"not a column declaration: {line!r}")
    return Column(
        name=match["name"],
        type=match["type"],  # type: ignore[arg-type]
        unit="" if match["unit"] == "-" else match["unit"],
        doc=match["doc"],
        nullable=bool(match["null"]),
        low=float(match["low"]) if match["low"] else None,
        high=float(match["high"]) if match["high"] else None,
    )


def conform(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with exactly the contract's columns, in order, in canonical types, with a fresh index.

    Text is str or None; double float64; bigint int64; boolean bool; date and timestamp naive UTC datetime64[ns] (a date
    at midnight, a timestamp in whole microseconds, which is what the databases keep). Missing nullable columns become
    nulls.

    Raises:
        DataError: a required column is missing, an unknown one is there, or values do not fit the type.
    """
    unknown = [name for name in frame.columns if name not in table.column_names]
    if unknown:
        raise DataError(f"{table.name}: columns {unknown} are not in the contract")
    missing = [c.name for c in table.columns if not c.nullable and c.name not in frame.columns]
    if missing:
        raise DataError(f"{table.name}: required columns {missing} are missing")
    series = {}
    for column in table.columns:
        if column.name not in frame.columns:
            values = pd.Series(np.full(len(frame), np.nan))
        else:
            values = frame[column.name].reset_index(drop=True)
        try:
            series[column.name] = cast_column(values, column)
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(f"{table.name}.{column.name}: values do not fit type {column.type}: {error}") from error
    return pd.DataFrame(series, columns=list(table.column_names))


def cast_column(values: pd.Series, column: Column) -> pd.Series:
    """The values in the column's canonical type; canonical values pass through quickly.

    Raises:
        ValueError, TypeError, OverflowError: a value would change its meaning (text that is no number, 1.5 as a bigint,
            2 as a boolean, a bare number or 01/02/2025 as a moment), or a required bigint or boolean is null.
    """
    if column.type == "text":
        return _cast_text(values)
    if column.type == "double":
        if values.dtype == np.float64:
            return values
        return pd.to_numeric(values, errors="raise").astype("float64")
    if column.type in ("bigint", "boolean"):
        return _cast_discrete(values, column)
    return _cast_moment(values, is_date=column.type == "date")


def _cast_text(values: pd.Series) -> pd.Series:
    kind = pd.api.types.infer_dtype(values, skipna=False)
    if kind == "string" and values.dtype == object:
        return values
    missing = values.isna()
    as_object = values.astype(object)
    if pd.api.types.infer_dtype(as_object[~missing], skipna=False) not in ("string", "empty"):
        odd = next(value for value in as_object[~missing] if not isinstance(value, str))
        raise TypeError(f"{odd!r} is {type(odd).__name__}, not text")
    return as_object.where(~missing, None)


def _cast_discrete(values: pd.Series, column: Column) -> pd.Series:
    dtype: type = np.int64 if column.type == "bigint" else np.bool_
    if values.dtype == dtype:
        return values
    missing = values.isna()
    if missing.any():
        if not column.nullable:
            raise ValueError(f"{int(missing.sum())} nulls in a {column.type}")
        whole = _exactly(values[~missing], dtype).astype(object)
        return whole.reindex(values.index).astype(object).where(~missing, None)
    return _exactly(values, dtype)


def _exactly(values: pd.Series, dtype: type) -> pd.Series:
    """`values` as `dtype`, refusing any that would come out different."""
    numbers = values
    if values.dtype == object:
        numbers = pd.to_numeric(values, errors="raise")
        if numbers.dtype == np.float64 and (numbers.abs() > _EXACT_IN_DOUBLE).any():
            raise ValueError("integers among fractions are too large to come through exactly")
    cast = numbers.astype(dtype)
    changed = (cast != numbers).to_numpy(dtype=bool)
    if changed.any():
        raise ValueError(f"{values[changed].iloc[0]!r} is not a {np.dtype(dtype).name}")
    return cast


def _cast_moment(values: pd.Series, *, is_date: bool) -> pd.Series:
    if values.dtype != "datetime64[ns]":
        if pd.api.types.is_numeric_dtype(values) and not values.isna().all():
            raise TypeError("a bare number is not a moment: its unit and epoch are unknown")
        # ISO 8601 only: 01/02/2025 is two different days.
        values = (
            pd.to_datetime(values, utc=True, errors="raise", format="ISO8601")
            .dt.tz_localize(None)
            .astype("datetime64[ns]")
        )
    unit = "datetime64[D]" if is_date else "datetime64[us]"
    return pd.Series(values.to_numpy().astype(unit).astype("datetime64[ns]"), index=values.index)

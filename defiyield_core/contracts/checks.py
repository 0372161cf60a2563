"""What is wrong with a frame, measured against its table's contract.

Belongs here: the rules that every row of a table must meet, and how a breach is told. Does not belong here: what to do
about one (the warehouse refuses the write, an asset check fails), nor rules between tables.
Every rule is vectorised; a frame without a breach costs one pass over each column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from defiyield_core.contracts.schema import Column, Table, cast_column
from defiyield_core.errors import DataError

Severity = Literal["error", "warning"]
Mask = npt.NDArray[np.bool_]
_ONE_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Violation:
    """One broken rule of one column (or of the key).

    Attributes:
        rule: columns, type, null, key, bounds, finite, text or look_ahead.
        column: the column, or the key's columns joined by commas.
        count: rows that break it (columns for the rule `columns`: always 1).
        example: the first of them, by key and value.
        severity: an error must not be stored; a warning may (a nullable column that is missing).
    """

    rule: str
    column: str
    count: int
    example: str
    severity: Severity = "error"

    def __str__(self) -> str:
        rows = "1 row" if self.count == 1 else f"{self.count} rows"
        return f"rule '{self.rule}' of {self.column} is broken in {rows}, for example {self.example}"


def violations(table: Table, frame: pd.DataFrame) -> list[Violation]:
    """Every rule of the contract that the frame breaks; empty when it meets all of them.

    Rules: `columns` (missing or unknown), `type` (values that do not fit), `null` in a required column, `key` (rows
    that share one), `bounds`, `finite` (infinities), `text` (what no database can store: NUL or half a surrogate pair)
    and `look_ahead` (`valid_at` after the end of the row's `date`).
    """
    found = list(_column_names(table, frame))
    canonical: dict[str, pd.Series] = {}
    for column in table.columns:
        if column.name not in frame.columns:
            continue
        values = frame[column.name].reset_index(drop=True)
        missing = values.isna().to_numpy()
        if missing.any() and not column.nullable:
            found.append(_violation(table, frame, "null", column.name, missing, "is missing"))
        present = values[~missing] if missing.any() else values
        try:
            cast = cast_column(present, column)
        except (ValueError, TypeError, OverflowError) as error:
            found.append(Violation("type", column.name, len(present), f"{column.type} expected: {error}"))
            continue
        if not missing.any():
            canonical[column.name] = cast
        found.extend(_values(table, frame, column, cast))
    found.extend(_duplicates(table, frame))
    found.extend(_look_ahead(table, frame, canonical))
    return found


def require_valid(table: Table, frame: pd.DataFrame) -> None:
    """Refuse a frame that breaks its contract.

    Raises:
        DataError: naming the table, the first broken rule with its rows, and how many other rules are broken.
    """
    errors = [violation for violation in violations(table, frame) if violation.severity == "error"]
    if errors:
        more = f" ({len(errors) - 1} more broken rules)" if len(errors) > 1 else ""
        raise DataError(f"{table.name}: {errors[0]}{more}; nothing was written, correct these rows at their source")


def _column_names(table: Table, frame: pd.DataFrame) -> Iterator[Violation]:
    for name in frame.columns:
        if name not in table.column_names:
            yield Violation("columns", str(name), 1, "a column that the contract does not know")
    for column in table.columns:
        if column.name not in frame.columns:
            severity: Severity = "warning" if column.nullable else "error"
            yield Violation("columns", column.name, 1, f"a {column.type} column that is missing", severity)


def _values(table: Table, frame: pd.DataFrame, column: Column, present: pd.Series) -> Iterator[Violation]:
    """Rules on single values; `present` holds those that are not null, by row position."""
    if column.type == "text":
        unstorable = _unstorable(present)
        if unstorable is not None:
            yield _positions(
                table, frame, "text", column.name, present.index[unstorable], "holds what cannot be stored"
            )
        return
    if column.type == "double":
        infinite = np.isinf(present.to_numpy())
        if infinite.any():
            yield _positions(table, frame, "finite", column.name, present.index[infinite], "is infinite")
            present = present[~infinite]
    if column.low is None and column.high is None:
        return
    numbers = present.to_numpy(dtype=np.float64)
    outside = np.zeros(len(numbers), dtype=bool)
    if column.low is not None:
        outside |= numbers < column.low
    if column.high is not None:
        outside |= numbers > column.high
    if outside.any():
        allowed = f"is outside of [{_bound(column.low)}, {_bound(column.high)}]"
        yield _positions(table, frame, "bounds", column.name, present.index[outside], allowed)


def _unstorable(present: pd.Series) -> Mask | None:
    """Which texts hold a NUL or a lone surrogate; None when no text does."""
    texts = present.tolist()
    joined = "".join(texts)
    if "\0" not in joined and _encodes(joined):
        return None
    return np.array(["\0" in text or not _encodes(text) for text in texts], dtype=bool)


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _duplicates(table: Table, frame: pd.DataFrame) -> Iterator[Violation]:
    key = list(table.key)
    if any(name not in frame.columns for name in key):
        return
    try:
        repeated = frame.duplicated(key).to_numpy()
    except TypeError:  # values that cannot be hashed: the rule `type` has named them already
        return
    if repeated.any():
        name = ", ".join(key)
        yield Violation("key", name, int(repeated.sum()), f"{_row(table, frame, _first(repeated))} stands there twice")


def _look_ahead(table: Table, frame: pd.DataFrame, canonical: dict[str, pd.Series]) -> Iterator[Violation]:
    if "valid_at" not in canonical or "date" not in canonical:
        return
    day = canonical["date"].to_numpy().astype("datetime64[D]")
    later = canonical["valid_at"].to_numpy() >= (day + _ONE_DAY).astype("datetime64[ns]")
    if later.any():
        yield _violation(table, frame, "look_ahead", "valid_at", later, "is later than the end of its day")


def _violation(table: Table, frame: pd.DataFrame, rule: str, column: str, broken: Mask, what: str) -> Violation:
    return _positions(table, frame, rule, column, pd.Index(np.flatnonzero(broken)), what)


def _positions(table: Table, frame: pd.DataFrame, rule: str, column: str, positions: pd.Index, what: str) -> Violation:
    first = int(positions[0])
    value = frame[column].iloc[first]
    shown = "" if what == "is missing" else f" {value!r}" if isinstance(value, str) else f" {value}"
    return Violation(rule, column, len(positions), f"{_row(table, frame, first)}: {column}{shown} {what}")


def _first(mask: Mask) -> int:
    return int(np.flatnonzero(mask)[0])


def _row(table: Table, frame: pd.DataFrame, position: int) -> str:
    """A row by its key, for people: `date=2025-01-01, pool_id=x`."""
    parts = []
    for name in table.key:
        if name in frame.columns:
            value = frame[name].iloc[position]
            is_day = table.column(name).type == "date" and isinstance(value, pd.Timestamp)
            parts.append(f"{name}={value.date() if is_day else value}")
    return f"row {position} ({', '.join(parts)})"


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:g}"

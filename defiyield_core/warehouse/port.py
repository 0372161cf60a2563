"""The warehouse port.

A warehouse holds the tables of `contracts`. It is read by windows of days and written by replacing windows, several
tables in one transaction. Frames go in and come out in the contract's canonical types (`contracts.schema.conform`),
rows sorted by the table's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

import pandas as pd

from defiyield_core.calendar import Window


@dataclass(frozen=True)
class TableWrite:
    """Replace the rows of `table` inside `window` (and `scope`) by `frame`.

    Attributes:
        window: days that are replaced; None replaces the whole table (only for tables without a window column).
        scope: values of the table's scope columns; only rows with these values are replaced. For a table with scope
            columns, `frame` must carry these values in every row.
    """

    table: str
    frame: pd.DataFrame
    window: Window | None
    scope: Mapping[str, str] = field(default_factory=dict)


class Warehouse(Protocol):
    """What every adapter does. Errors are `WarehouseError`, or `DataError` for rows that break their contract."""

    def migrate(self) -> list[str]:
        """Bring the database to the contracts' tables; the names of what was applied."""
        ...

    def read(
        self,
        table: str,
        window: Window | None = None,
        *,
        scope: Mapping[str, str | bool] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Rows of the window (all rows when None), filtered by exact values of text or boolean columns in `scope`."""
        ...

    def replace(self, writes: Sequence[TableWrite]) -> None:
        """Do every write in one transaction: all of them are visible afterwards, or none."""
        ...

    def days(self, table: str, *, scope: Mapping[str, str] | None = None) -> list[date]:
        """Distinct days that have rows, ascending."""
        ...

    def describe(self) -> str:
        """Where it is, for people; no secrets."""
        ...

"""SQL text that both databases run: which rows a window and a scope mean.

Belongs here: statements built from names of the contracts, with placeholders for every value. Does not belong here:
what only one engine understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from defiyield_core.calendar import Window
from defiyield_core.contracts.schema import Table
from defiyield_core.errors import WarehouseError
from defiyield_core.warehouse.frames import Selection, select

Statement = tuple[str, list[str | bool | date]]


def where(table: Table, window: Window | None, scope: Mapping[str, str | bool], mark: str) -> Statement:
    """The condition on window and scope (with its leading `where`, empty when all rows are meant) and its values."""
    conditions: list[str] = []
    values: list[str | bool | date] = []
    if window is not None:
        conditions.append(f"{table.window} between {mark} and {mark}")
        values += [window.start, window.end]
    for name, value in scope.items():
        conditions.append(f"{name} = {mark}")
        values.append(value)
    return (" where " + " and ".join(conditions) if conditions else ""), values


def select_rows(selection: Selection, mark: str) -> Statement:
    """The rows of a selection, sorted by the table's key."""
    table = selection.table
    condition, values = where(table, selection.window, selection.scope, mark)
    names = ", ".join(column.name for column in selection.columns)
    return f"select {names} from {table.name}{condition} order by {', '.join(table.key)}", values  # noqa: S608


def select_days(name: str, scope: Mapping[str, str] | None, mark: str) -> Statement:
    """Distinct days of a table, ascending.

    Raises:
        WarehouseError: the table has no window column.
    """
    table = select(name, None, scope, None).table
    if table.window is None:
        raise WarehouseError(f"{name} has no days: it is read as a whole")
    condition, values = where(table, None, scope or {}, mark)
    return f"select distinct {table.window} from {name}{condition} order by 1", values  # noqa: S608

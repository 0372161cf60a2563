"""DDL of a table contract, for DuckDB and Postgres.

Belongs here: SQL text that creates or widens a table. Does not belong here: running it (see `warehouse`).
Names come from the contracts only, are lower case and reserved in neither engine, so they stand unquoted.
A NaN in a double is stored as NULL; no bound or check ever sees it.
"""

from __future__ import annotations

from typing import Literal

from defiyield_core.contracts.schema import Column, Table

Engine = Literal["duckdb", "postgres"]

_TYPES: dict[Engine, dict[str, str]] = {
    "duckdb": {
        "text": "varchar",
        "double": "double",
        "bigint": "bigint",
        "boolean": "boolean",
        "date": "date",
        "timestamp": "timestamp",
    },
    # Text compares by code point: the order every adapter promises, and an index that no upgrade of the server's
    # locale data can corrupt.
    "postgres": {
        "text": 'text collate "C"',
        "double": "double precision",
        "bigint": "bigint",
        "boolean": "boolean",
        "date": "date",
        "timestamp": "timestamp",
    },
}


def sql_type(column: Column, engine: Engine) -> str:
    """The column's type in the engine, as it is written in DDL."""
    return _TYPES[engine][column.type]


def bounds_check(column: Column) -> str:
    """The column's bounds as an SQL condition (true for NULL); empty when it has none."""
    parts = []
    if column.low is not None:
        parts.append(f"{column.name} >= {column.low:.17g}")
    if column.high is not None:
        parts.append(f"{column.name} <= {column.high:.17g}")
    return " and ".join(parts)


def create_table(table: Table, engine: Engine, *, comments: bool = False) -> str:
    """`create table` with types, not null, bounds and primary key; `comments` adds what each column means."""
    lines = [_column_line(column, engine) for column in table.columns]
    lines.append(f"primary key ({', '.join(table.key)})")
    body = []
    for position, line in enumerate(lines):
        comma = "," if position < len(lines) - 1 else ""
        note = f"  -- {_meaning(table.columns[position])}" if comments and position < len(table.columns) else ""
        body.append(f"    {line}{comma}{note}")
    return "\n".join([f"create table {table.name} (", *body, ")"])


def create_indexes(table: Table) -> list[str]:
    """Postgres indexes besides the primary key: the window column, where the key does not begin with it."""
    if table.window is None or table.key[0] == table.window:
        return []
    return [f"create index {table.name}_{table.window} on {table.name} ({table.window})"]


def add_column(table: Table, column: Column, engine: Engine) -> str:
    """`alter table ... add column` for a nullable column; its bounds only on Postgres, DuckDB cannot add a check.

    Raises:
        ValueError: the column is required, so that existing rows would have no value for it.
    """
    if not column.nullable:
        raise ValueError(f"{table.name}.{column.name} is required: rows already stored have no value for it")
    bounds = bounds_check(column) if engine == "postgres" else ""
    check = f" check ({bounds})" if bounds else ""
    return f"alter table {table.name} add column {column.name} {sql_type(column, engine)}{check}"


def _column_line(column: Column, engine: Engine) -> str:
    required = "" if column.nullable else " not null"
    bounds = bounds_check(column)
    return f"{column.name} {sql_type(column, engine)}{required}" + (f" check ({bounds})" if bounds else "")


def _meaning(column: Column) -> str:
    return f"{column.doc} [{column.unit}]" if column.unit else column.doc

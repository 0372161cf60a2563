"""The warehouse in a DuckDB file: the default, without a server.

Belongs here: opening and locking of the file, its schema, loads by Arrow. Does not belong here: rules about rows (see
`frames`). DuckDB lets one process at a time hold a file, so every operation opens it and closes it again, and waits
a bounded time for another process.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts import TABLES
from defiyield_core.contracts.ddl import add_column, create_table, sql_type
from defiyield_core.contracts.schema import Table
from defiyield_core.errors import DataError, DefiYieldError, WarehouseError
from defiyield_core.warehouse import sql
from defiyield_core.warehouse.frames import CheckedWrite, check_write, from_arrow, select, to_arrow
from defiyield_core.warehouse.port import TableWrite

WAIT_SECONDS = 20.0
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_WRITERS: dict[Path, threading.RLock] = {}  # threads of one process share the file, so their writes take turns
_WRITERS_GUARD = threading.Lock()
# A second thread that connects meanwhile could get the shared database before its Arrow functions are registered.
_CONNECTING = threading.Lock()


class DuckDBWarehouse:
    """Tables in one DuckDB file, made when it is first used."""

    def __init__(self, path: str | Path, *, wait_seconds: float = WAIT_SECONDS) -> None:
        """Name the file; nothing is opened yet.

        Args:
            wait_seconds: how long an operation waits for another process to let go of the file.
        """
        self._path = Path(path).expanduser().resolve()
        self._wait_seconds = wait_seconds
        with _WRITERS_GUARD:
            self._writer = _WRITERS.setdefault(self._path, threading.RLock())
        self._checked: tuple[int, int] | None = None  # device and inode of the file whose tables are known to fit

    def migrate(self) -> list[str]:
        """Make missing tables and add missing nullable columns; the names of both.

        Raises:
            WarehouseError: a stored table differs from its contract in a way that rows would not survive.
        """
        with self._writer, self._connected() as connection:
            return self._migrate(connection)

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
        statement, values = sql.select_rows(selection, "?")
        with self._ready() as connection:
            rows = connection.sql(statement, params=values).to_arrow_table()
        return from_arrow(selection.columns, rows)

    def replace(self, writes: Sequence[TableWrite]) -> None:
        """See `Warehouse.replace`."""
        checked = [check_write(write) for write in writes]
        with self._writer, self._ready() as connection:
            connection.begin()
            for write in checked:
                self._apply(connection, write)
            connection.commit()

    def days(self, table: str, *, scope: Mapping[str, str] | None = None) -> list[date]:
        """See `Warehouse.days`."""
        statement, values = sql.select_days(table, scope, "?")
        with self._ready() as connection:
            return [day for (day,) in connection.execute(statement, values).fetchall()]

    def describe(self) -> str:
        """Where it is."""
        return f"DuckDB file {self._path}"

    def _apply(self, connection: duckdb.DuckDBPyConnection, write: CheckedWrite) -> None:
        """One write inside the open transaction."""
        table = write.table
        condition, values = sql.where(table, write.window, write.scope, "?")
        connection.execute(f"delete from {table.name}{condition}", values)  # noqa: S608
        if write.frame.empty:
            return
        names = ", ".join(table.column_names)
        connection.register("incoming_rows", to_arrow(table, write.frame))
        try:
            connection.execute(f"insert into {table.name} ({names}) select {names} from incoming_rows")  # noqa: S608
        except duckdb.ConstraintException as error:
            raise DataError(
                f"{table.name}: rule 'key' is broken by rows already stored outside of the window {write.window}:"
                f" {_first_line(error)}; nothing was written"
            ) from error
        connection.unregister("incoming_rows")

    @contextmanager
    def _ready(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to a file whose tables fit the contracts."""
        with self._connected() as connection:
            if self._checked != self._identity():
                with self._writer:
                    self._migrate(connection)
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._open()
        try:
            yield connection
        except DefiYieldError:
            raise
        except duckdb.Error as error:
            raise WarehouseError(f"{self.describe()}: {_first_line(error)}") from error
        finally:
            connection.close()  # what is not committed is rolled back

    def _open(self) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + self._wait_seconds
        pause = 0.02
        while True:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                if not self._path.exists():
                    self._checked = None  # a new file may even get the old one's inode
                with _CONNECTING:
                    return duckdb.connect(str(self._path))
            except OSError as error:
                raise WarehouseError(f"{self.describe()}: its folder cannot be made: {error}") from error
            except duckdb.Error as error:
                if not _is_held(error):
                    raise WarehouseError(f"{self.describe()} cannot be opened: {_first_line(error)}") from error
                if time.monotonic() + pause > deadline:
                    raise WarehouseError(self._held_message(error)) from error
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _held_message(self, error: duckdb.Error) -> str:
        holder = _HOLDER.search(str(error))
        if holder:
            who = f"by process {holder['pid']} ({holder['program']})"
        else:
            who = f"by another connection ({_first_line(error)})"
        waited = f"still after waiting {self._wait_seconds:g} s"
        return f"{self.describe()} is held {who}, {waited}: wait for it to end or stop it"

    def _identity(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        stored = _stored_columns(connection)
        keys = _stored_keys(connection)
        statements: dict[str, str] = {}
        for table in TABLES.values():
            if table.name not in stored:
                statements[table.name] = create_table(table, "duckdb")
                continue
            if keys.get(table.name, table.key) != table.key:
                raise self._misfit(table, f"its key is {keys[table.name]}, not {table.key}")
            statements.update(self._widened(table, stored[table.name]))
        if statements:
            connection.begin()
            for statement in statements.values():
                connection.execute(statement)
            connection.commit()
        self._checked = self._identity()
        return list(statements)

    def _widened(self, table: Table, stored: Mapping[str, tuple[str, bool]]) -> dict[str, str]:
        """Statements that add the contract's new columns to a stored table."""
        extra = [name for name in stored if name not in table.column_names]
        if extra:
            raise self._misfit(table, f"it has columns {extra} that the contract does not know")
        added = {}
        for column in table.columns:
            if column.name not in stored:
                if not column.nullable:
                    raise self._misfit(table, f"the required column {column.name} is missing")
                added[f"{table.name}.{column.name}"] = add_column(table, column, "duckdb")
                continue
            kind, nullable = stored[column.name]
            if kind != sql_type(column, "duckdb"):
                raise self._misfit(table, f"{column.name} is {kind}, not {sql_type(column, 'duckdb')}")
            if column.nullable and not nullable:
                raise self._misfit(table, f"{column.name} refuses nulls that the contract allows")
        return added

    def _misfit(self, table: Table, why: str) -> WarehouseError:
        return WarehouseError(
            f"{self.describe()}: table {table.name} was made by another version: {why}. Move the file away and run the"
            " days again, or name another file"
        )


def _stored_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, tuple[str, bool]]]:
    """Type and nullability by column, by table."""
    rows = connection.execute(
        "select table_name, column_name, lower(data_type), is_nullable from duckdb_columns()"
        " where database_name = current_database() and schema_name = 'main' and not internal order by column_index"
    ).fetchall()
    stored: dict[str, dict[str, tuple[str, bool]]] = {}
    for table, column, kind, nullable in rows:
        stored.setdefault(table, {})[column] = (kind, nullable)
    return stored


def _stored_keys(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    rows = connection.execute(
        "select table_name, constraint_column_names from duckdb_constraints()"
        " where database_name = current_database() and schema_name = 'main' and constraint_type = 'PRIMARY KEY'"
    ).fetchall()
    return {table: tuple(names) for table, names in rows}


def _is_held(error: duckdb.Error) -> bool:
    """Whether another process, or a connection of this one with other settings, has the file."""
    text = str(error)
    return "Could not set lock" in text or "different configuration" in text


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

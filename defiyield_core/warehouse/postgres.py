"""The warehouse in Postgres: production, and one of the engines of every test run.

Belongs here: connecting, migrations on first use, loads and reads by COPY through Arrow's CSV. Does not belong here:
rules about rows (see `frames`), the migrations' text (see `migrations`).
Every operation is one connection and one transaction, so nothing is held between them and a process may be forked.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import pandas as pd
import psycopg2
import pyarrow as pa
from psycopg2 import errors as pg_errors
from pyarrow import csv

from defiyield_core.calendar import Window
from defiyield_core.errors import DataError, DefiYieldError, WarehouseError
from defiyield_core.warehouse import migrations, sql
from defiyield_core.warehouse.frames import (
    CheckedWrite,
    Selection,
    arrow_types,
    check_write,
    from_arrow,
    select,
    to_arrow,
)
from defiyield_core.warehouse.port import TableWrite
from defiyield_core.warehouse.postgres_url import PostgresUrl

_CHUNK_BYTES = 1 << 20
_CONNECT_SECONDS = 10
# Values travel as text: these make that text unambiguous whatever the server's configuration says.
_SESSION = """
select set_config('datestyle', 'ISO, YMD', false), set_config('timezone', 'UTC', false),
       set_config('extra_float_digits', '1', false)
"""


class PostgresWarehouse:
    """Tables in a Postgres database, in schema `public` unless the URL's options set a `search_path`.

    A database without our tables is migrated on first use. One that is behind is not touched: `migrate` says when the
    structure of a database in service changes.
    """

    def __init__(self, url: str) -> None:
        """Name the database; nothing is connected yet.

        Raises:
            ConfigurationError: the URL is malformed.
        """
        self._url = PostgresUrl.parse(url)
        self._is_current = False

    def migrate(self) -> list[str]:
        """Apply the migrations that are missing; their names.

        Raises:
            WarehouseError: an applied file was edited, or the role may not create tables.
        """
        with self._connected() as connection:
            applied = migrations.apply_missing(connection, migrations.load_migrations())
        self._is_current = True
        return applied

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
        statement, values = sql.select_rows(selection, "%s")
        buffer = io.BytesIO()
        with self._ready() as connection, connection.cursor() as cursor:
            query = cursor.mogrify(statement, values).decode()
            cursor.copy_expert(f"copy ({query}) to stdout (format csv)", buffer, _CHUNK_BYTES)
        return from_arrow(selection.columns, _parse_csv(buffer, selection))

    def replace(self, writes: Sequence[TableWrite]) -> None:
        """See `Warehouse.replace`."""
        checked = [check_write(write) for write in writes]
        with self._ready() as connection, connection.cursor() as cursor:
            # Writers of one table take turns, in one order for all, so that neither meets half of the other's window.
            for name in sorted({write.table.name for write in checked}):
                cursor.execute("select pg_advisory_xact_lock(hashtext('defiyield'), hashtext(%s))", (name,))
            for write in checked:
                self._apply(cursor, write)

    def days(self, table: str, *, scope: Mapping[str, str] | None = None) -> list[date]:
        """See `Warehouse.days`."""
        statement, values = sql.select_days(table, scope, "%s")
        with self._ready() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return [day for (day,) in cursor.fetchall()]

    def describe(self) -> str:
        """Where it is, without the password."""
        return self._url.shown

    def _apply(self, cursor: Any, write: CheckedWrite) -> None:
        """One write inside the open transaction."""
        table = write.table
        condition, values = sql.where(table, write.window, write.scope, "%s")
        cursor.execute(f"delete from {table.name}{condition}", values)  # noqa: S608
        if write.frame.empty:
            return
        try:
            cursor.copy_expert(
                f"copy {table.name} ({', '.join(table.column_names)}) from stdin (format csv)",
                pa.BufferReader(_format_csv(to_arrow(table, write.frame))),
                _CHUNK_BYTES,
            )
        except pg_errors.UniqueViolation as error:
            raise DataError(
                f"{table.name}: rule 'key' is broken by rows already stored outside of the window {write.window}:"
                f" {error.diag.message_detail}; nothing was written"
            ) from error
        if cursor.rowcount != len(write.frame):
            raise WarehouseError(
                f"{self.describe()}: {table.name} took {cursor.rowcount} of {len(write.frame)} rows;"
                " nothing was written"
            )

    @contextmanager
    def _ready(self) -> Iterator[Any]:
        """A connection to a database whose tables fit the contracts."""
        if not self._is_current:
            self._bring_up()
        with self._connected() as connection:
            yield connection

    def _bring_up(self) -> None:
        files = migrations.load_migrations()
        with self._connected() as connection:
            is_fresh = not migrations.applied_migrations(connection)
            missing = [] if is_fresh else migrations.missing_migrations(connection, files)
        if is_fresh:
            self.migrate()
        elif missing:
            names = ", ".join(migration.name for migration in missing)
            raise WarehouseError(f"{self.describe()} lacks the migrations {names}: {migrations.HOW_TO_MIGRATE}")
        self._is_current = True

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """One transaction: committed at the end, rolled back on any error."""
        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(_SESSION)
                if not self._url.names_schema:
                    cursor.execute("set search_path to public")
            yield connection
            connection.commit()
        except DefiYieldError:
            raise
        except psycopg2.Error as error:
            raise self._explained(error) from error
        finally:
            connection.close()  # what is not committed is rolled back

    def _connect(self) -> Any:
        try:
            return psycopg2.connect(self._url.dsn, connect_timeout=_CONNECT_SECONDS, client_encoding="utf8")
        except psycopg2.Error as error:
            reason = self._url.scrub(str(error))
            hint = ""
            if "does not exist" in reason and "database" in reason:
                hint = f": create it first (createdb {self._url.database}), or correct the URL"
            # `from None`: the driver's own message may quote the URL.
            raise WarehouseError(f"{self.describe()} cannot be reached: {reason}{hint}") from None

    def _explained(self, error: psycopg2.Error) -> WarehouseError:
        reason = self._url.scrub(str(error))
        hint = ""
        if isinstance(error, pg_errors.InsufficientPrivilege):
            hint = ": grant the role what sql/roles.sql gives writers and readers, and migrate as the owner"
        elif isinstance(error, pg_errors.UndefinedTable | pg_errors.UndefinedColumn):
            hint = f": the tables do not fit this version, {migrations.HOW_TO_MIGRATE}"
        elif isinstance(error, pg_errors.InvalidSchemaName):
            hint = ": create the schema that the URL's search_path names"
        return WarehouseError(f"{self.describe()}: {reason}{hint}")


def _format_csv(rows: pa.Table) -> pa.Buffer:
    """CSV in which text is quoted and null is not, so that an empty text stays apart from a null."""
    sink = pa.BufferOutputStream()
    csv.write_csv(rows, sink, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    return sink.getvalue()


def _parse_csv(buffer: io.BytesIO, selection: Selection) -> pa.Table:
    types = arrow_types(selection.columns)
    if buffer.tell() == 0:
        return pa.schema(list(types.items())).empty_table()
    buffer.seek(0)
    return csv.read_csv(
        buffer,
        csv.ReadOptions(column_names=list(types), block_size=1 << 24),
        csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )

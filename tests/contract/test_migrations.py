"""The migrations of Postgres give the contracts' tables, once, and are never edited."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
import pytest

from defiyield_core.calendar import Window
from defiyield_core.contracts import TABLES
from defiyield_core.errors import WarehouseError
from defiyield_core.warehouse import TableWrite, migrations
from defiyield_core.warehouse.migrations import load_migrations
from defiyield_core.warehouse.postgres import PostgresWarehouse

MakeRows = Callable[..., pd.DataFrame]
D1 = date(2025, 1, 1)
DAY = Window(D1, D1)
ROLES = Path(__file__).parents[2] / "sql" / "roles.sql"
NAMES = [migration.name for migration in load_migrations()]


@contextmanager
def cursor_of(url: str) -> Iterator[Any]:
    """A cursor that commits at the end."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


@pytest.fixture
def url(new_postgres_url: Callable[[], str]) -> str:
    return new_postgres_url()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of sql/ that takes its place."""
    copy = tmp_path / "sql"
    shutil.copytree(migrations.migrations_folder(), copy)
    monkeypatch.setattr(migrations, "migrations_folder", lambda: copy)
    return copy


def test_the_migrations_give_exactly_the_columns_of_the_contracts(url: str) -> None:
    assert PostgresWarehouse(url).migrate() == NAMES
    with cursor_of(url) as cursor:
        cursor.execute(
            "select table_name, column_name, data_type, is_nullable = 'YES', collation_name"
            " from information_schema.columns where table_schema = 'public' and table_name <> 'schema_migrations'"
        )
        stored = {tuple(row) for row in cursor.fetchall()}
    types = {"double": "double precision", "timestamp": "timestamp without time zone"}
    expected = {
        (table.name, c.name, types.get(c.type, c.type), c.nullable, "C" if c.type == "text" else None)
        for table in TABLES.values()
        for c in table.columns
    }
    assert stored == expected


def test_the_migrations_give_the_keys_bounds_and_indexes_of_the_contracts(url: str) -> None:
    PostgresWarehouse(url).migrate()
    with cursor_of(url) as cursor:
        cursor.execute(
            "select c.conrelid::regclass::text, c.contype, array(select a.attname::text from unnest(c.conkey)"
            " with ordinality k (number, place) join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number"
            " order by k.place) from pg_constraint c where c.connamespace = 'public'::regnamespace"
        )
        rows = cursor.fetchall()
        cursor.execute("select tablename, indexdef from pg_indexes where schemaname = 'public'")
        indexes = cursor.fetchall()
    keys = {name: tuple(columns) for name, kind, columns in rows if kind == "p" and name in TABLES}
    assert keys == {table.name: table.key for table in TABLES.values()}
    bounded = {(name, columns[0]) for name, kind, columns in rows if kind == "c"}
    assert bounded == {
        (table.name, c.name) for table in TABLES.values() for c in table.columns if (c.low, c.high) != (None, None)
    }
    for table in TABLES.values():
        if table.window:
            leading = [f"({table.window}" in definition for name, definition in indexes if name == table.name]
            assert any(leading), f"{table.name} has no index that begins with {table.window}"


def test_migrating_again_does_nothing(url: str) -> None:
    PostgresWarehouse(url).migrate()
    assert PostgresWarehouse(url).migrate() == []


def test_a_fresh_database_is_migrated_on_first_use(url: str) -> None:
    assert PostgresWarehouse(url).days("pools") == []
    assert PostgresWarehouse(url).migrate() == []


def test_two_processes_may_migrate_at_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: PostgresWarehouse(url).migrate(), range(4)))
    assert sorted(applied) == [[], [], [], NAMES]


def test_an_edited_migration_is_refused_by_name(url: str, folder: Path) -> None:
    PostgresWarehouse(url).migrate()
    (folder / NAMES[0]).write_text((folder / NAMES[0]).read_text() + "\n-- a harmless remark\n")
    for use in (lambda: PostgresWarehouse(url).migrate(), lambda: PostgresWarehouse(url).read("pools")):
        with pytest.raises(WarehouseError, match=f"migration {NAMES[0]} was edited after it had been applied"):
            use()


def test_a_later_migration_is_applied_when_asked_for_and_not_before(url: str, folder: Path) -> None:
    PostgresWarehouse(url).migrate()
    later = f"{len(NAMES) + 1:04d}_later.sql"
    (folder / later).write_text("create table later_table (id bigint primary key);")
    with pytest.raises(WarehouseError, match=f"lacks the migrations {later}: run `python -m"):
        PostgresWarehouse(url).read("pools")
    assert PostgresWarehouse(url).migrate() == [later]
    assert PostgresWarehouse(url).read("pools").empty


def test_a_migration_that_fails_leaves_nothing_behind(url: str, folder: Path) -> None:
    (folder / f"{len(NAMES) + 1:04d}_wrong.sql").write_text("create table half (id bigint); select no_such_function();")
    with pytest.raises(WarehouseError, match="no_such_function"):
        PostgresWarehouse(url).migrate()
    with cursor_of(url) as cursor:
        cursor.execute("select count(*) from information_schema.tables where table_schema = 'public'")
        assert cursor.fetchone() == (0,)


def test_a_database_ahead_of_the_program_is_refused(url: str, folder: Path) -> None:
    later = folder / f"{len(NAMES) + 1:04d}_later.sql"
    later.write_text("select 1;")
    PostgresWarehouse(url).migrate()
    later.unlink()
    with pytest.raises(WarehouseError, match=f"has migration {later.name}, which this version does not know"):
        PostgresWarehouse(url).read("pools")


def test_a_writer_replaces_rows_but_changes_no_table_and_a_reader_only_looks(url: str, make_rows: MakeRows) -> None:
    PostgresWarehouse(url).migrate()
    with cursor_of(url) as cursor:
        cursor.execute(ROLES.read_text())
        cursor.execute(ROLES.read_text())  # running it again is harmless
    writer_url, reader_url = (f"{url}&options=-crole%3Ddefiyield_{role}" for role in ("writer", "reader"))
    write = TableWrite("token_daily", make_rows("token_daily", D1), DAY)
    PostgresWarehouse(writer_url).replace([write])
    assert len(PostgresWarehouse(reader_url).read("token_daily")) == 2
    with pytest.raises(WarehouseError, match=r"permission denied.*sql/roles\.sql"):
        PostgresWarehouse(reader_url).replace([write])
    with cursor_of(writer_url) as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("drop table token_daily")
    with cursor_of(writer_url) as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("delete from schema_migrations")


def test_the_command_migrates_what_the_environment_names(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEFIYIELD_WAREHOUSE", url)
    assert migrations.main() == 0
    assert NAMES[0] in capsys.readouterr().out
    monkeypatch.setenv("DEFIYIELD_WAREHOUSE", "postgresql://me:hunter2@127.0.0.1:1/db")
    assert migrations.main() == 2
    assert "hunter2" not in capsys.readouterr().err

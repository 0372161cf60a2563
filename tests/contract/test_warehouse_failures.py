"""What a warehouse does when a writer dies, another process is in the way, or the address is wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import psycopg2
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import WarehouseError
from defiyield_core.warehouse import TableWrite, open_warehouse
from defiyield_core.warehouse.duckdb import DuckDBWarehouse
from defiyield_core.warehouse.postgres import PostgresWarehouse

MakeRows = Callable[..., pd.DataFrame]
D1 = date(2025, 1, 1)
DAY = Window(D1, D1)
PRICES, GROUPS = "token_daily", "pool_groups"

# Replaces the prices for real, then reports and stops inside the transaction, before the second table.
DIE_IN_THE_MIDDLE = """
import sys, time
from datetime import date
from defiyield_core.calendar import Window
from defiyield_core.warehouse import TableWrite, open_warehouse

warehouse = open_warehouse(sys.argv[1])
day = Window(date(2025, 1, 1), date(2025, 1, 1))
prices = warehouse.read("token_daily").assign(close_usd=0.5)
groups = warehouse.read("pool_groups").assign(pool_group=3)
apply, done = type(warehouse)._apply, []

def apply_then_hang(self, session, write):
    if done:
        print("first table replaced", flush=True)
        time.sleep(60)
    apply(self, session, write)
    done.append(write)

type(warehouse)._apply = apply_then_hang
warehouse.replace([TableWrite("token_daily", prices, day), TableWrite("pool_groups", groups, day)])
"""

HOLD_THE_FILE = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1])
connection.begin()
connection.execute("delete from token_daily")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def child(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has printed its first line; killed at the end."""
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip(), "the process ended before it reported"
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize("warehouse_url", ["duckdb", "postgres"], indirect=True)
def test_a_killed_writer_leaves_the_old_window(warehouse_url: str, make_rows: MakeRows) -> None:
    warehouse = open_warehouse(warehouse_url)
    warehouse.replace([TableWrite(PRICES, make_rows(PRICES, D1), DAY), TableWrite(GROUPS, make_rows(GROUPS, D1), DAY)])
    before = [warehouse.read(name) for name in (PRICES, GROUPS)]
    with child(DIE_IN_THE_MIDDLE, warehouse_url) as writer:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        for name, frame in zip((PRICES, GROUPS), before, strict=True):
            pd.testing.assert_frame_equal(open_warehouse(warehouse_url).read(name), frame, check_exact=True)
        warehouse.replace([TableWrite(PRICES, before[0].assign(close_usd=0.9), DAY)])
    assert (warehouse.read(PRICES)["close_usd"] == 0.9).all()


@pytest.fixture
def duckdb_path(tmp_path: Path, make_rows: MakeRows) -> Path:
    path = tmp_path / "warehouse.duckdb"
    DuckDBWarehouse(path).replace([TableWrite(PRICES, make_rows(PRICES, D1), DAY)])
    return path


def test_a_held_duckdb_file_is_an_error_that_names_the_process(duckdb_path: Path) -> None:
    with child(HOLD_THE_FILE, str(duckdb_path), "60") as holder, pytest.raises(WarehouseError) as caught:
        DuckDBWarehouse(duckdb_path, wait_seconds=0.3).read(PRICES)
    assert f"{duckdb_path} is held by process {holder.pid} " in str(caught.value)
    assert "still after waiting 0.3 s" in str(caught.value)


def test_a_writer_waits_until_the_other_process_lets_go(duckdb_path: Path, make_rows: MakeRows) -> None:
    with child(HOLD_THE_FILE, str(duckdb_path), "0.5"):
        rows = make_rows(PRICES, D1, close_usd=0.25)
        DuckDBWarehouse(duckdb_path, wait_seconds=30).replace([TableWrite(PRICES, rows, DAY)])
    assert (DuckDBWarehouse(duckdb_path).read(PRICES)["close_usd"] == 0.25).all()


def test_a_connection_of_this_process_with_other_settings_is_in_the_way_too(duckdb_path: Path) -> None:
    warehouse = DuckDBWarehouse(duckdb_path, wait_seconds=0.1)
    with duckdb.connect(str(duckdb_path), read_only=True), pytest.raises(WarehouseError, match="another connection"):
        warehouse.read(PRICES)
    assert len(warehouse.read(PRICES)) == 2


def test_nothing_is_held_between_operations(duckdb_path: Path) -> None:
    DuckDBWarehouse(duckdb_path).read(PRICES)
    with child(HOLD_THE_FILE, str(duckdb_path), "0") as other:
        assert other.wait(30) == 0


@pytest.mark.parametrize("warehouse_url", ["memory", "duckdb", "postgres"], indirect=True)
def test_threads_that_replace_the_same_window_take_turns(warehouse_url: str, make_rows: MakeRows) -> None:
    failures: list[BaseException] = []

    def write(price: float) -> None:
        try:
            warehouse = shared if warehouse_url == "memory:" else open_warehouse(warehouse_url)
            for _ in range(3):
                rows = make_rows(PRICES, D1, per_day=50, close_usd=price)
                warehouse.replace([TableWrite(PRICES, rows, DAY)])
                assert warehouse.read(PRICES)["close_usd"].nunique() == 1, "half of one window, half of the other"
        except BaseException as error:
            failures.append(error)

    shared = open_warehouse(warehouse_url)
    threads = [threading.Thread(target=write, args=(float(price),)) for price in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(shared.read(PRICES)) == 50


def test_a_file_that_is_no_duckdb_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes\n" * 500)
    with pytest.raises(WarehouseError, match="cannot be opened"):
        DuckDBWarehouse(path).read(PRICES)
    assert path.read_text().startswith("not a database")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WarehouseError, match="its folder cannot be made"):
        DuckDBWarehouse(tmp_path / "file" / "w.duckdb").read(PRICES)


def test_a_duckdb_file_that_was_deleted_is_made_again(duckdb_path: Path) -> None:
    warehouse = DuckDBWarehouse(duckdb_path)
    assert len(warehouse.read(PRICES)) == 2
    duckdb_path.unlink()
    assert warehouse.read(PRICES).empty


def test_a_nullable_column_that_a_duckdb_table_lacks_is_added(duckdb_path: Path) -> None:
    with duckdb.connect(str(duckdb_path)) as connection:
        connection.execute("alter table token_daily drop column market_cap_usd")
    warehouse = DuckDBWarehouse(duckdb_path)
    assert warehouse.migrate() == ["token_daily.market_cap_usd"]
    assert warehouse.read(PRICES)["market_cap_usd"].isna().all()
    assert warehouse.migrate() == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("alter table token_daily add column mood text", r"it has columns \['mood'\]"),
        ("alter table token_daily drop column close_usd", "the required column close_usd is missing"),
        ("alter table pool_groups alter reason type integer", "reason is integer, not varchar"),
        ("drop table gas_fees_daily; create table gas_fees_daily (date date primary key)", "the required column"),
        ("drop table pool_groups; create table pool_groups (pool_id text primary key)", "its key is"),
    ],
)
def test_a_duckdb_table_of_another_version_is_refused(change: str, why: str, duckdb_path: Path) -> None:
    with duckdb.connect(str(duckdb_path)) as connection:
        connection.execute(change)
    with pytest.raises(WarehouseError, match=f"made by another version: {why}"):
        DuckDBWarehouse(duckdb_path).read(PRICES)


def test_an_unknown_database_is_an_error_that_says_how_to_make_it(postgres_url: str) -> None:
    url = re.sub(r"/test_\w+\?", "/nowhere?", postgres_url.replace("postgres:@", "postgres:hunter2@"))
    with pytest.raises(WarehouseError, match=r"createdb nowhere") as caught:
        PostgresWarehouse(url).read(PRICES)
    assert "hunter2" not in str(caught.value) + repr(caught.value.__cause__)


def test_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    with pytest.raises(WarehouseError, match=r"Postgres me@127.0.0.1:1/db cannot be reached") as caught:
        PostgresWarehouse("postgresql://me:hunter2@127.0.0.1:1/db").days(PRICES)
    assert "hunter2" not in str(caught.value)


def test_the_schema_of_a_url_holds_the_tables(new_postgres_url: Callable[[], str], make_rows: MakeRows) -> None:
    postgres_url = new_postgres_url()
    url = postgres_url + "&options=-csearch_path%3Dtreasury"
    with pytest.raises(WarehouseError, match="create the schema"):
        PostgresWarehouse(url).read(PRICES)
    with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("create schema treasury")
    connection.close()
    PostgresWarehouse(url).replace([TableWrite(PRICES, make_rows(PRICES, D1), DAY)])
    assert len(PostgresWarehouse(url).read(PRICES)) == 2
    assert PostgresWarehouse(postgres_url).read(PRICES).empty


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_a_postgres_url_opens(scheme: str, postgres_url: str) -> None:
    warehouse = open_warehouse(postgres_url.replace("postgresql", scheme, 1))
    assert isinstance(warehouse.days(PRICES), list)

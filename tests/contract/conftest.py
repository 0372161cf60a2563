"""Warehouses of every kind, and rows that meet any table's contract."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg2
import pytest

from defiyield_core.calendar import Window
from defiyield_core.contracts import TABLES, table
from defiyield_core.contracts.schema import conform
from defiyield_core.warehouse import Warehouse, open_warehouse

MakeRows = Callable[..., pd.DataFrame]


@pytest.fixture(params=["memory", "duckdb", "postgres"])
def warehouse_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty warehouse of each kind."""
    if request.param == "memory":
        return "memory:"
    if request.param == "duckdb":
        return f"duckdb:{tmp_path / 'new folder' / 'warehouse.duckdb'}"
    url: str = request.getfixturevalue("postgres_url")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass('schema_migrations') is not null")
        if cursor.fetchone() == (True,):
            cursor.execute("truncate " + ", ".join(TABLES))
    connection.close()
    return url


@pytest.fixture
def warehouse(warehouse_url: str) -> Warehouse:
    """An empty warehouse of each kind; the file is not there yet, the Postgres database is the module's."""
    return open_warehouse(warehouse_url)


@pytest.fixture(scope="session")
def make_rows() -> MakeRows:
    """`make_rows(table, days, per_day, **columns)`: canonical rows with distinct keys and a value in every column."""

    def make(name: str, days: Window | date | None = None, per_day: int = 2, **columns: Any) -> pd.DataFrame:
        contract = table(name)
        window = Window(days, days) if isinstance(days, date) else days
        stamps = np.repeat(window.days() if window else np.array(["2025-01-01"], "datetime64[D]"), per_day)
        count = np.arange(len(stamps))
        made: dict[str, Any] = {}
        for column in contract.columns:
            if column.name in columns:
                made[column.name] = columns[column.name]
            elif column.type == "date":
                made[column.name] = stamps.astype("datetime64[ns]")
            elif column.type == "timestamp":
                made[column.name] = stamps + (count % per_day + 1).astype("timedelta64[us]")
            elif column.type == "text":
                made[column.name] = [f"{column.name} {i % per_day}" for i in count]
            elif column.type == "boolean":
                made[column.name] = count % 2 == 0
            else:
                made[column.name] = count % per_day + 1 if column.name in contract.key else np.ones(len(count))
        return conform(contract, pd.DataFrame(made))

    return make

"""Addresses of warehouses: what is understood, what is shown, and where migrations are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from defiyield_core.errors import ConfigurationError, WarehouseError
from defiyield_core.warehouse import migrations, open_warehouse
from defiyield_core.warehouse.migrations import load_migrations, migrations_folder
from defiyield_core.warehouse.postgres_url import PostgresUrl


@pytest.mark.parametrize(
    ("url", "dsn", "shown"),
    [
        (
            "postgresql+psycopg2://me:p%40ss@db.example:5433/treasury?sslmode=require",
            "postgresql://me:p%40ss@db.example:5433/treasury?sslmode=require",
            "Postgres me@db.example:5433/treasury",
        ),
        ("postgres://me@db/t", "postgresql://me@db/t", "Postgres me@db/t"),
        ("postgresql://me:@/t?host=/run/pg", "postgresql://me:@/t?host=/run/pg", "Postgres me@/run/pg/t"),
        ("postgresql://me@[::1]:5432/t", "postgresql://me@[::1]:5432/t", "Postgres me@::1:5432/t"),
    ],
)
def test_a_postgres_url_is_understood_and_shown_without_its_password(url: str, dsn: str, shown: str) -> None:
    parsed = PostgresUrl.parse(url)
    assert (parsed.dsn, parsed.shown) == (dsn, shown)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cr%2Ft@db/t",
        "postgresql://me@db/t?password=s3cr%2Ft",
        "postgresql:///t?user=me&password=s3cr%2Ft&host=db",
    ],
)
def test_no_form_of_the_password_is_ever_shown(url: str) -> None:
    parsed = PostgresUrl.parse(url)
    message = parsed.scrub("connection with s3cr/t or s3cr%2Ft failed\nand more")
    for text in (parsed.shown, repr(parsed), message, open_warehouse(url).describe()):
        assert "s3cr" not in text
    assert message == "connection with *** or *** failed"


def test_a_malformed_postgres_url_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match="port") as caught:
        open_warehouse("postgresql://me:hunter2@db:many/t")
    assert "hunter2" not in str(caught.value) and caught.value.__cause__ is None


def test_an_unknown_kind_of_warehouse_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="use duckdb:PATH"):
        open_warehouse("sqlite:x.db")


def test_the_migrations_are_found_in_the_checkout() -> None:
    assert load_migrations()[0].name == "0001_initial.sql"
    assert all("roles" not in migration.name for migration in load_migrations())


def test_the_migrations_are_found_in_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "share" / "defiyield" / "sql"
    installed.mkdir(parents=True)
    monkeypatch.setattr(migrations, "__file__", str(tmp_path / "lib" / "defiyield_core" / "warehouse" / "m.py"))
    monkeypatch.setattr(migrations.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(WarehouseError, match="were not found"):
        migrations_folder()
    (installed / "0001_initial.sql").write_text("select 1;")
    assert migrations_folder() == installed


@pytest.mark.parametrize("names", [["0002_b.sql"], ["0001_a.sql", "0003_c.sql"], ["0001_a.sql", "0001_b.sql"]])
def test_a_gap_or_a_double_in_the_numbers_is_refused(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("select 1;")
    with pytest.raises(WarehouseError, match="missing or doubled"):
        load_migrations(tmp_path)

"""DDL, table reference and dbt sources follow from the contracts."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import yaml

from defiyield_core.contracts import TABLES
from defiyield_core.contracts.ddl import add_column, create_indexes, create_table
from defiyield_core.contracts.generate import INITIAL, ROOT, dbt_sources, generated, main, stale, table_reference
from defiyield_core.contracts.schema import Table, columns

SAMPLE = Table(
    name="sample",
    layer="raw",
    doc="A sample.",
    key=("hash", "date"),
    columns=columns("""
        hash text - | identity
        date date - | UTC day
        share double[0,1]? fraction | a share
        height bigint[-1,] blocks | a height
    """),
)


def test_the_ddl_of_postgres_says_types_keys_bounds_and_meaning() -> None:
    assert create_table(SAMPLE, "postgres", comments=True).splitlines() == [
        "create table sample (",
        '    hash text collate "C" not null,  -- identity',
        "    date date not null,  -- UTC day",
        "    share double precision check (share >= 0 and share <= 1),  -- a share [fraction]",
        "    height bigint not null check (height >= -1),  -- a height [blocks]",
        "    primary key (hash, date)",
        ")",
    ]


def test_a_window_that_the_key_does_not_begin_with_has_an_index() -> None:
    assert create_indexes(SAMPLE) == ["create index sample_date on sample (date)"]
    assert create_indexes(TABLES["pools"]) == []
    assert create_indexes(TABLES["approved_tokens"]) == []


def test_only_a_nullable_column_can_be_added() -> None:
    assert add_column(SAMPLE, SAMPLE.column("share"), "duckdb") == "alter table sample add column share double"
    with pytest.raises(ValueError, match=r"sample\.height is required"):
        add_column(SAMPLE, SAMPLE.column("height"), "duckdb")


@pytest.mark.parametrize(
    "values", ["null, '2025-01-01', 0, 0", "'a', '2025-01-01', 1.5, 0", "'a', '2025-01-01', null, -2"]
)
def test_the_database_itself_refuses_what_breaks_the_contract(values: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(create_table(SAMPLE, "duckdb"))
        connection.execute("insert into sample values ('a', '2025-01-01', null, -1)")
        with pytest.raises(duckdb.ConstraintException):
            connection.execute(f"insert into sample values ({values})")


def test_the_committed_files_are_not_stale() -> None:
    assert stale(ROOT) == []


def test_the_check_names_stale_files_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert INITIAL in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0
    (tmp_path / "docs" / "tables.md").write_text("edited")
    capsys.readouterr()
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "docs/tables.md does not follow from the contracts: run `make docs`\n"


def test_the_first_migration_is_left_alone_once_a_later_one_exists(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / INITIAL).write_text("-- as it was released\n")
    (tmp_path / "sql" / "0002_later.sql").write_text("select 1;\n")
    assert INITIAL not in generated(tmp_path)
    assert main(["--root", str(tmp_path)]) == 0
    assert (tmp_path / INITIAL).read_text() == "-- as it was released\n"


def test_the_dbt_sources_name_every_table_and_test_every_required_column() -> None:
    (source,) = yaml.safe_load(dbt_sources())["sources"]
    assert (source["name"], source["schema"]) == ("defiyield", "{{ target.schema }}")
    described = {
        (table["name"], column["name"], "not_null" in column.get("data_tests", []))
        for table in source["tables"]
        for column in table["columns"]
    }
    assert described == {(t.name, c.name, not c.nullable) for t in TABLES.values() for c in t.columns}


def test_the_table_reference_has_a_row_for_every_column() -> None:
    text = table_reference()
    for table in TABLES.values():
        section = text.split(f"### {table.name}\n")[1].split("\n###")[0]
        assert section.count("\n| `") == len(table.columns)
        for column in table.columns:
            assert f"| `{column.name}` | {column.type} | {column.unit} |" in section

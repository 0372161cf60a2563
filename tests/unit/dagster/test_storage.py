"""Batched writes store what Dagster's own storage stores."""

import re
import sqlite3
from pathlib import Path

import dagster as dg
import pytest

from defiyield_dagster.storage import BatchedSqliteEventLogStorage, BatchedSqliteStorage

DAYS = dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-01-31")
RANGE = {"dagster/asset_partition_range_start": "2025-01-01", "dagster/asset_partition_range_end": "2025-01-30"}


def run_a_month(folder: Path, storage: str, monkeypatch: pytest.MonkeyPatch, batch: int) -> dg.DagsterInstance:
    """Two assets and a check over 30 partitions, with metadata on each."""
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", str(batch))
    module = (
        "defiyield_dagster.storage" if storage == "BatchedSqliteStorage" else "dagster._core.storage.sqlite_storage"
    )

    @dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), tags={"a": "b"}, code_version="3")
    def first(context: dg.AssetExecutionContext) -> None:
        for key in context.partition_keys:
            context.add_asset_metadata({"number": len(key)}, partition_key=key)

    @dg.asset(partitions_def=DAYS, deps=[first], backfill_policy=dg.BackfillPolicy.single_run())
    def second() -> None: ...

    @dg.asset_check(asset=first)
    def fine() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    overrides = {
        "storage": {"custom": {"module": module, "class": storage, "config": {"base_dir": str(folder / "s")}}},
        "telemetry": {"enabled": False},
    }
    folder.mkdir()
    instance = dg.DagsterInstance.local_temp(str(folder), overrides=overrides)
    defs = dg.Definitions(assets=[first, second], asset_checks=[fine])
    job = defs.resolve_implicit_global_asset_job_def()
    for _ in range(2):
        config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        assert job.execute_in_process(instance=instance, tags=RANGE, run_config=config).success
    return instance


def contents(folder: Path) -> dict[str, list[list[object]]]:
    """Rows of every table of every file, without what differs from run to run."""
    runs: dict[str, str] = {}

    def neutral(value: object) -> object:
        if not isinstance(value, str):
            return value
        text = re.sub(
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", lambda m: runs.setdefault(m[0], f"run{len(runs)}"), value
        )
        text = re.sub(r"\b\d+(\.\d+)?m?s\b|\b[0-9a-f]{64}\b|\"pid\": \d+|pid: \d+", "X", text)
        text = re.sub(r"\d+\.\d+(e-?\d+)?|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "TIME", text)
        text = re.sub(r'"log_key": "\w+"', "X", text)
        return text.replace(str(folder), "FOLDER")

    found = {}
    shards = sorted((folder / "s" / "history" / "runs").glob("*.db"), key=lambda file: file.stat().st_ctime_ns)
    for file in [f for f in shards if f.stem == "index"] + [f for f in shards if f.stem != "index"]:
        connection = sqlite3.connect(file)
        for table in ("event_logs", "asset_keys", "asset_event_tags", "asset_check_executions"):
            rows = connection.execute(f"select * from {table} order by id").fetchall()
            found[f"{neutral(file.stem)} {table}"] = [[neutral(value) for value in row] for row in rows]
    return found


def test_a_batched_backfill_stores_what_the_stock_storage_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = run_a_month(tmp_path / "stock", "DagsterSqliteStorage", monkeypatch, 0)
    batched = run_a_month(tmp_path / "batched", "BatchedSqliteStorage", monkeypatch, 500)
    assert isinstance(batched.event_log_storage, BatchedSqliteEventLogStorage)
    assert not isinstance(stock.event_log_storage, BatchedSqliteEventLogStorage)
    left, right = contents(tmp_path / "stock"), contents(tmp_path / "batched")
    # Ids, order and contents of every row are equal; only moments, run ids and data versions drawn from them differ.
    assert left.keys() == right.keys()
    for table, rows in left.items():
        assert len(rows) == len(right[table]), table
        for one, other in zip(rows, right[table], strict=True):
            assert one == other, table
    for key in ("first", "second"):
        assert stock.get_materialized_partitions(dg.AssetKey(key)) == batched.get_materialized_partitions(
            dg.AssetKey(key)
        )


def test_where_dagster_has_changed_inside_the_events_are_written_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defiyield_dagster.storage._LEANED_ON", ("a_method_that_is_gone",))
    instance = run_a_month(tmp_path / "home", "BatchedSqliteStorage", monkeypatch, 500)
    assert len(instance.get_materialized_partitions(dg.AssetKey("second"))) == 30
    assert BatchedSqliteStorage.__name__ in str(instance.get_ref().storage_data)

"""When the treasury's day runs, and for which days."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite, Warehouse
from defiyield_dagster.partitions import window_of_run
from defiyield_dagster.schedules import days_due
from tests.unit.dagster.deployment import Deployment, day, deploy


def complete(warehouse: Warehouse, *offsets: int) -> None:
    rows = [("live", day(offset), "run", "1", datetime(2025, 1, 1)) for offset in offsets]
    frame = pd.DataFrame(rows, columns=list(table("completed_days").column_names))
    warehouse.replace(
        [TableWrite("completed_days", frame, Window(day(min(offsets)), day(max(offsets))), {"subject": "live"})]
    )


def tick(deployment: Deployment, offset: int):  # type: ignore[no-untyped-def]
    """What the schedule asks for at 00:45 after the day."""
    moment = datetime.combine(day(offset + 1), datetime.min.time(), UTC) + timedelta(minutes=45)
    repository = deployment.defs.get_repository_def()
    (schedule,) = repository.schedule_defs
    assert schedule.cron_schedule == "45 0 * * *" and schedule.execution_timezone == "UTC"
    resources = repository.get_top_level_resources()
    context = dg.build_schedule_context(
        scheduled_execution_time=moment,
        resources={"deployment": resources["deployment"]},
        repository_def=repository,
    )
    found = schedule.evaluate_tick(context)
    return found.run_requests[0] if found.run_requests else found.skip_message


def test_a_portfolio_that_never_ran_gets_yesterday() -> None:
    assert days_due(open_warehouse("memory:"), "live", day(3)) == Window(day(3), day(3))


def test_missed_days_are_caught_up_in_one_window_and_completed_ones_are_not_run_again() -> None:
    warehouse = open_warehouse("memory:")
    complete(warehouse, 0, 1)
    assert days_due(warehouse, "live", day(4)) == Window(day(2), day(4))
    assert days_due(warehouse, "live", day(1)) is None


def test_a_tick_asks_for_yesterday_and_after_an_outage_for_the_days_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(tmp_path, monkeypatch, days=5)
    first = tick(deployment, 0)
    assert first.partition_key == str(day(0))
    complete(deployment.warehouse, 0)
    late = tick(deployment, 3)
    assert window_of_run(late.tags) == Window(day(1), day(3))
    complete(deployment.warehouse, 0, 1, 2, 3)
    assert tick(deployment, 3) == f"live is complete up to {day(3)}"


def test_a_tick_after_the_end_of_a_replayed_market_asks_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(tmp_path, monkeypatch, days=2)
    assert tick(deployment, 2) == f"{day(2)} is no day of this source (its last one is {day(1)})"

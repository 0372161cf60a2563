"""A backfill that is killed half way and launched again ends with the rows of one that never stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from defiyield_dagster.launch import launch_range
from defiyield_dagster.progress import DayDone
from tests.unit.dagster.deployment import BOOKS, assert_same_rows, deploy, stored_rows

DAYS = 12
KILLED = """
import os, signal, sys
from pathlib import Path
import dagster as dg, pytest
from defiyield_dagster.launch import launch_range
from defiyield_dagster.progress import DayDone
from tests.unit.dagster.deployment import BOOKS, deploy

seen = []

def die(news):
    if isinstance(news, DayDone) and news.portfolio == "live":
        seen.append(news.day)
        if len(seen) == 8:  # two chunks of three are committed, the third is under way
            os.kill(os.getpid(), signal.SIGKILL)

deployment = deploy(Path(sys.argv[1]), pytest.MonkeyPatch(), days={days})
with dg.DagsterInstance.get() as instance:
    launch_range(deployment.defs, BOOKS, deployment.days, instance, listener=die, chunk_days=3, log_level="CRITICAL")
""".replace("{days}", str(DAYS))


@pytest.mark.slow
def test_a_killed_backfill_launched_again_gives_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed")], cwd=Path(__file__).parents[2], env=dict(os.environ)
    )
    assert killed.returncode == -signal.SIGKILL
    deployment = deploy(tmp_path / "killed", monkeypatch, days=DAYS)
    days = list(deployment.days)
    assert deployment.warehouse.days("portfolio_daily", scope={"portfolio": "live"}) == days[:6]
    again: list[object] = []
    with dg.DagsterInstance.get() as instance:
        (open_run,) = instance.get_runs()
        assert open_run.status == dg.DagsterRunStatus.STARTED
        assert not instance.get_materialized_partitions(dg.AssetKey(["live", "state"]))
        launched = launch_range(
            deployment.defs,
            BOOKS,
            deployment.days,
            instance,
            resume=True,
            listener=again.append,
            log_level="CRITICAL",
        )
        assert launched.success, launched.problems
        dead = instance.get_run_by_id(open_run.run_id)
        assert dead is not None and dead.status == dg.DagsterRunStatus.FAILURE
        assert instance.get_materialized_partitions(dg.AssetKey(["live", "state"])) == {str(day) for day in days}
    computed = [news.day for news in again if isinstance(news, DayDone) and news.portfolio == "live"]
    assert computed == days[6:]

    whole = deploy(tmp_path / "whole", monkeypatch, days=DAYS)
    with dg.DagsterInstance.ephemeral() as instance:
        assert launch_range(whole.defs, BOOKS, whole.days, instance, log_level="CRITICAL").success
    assert_same_rows(stored_rows(deployment.warehouse), stored_rows(whole.warehouse))

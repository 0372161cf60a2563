"""Launching a range in this process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_dagster.launch import PROCESS_TAG, fail_dead_runs, launch_range, this_process
from tests.unit.dagster.deployment import BOOKS, day, deploy


def open_run(instance: dg.DagsterInstance, process: str) -> dg.DagsterRun:
    """A run that began and never ended."""
    run = instance.add_run(dg.DagsterRun(job_name="x", tags={PROCESS_TAG: process} if process else {}))
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name="x")
    instance.report_dagster_event(event, run.run_id)
    return run


def test_a_run_of_a_process_that_is_gone_is_failed_and_one_from_elsewhere_is_left_alone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with dg.DagsterInstance.ephemeral() as instance:
        dead = open_run(instance, f"{socket.gethostname()}:{gone.pid}:1")
        reused = open_run(instance, f"{socket.gethostname()}:{os.getpid()}:not-the-start-of-this-process")
        other_machine = open_run(instance, "another-host:1:1")
        from_the_ui = open_run(instance, "")
        assert set(fail_dead_runs(instance)) == {dead.run_id, reused.run_id}
        status = {run.run_id: run.status for run in instance.get_runs()}
    assert status[dead.run_id] == status[reused.run_id] == dg.DagsterRunStatus.FAILURE
    assert status[other_machine.run_id] == status[from_the_ui.run_id] == dg.DagsterRunStatus.STARTED


def test_two_launches_at_once_are_refused() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        open_run(instance, this_process())
        with pytest.raises(ConfigurationError, match=f"of process {os.getpid()} is still going on"):
            fail_dead_runs(instance)


def test_days_outside_the_deployment_are_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(tmp_path, monkeypatch, days=2)
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(ConfigurationError, match=f"{day(2)} is outside the days of this deployment, {day(0)} to"):
            launch_range(deployment.defs, BOOKS, Window(day(1), day(2)), instance)
        assert not instance.get_runs()


def test_a_step_that_fails_is_told_with_its_reason_and_stops_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(tmp_path, monkeypatch, days=2)
    selection = dg.AssetSelection.groups("hold")  # no market was ever computed for it
    with dg.DagsterInstance.ephemeral() as instance:
        launched = launch_range(deployment.defs, selection, deployment.days, instance, log_level="CRITICAL")
        (run,) = instance.get_runs()
    assert not launched.success and run.status == dg.DagsterRunStatus.FAILURE
    assert launched.problems and launched.problems[0].startswith("hold__day: ")
    assert not deployment.warehouse.days("portfolio_daily")

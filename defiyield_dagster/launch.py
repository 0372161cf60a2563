"""A range of days in one run, in this process, without a daemon.

This is what the demo does, and what a shell or a cron job can do: the run is in the instance like any other, its
partitions show as materialised, sensors see it. A backfill from the UI does the same through the daemon.
Belongs here: starting a run and telling how it went; failing the runs of processes that died. Does not belong here:
printing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.portfolio.runner import CHUNK_DAYS
from defiyield_dagster.assets.portfolios import op_name
from defiyield_dagster.partitions import range_tags
from defiyield_dagster.progress import Listener, listening
from defiyield_dagster.sensors import failed_checks

PROCESS_TAG = "defiyield/process"
"""Host, process id and start of the process that runs a range in itself."""
_OPEN = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


@dataclass(frozen=True)
class Launched:
    """How a run went.

    Attributes:
        problems: what failed, step by step; empty when the run succeeded.
        failed_checks: checks that did not pass, each in a sentence; warnings among them fail no run.
    """

    run_id: str
    success: bool
    seconds: float
    problems: tuple[str, ...]
    failed_checks: tuple[str, ...]


def launch_range(
    defs: dg.Definitions,
    selection: dg.AssetSelection,
    window: Window,
    instance: dg.DagsterInstance,
    *,
    listener: Listener | None = None,
    resume: bool = False,
    chunk_days: int = CHUNK_DAYS,
    log_level: str = "WARNING",
    tags: Mapping[str, str] | None = None,
) -> Launched:
    """Materialise the selection over the window, checks included, in one run of this process.

    Args:
        listener: hears of every finished day and asset.
        resume: portfolios keep the days that the warehouse knows as completed, and go on after them.
        chunk_days: days of a portfolio that are committed together.
        log_level: from which level on Dagster writes to the console (its events are thousands in a range).

    Raises:
        ConfigurationError: the window is outside the partitions, or another process is at it.
    """
    fail_dead_runs(instance)
    graph = defs.resolve_asset_graph()
    keys = sorted(selection.resolve(graph))
    _check_window(graph, keys, window)
    job = defs.resolve_implicit_global_asset_job_def()
    begun = time.perf_counter()
    with listening(listener) if listener else nullcontext():
        result = job.execute_in_process(
            run_config=_run_config(keys, {"resume": resume, "chunk_days": chunk_days}, log_level),
            instance=instance,
            asset_selection=keys,
            tags={**range_tags(window), PROCESS_TAG: this_process(), **(tags or {})},
            raise_on_error=False,
        )
    checks = tuple(
        f"{check.asset_key.to_user_string()} {check.check_name}: {check.description or 'did not pass'}"
        for check in failed_checks(instance, result.run_id)
    )
    return Launched(result.run_id, result.success, time.perf_counter() - begun, problems_of(result), checks)


def fail_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of processes of this machine that are gone as failed; their ids.

    Raises:
        ConfigurationError: such a process is still there: two runs at once would write the same tables.
    """
    failed = []
    for run in instance.get_runs(RunsFilter(statuses=_OPEN)):
        process = run.tags.get(PROCESS_TAG, "")
        host, _, rest = process.partition(":")
        if not process or host != socket.gethostname():
            continue  # launched from the UI or elsewhere: not ours to judge
        if process == this_process() or _is_alive(rest):
            raise ConfigurationError(
                f"run {run.run_id[:8]} of process {rest.partition(':')[0]} is still going on: wait for it, or end it"
            )
        instance.report_run_failed(run, f"Process {process} is gone without having ended this run.")
        failed.append(run.run_id)
    return failed


def this_process() -> str:
    """`host:pid:start`: unlike a bare process id, never that of a later process."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def _is_alive(process: str) -> bool:
    pid, _, started = process.partition(":")
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return _started(int(pid)) == started


def _started(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty where the system does not tell, or for a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _check_window(graph: Any, keys: list[dg.AssetKey], window: Window) -> None:
    partitions = next((graph.get(key).partitions_def for key in keys if graph.get(key).partitions_def), None)
    if partitions is None:
        return
    for day in (window.start, window.end):
        if not partitions.has_partition_key(day.isoformat()):
            first, last = partitions.get_first_partition_key(), partitions.get_last_partition_key()
            raise ConfigurationError(f"{day} is outside the days of this deployment, {first} to {last}")


def _run_config(keys: list[dg.AssetKey], portfolio: Mapping[str, Any], log_level: str) -> dict[str, Any]:
    portfolios = [key.path[0] for key in keys if len(key.path) == 2 and key.path[1] == "state"]
    return {
        "loggers": {"console": {"config": {"log_level": log_level}}},
        "ops": {op_name(name): {"config": dict(portfolio)} for name in portfolios},
    }


def problems_of(result: dg.ExecuteInProcessResult) -> tuple[str, ...]:
    """What failed, step by step; empty when the run succeeded."""
    told = []
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        told.append(f"{event.step_key}: {error.message.strip() if error else 'failed'}")
    return tuple(told)

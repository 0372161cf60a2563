"""Dagster's own storage in development: where it is and how it is configured.

Belongs here: `dagster.yaml` of a local home. Does not belong here: production's (see `infra/dagster.yaml`).
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import yaml

from defiyield_core.settings import Settings
from defiyield_dagster.storage import EVENT_BATCH_SIZE, BatchedSqliteStorage

_HEADER = "# Written by defiyield_dagster.instance; an existing file is left alone.\n"


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME, or a folder under the home that is the source's own: partitions of two markets must not mix."""
    chosen = os.environ.get("DAGSTER_HOME")
    kind = settings.source.partition(":")[0]
    return Path(chosen).resolve() if chosen else settings.home / f"dagster-{kind}"


def local_config(home: Path) -> dict[str, object]:
    """Contents of a development `dagster.yaml`: batched SQLite, one run at a time, nothing sent anywhere."""
    return {
        "storage": {
            "custom": {
                "module": BatchedSqliteStorage.__module__,
                "class": BatchedSqliteStorage.__name__,
                "config": {"base_dir": str(home / "storage")},
            }
        },
        "compute_logs": {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": str(home / "logs")},
        },
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "freshness": {"enabled": True},
        # DuckDB allows one writing process.
        "concurrency": {"runs": {"max_concurrent_runs": 1}},
    }


def prepare_home(settings: Settings) -> Path:
    """Make the home and its `dagster.yaml` (an existing one is left alone) and point this process at it."""
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_HEADER + yaml.safe_dump(local_config(home), sort_keys=False))
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENT_BATCH_SIZE))
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of the home; a context manager that closes it."""
    prepare_home(settings)
    return dg.DagsterInstance.get()

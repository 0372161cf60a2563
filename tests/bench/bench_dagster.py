"""Dagster's share: importing the definitions, and a portfolio's year as a single-run backfill."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg

from defiyield_core.calendar import Window, parse_day
from defiyield_core.settings import Settings
from defiyield_dagster.build import build_defs
from defiyield_dagster.instance import open_instance
from defiyield_dagster.launch import launch_range
from defiyield_dagster.partitions import daily_partitions
from defiyield_dagster.resources import RESOURCE_KEY, DeploymentResource
from tests.bench.measure import ROOT, Measurement, recorded_folder


def run() -> list[Measurement]:
    """Imports three times; the backfill once, in a warehouse filled just before."""
    rows = [Measurement("import the definitions, a new process", _import_seconds(), "s", "< 4 s")]
    folder = recorded_folder()
    with tempfile.TemporaryDirectory() as home:
        os.environ.pop("DAGSTER_HOME", None)
        settings = Settings.from_environment(
            {"DEFIYIELD_HOME": home}, source=f"recorded:{folder}" if folder else "simulated"
        )
        partitions = daily_partitions(settings)
        first, last = partitions.get_first_partition_key(), partitions.get_last_partition_key()
        window = Window(parse_day(first or ""), parse_day(last or ""))
        deployment = DeploymentResource(source=settings.source, warehouse=settings.warehouse, home=home)
        defs = build_defs(settings=settings, resource_overrides={RESOURCE_KEY: deployment})
        data = dg.AssetSelection.groups("raw", "lists", "universe", "forecasts", "eligibility")
        portfolio = dg.AssetSelection.assets(*([["baseline", name] for name in OUTPUTS]))
        with open_instance(settings) as instance:
            for what, selection, target in (
                (f"ingest to forecasts, {len(window)} days, checks included", data, ""),
                (f"baseline's four assets, {len(window)} days, checks included", portfolio, "< 30 s"),
            ):
                launched = launch_range(defs, selection, window, instance)
                if not launched.success:
                    raise RuntimeError("; ".join(launched.problems))
                rows.append(Measurement(what, launched.seconds, "s", target))
    return rows


OUTPUTS = ("state", "allocations", "transactions", "ledger")


def _import_seconds() -> float:
    times = []
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "DEFIYIELD_HOME": str(Path(home)), "DEFIYIELD_SOURCE": "simulated"}
        for _ in range(3):
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", "import defiyield_dagster.definitions"], check=True, cwd=ROOT, env=environment
            )
            times.append(time.perf_counter() - begun)
    return statistics.median(times)

"""A sweep of 200 runs over the recorded year (the simulated market where there is none), on two worker processes."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from defiyield_core.backtest.matrix import load_matrix, matrix_path
from defiyield_core.backtest.sweep import sweep
from defiyield_core.backtest.sweep_files import write_sweep
from defiyield_core.settings import Settings
from tests.bench.measure import Measurement, recorded_folder

WORKERS = 2


def run() -> list[Measurement]:
    """Once, into a store of its own, with the results written; then again, when every run is found finished."""
    folder = recorded_folder()
    settings = Settings.from_environment(
        {"DEFIYIELD_HOME": os.environ.get("DEFIYIELD_HOME", "var")},
        source=f"recorded:{folder}" if folder else "simulated",
    )
    with tempfile.TemporaryDirectory() as home:
        apart = replace(settings, home=Path(home), models=settings.model_store)
        matrix = load_matrix(matrix_path("limits_and_costs"), settings.portfolios, settings.source)
        begun = time.perf_counter()
        results, prepared = sweep(apart, matrix, workers=WORKERS)
        made = time.perf_counter() - begun
        write_sweep(Path(home) / "out", matrix.name, [result.scenario() for result in results], source=settings.source)
        whole = time.perf_counter() - begun
        begun = time.perf_counter()
        again, _ = sweep(apart, matrix, workers=WORKERS)
        found = time.perf_counter() - begun
    if any(result.computed for result in again):
        raise RuntimeError("a finished run was made again")
    label = f"{len(results)} runs on {WORKERS} processes, {'recorded' if folder else 'simulated'}"
    return [
        Measurement(f"sweep, loading included ({label})", made, "s", "< 300 s"),
        Measurement(f"of it loading ({label})", prepared.load_seconds, "s"),
        Measurement(f"sweep with exports and comparison sheet ({label})", whole, "s"),
        Measurement(f"the same sweep again, all runs found finished ({label})", found, "s"),
    ]

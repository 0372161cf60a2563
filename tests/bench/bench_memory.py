"""Peak memory of backtests from the command line, in processes of their own, with the models already trained."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.bench.fresh import FreshRun, fresh_run
from tests.bench.measure import Measurement, recorded_folder


def run() -> list[Measurement]:
    """The year's backtest with its benchmarks and tear sheet; a first run trains."""
    folder = recorded_folder()
    source = f"recorded:{folder}" if folder else "simulated"
    label = "recorded year" if folder else "simulated, 120 days"
    year, alone = _backtest(source), _backtest(source, "--compare", "none")
    return [
        Measurement(f"peak of `backtest baseline` with what it compares ({label})", year.peak_mb, "MB", "< 1000 MB"),
        Measurement(f"peak of it without comparisons ({label})", alone.peak_mb, "MB", "< 1000 MB"),
    ]


def _backtest(source: str, *more: str) -> FreshRun:
    environment = {"DEFIYIELD_HOME": os.environ.get("DEFIYIELD_HOME", "var")}
    with tempfile.TemporaryDirectory() as out:
        arguments = ["--source", source, "backtest", "baseline", "--again", *more, "--out"]
        fresh_run([*arguments, str(Path(out) / "first")], environment)
        return fresh_run([*arguments, str(Path(out) / "second")], environment)

"""The demo as a person runs it, on a short market, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_runs_every_asset_and_says_what_came_of_it(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DEFIYIELD_", "DAGSTER_"))}
    environment |= {"DEFIYIELD_HOME": str(tmp_path), "DEFIYIELD_SIMULATED_DAYS": "44"}
    demo = [sys.executable, "-m", "defiyield_dagster.demo"]
    done = subprocess.run(demo, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("simulated:7: 10 days, 2025-02-04..2025-02-13, 5 portfolios, one Dagster run\n")
    for part in ("pool_forecasts", "baseline ", "RESULT", "POSITIONS  baseline, close of 2025-02-13", "make ui"):
        assert part in done.stdout
    assert "<html" in (tmp_path / "reports" / "baseline.html").read_text()
    assert "BetaWarning" not in done.stderr and " - dagster - " not in done.stderr

    environment["DEFIYIELD_SOURCE"] = "simulated:8"
    refused = subprocess.run(demo, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2])
    assert refused.returncode == 2 and "holds simulated:7" in refused.stderr and refused.stderr.count("\n") == 1

"""A simulated year of some 50 eligible pools and five of them: load, loop and metrics, with the models already trained.

The first run of five years trains some 500 models, which takes minutes; later ones find them under DEFIYIELD_HOME.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from defiyield_core.backtest.engine import LoadedRange, decision_window, load_range, run_range
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio
from defiyield_core.reporting.metrics import performance
from defiyield_core.settings import Settings
from defiyield_core.sources.simulated import MAX_DAYS, SimulatedSource
from tests.bench.fresh import fresh_run
from tests.bench.measure import Measurement

YEAR_DAYS = 365 + 34
"""A year of decisions and the warm-up before it."""
POOLS = 80
"""Of the catalogue, without the vaults that open in later years: some 50 of them are eligible on any day."""
RUNS = 3


@dataclass(frozen=True)
class _Lap:
    """One run: seconds of its parts, and the speed of the loop."""

    load: float
    loop: float
    decide: float
    metrics: float
    days_per_second: float

    @property
    def whole(self) -> float:
        return self.load + self.loop + self.metrics


def run() -> list[Measurement]:
    """Both lengths in this process; the year also as the command line runs it."""
    year = Measurement(
        "`backtest baseline --compare none --out`, all in a new process (a year)", _command_seconds(), "s", "< 5 s"
    )
    return [
        *_rows(YEAR_DAYS, None, "a year", "< 5 s", ">= 200 days/s"),
        year,
        *_rows(MAX_DAYS, POOLS, "five years", "< 10 s", ""),
    ]


def _rows(days: int, pools: int | None, label: str, whole: str, speed: str) -> list[Measurement]:
    home = os.environ.get("DEFIYIELD_HOME", "var")
    settings = Settings.from_environment({"DEFIYIELD_HOME": home}, source="simulated")
    spec = find_portfolio(Path(settings.portfolios), "baseline")
    loaded, _ = _lap(settings, spec, days, pools)  # trains what is missing, and draws the market
    told = f"{label}: {len(loaded.window)} days, {_eligible_pools(loaded, spec):.0f} eligible pools a day"
    laps = [_lap(settings, spec, days, pools)[1] for _ in range(RUNS)]
    return [
        Measurement(f"load, the market drawn before ({told})", statistics.median(lap.load for lap in laps), "s"),
        Measurement(f"loop of baseline, records included ({label})", statistics.median(lap.loop for lap in laps), "s"),
        Measurement(f"deciding and executing alone ({label})", statistics.median(lap.decide for lap in laps), "s"),
        Measurement(f"metrics ({label})", statistics.median(lap.metrics for lap in laps), "s"),
        Measurement(f"load, loop and metrics ({label})", statistics.median(lap.whole for lap in laps), "s", whole),
        Measurement(
            f"speed of that loop ({label})", statistics.median(lap.days_per_second for lap in laps), "days/s", speed
        ),
    ]


def _lap(settings: Settings, spec: PortfolioSpec, days: int, pools: int | None) -> tuple[LoadedRange, _Lap]:
    source = SimulatedSource(days=days, pools=pools)
    window = decision_window(source, spec, None, None)
    begun = time.perf_counter()
    loaded = load_range(settings, window, source=source)
    loaded.market(spec)
    load = time.perf_counter() - begun
    timed = run_range(loaded, spec)
    begun = time.perf_counter()
    performance(timed.run.daily)
    metrics = time.perf_counter() - begun
    return loaded, _Lap(load, timed.seconds, timed.decide_seconds, metrics, timed.days_per_second)


def _eligible_pools(loaded: LoadedRange, spec: PortfolioSpec) -> float:
    """How many pools were open to deposits, on the mean day."""
    rows = loaded.warehouse.read(
        "eligible_pools", loaded.window, scope={"ruleset": spec.parameters.ruleset}, columns=("date", "depositable")
    )
    return float(rows["depositable"].sum()) / len(loaded.window)


def _command_seconds() -> float:
    home = os.environ.get("DEFIYIELD_HOME", "var")
    environment = {"DEFIYIELD_HOME": home, "DEFIYIELD_SIMULATED_DAYS": str(YEAR_DAYS)}
    arguments = ["--source", "simulated", "backtest", "baseline", "--again", "--compare", "none", "--out"]
    with tempfile.TemporaryDirectory() as out:
        times = [fresh_run([*arguments, str(Path(out) / str(lap))], environment).seconds for lap in range(RUNS + 1)]
    return statistics.median(times[1:])  # the first one trains what is missing

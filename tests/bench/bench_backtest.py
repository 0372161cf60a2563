"""Loading and running a portfolio over the recorded year (the simulated market where there is none)."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from defiyield_core.backtest.engine import decision_window, load_range, run_range
from defiyield_core.backtest.session import backtest
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from tests.bench.measure import Measurement, recorded_folder


def run() -> list[Measurement]:
    """Three runs, each loaded afresh; then three whole ones, from the source to the files."""
    folder = recorded_folder()
    source = f"recorded:{folder}" if folder else "simulated"
    settings = Settings.from_environment({"DEFIYIELD_HOME": os.environ.get("DEFIYIELD_HOME", "var")}, source=source)
    spec = find_portfolio(Path(settings.portfolios), "baseline")
    loads, speeds, loops, deciding, days = [], [], [], [], 0
    for _ in range(3):
        opened = open_source(source)
        window = decision_window(opened, spec, None, None)
        begun = time.perf_counter()
        loaded = load_range(settings, window, source=opened)
        loaded.market(spec)
        loads.append(time.perf_counter() - begun)
        timed = run_range(loaded, spec)
        speeds.append(timed.days_per_second)
        loops.append(timed.seconds)
        deciding.append(len(window) / timed.decide_seconds)
        days = len(window)
    label = f"{days} days, {'recorded' if folder else 'simulated'}"
    return [
        Measurement(f"load, measure, judge and forecast ({label})", statistics.median(loads), "s", "< 5 s"),
        Measurement(f"loop of baseline, records included ({label})", statistics.median(loops), "s"),
        Measurement(f"speed of that loop ({label})", statistics.median(speeds), "days/s", ">= 200 days/s"),
        Measurement(f"deciding and executing alone ({label})", statistics.median(deciding), "days/s"),
        Measurement(
            f"whole run: load, loop, journal, metrics, tear sheet ({label})", _whole_seconds(settings), "s", "< 5 s"
        ),
    ]


def _whole_seconds(settings: Settings) -> float:
    """Median of three backtests into stores of their own, with nothing beside the portfolio."""
    times = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as home:
            apart = replace(settings, home=Path(home), models=settings.model_store)
            begun = time.perf_counter()
            source = open_source(settings.source)
            spec = find_portfolio(Path(settings.portfolios), "baseline")
            backtest(apart, spec, decision_window(source, spec, None, None), source)
            times.append(time.perf_counter() - begun)
    return statistics.median(times)

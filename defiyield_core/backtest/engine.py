"""Run portfolios over a range of days without a database: source -> memory -> the same steps -> the same loop."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.pipeline.registry import DECISION_STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.portfolio.runner import OnDay, PortfolioRun, check_warmup, first_decision_day, run_portfolio
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.sources.port import Source
from defiyield_core.universe.lists import seed_lists
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import Warehouse


@dataclass(frozen=True)
class LoadedRange:
    """A source's data in memory, measured, judged and forecast for a window of decisions."""

    context: StepContext
    window: Window
    seconds: float
    warnings: tuple[str, ...]

    @property
    def warehouse(self) -> Warehouse:
        """The memory warehouse that holds everything."""
        return self.context.warehouse


def decision_window(source: Source, spec: PortfolioSpec, start: date | None, end: date | None) -> Window:
    """The days of decisions: what was asked for, within what the source has.

    Raises:
        ConfigurationError: too early a start, or an end outside the data.
    """
    first = start or first_decision_day(spec, source.first_day)
    if start is not None:
        check_warmup(start, source.first_day, "--start")
    last = end or source.last_day
    if last is None:
        raise ConfigurationError("--end is needed: a live source has no last day")
    if source.last_day is not None and last > source.last_day:
        raise ConfigurationError(f"--end {last} is after the last day of {source.name}, {source.last_day}")
    return Window(first, last)


def load_range(
    settings: Settings, window: Window, *, source: Source | None = None, specs: Iterable[PortfolioSpec] = ()
) -> LoadedRange:
    """Ingest, process and forecast a window into memory. Data before the window is warm-up.

    Args:
        specs: portfolios that will run and may differ from their files; forecasts and eligibility are computed for
            their parameters too.
    """
    begun = time.perf_counter()
    chosen = source or open_source(settings.source)
    also = tuple(spec.parameters for spec in specs)
    context = StepContext(open_warehouse("memory:"), chosen, settings, also, yardsticks=False)
    seed_lists(context.warehouse)
    warnings: list[str] = []
    for step in DECISION_STEPS:
        warnings.extend(execute(step, context, window).warnings)
    return LoadedRange(context, window, time.perf_counter() - begun, tuple(warnings))


@dataclass(frozen=True)
class TimedRun:
    """A portfolio's run over a loaded range and how long its loop took."""

    run: PortfolioRun
    seconds: float

    @property
    def days_per_second(self) -> float:
        """Speed of the loop, records included."""
        return len(self.run.window) / self.seconds if self.seconds > 0 else float("inf")


def run_range(loaded: LoadedRange, spec: PortfolioSpec, on_day: OnDay | None = None) -> TimedRun:
    """Run one portfolio over the loaded range from its starting wallet."""
    begun = time.perf_counter()
    run = run_portfolio(loaded.context, spec, loaded.window, on_day=on_day)
    return TimedRun(run, time.perf_counter() - begun)

"""Run portfolios over a range of days without a database: source -> memory -> the same steps -> the same loop."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.history import MARKET_FIELDS, MarketHistory, load_market
from defiyield_core.pipeline.registry import DECISION_STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.portfolio.journal import Journal
from defiyield_core.portfolio.loop import OnDay
from defiyield_core.portfolio.runner import (
    Opening,
    PortfolioRun,
    check_warmup,
    first_decision_day,
    opening_of,
    run_on_market,
)
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.sources.port import KnowsLists, Source
from defiyield_core.universe.lists import seed_lists
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite, Warehouse


@dataclass(frozen=True)
class LoadedRange:
    """A source's data in memory, measured, judged and forecast for a window of decisions.

    Attributes:
        seconds: what loading took. markets: those that were asked for (see `market`), by what they depend on.
    """

    context: StepContext
    window: Window
    seconds: float
    warnings: tuple[str, ...]
    markets: dict[tuple[object, ...], MarketHistory] = field(default_factory=dict, compare=False, repr=False)

    @property
    def warehouse(self) -> Warehouse:
        """The memory warehouse that holds everything."""
        return self.context.warehouse

    def market(self, spec: PortfolioSpec, opening: Opening | None = None) -> MarketHistory:
        """The market that the portfolio decides on over the window; loaded once for all that share it."""
        opening = opening or opening_of(self.warehouse, spec, self.window)
        rules = tuple(getattr(spec.parameters, name) for name in MARKET_FIELDS)
        key = (self.window, opening.tokens, opening.pools, rules)
        if key not in self.markets:
            self.markets[key] = load_market(
                self.warehouse,
                spec.parameters,
                self.window,
                held_tokens=opening.tokens,
                held_pools=opening.pools,
            )
        return self.markets[key]


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
    if isinstance(chosen, KnowsLists):
        context.warehouse.replace([TableWrite(name, frame, None) for name, frame in chosen.lists().items()])
    seed_lists(context.warehouse)
    warnings: list[str] = []
    for step in DECISION_STEPS:
        warnings.extend(execute(step, context, window).warnings)
    return LoadedRange(context, window, time.perf_counter() - begun, tuple(warnings))


@dataclass(frozen=True)
class TimedRun:
    """A portfolio's run over a loaded range and how long it took.

    Attributes:
        seconds: the whole run. decide_seconds: deciding and executing alone, of the days that were computed.
        restored_days: days that were taken from a journal.
    """

    run: PortfolioRun
    seconds: float
    decide_seconds: float = 0.0
    restored_days: int = 0

    @property
    def days_per_second(self) -> float:
        """Speed of the loop, records included, over the days that were computed."""
        days = len(self.run.window) - self.restored_days
        return days / self.seconds if self.seconds > 0 else float("inf")


def run_range(
    loaded: LoadedRange,
    spec: PortfolioSpec,
    on_day: OnDay | None = None,
    *,
    market: MarketHistory | None = None,
    journal: Journal | None = None,
) -> TimedRun:
    """Run one portfolio over the loaded range: from its stored close of the day before, else from its starting wallet.

    Args:
        market: in place of the portfolio's own, for instance one with other forecasts.
        journal: keeps every finished day; days that it has are not computed again.
    """
    begun = time.perf_counter()
    opening = opening_of(loaded.warehouse, spec, loaded.window)
    market = market or loaded.market(spec, opening)
    end, warnings = run_on_market(
        loaded.warehouse, spec, market, loaded.window, opening, on_day=on_day, journal=journal
    )
    daily = loaded.warehouse.read("portfolio_daily", loaded.window, scope={"portfolio": spec.name})
    run = PortfolioRun(spec.name, loaded.window, loaded.window, daily, market.fingerprint(), warnings)
    return TimedRun(run, time.perf_counter() - begun, end.decide_seconds, end.restored_days)

"""A portfolio over the hours of a simulated market, from nothing but a seed.

Belongs here: loading the daily market, its hours, the run and its figures. Does not belong here: the loop (`loop`), the
market's hours (`market`), printing (`commands.hourly`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.history import MarketHistory, load_market
from defiyield_core.hourly.loop import StepRun, run_steps
from defiyield_core.hourly.market import StepMarket, hourly_market
from defiyield_core.parameters import Parameters
from defiyield_core.pipeline.registry import DECISION_STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.portfolio.runner import first_decision_day
from defiyield_core.portfolio.spec import WARMUP_DAYS, PortfolioSpec
from defiyield_core.reporting.metrics import PerformanceMetrics, performance
from defiyield_core.settings import Settings
from defiyield_core.sources.market_model import EPOCH
from defiyield_core.sources.simulated import MAX_DAYS, SimulatedSource
from defiyield_core.universe.lists import seed_lists
from defiyield_core.warehouse.opening import open_warehouse

MOST_DAYS = MAX_DAYS - WARMUP_DAYS - 1
_DAILY_FORECASTS = {"forecaster": "ewma", "forecast_apy": "point"}
"""Eligibility needs a daily forecast; decisions use the hours' own (see `market`), so that no model is trained."""


@dataclass(frozen=True)
class HourlyRun:
    """What a run did.

    Attributes:
        run: rows by hour, positions by day, transactions, seconds of the loop, how the hours were decided.
        metrics: of the hours; figures of a period are of an hour.
        load_seconds: making the market. eligible_pools: open to deposits in the middle hour by their number.
    """

    portfolio: str
    seed: int
    run: StepRun
    metrics: PerformanceMetrics
    load_seconds: float
    eligible_pools: int


class _OwnParameters(StepContext):
    """A context in which the portfolio runs alone: nothing is computed for the files of other portfolios."""

    def parameters_in_use(self) -> list[Parameters]:
        """Those of the run."""
        return list(self.also)


def run_hourly(spec: PortfolioSpec, *, seed: int = 7, days: int = 365, gate: bool = True) -> HourlyRun:
    """Run a portfolio of the optimiser over `days` days of 24 hours.

    Args:
        seed: of the simulated market. gate: False solves every hour.

    Raises:
        ConfigurationError: days or seed out of bounds, or a portfolio that steps of an hour do not know.
    """
    begun = time.perf_counter()
    market = simulated_hours(spec, seed=seed, days=days)
    loaded = time.perf_counter() - begun
    run = run_steps(market, spec, gate=gate)
    eligible = sorted(market.rows.depositable.sum(axis=1).tolist())
    return HourlyRun(
        portfolio=spec.name,
        seed=seed,
        run=run,
        metrics=performance(run.frame, periods_per_year=market.steps_per_year),
        load_seconds=loaded,
        eligible_pools=int(eligible[len(eligible) // 2]),
    )


def simulated_hours(spec: PortfolioSpec, *, seed: int, days: int, pools: int | None = None) -> StepMarket:
    """The hours of `days` days of a simulated market as the portfolio's rules see it.

    Args:
        pools: see `SimulatedSource`.

    Raises:
        ConfigurationError: days or seed out of bounds.
    """
    if not 1 <= days <= MOST_DAYS:
        raise ConfigurationError(f"the days of an hourly run must be from 1 to {MOST_DAYS}, not {days}")
    source = SimulatedSource(seed, days=WARMUP_DAYS + 1 + days, pools=pools)
    return hourly_market(_loaded(source, spec), source.tables().gas, seed)


def simulated_days(spec: PortfolioSpec, *, seed: int, days: int, pools: int | None = None) -> MarketHistory:
    """The same market day by day: what the hours are made of."""
    return _loaded(SimulatedSource(seed, days=WARMUP_DAYS + days, pools=pools), spec)


def _loaded(source: SimulatedSource, spec: PortfolioSpec) -> MarketHistory:
    rules = replace(spec, first_day=None).with_overrides(_DAILY_FORECASTS)
    window = Window(first_decision_day(rules, EPOCH), source.last_day)
    settings = Settings.from_environment(source=source.name)
    warehouse = open_warehouse("memory:")
    context = _OwnParameters(warehouse, source, settings, (rules.parameters,), yardsticks=False)
    seed_lists(warehouse)
    for step in DECISION_STEPS:
        execute(step, context, window)
    return load_market(warehouse, rules.parameters, window, held_tokens=spec.wallet)

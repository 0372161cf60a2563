"""Decisions every hour over a simulated year of some 50 eligible pools: speed, proofs, and what they cost.

Belongs here: the hourly loop. Does not belong here: the daily one (`bench_backtest`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import defiyield_core
from defiyield_core.hourly.loop import StepRun, run_steps
from defiyield_core.hourly.market import StepMarket
from defiyield_core.hourly.run import simulated_hours
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio
from defiyield_core.units import to_bps
from tests.bench.measure import Measurement

SEED = 7
DAYS, SHORT_DAYS = 365, 10
BOOKS_USD = (100_000.0, 1_000_000.0)


def run() -> list[Measurement]:
    """Three runs for each size of the book; the loop alone is timed, accrual, costs and records included."""
    spec = find_portfolio(Path(defiyield_core.__file__).parent / "portfolios", "baseline")
    market = simulated_hours(spec, seed=SEED, days=DAYS)
    short = simulated_hours(spec, seed=SEED, days=SHORT_DAYS)
    pools = int(statistics.median(market.rows.depositable.sum(axis=1).tolist()))
    label = f"{len(market):,} hours, {pools} eligible pools"
    return [row for usd in BOOKS_USD for row in _book(replace(spec, wallet={"USDC": usd}), market, short, label)]


def _book(spec: PortfolioSpec, market: StepMarket, short: StepMarket, label: str) -> Iterator[Measurement]:
    size = f"${spec.wallet['USDC']:,.0f}"
    runs = [run_steps(market, spec) for _ in range(3)]
    speed = statistics.median(one.steps_per_second for one in runs)
    yield Measurement(f"hourly loop of {size} ({label})", speed, "steps/s", ">= 2000 steps/s")
    yield Measurement(f"  hours of {size} held without the optimiser's engine", 100 * runs[0].gated_share, "%")
    yield Measurement(f"  hours of {size} held by old prices alone", 100 * runs[0].shares["certificate"], "%")
    yield Measurement(f"  hours of {size} that moved money", _moves(runs[0]), "hours")
    gated, every = run_steps(short, spec), run_steps(short, spec, gate=False)
    lost_usd = _nav(every) - _nav(gated)
    first = f"the first {SHORT_DAYS} days of {size}"
    yield Measurement(f"  {first}, lost against solving every hour", to_bps(lost_usd, _nav(every)), "bps")
    yield Measurement(f"  {first}, every hour solved", every.steps_per_second, "steps/s")


def _nav(done: StepRun) -> float:
    return float(done.frame["aum_close_usd"].iloc[-1])


def _moves(done: StepRun) -> float:
    return float((done.frame["n_transactions"] > 0).sum())

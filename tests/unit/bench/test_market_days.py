"""Running a portfolio's days for measuring is the same as running them for the books."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from defiyield_core.backtest.engine import LoadedRange, run_range
from defiyield_core.sources.simulated import SimulatedSource
from tests.bench.bench_allocation import BASELINE, certified
from tests.bench.market_days import Days, chains_of, load, market_of, market_of_chains, run_days

DAYS = 12


@pytest.fixture(scope="module")
def source() -> SimulatedSource:
    return SimulatedSource(days=34 + DAYS)


@pytest.fixture(scope="module")
def loaded(source: SimulatedSource) -> Iterator[LoadedRange]:
    yield load(source, BASELINE, chains_of(source))


@pytest.fixture(scope="module")
def days(loaded: LoadedRange) -> Days:
    return run_days(market_of(loaded, BASELINE), BASELINE)


def test_every_day_is_decided_and_timed(days: Days) -> None:
    assert len(days.problems) == len(days.decisions) == DAYS
    assert 0 < days.policy_seconds < days.loop_seconds
    assert 0 <= certified(days.decisions) <= DAYS


def test_the_measured_days_cost_what_the_backtest_books(loaded: LoadedRange, days: Days) -> None:
    daily = run_range(loaded, BASELINE).run.daily
    paid = [decision.gas_usd + decision.conversion_usd for decision in days.decisions]
    assert sum(paid) > 0
    assert np.allclose(daily["gas_usd"] + daily["conversion_usd"], paid, rtol=0, atol=1e-9)


def test_each_problem_starts_from_the_book_of_the_day_before(days: Days) -> None:
    assert days.problems[0].position_usd.sum() == 0
    assert all(problem.position_usd.sum() > 0 for problem in days.problems[1:])


def test_all_chains_as_one_opens_the_pools_of_each_of_them(source: SimulatedSource, loaded: LoadedRange) -> None:
    chains = chains_of(source)
    assert {"Arbitrum", "Base", "Ethereum"} <= set(chains)
    alone = market_of(loaded, BASELINE)
    every = market_of_chains(loaded, BASELINE, chains)
    assert (every.depositable >= alone.depositable).all()
    assert every.depositable.sum() > alone.depositable.sum()
    assert not (every.must_exit & every.depositable).any()

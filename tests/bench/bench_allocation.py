"""CPU time of a whole decision: limits, model, solver, plan and re-evaluation.

Three days of a portfolio of 1,000,000 USD in five tokens, over a horizon of 14 days: `first`, all of it in one token;
`daily`, the day after, with APYs and TVLs that moved; `scattered`, in random positions and tokens, none of them well
chosen: the hard case.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np

from defiyield_core.allocation import AllocationProblem, solve
from tests.bench.measure import Measurement
from tests.unit.allocation.random_problems import Shape, random_problem

PROBLEMS = 40
TARGETS = {50: ("<= 15 ms", "<= 100 ms"), 200: ("<= 30 ms", "")}


def first(seed: int, pools: int) -> AllocationProblem:
    """The whole book in one token of the wallet."""
    problem = random_problem(seed, Shape(pools=pools))
    wallet = np.zeros(len(problem.tokens))
    wallet[0] = 1e6 / problem.token_prices[0]
    return replace(problem, wallet=wallet)


def daily(seed: int, pools: int) -> AllocationProblem:
    """The day after a first decision: positions have grown, APYs moved by 10 % of themselves, TVLs by 3 %."""
    problem = first(seed, pools)
    decision = solve(problem)
    rng = np.random.default_rng(seed + 1_000)
    return replace(
        problem,
        wallet=decision.wallet,
        positions=decision.positions * 1.0002,
        apy=problem.apy * np.exp(rng.normal(0.0, 0.10, pools)),
        tvl_usd=problem.tvl_usd * np.exp(rng.normal(0.0, 0.03, pools)),
    )


def scattered(seed: int, pools: int) -> AllocationProblem:
    """Random positions for nine tenths of the book, the rest over all tokens of the wallet."""
    return random_problem(seed, Shape(pools=pools, held_share=0.9))


def run() -> list[Measurement]:
    """Median and maximum over 40 problems of each kind, at 20, 50 and 200 pools."""
    rows = []
    for make in (first, daily, scattered):
        for pools in (20, 50, 200):
            times = [_milliseconds(make(seed, pools)) for seed in range(PROBLEMS)]
            median, worst = TARGETS.get(pools, ("<= 15 ms", ""))
            label = f"{make.__name__}, {pools} pools x 5 tokens"
            rows.append(Measurement(f"{label}: median", statistics.median(times), "CPU ms", median))
            rows.append(Measurement(f"{label}: maximum", max(times), "CPU ms", worst))
    return rows


def _milliseconds(problem: AllocationProblem) -> float:
    begun = time.process_time()
    decision = solve(problem)
    spent = (time.process_time() - begun) * 1e3
    if decision.status != "optimal":
        raise AssertionError(f"a benchmark problem is {decision.status}: {decision.reason}")
    return spent

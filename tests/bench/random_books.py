"""Three kinds of random problem of a portfolio of 1,000,000 USD in five tokens, over a horizon of 14 days.

Belongs here: making problems from seeds. Does not belong here: timing them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from defiyield_core.allocation import AllocationProblem, solve
from defiyield_core.allocation.curves import RateCurve
from tests.unit.allocation.random_problems import Shape, random_problem

Maker = Callable[[int, int], AllocationProblem]


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
    """Random positions for nine tenths of the book, the rest over all tokens of the wallet: the hard case."""
    return random_problem(seed, Shape(pools=pools, held_share=0.9))


KINDS: tuple[Maker, ...] = (first, daily, scattered)


def with_engine(problem: AllocationProblem, engine: str, **overrides: Any) -> AllocationProblem:
    """The same problem for another solver (and other parameters that concern solving only)."""
    return replace(problem, parameters=problem.parameters.with_overrides({"engine": engine, **overrides}))


def diluted(problem: AllocationProblem, law: str, seed: int) -> AllocationProblem:
    """The same problem with our own deposit lowering the rates (`pro_rata` or `rate_curve`).

    Under `rate_curve` every pool lends, from half to 97 % of its supply; its TVL is what is not lent out.
    """
    rng = np.random.default_rng(seed + 2_000)
    utilisation = rng.uniform(0.5, 0.97, len(problem.pool_ids))
    curves = {
        pool: RateCurve(
            total_supply_usd=float(problem.tvl_usd[pool] / (1.0 - utilisation[pool])),
            kink=0.9,
            base_rate=0.0,
            slope1=0.05,
            slope2=0.6,
        )
        for pool in range(len(problem.pool_ids))
    }
    return replace(
        problem,
        parameters=problem.parameters.with_overrides({"dilution": law}),
        rate_curves=curves if law == "rate_curve" else {},
    )

"""The engines are different programmes for different solvers: on random problems they find plans of the same score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.allocation import AllocationDecision, AllocationProblem, solve
from defiyield_core.allocation.curves import RateCurve
from defiyield_core.allocation.engines.registry import engine_for
from defiyield_core.allocation.limits import limits_of
from tests.unit.allocation.random_problems import Shape, random_problem

AGREED_BPS = 0.0101


def any_problem(seed: int, **overrides: object) -> AllocationProblem:
    """Sizes, books and rules of every kind."""
    rng = np.random.default_rng(seed)
    shape = Shape(
        pools=int(rng.integers(1, 13)),
        tokens=int(rng.integers(1, 5)),
        aum_usd=float(np.exp(rng.uniform(np.log(5e3), np.log(1e8)))),
        held_share=float(rng.choice([0.0, 0.5, 0.97, 1.0])),
        forced=bool(rng.random() < 0.3),
        gas_scale=float(rng.choice([0.0, 0.1, 1.0, 5.0])),
        preset=str(rng.choice(["default", "seed", "small_book"])),
    )
    rules: dict[str, object] = {
        "min_pools": int(rng.integers(0, 6)),
        "full_allocation": bool(rng.random() < 0.5),
        "conversion_rate": float(rng.choice([0.0, 0.0004, 0.01])),
    }
    if rng.random() < 0.4:
        rules["max_pools"] = max(1, int(rng.integers(0, 3)) + int(str(rules["min_pools"])))
    if rng.random() < 0.3:
        rules["max_alloc_percentage"] = rules["position_max_pct_total_assets"] = float(rng.choice([0.5, 1.0]))
    return random_problem(seed, shape, **(rules | overrides))


def with_curves(problem: AllocationProblem, seed: int) -> AllocationProblem:
    """Every other pool has a rate curve; most have their kink at a position that the caps allow."""
    rng = np.random.default_rng(seed)
    # Utilisation falls to a kink of 0.9 at a position of V when supply is 10 TVL + 9 V.
    at_usd = rng.uniform(-0.1, 0.2, len(problem.pool_ids)) * problem.aum_usd
    supply_usd = np.maximum(10 * problem.tvl_usd + 9 * at_usd, 1.5 * problem.tvl_usd)
    curves = {
        pool: RateCurve(float(supply_usd[pool]), 0.9, 0.0, 0.05, 0.6) for pool in range(0, len(problem.pool_ids), 2)
    }
    rules = {"dilution": "rate_curve", "tvl_limit_percentage": 0.5, "position_max_pct_pool_tvl": 0.5}
    return replace(problem, rate_curves=curves, parameters=problem.parameters.with_overrides(rules))


def score_bps(problem: AllocationProblem, decision: AllocationDecision) -> float:
    """Growth less costs and the charge on idle cash, in basis points of AUM."""
    idle_usd = float(decision.wallet @ problem.token_prices)
    return (decision.objective_usd - limits_of(problem).idle_charge * idle_usd) / problem.aum_usd * 1e4


def disagreement_bps(problem: AllocationProblem, other: AllocationDecision) -> float:
    """How far the decision's score is from the default engine's, beyond the rounding of its own."""
    default = solve(problem, engine_for("highs"))
    assert (default.status, other.status) in {("optimal", "optimal"), ("infeasible", "infeasible")}
    if default.status == "infeasible":
        return 0.0
    rounding_bps = max(other.gap_bps - problem.parameters.gap_bps, 0.0)
    return abs(score_bps(problem, default) - score_bps(problem, other)) - rounding_bps


def disagreement_of(engine: str, problem: AllocationProblem) -> float:
    """The same of what an engine decides."""
    return disagreement_bps(problem, solve(problem, engine_for(engine)))


@pytest.mark.parametrize("seed", range(60))
def test_cvxpy_agrees_with_the_default_engine(seed: int) -> None:
    assert disagreement_of("cvxpy", any_problem(seed)) <= AGREED_BPS


@pytest.mark.slow
def test_cvxpy_agrees_with_the_default_engine_on_hundreds_of_problems() -> None:
    worst = {seed: disagreement_of("cvxpy", any_problem(seed)) for seed in range(60, 360)}
    assert {seed: bps for seed, bps in worst.items() if bps > AGREED_BPS} == {}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dilution", ["pro_rata", "rate_curve"])
def test_cvxpy_agrees_with_the_default_engine_where_deposits_dilute(seed: int, dilution: str) -> None:
    problem = any_problem(seed, dilution=dilution)
    if dilution == "rate_curve":
        problem = with_curves(problem, seed)
    assert disagreement_of("cvxpy", problem) <= AGREED_BPS


def test_some_of_the_curves_have_their_kink_within_reach() -> None:
    all_limits = [limits_of(with_curves(any_problem(seed), seed)) for seed in range(20)]
    inside = [(each.yields.kink_usd() > 0) & (each.yields.kink_usd() < each.cap_usd) for each in all_limits]
    assert sum(int(pools.sum()) for pools in inside) >= 20


@pytest.mark.parametrize("seed", range(15))
def test_cp_sat_agrees_with_the_default_engine(seed: int) -> None:
    assert disagreement_of("cp_sat", any_problem(seed)) <= AGREED_BPS


@pytest.mark.slow
def test_cp_sat_agrees_with_the_default_engine_on_hundreds_of_problems_or_says_that_time_is_up() -> None:
    late, apart = 0, {}
    for seed in range(15, 215):
        problem = any_problem(seed, time_limit_seconds=4.0)
        decision = solve(problem, engine_for("cp_sat"))
        if decision.status == "timeout":
            late += 1
        elif (bps := disagreement_bps(problem, decision)) > AGREED_BPS:
            apart[seed] = bps
    assert apart == {}
    assert late < 100  # the machine may be busy, but half of 200 within 4 seconds each are proven anywhere

"""What holds for every allocation problem, on random ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.allocation import AllocationProblem, GasCosts, execute, solve
from tests.unit.allocation.random_problems import Shape, random_problem
from tests.unit.allocation.reference import enumerated_objective, reference_objective

SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.builds(
    Shape,
    pools=st.integers(1, 14),
    tokens=st.integers(1, 5),
    aum_usd=st.sampled_from([300.0, 5e3, 1e5, 1e6, 1e8]),
    held_share=st.sampled_from([0.0, 0.5, 0.97, 1.0]),
    forced=st.booleans(),
    gas_scale=st.sampled_from([0.0, 0.1, 1.0, 5.0]),
    preset=st.sampled_from(["default", "seed", "small_book"]),
)
RULES = st.fixed_dictionaries(
    {
        "min_pools": st.integers(0, 5),
        "full_allocation": st.booleans(),
        "conversion_rate": st.sampled_from([0.0, 0.0004, 0.01]),
    }
)
PROBLEMS = st.builds(lambda seed, shape, rules: random_problem(seed, shape, **rules), SEEDS, SHAPES, RULES)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(PROBLEMS)
def test_every_decision_conserves_money_executes_and_keeps_to_its_caps(problem: AllocationProblem) -> None:
    decision = solve(problem)  # raises where its own re-evaluation fails; what matters most is done again here
    wallet, positions = execute(problem, decision.transactions)
    prices, aum = problem.token_prices, problem.aum_usd
    assert np.array_equal(wallet, decision.wallet) and np.array_equal(positions, decision.positions)
    assert (wallet >= 0).all() and (positions >= 0).all()
    costs = sum(row.total_cost_usd for row in decision.transactions)
    assert float(wallet @ prices + (positions @ prices).sum()) == pytest.approx(aum - costs, abs=1e-9 * aum)
    if decision.status != "optimal":
        assert decision.status == "infeasible" and decision.reason
        assert costs == 0 and np.array_equal(positions, problem.positions)
        return
    rules, before, after = problem.parameters, problem.position_usd, positions @ prices
    cap = np.minimum(rules.position_cap_share * aum, rules.pool_tvl_share * problem.tvl_usd)
    assert (after <= np.maximum(cap, before) + 1e-9 * aum).all()
    for number, share in zip((1, 2, 3), rules.group_caps, strict=True):
        members = problem.group == number
        assert after[members].sum() <= max(share * aum, before[members].sum()) + 1e-9 * aum
    assert not after[problem.must_exit & problem.withdrawable].any()
    assert (after <= before + 1e-9 * aum)[~problem.depositable | problem.must_exit].all()
    assert (after >= before - 1e-9 * aum)[~problem.withdrawable].all()
    growth = (1 + problem.apy) ** (rules.horizon_days / 365) - 1
    assert decision.objective_usd == pytest.approx(float(after @ growth) - costs, abs=1e-9 * aum)
    assert decision.bound_usd >= decision.objective_usd
    assert decision.gap_bps <= rules.gap_bps


@settings(max_examples=60, deadline=None, derandomize=True)
@given(PROBLEMS)
def test_the_rows_of_a_plan_run_withdrawals_then_conversions_then_allocations(problem: AllocationProblem) -> None:
    decision = solve(problem)
    order = ["WITHDRAWAL", "CONVERSION", "ALLOCATION", "HOLD"]
    ranks = [order.index(row.type) for row in decision.transactions]
    assert ranks == sorted(ranks)
    assert [row.seq for row in decision.transactions] == list(range(1, len(ranks) + 1))
    for row in decision.transactions:
        assert (row.fee_token is not None) == (row.total_cost_usd > 0)
        assert row.amount >= 0
        price = problem.token_prices[problem.tokens.index(row.token)]
        assert row.amount_usd == pytest.approx(row.amount * price, rel=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS, SHAPES)
def test_a_decision_is_never_worse_than_holding_where_holding_is_allowed(seed: int, shape: Shape) -> None:
    problem = random_problem(seed, replace(shape, forced=False), min_pools=0, full_allocation=False)
    problem = replace(problem, must_exit=np.zeros(shape.pools, dtype=bool))
    decision = solve(problem)
    assert decision.status == "optimal"
    assert decision.objective_usd >= decision.hold_objective_usd - 0.01e-4 * problem.aum_usd


@settings(max_examples=25, deadline=None, derandomize=True)
@given(SEEDS, SHAPES, st.sampled_from([1e-3, 7.0, 1e4]))
def test_dollars_of_another_size_change_nothing_but_the_size(seed: int, shape: Shape, size: float) -> None:
    problem = random_problem(seed, shape)
    rules, gas = problem.parameters, problem.gas
    scaled = replace(
        problem,
        wallet=problem.wallet * size,
        positions=problem.positions * size,
        tvl_usd=problem.tvl_usd * size,
        gas=GasCosts(gas.deposit_usd * size, gas.withdrawal_usd * size, gas.conversion_usd * size),
        parameters=rules.with_overrides({"min_transaction_value": rules.min_transaction_value * size}),
    )
    one, other = solve(problem), solve(scaled)
    assert one.status == other.status
    assert other.objective_usd == pytest.approx(one.objective_usd * size, abs=0.01e-4 * scaled.aum_usd)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(SEEDS, SHAPES, st.integers(0, 4))
def test_the_objective_is_that_of_the_problem_written_down_naively(seed: int, shape: Shape, min_pools: int) -> None:
    small = replace(shape, pools=min(shape.pools, 7), tokens=min(shape.tokens, 3), forced=False)
    if small.aum_usd > 1e7:  # the naive model is in dollars, and its large constants reach their limits there
        small = replace(small, aum_usd=1e6)
    problem = random_problem(seed, small, min_pools=min_pools, full_allocation=False)
    decision, expected = solve(problem), reference_objective(problem)
    if expected is None:
        assert decision.status == "infeasible"
    else:
        assert decision.objective_usd == pytest.approx(expected, abs=0.011e-4 * problem.aum_usd)
        assert decision.bound_usd >= expected - 1e-3 * 1e-4 * problem.aum_usd


@pytest.mark.parametrize("seed", range(6))
def test_the_objective_is_the_best_of_every_combination_of_choices(seed: int) -> None:
    shape = Shape(pools=2, tokens=2, aum_usd=2e4, held_share=0.6, two_token_share=0.4)
    problem = random_problem(seed, shape, min_pools=1, max_alloc_percentage=0.6, position_max_pct_total_assets=0.6)
    decision, expected = solve(problem), enumerated_objective(problem)
    if expected is None:
        assert decision.status == "infeasible"
    else:
        assert decision.objective_usd == pytest.approx(expected, abs=0.011e-4 * problem.aum_usd)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_problem_gives_the_same_decision(seed: int) -> None:
    problem = random_problem(seed, Shape(held_share=0.9))
    one, other = solve(problem), solve(problem)
    assert one.transactions == other.transactions
    assert one.objective_usd == other.objective_usd

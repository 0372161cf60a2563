"""Each engine by itself: against brute force, worked problems, closed forms, and with constraints of one's own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from defiyield_core.allocation import AllocationProblem, solve
from defiyield_core.allocation.curves import RateCurve
from defiyield_core.allocation.engines import cp_sat, cvxpy_engine, highs
from defiyield_core.allocation.engines.cvxpy_engine import Quantities, with_constraints
from defiyield_core.allocation.engines.registry import engine_for
from defiyield_core.allocation.limits import limits_of
from defiyield_core.errors import AllocationError, ConfigurationError
from tests.unit.allocation.random_problems import Shape, random_problem
from tests.unit.allocation.reference import enumerated_objective
from tests.unit.allocation.small import kinds, pool, positions_usd, problem

BOTH = pytest.mark.parametrize("engine", ["cvxpy", "cp_sat"])


def using(engine: str, given: AllocationProblem) -> AllocationProblem:
    return replace(given, parameters=given.parameters.with_overrides({"engine": engine}))


def test_engines_are_found_by_name_and_unknown_ones_refused() -> None:
    assert engine_for("highs") is highs.propose
    assert engine_for("cvxpy") is cvxpy_engine.propose
    assert engine_for("cp_sat") is cp_sat.propose
    with pytest.raises(ConfigurationError, match="unknown engine 'scip'"):
        engine_for("scip")


def test_deciding_with_the_default_engine_loads_neither_cvxpy_nor_ortools() -> None:
    code = (
        "import sys; from tests.unit.allocation.small import pool, problem;"
        "from defiyield_core.allocation import solve;"
        "assert solve(problem([pool('a', 0.05)], {'USDC': 10_000})).status == 'optimal';"
        "print([name for name in ('cvxpy', 'ortools') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@BOTH
@pytest.mark.parametrize("seed", range(6))
def test_the_objective_is_the_best_of_every_combination_of_choices(seed: int, engine: str) -> None:
    shape = Shape(pools=2, tokens=2, aum_usd=2e4, held_share=0.6, two_token_share=0.4)
    rules = {"min_pools": 1, "max_alloc_percentage": 0.6, "position_max_pct_total_assets": 0.6}
    given = random_problem(seed, shape, engine=engine, **rules)
    decision, expected = solve(given), enumerated_objective(given)
    if expected is None:
        assert decision.status == "infeasible"
    else:
        rounding_usd = max(decision.gap_bps - given.parameters.gap_bps, 0.0) * 1e-4 * given.aum_usd
        assert decision.objective_usd == pytest.approx(expected, abs=0.011e-4 * given.aum_usd + rounding_usd)


@BOTH
def test_a_deposit_pays_its_gas_out_of_the_money_deposited(engine: str) -> None:
    given = problem([pool("a", 0.05)], {"USDC": 10_000}, gas=(8, 8, 8), engine=engine)
    decision = solve(given)
    assert positions_usd(given, decision)["a"] == pytest.approx(9_992, abs=1e-3)
    assert decision.objective_usd == pytest.approx(9_992 * 0.05 - 8, abs=1e-3)


@BOTH
def test_a_move_must_earn_the_withdrawal_and_the_deposit(engine: str) -> None:
    pools = [pool("low", 0.05), pool("high", 0.06)]
    stays = problem(pools, {"USDC": 10}, held={("low", "USDC"): 1_500}, gas=(8, 8, 8), engine=engine)
    moves = problem(pools, held={("low", "USDC"): 1_800}, gas=(8, 8, 8), engine=engine)
    assert kinds(solve(stays)) == ["HOLD"]
    assert kinds(solve(moves)) == ["WITHDRAWAL", "ALLOCATION"]


@BOTH
def test_counts_floors_and_caps_are_kept(engine: str) -> None:
    pools = [pool("a", 0.09, group=3), pool("b", 0.05), pool("c", 0.04)]
    rules = {"min_pools": 3, "min_position_usd": 500, "group3_max_pct": 0.3, "engine": engine}
    given = problem(pools, {"USDC": 10_000}, **rules)
    assert positions_usd(given, solve(given)) == pytest.approx({"a": 3_000, "b": 6_500, "c": 500}, abs=1e-2)


@BOTH
def test_more_pools_than_allowed_are_not_held(engine: str) -> None:
    pools = [pool(name, 0.05 + number / 100) for number, name in enumerate("abcd")]
    given = problem(pools, {"USDC": 10_000}, max_alloc_percentage=0.3, max_pools=2, engine=engine)
    assert positions_usd(given, solve(given)) == pytest.approx({"a": 0, "b": 0, "c": 3_000, "d": 3_000}, abs=1e-2)


@BOTH
def test_an_off_peg_token_is_converted_completely_and_pays_its_own_withdrawal(engine: str) -> None:
    pools = [pool("off", 0.30, "USDE", depositable=False, must_exit=True), pool("a", 0.05, "USDC")]
    given = problem(pools, held={("off", "USDE"): 1_000}, gas=(2, 3, 4), conversion_rate=0.001, prices={"USDE": 0.98})
    usdc, usde = given.tokens.index("USDC"), given.tokens.index("USDE")
    convertible, target = np.ones(2, dtype=bool), np.full(2, -1)
    convertible[usde], target[usde] = False, usdc
    decision = solve(using(engine, replace(given, convertible_into=convertible, forced_target=target)))
    assert [row.fee_token for row in decision.transactions] == ["USDE", "USDC", "USDC"]
    assert decision.wallet[usde] == 0
    assert positions_usd(given, decision)["a"] == pytest.approx(977 - 0.977 - 4 - 2, abs=1e-2)


@BOTH
def test_what_cannot_be_done_is_infeasible_and_says_what_to_change(engine: str) -> None:
    pools = [pool(name, 0.05) for name in "abcde"]
    decision = solve(problem(pools, {"USDC": 200}, min_pools=5, engine=engine))
    assert decision.status == "infeasible"
    assert "AUM" in decision.reason and "min_pools" in decision.reason
    stuck = problem([pool("off", 0.3, must_exit=True)], held={("off", "USDC"): 3}, gas=(8, 8, 8), engine=engine)
    assert "forced exits" in solve(stuck).reason


@BOTH
def test_an_empty_universe_is_a_decision_too(engine: str) -> None:
    decision = solve(problem([], {"USDC": 100}, engine=engine))
    assert (decision.status, kinds(decision)) == ("optimal", ["HOLD"])


@BOTH
def test_the_same_problem_gives_the_same_decision(engine: str) -> None:
    given = random_problem(3, Shape(held_share=0.9, pools=6, tokens=3), engine=engine)
    assert solve(given).transactions == solve(given).transactions


@BOTH
def test_a_time_limit_that_is_too_short_holds_and_says_so(engine: str) -> None:
    given = random_problem(1, Shape(pools=40), time_limit_seconds=1e-9, engine=engine)
    decision = solve(given)
    assert decision.status == "timeout" and "time_limit_seconds" in decision.reason


@pytest.mark.parametrize("aum_usd", [3e-2, 5e3, 1e6, 1e12])
def test_whole_units_follow_the_size_of_the_book_and_rounding_is_stated(aum_usd: float) -> None:
    given = random_problem(
        4, Shape(pools=3, tokens=2, aum_usd=aum_usd, gas_scale=aum_usd / 1e6), min_transaction_value=0
    )
    limits = limits_of(given)
    found, best = cp_sat.propose(given, limits), highs.propose(given, limits)
    assert found.status == "optimal" and 0 <= found.rounding_usd <= 1e-6 * aum_usd
    allowed_usd = 0.0101e-4 * aum_usd + found.rounding_usd
    assert found.bound_usd == pytest.approx(best.bound_usd, abs=allowed_usd)


def test_cp_sat_refuses_dilution() -> None:
    given = problem([pool("a", 0.05)], {"USDC": 10_000}, dilution="pro_rata", engine="cp_sat")
    with pytest.raises(AllocationError, match="cp_sat does not solve dilution"):
        solve(given)


def test_free_conversions_that_come_round_again_are_dropped() -> None:
    given = {(0, 1): 5.0, (1, 2): 4.0, (2, 0): 3.0, (3, 1): 2.0}
    assert cp_sat._without_cycles(given) == {(0, 1): 2.0, (1, 2): 1.0, (3, 1): 2.0}


def test_constraints_of_ones_own_cap_a_protocol() -> None:
    pools = [pool(name, 0.09, protocol="aave-v3") for name in "ab"] + [pool("c", 0.04, protocol="spark")]
    given = problem(pools, {"USDC": 1_000_000}, gas=(5, 5, 5))

    def careful(q: Quantities) -> list[Any]:
        aave = [
            q.pool(name)
            for name, at in zip(q.problem.pool_ids, q.problem.pool_protocols, strict=True)
            if at == "aave-v3"
        ]
        return [cp.sum(q.position[aave]) <= 200_000]

    decision = solve(given, with_constraints(careful))
    after = positions_usd(given, decision)
    assert after["a"] + after["b"] == pytest.approx(200_000, abs=1e-2)
    assert after["c"] == pytest.approx(800_000 - 10, abs=1e-2)
    assert solve(given).objective_usd > decision.objective_usd


def test_constraints_of_ones_own_may_relate_positions_and_bring_binaries() -> None:
    given = problem([pool("a", 0.03), pool("b", 0.06), pool("c", 0.05)], {"USDC": 9_000})
    twice = solve(
        given,
        with_constraints(
            lambda q: [q.position[q.pool("a")] >= 2 * q.position[q.pool("b")], q.position[q.pool("c")] <= 0]
        ),
    )
    assert positions_usd(given, twice) == pytest.approx({"a": 6_000, "b": 3_000, "c": 0}, abs=1e-2)

    def either(q: Quantities) -> list[Any]:
        choice = cp.Variable(boolean=True)
        return [q.position[1] <= 4_000 * choice, q.position[2] <= 5_000 * (1 - choice)]

    assert positions_usd(given, solve(given, with_constraints(either))) == pytest.approx(
        {"a": 5_000, "b": 4_000, "c": 0}, abs=1e-2
    )


def test_constraints_of_ones_own_that_nothing_satisfies_are_named_as_the_reason() -> None:
    given = problem([pool("a", 0.03)], {"USDC": 9_000})
    decision = solve(given, with_constraints(lambda q: [q.position[0] >= 10_000]))
    assert decision.status == "infeasible" and "your own constraints" in decision.reason


def test_dual_prices_are_what_a_dollar_more_is_worth() -> None:
    pools = [pool("a", 0.09, group=3), pool("b", 0.05)]
    given = problem(pools, {"USDC": 10_000}, gas=(8, 8, 8), group3_max_pct=0.3)
    prices = cvxpy_engine.propose(given, limits_of(given)).prices
    assert prices is not None
    assert prices.cash == pytest.approx([0.05], abs=1e-6)
    assert prices.group == pytest.approx([0, 0, 0.04], abs=1e-6)
    assert prices.fee == pytest.approx(1.05, abs=1e-6)


def test_diluted_pools_are_filled_to_equal_slopes() -> None:
    """Without gas the optimum has `g_p (T_p / (T_p + V_p))^2` equal in every pool that is used."""
    apy, tvl = np.array([0.10, 0.06]), np.array([4e5, 9e5])
    pools = [pool(name, float(a), tvl_usd=float(t)) for name, a, t in zip("ab", apy, tvl, strict=True)]
    given = problem(pools, {"USDC": 300_000}, dilution="pro_rata", engine="cvxpy")
    decision = solve(given)
    # V_p = T_p (sqrt(g_p / price) - 1), and the sum of V_p is the cash.
    root = (tvl * np.sqrt(apy)).sum() / (3e5 + tvl.sum())
    expected = tvl * (np.sqrt(apy) / root - 1)
    best = float((apy * tvl * expected / (tvl + expected)).sum())
    assert decision.objective_usd == pytest.approx(best, abs=0.01e-4 * 3e5)
    assert decision.bound_usd >= best - 1e-6
    assert list(positions_usd(given, decision).values()) == pytest.approx(expected, rel=0.02)


def test_a_pool_above_its_kink_is_solved_on_both_sides_of_it() -> None:
    pools = [pool("a", 0.30, tvl_usd=1e6), pool("b", 0.02)]
    given = problem(pools, {"USDC": 900_000}, dilution="rate_curve", engine="cvxpy")
    given = replace(given, rate_curves={0: RateCurve(1.5e7, 0.9, 0.0, 0.05, 2.5)})
    limits = limits_of(given)
    assert 0 < limits.yields.kink_usd()[0] < 9e5
    first = np.linspace(0, 9e5, 200_001)
    values = np.array([limits.yields.usd(np.array([v, 9e5 - v])).sum() for v in first[::20]])
    decision = solve(given)
    assert decision.objective_usd == pytest.approx(values.max(), abs=0.02e-4 * 9e5)
    assert decision.bound_usd >= values.max() - 1e-6

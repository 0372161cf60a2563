"""The number of positions: at least so many that count, at most so many at all, and both at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.allocation import solve
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import parameters
from tests.unit.allocation.random_problems import Shape, random_problem
from tests.unit.allocation.small import pool, positions_usd, problem

POOLS = [pool("a", 0.10), pool("b", 0.08), pool("c", 0.06), pool("d", 0.04)]
THIRDS = {"max_alloc_percentage": 0.34, "position_max_pct_total_assets": 0.34}


def test_the_best_pools_that_are_allowed_are_filled_to_their_caps_and_the_rest_stays_idle() -> None:
    given = problem(POOLS, {"USDC": 1_000}, max_pools=2, **THIRDS)
    assert positions_usd(given, solve(given)) == pytest.approx({"a": 340, "b": 340, "c": 0, "d": 0})


def test_a_position_sold_in_full_makes_room_for_a_better_one() -> None:
    given = problem(POOLS, {}, held={("c", "USDC"): 300.0, ("d", "USDC"): 300.0}, max_pools=2)
    assert positions_usd(given, solve(given)) == pytest.approx({"a": 600, "b": 0, "c": 0, "d": 0}, abs=1e-3)


def test_more_positions_than_are_allowed_are_kept_but_none_is_added() -> None:
    held = {("b", "USDC"): 300.0, ("c", "USDC"): 300.0, ("d", "USDC"): 300.0}
    given = problem(POOLS, {"USDC": 100}, held=held, gas=(1.0, 1_000.0, 0.0), max_pools=2)
    assert positions_usd(given, solve(given)) == pytest.approx({"a": 0, "b": 399, "c": 300, "d": 300}, abs=1e-3)


def test_a_partial_sale_frees_no_place() -> None:
    held = {("b", "USDC"): 500.0, ("c", "USDC"): 500.0}
    given = problem(POOLS, {}, held=held, max_pools=2, **dict.fromkeys(THIRDS, 0.6))
    assert positions_usd(given, solve(given)) == pytest.approx({"a": 600, "b": 400, "c": 0, "d": 0}, abs=1e-3)


def test_a_crumb_worth_less_than_its_gas_is_sold_where_it_blocks_a_place() -> None:
    pools = [pool("crumb", 0.01), pool("stuck", 0.01, withdrawable=False), pool("best", 0.5)]
    held = {("crumb", "USDC"): 5.0, ("stuck", "USDC"): 1_000.0}
    given = problem(pools, {"USDC": 100_000}, held=held, gas=(8.0, 8.0, 8.0), max_pools=2)
    final = positions_usd(given, solve(given))
    assert final == pytest.approx({"crumb": 0, "stuck": 1_000, "best": 99_989}, abs=0.01)


def test_both_numbers_hold_at_once() -> None:
    given = problem(POOLS, {"USDC": 1_000}, min_pools=3, max_pools=3, min_transaction_value=100.0)
    final = positions_usd(given, solve(given))
    assert final == pytest.approx({"a": 800, "b": 100, "c": 100, "d": 0}, abs=0.1)


def test_fewer_allowed_than_required_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"max_pools \(3\) is below min_pools \(5\)"):
        parameters("seed", {"max_pools": 3})
    assert parameters("seed", {"max_pools": 3, "profit_optimization": True}).required_pools == 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([0.0, 0.7, 1.0]), st.booleans())
def test_a_cap_on_the_number_never_pays_and_always_holds(seed: int, most: int, held: float, full: bool) -> None:
    rules = {"min_pools": 0, "full_allocation": full}
    free = random_problem(seed, Shape(pools=12, held_share=held), **rules)
    capped = random_problem(seed, Shape(pools=12, held_share=held), max_pools=most, **rules)
    decision = solve(capped)
    assert decision.status == "optimal"
    before = (free.position_usd > 0) & ~(free.must_exit & free.withdrawable)
    assert (decision.positions > 0).any(axis=1).sum() <= max(most, before.sum())
    if not full:
        assert decision.objective_usd <= solve(free).bound_usd + 1e-9 * free.aum_usd
    if most >= np.count_nonzero((solve(free).positions > 0).any(axis=1)):
        assert decision.objective_usd == pytest.approx(solve(free).objective_usd, abs=0.02e-4 * free.aum_usd)

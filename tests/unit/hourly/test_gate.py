"""The certificate of inaction is a bound: whatever it proves, the exact engine cannot beat."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from defiyield_core.allocation import AllocationDecision
from defiyield_core.hourly.branch import is_proven
from defiyield_core.hourly.gate import GatePrices, can_prove, completed, gains_usd
from defiyield_core.hourly.holding import Book
from defiyield_core.hourly.market import StepMarket
from defiyield_core.hourly.prepared import prepare
from defiyield_core.hourly.pricing import Pricer
from defiyield_core.hourly.programme import Solver
from defiyield_core.units import growth_over
from tests.unit.hourly.states import State, history, random_state, rules, state

VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"min_pools": 0, "min_transaction_value": 0.0},
    {"full_allocation": True},
    {"dilution": "pro_rata", "tvl_limit_percentage": 0.5, "position_max_pct_pool_tvl": 0.5},
    {"dilution": "pro_rata", "tvl_includes_positions": True},
    {"max_pools": 4, "min_position_pct": 0.1},
)


SEEDS = range(50)


@cache
def solved(variant: int, seed: int) -> tuple[State, AllocationDecision]:
    """A random state and the engine's decision."""
    at = random_state(1000 * variant + seed, **VARIANTS[variant])
    return at, at.exact()


def random_prices(seed: int, at: State) -> GatePrices:
    """Prices of any size, from none to twice the best growth."""
    rng = np.random.default_rng(seed)
    level = float(at.moves.growth.max()) * rng.uniform(0.0, 2.0) + at.moves.idle_charge
    return GatePrices(level * rng.uniform(0.9, 1.1, 3), level * rng.uniform(0.0, 0.5, 3) * (rng.random(3) < 0.4))


@pytest.mark.parametrize("variant", range(len(VARIANTS)))
def test_no_plan_gains_more_than_the_bound_at_any_prices(variant: int):
    tight = 0
    for seed in SEEDS:
        at, decision = solved(variant, seed)
        if decision.status != "optimal":
            continue
        gain = at.score_gain_usd(decision)
        for number in range(3):
            excess = float(gains_usd(at.moves, random_prices(number, at)).excess_usd[0])
            assert excess >= gain - 1e-6
        priced = Pricer(Solver()).price(at.moves)
        if priced is not None:
            assert priced.excess_usd >= gain - 1e-6
            tight += priced.excess_usd <= gain + at.allowed_usd
    assert tight >= 2, "the best prices should often settle it"


@pytest.mark.parametrize("variant", range(len(VARIANTS)))
def test_what_is_proven_to_hold_the_engine_improves_by_no_more_than_the_gap(variant: int):
    proven, solver = {"prices": 0, "branches": 0}, Solver()
    for seed in SEEDS:
        at, decision = solved(variant, seed)
        priced = Pricer(solver).price(at.moves)
        if priced is None:
            continue
        claims = {
            "prices": priced.excess_usd <= at.allowed_usd,
            "branches": is_proven(solver, at.moves, priced),
        }
        for name, claimed in claims.items():
            proven[name] += claimed
            assert not claimed or at.score_gain_usd(decision) <= at.allowed_usd * (1 + 1e-6), (name, seed)
    assert proven["prices"] >= 5
    is_linear = VARIANTS[variant].get("dilution", "off") == "off"
    assert proven["branches"] > proven["prices"] if is_linear else not proven["branches"]


@pytest.mark.parametrize("variant", range(len(VARIANTS)))
def test_a_plan_that_gains_more_than_the_gap_uses_no_move_that_is_ruled_out(variant: int):
    looked_at = 0
    for seed in SEEDS:
        at, decision = solved(variant, seed)
        priced = Pricer(Solver()).price(at.moves)
        if priced is None or at.score_gain_usd(decision) <= at.allowed_usd * (1 + 1e-6):
            continue
        change = (decision.positions - at.framed.problem.positions) @ at.framed.problem.token_prices
        pools = at.framed.pool_index
        opened, sold = priced.left(at.moves)
        assert opened[pools[change > 1e-6]].all(), seed
        assert np.isin(pools[change < -1e-6], at.moves.holding.held[sold]).all(), seed
        looked_at += 1
    assert looked_at >= 5


def two_pools(better: float, gas_gwei: float = 5.0, **overrides: Any) -> State:
    """All 100,000 USDC in a pool at 5 %, and another one at `better`; one group without a cap."""
    market = history(1, ((1,), (1,)), apy=np.array([[0.05, better]]), gas_price_gwei=np.array([gas_gwei]))
    positions = np.array([[0.0, 100_000.0 / growth_of_a_day(), 0.0], [0.0, 0.0, 0.0]])
    open_rules = {"max_alloc_percentage": 1.0, "position_max_pct_total_assets": 1.0, "group1_max_pct": 1.0}
    book = Book(np.zeros(3), positions, np.ones(3))
    return state(book, market, rules(**{"min_pools": 1, **open_rules, **overrides}))


def growth_of_a_day() -> float:
    """The book earns 5 % over the step before it is looked at."""
    return float(1.05 ** (1 / 365))


def test_the_bound_of_two_pools_worked_by_hand():
    at = two_pools(0.08)
    here, there = (float(growth_over(rate, 14.0)) for rate in (0.05, 0.08))
    leg = 5.0 * 3000 * 1e-9
    value = 100_000.0
    # A dollar costs what the first pool pays: nothing is won by leaving it, the whole difference by entering the other.
    prices = GatePrices(np.full(3, here), np.zeros(3))
    gains = gains_usd(at.moves, prices)
    assert gains.deposit_usd[0, 1] == pytest.approx((there - here) * value - (1 + here) * 220_000 * leg)
    assert gains.withdrawal_usd[0, 0] == pytest.approx(-(1 + here) * 250_000 * leg)
    assert gains.excess_usd[0] == pytest.approx(gains.deposit_usd[0, 1])
    # At the price of the second pool it is the other way round.
    gains = gains_usd(at.moves, GatePrices(np.full(3, there), np.zeros(3)))
    assert gains.excess_usd[0] == pytest.approx((there - here) * value - (1 + there) * 250_000 * leg)
    # In between, the best prices leave what the plan really gains (the fees are paid out of the deposit).
    priced = Pricer(Solver()).price(at.moves)
    assert priced is not None
    plan = (there - here) * value - 470_000 * leg
    assert priced.excess_usd == pytest.approx(plan, rel=2e-3)
    assert at.exact().gain_over_hold_usd == pytest.approx(plan, rel=2e-3)


def test_a_bad_move_takes_off_no_more_than_its_gas():
    """It may be made for a dollar: so it is ruled out by its gas, not by what all of it would lose."""
    at = two_pools(0.02)
    there, fee = float(growth_over(0.02, 14.0)), 5.0 * 3000 * 1e-9
    gains = gains_usd(at.moves, GatePrices(np.full(3, 0.5 * there), np.zeros(3)))
    assert gains.withdrawal_usd[0, 0] == pytest.approx(-(1 + 0.5 * there) * 250_000 * fee)
    gains = gains_usd(at.moves, GatePrices(np.full(3, 2.0 * there), np.zeros(3)))
    assert gains.deposit_usd[0, 1] == pytest.approx(-(1 + 2.0 * there) * 220_000 * fee)


def test_gas_decides_whether_holding_is_proven():
    states = [two_pools(0.052, gas_gwei=gwei).moves for gwei in (0.1, 100.0)]
    cheap, dear = (Pricer(Solver()).price(moves) for moves in states)
    assert cheap is not None and dear is not None
    assert [side.tolist() for side in cheap.left(states[0])] == [[False, True], [True]]
    assert dear.excess_usd == pytest.approx(0.0, abs=1e-9) and not dear.left(states[1])[0].any()


def test_holding_that_is_no_plan_is_never_proven():
    leave = history(1, ((1,), (1,)), must_exit=np.array([[True, False]]))
    gone = history(1, ((1,), (1,)), absent_days=np.array([[3, 0]]))
    iced = history(1, ((1,), (1,)), iceboxed=np.array([[False, True, False]]))
    alone = history(1, ((1,), (1,)))
    positions = np.array([[0.0, 5e4, 0.0], [0.0, 0.0, 0.0]])
    for market, chosen in (
        (leave, rules(min_pools=1)),
        (gone, rules(min_pools=1)),
        (iced, rules(min_pools=1)),
        (alone, rules(min_pools=2)),
    ):
        at = state(Book(np.zeros(3), positions, np.ones(3)), market, chosen)
        assert gains_usd(at.moves, GatePrices(np.full(3, 0.01), np.zeros(3))).excess_usd[0] == np.inf
        assert Pricer(Solver()).price(at.moves) is None
    fine = state(Book(np.zeros(3), positions, np.ones(3)), alone, rules(min_pools=1))
    assert np.isfinite(gains_usd(fine.moves, GatePrices(np.full(3, 0.01), np.zeros(3))).excess_usd[0])


def test_tokens_without_a_price_get_the_ceiling_of_conversions_into_them():
    prepared = prepare(StepMarket(history(1, ((1,),)), 1), rules(conversion_rate=0.001))
    filled = completed(GatePrices(np.array([np.nan, 0.004, 0.006]), np.zeros(3)), prepared)
    assert filled.cash.tolist() == pytest.approx([0.004 + 1.004 * 0.001, 0.004, 0.006])


def test_two_sets_of_rules_are_left_to_the_optimiser():
    market = StepMarket(history(1, ((1,),)), 1)
    assert can_prove(prepare(market, rules()))
    assert not can_prove(prepare(market, rules(profit_optimization=True)))

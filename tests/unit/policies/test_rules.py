"""The rules that the optimiser is compared with: who moves when, and what it costs, in worked numbers.

Costs in these problems: gas (deposit, withdrawal, conversion) in USD of a leg; the horizon is a year unless said.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.errors import AllocationError, ConfigurationError
from defiyield_core.policies import policy_for
from tests.unit.allocation.small import kinds, pool, positions_usd, problem

DUE = date(2026, 1, 29)
"""20,482 days after the epoch: a multiple of seven. The problems' own day, two days later, is none."""


def decide(name: str, given: AllocationProblem, **options: Any) -> AllocationDecision:
    return policy_for(name, given.parameters, options).decide(given)


def ten_thousand_in_a(other_apy: float, gas: tuple[float, float, float], idle: float = 0.0, **more: Any):
    """10,000 USDC in `a` at 5 %, and `b` at another rate."""
    pools = [pool("a", 0.05), pool("b", other_apy, more.pop("token", "USDC"))]
    return problem(pools, {"USDC": idle}, {("a", "USDC"): 10_000.0}, gas, **more)


def test_the_older_rule_goes_all_the_way_where_that_beats_holding():
    given = ten_thousand_in_a(0.10, gas=(3.0, 4.0, 0.0))
    decision = decide("older_rule", given)
    assert positions_usd(given, decision) == {"a": 0.0, "b": pytest.approx(9_993.0)}
    assert decision.gas_usd == pytest.approx(7.0)
    assert decision.objective_usd == pytest.approx(999.3 - 7.0)
    assert any("reallocated: $492.30 more than holding" in note for note in decision.notes)


def test_the_older_rule_places_only_idle_cash_where_going_all_the_way_does_not_pay():
    # All the way: (10,200 - 601) * 10 % - 601 = 358.90, against 500 for holding. Idle cash alone: 199 * 10 % - 1.
    given = ten_thousand_in_a(0.10, gas=(1.0, 600.0, 0.0), idle=200.0)
    decision = decide("older_rule", given)
    assert positions_usd(given, decision) == {"a": 10_000.0, "b": pytest.approx(199.0)}
    assert decision.gas_usd == pytest.approx(1.0)
    assert np.isnan(decision.bound_usd) and np.isnan(decision.gap_bps) and decision.prices is None
    assert any("not reallocated: $-141.10" in note for note in decision.notes)


def test_the_older_rule_leaves_what_must_be_left_though_it_costs_more_than_it_earns():
    given = problem(
        [pool("a", 0.05, must_exit=True), pool("b", 0.001)], None, {("a", "USDC"): 1_000.0}, (30.0, 200.0, 0.0)
    )
    decision = decide("older_rule", given)
    assert positions_usd(given, decision) == {"a": 0.0, "b": 0.0}
    assert decision.wallet.tolist() == [pytest.approx(800.0)]


def test_the_older_rule_places_idle_cash_though_it_cannot_make_up_the_number_of_positions():
    given = ten_thousand_in_a(
        0.01, gas=(1.0, 900.0, 0.0), idle=100.0, min_pools=2, min_position_pct=0.3, min_transaction_value=50
    )
    decision = decide("older_rule", given)
    assert positions_usd(given, decision) == {"a": pytest.approx(10_099.0), "b": 0.0}


def test_the_older_rule_obeys_exits_where_no_plan_at_all_is_feasible():
    pools = [pool("a", 0.05, must_exit=True), pool("b", 0.05), pool("c", 0.05)]
    given = problem(pools, {"USDC": 10.0}, {("a", "USDC"): 40.0}, min_pools=2, min_transaction_value=30)
    decision = decide("older_rule", given)
    assert positions_usd(given, decision)["a"] == 0.0
    assert "infeasible" in " ".join(decision.notes)


def test_the_gas_blind_rule_pays_any_gas_for_a_tenth_of_a_point():
    given = ten_thousand_in_a(0.051, gas=(20.0, 20.0, 0.0))
    decision = decide("gas_blind", given)
    assert positions_usd(given, decision) == {"a": 0.0, "b": pytest.approx(9_960.0)}
    assert decision.gain_over_hold_usd == pytest.approx(9_960 * 0.051 - 40.0 - 500.0)
    assert kinds(decide("optimiser", given)) == ["HOLD"]


def test_the_gas_blind_rule_knows_the_conversion_fee():
    given = ten_thousand_in_a(0.055, gas=(20.0, 20.0, 20.0), token="USDT", conversion_rate=0.01)
    assert kinds(decide("gas_blind", given)) == ["HOLD"]
    cheap = ten_thousand_in_a(0.055, gas=(20.0, 20.0, 20.0), token="USDT", conversion_rate=0.001)
    moved = decide("gas_blind", cheap)
    # 20 for the withdrawal, 20 and a thousandth for the conversion, 20 for the deposit.
    assert positions_usd(cheap, moved)["b"] == pytest.approx((10_000 - 20 - 20 - 20) / 1.001)
    assert moved.gas_usd == pytest.approx(60.0) and moved.conversion_usd == pytest.approx(9_940 / 1.001 * 0.001)


@pytest.mark.parametrize(("other_apy", "moves"), [(0.0599, False), (0.0601, True)])
def test_the_threshold_is_a_point_of_apy(other_apy, moves):
    given = ten_thousand_in_a(other_apy, gas=(1.0, 1.0, 0.0))
    decision = decide("threshold", given)
    assert (decision.gas_usd > 0) == moves
    assert positions_usd(given, decision)["b"] == pytest.approx(9_998.0 if moves else 0.0)


def test_the_threshold_is_an_option():
    given = ten_thousand_in_a(0.055, gas=(1.0, 1.0, 0.0))
    assert decide("threshold", given, min_gain_apy=0.004).gas_usd == 2.0
    assert decide("threshold", given, min_gain_apy=0.006).gas_usd == 0.0


@pytest.mark.parametrize(("idle", "moves"), [(500.0, False), (550.0, True)])
def test_the_threshold_rule_places_idle_cash_above_its_share(idle, moves):
    given = ten_thousand_in_a(0.05, gas=(1.0, 1.0, 0.0), idle=idle)  # 4.8 % and 5.2 % of AUM, worth 26 bps
    assert (decide("threshold", given).gas_usd > 0) == moves


def test_the_threshold_rule_does_not_chase_cash_that_its_target_leaves_idle():
    capped = problem([pool("a", 0.05, tvl_usd=1_000.0)], {"USDC": 9_000.0}, {("a", "USDC"): 1_000.0})
    assert kinds(decide("threshold", capped)) == ["HOLD"]


def test_the_threshold_rule_leaves_what_must_be_left_and_places_what_it_brings():
    pools = [pool("a", 0.05, must_exit=True), pool("b", 0.04)]
    given = problem(pools, None, {("a", "USDC"): 1_000.0}, (1.0, 2.0, 0.0))
    assert positions_usd(given, decide("threshold", given)) == {"a": 0.0, "b": pytest.approx(997.0)}


def three_pools(as_of: date = DUE, held: dict[tuple[str, str], float] | None = None, **more: Any) -> AllocationProblem:
    """10, 8 and 6 % of one token each; 10,000 USDC unless something is held."""
    given = more.pop("pools", [pool("a", 0.06), pool("b", 0.10), pool("c", 0.08)])
    return replace(problem(given, None if held else {"USDC": 10_000.0}, held, **more), as_of=as_of)


def test_the_waterfall_fills_the_best_pool_to_its_cap_then_the_next():
    given = three_pools(max_alloc_percentage=0.4)
    assert positions_usd(given, decide("waterfall", given)) == {"a": 2_000.0, "b": 4_000.0, "c": 4_000.0}


def test_the_waterfall_keeps_to_the_share_of_tvl_and_to_the_group():
    pools = [pool("a", 0.06, group=2), pool("b", 0.10, tvl_usd=20_000.0), pool("c", 0.08)]
    given = three_pools(pools=pools, tvl_limit_percentage=0.05, group1_max_pct=0.5, group2_max_pct=0.3)
    decision = decide("waterfall", given)
    assert positions_usd(given, decision) == {"a": 3_000.0, "b": 1_000.0, "c": 4_000.0}
    assert decision.wallet.sum() == pytest.approx(2_000.0)


def test_the_waterfall_moves_every_seventh_day_only():
    held = {("a", "USDC"): 10_000.0}
    assert kinds(decide("waterfall", three_pools(date(2026, 1, 30), held))) == ["HOLD"]
    moved = three_pools(DUE, held, gas=(1.0, 2.0, 0.0))
    assert positions_usd(moved, decide("waterfall", moved)) == {"a": 0.0, "b": pytest.approx(9_997.0), "c": 0.0}
    assert decide("waterfall", three_pools(date(2026, 1, 30), held), rebalance_days=1).positions[1].sum() > 0


def test_the_waterfall_leaves_a_pool_at_once_and_places_the_proceeds_when_due():
    pools = [pool("a", 0.06, must_exit=True), pool("b", 0.10)]
    held = {("a", "USDC"): 4_000.0, ("b", "USDC"): 6_000.0}
    waiting = three_pools(date(2026, 1, 30), held, pools=pools)
    decision = decide("waterfall", waiting)
    assert positions_usd(waiting, decision) == {"a": 0.0, "b": 6_000.0}
    assert decision.wallet.sum() == pytest.approx(4_000.0)
    due = replace(waiting, as_of=DUE)
    assert positions_usd(due, decide("waterfall", due)) == {"a": 0.0, "b": pytest.approx(10_000.0)}


def test_the_waterfall_keeps_a_closed_pool_by_its_rank_and_adds_nothing():
    pools = [pool("a", 0.06), pool("b", 0.10, depositable=False), pool("c", 0.08)]
    held = {("a", "USDC"): 6_000.0, ("b", "USDC"): 4_000.0}
    given = three_pools(DUE, held, pools=pools)
    assert positions_usd(given, decide("waterfall", given)) == {"a": 0.0, "b": 4_000.0, "c": pytest.approx(6_000.0)}


def test_the_waterfall_passes_over_pools_without_room_losses_and_too_many_pools():
    pools = [pool("a", -0.06), pool("b", 0.10, tvl_usd=400.0), pool("c", 0.08), pool("d", 0.07)]
    rules = {"tvl_limit_percentage": 0.1, "min_transaction_value": 50.0, "max_alloc_percentage": 0.4}
    given = three_pools(pools=pools, **rules)
    assert positions_usd(given, decide("waterfall", given)) == {"a": 0.0, "b": 0.0, "c": 4_000.0, "d": 4_000.0}
    narrow = three_pools(pools=pools, max_pools=1, **rules)
    assert positions_usd(narrow, decide("waterfall", narrow)) == {"a": 0.0, "b": 0.0, "c": 4_000.0, "d": 0.0}


def test_best_apy_ignores_position_and_group_caps_but_not_the_share_of_tvl():
    pools = [pool("a", 0.06), pool("b", 0.10, tvl_usd=160_000.0), pool("c", 0.08)]
    rules = {"tvl_limit_percentage": 0.05, "max_alloc_percentage": 0.1, "group1_max_pct": 0.1}
    given = three_pools(pools=pools, gas=(5.0, 0.0, 0.0), **rules)
    decision = decide("best_apy", given)
    # 8,000 and 2,000, scaled down together to leave the gas of two deposits.
    assert positions_usd(given, decision) == {"a": 0.0, "b": pytest.approx(7_992.0), "c": pytest.approx(1_998.0)}
    assert kinds(decide("best_apy", three_pools(date(2026, 1, 30), {("a", "USDC"): 10_000.0}))) == ["HOLD"]


def test_equal_weight_of_a_book_too_small_for_every_pool_takes_the_largest():
    pools = [pool("a", 0.06, tvl_usd=1e6), pool("b", 0.10, tvl_usd=3e6), pool("c", 0.08, tvl_usd=2e6)]
    given = problem(pools, {"USDC": 120.0}, min_transaction_value=50.0)
    assert positions_usd(given, decide("equal_weight", given)) == {"a": 0.0, "b": 60.0, "c": 60.0}


def test_equal_weight_reserves_nothing_for_a_pool_of_a_token_that_may_not_be_bought():
    pools = [pool("a", 0.06), pool("b", 0.10, "USDT")]
    given = replace(problem(pools, {"USDC": 1_000.0}), convertible_into=np.array([True, False]))
    assert positions_usd(given, decide("equal_weight", given)) == {"a": pytest.approx(1_000.0), "b": 0.0}


def test_hold_pool_refuses_a_problem_that_is_not_its_own():
    options = {"protocol": "aave-v3", "token": "USDC"}
    alone = problem([pool("a", 0.05), pool("b", 0.06, depositable=False)], {"USDC": 100.0})
    assert positions_usd(alone, decide("hold_pool", alone, **options)) == {"a": 100.0, "b": 0.0}
    with pytest.raises(AllocationError, match="2 pools are open, expected one"):
        decide("hold_pool", problem([pool("a", 0.05), pool("b", 0.06)], {"USDC": 100.0}), **options)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("threshold", {"min_gain_apy": -0.01}, "min_gain_apy must be a number of at least 0"),
        ("threshold", {"min_gain_apy": float("nan")}, "min_gain_apy"),
        ("threshold", {"max_idle_share": "much"}, "max_idle_share"),
        ("threshold", {"max_idle_share": True}, "max_idle_share"),
        ("waterfall", {"rebalance_days": 0}, "waterfall: rebalance_days must be at least 1"),
        ("best_apy", {"rebalance_days": 1.5}, "best_apy: rebalance_days must be at least 1"),
        ("gas_blind", {"rebalance_days": 7}, "rebalance_days"),
        ("older_rule", {"horizon": 7}, "horizon"),
    ],
)
def test_wrong_options_are_refused(name, options, words):
    given = problem([pool("a", 0.05)])
    with pytest.raises(ConfigurationError, match=words):
        policy_for(name, given.parameters, options)

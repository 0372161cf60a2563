"""The rules of the allocation on problems small enough to be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.allocation import solve
from defiyield_core.allocation.explain import explain
from defiyield_core.errors import AllocationError
from tests.unit.allocation.small import kinds, pool, positions_usd, problem


def test_a_deposit_pays_its_gas_out_of_the_money_deposited() -> None:
    given = problem([pool("a", 0.05)], {"USDC": 10_000}, gas=(8, 8, 8))
    decision = solve(given)
    assert decision.status == "optimal"
    assert positions_usd(given, decision)["a"] == pytest.approx(9_992, abs=1e-4)
    assert decision.objective_usd == pytest.approx(9_992 * 0.05 - 8, abs=1e-4)
    assert decision.gain_over_hold_usd == pytest.approx(decision.objective_usd)
    assert decision.wallet.sum() == pytest.approx(0, abs=1e-4)


def test_nothing_moves_when_the_yield_is_less_than_the_gas() -> None:
    given = problem([pool("a", 0.05)], {"USDC": 10_000}, gas=(30, 8, 8), horizon_days=14)
    decision = solve(given)
    assert decision.status == "optimal"
    assert kinds(decision) == ["HOLD"]
    assert decision.costs_usd == 0 and decision.objective_usd == 0
    assert explain(given, decision).binding == ("apy too low",)


def test_a_move_must_earn_the_withdrawal_and_the_deposit() -> None:
    pools = [pool("low", 0.05), pool("high", 0.06)]
    stays = problem(pools, {"USDC": 10}, held={("low", "USDC"): 1_500}, gas=(8, 8, 8))
    moves = problem(pools, held={("low", "USDC"): 1_800}, gas=(8, 8, 8))
    assert kinds(solve(stays)) == ["HOLD"]  # 1,510 x 1 % = 15.10 < 16
    assert explain(stays, solve(stays)).binding[0] == "held: a move costs more than it gains"
    decision = solve(moves)
    assert kinds(decision) == ["WITHDRAWAL", "ALLOCATION"]
    assert decision.gain_over_hold_usd == pytest.approx((1_800 - 16) * 0.06 - 16 - 1_800 * 0.05, abs=1e-3)


def test_the_position_cap_and_the_tvl_cap_bind_and_are_named() -> None:
    pools = [pool("a", 0.09), pool("b", 0.08, tvl_usd=100_000), pool("c", 0.07)]
    given = problem(
        pools,
        {"USDC": 100_000},
        max_alloc_percentage=0.25,
        position_max_pct_total_assets=0.3,
        tvl_limit_percentage=0.05,
    )
    decision = solve(given)
    assert positions_usd(given, decision) == pytest.approx({"a": 25_000, "b": 5_000, "c": 25_000}, abs=1e-3)
    assert explain(given, decision).binding == ("position cap", "pool TVL cap", "position cap")


def test_group_caps_limit_the_sum_of_a_group() -> None:
    pools = [pool("a", 0.09, group=3), pool("b", 0.08, group=3), pool("c", 0.05, group=1)]
    given = problem(pools, {"USDC": 100_000}, group3_max_pct=0.3, max_alloc_percentage=0.25)
    decision = solve(given)
    assert positions_usd(given, decision) == pytest.approx({"a": 25_000, "b": 5_000, "c": 25_000}, abs=1e-3)
    assert explain(given, decision).binding == ("position cap", "group 3 cap", "position cap")


def test_required_positions_are_opened_at_their_minimum() -> None:
    pools = [pool("a", 0.09), pool("b", 0.05), pool("c", 0.04)]
    given = problem(pools, {"USDC": 10_000}, min_pools=3, min_position_usd=500)
    decision = solve(given)
    assert positions_usd(given, decision) == pytest.approx({"a": 9_000, "b": 500, "c": 500}, abs=1e-3)
    assert explain(given, decision).binding[1:] == ("minimum position", "minimum position")


def test_fewer_pools_than_required_are_used_as_they_are_and_the_decision_says_so() -> None:
    pools = [pool("a", 0.09), pool("b", 0.05), pool("closed", 0.2, depositable=False)]
    decision = solve(problem(pools, {"USDC": 10_000}, min_pools=5))
    assert decision.status == "optimal"
    assert (decision.positions.sum(axis=1) > 0).tolist() == [True, True, False]
    assert any("min_pools is 5" in note for note in decision.notes)


def test_a_pool_too_small_for_a_minimum_position_is_not_asked_for_one() -> None:
    pools = [pool("a", 0.09), pool("tiny", 0.05, tvl_usd=400)]
    given = problem(pools, {"USDC": 10_000}, min_pools=2, min_position_usd=500)
    decision = solve(given)
    assert decision.status == "optimal"
    assert any("only 1 pools can take a minimum position" in note for note in decision.notes)


def test_a_book_whose_position_cap_is_under_the_minimum_position_is_infeasible() -> None:
    given = problem([pool("a", 0.09)], {"USDC": 150}, min_pools=1, max_alloc_percentage=0.25)
    assert solve(given).status == "infeasible"


def test_more_minimum_positions_than_money_is_infeasible_and_holds() -> None:
    pools = [pool(name, 0.05) for name in "abcde"]
    decision = solve(problem(pools, {"USDC": 200}, min_pools=5))
    assert decision.status == "infeasible"
    assert "AUM" in decision.reason and "min_pools" in decision.reason
    assert kinds(decision) == ["HOLD"]
    assert decision.wallet.tolist() == [200]


def test_group_caps_that_leave_no_room_for_the_required_positions_are_infeasible() -> None:
    pools = [pool(name, 0.05) for name in "abc"]
    decision = solve(problem(pools, {"USDC": 10_000}, min_pools=3, group1_max_pct=0.01))
    assert decision.status == "infeasible"
    assert "group caps" in decision.reason


def test_a_two_token_pool_takes_equal_dollars_and_each_leg_pays_gas() -> None:
    given = problem([pool("lp", 0.10, "USDC-USDT")], {"USDC": 600, "USDT": 1_000}, gas=(2, 2, 50), prices={"USDT": 0.5})
    decision = solve(given)
    legs = [row for row in decision.transactions if row.type == "ALLOCATION"]
    assert [row.gas_cost_usd for row in legs] == [2, 2]
    assert legs[0].amount_usd == pytest.approx(legs[1].amount_usd)
    assert legs[0].amount_usd == pytest.approx(500, abs=1e-4)  # the USDT is worth 500; USDC pays the gas
    assert {row.fee_token for row in legs} == {"USDC"}
    assert decision.gas_usd == 4


def test_a_withdrawal_takes_the_tokens_pro_rata() -> None:
    pools = [pool("lp", 0.01, "USDC-USDT"), pool("best", 0.5, "USDC", tvl_usd=300)]
    given = problem(pools, held={("lp", "USDC"): 750, ("lp", "USDT"): 250})
    decision = solve(given)
    left = decision.positions[0]
    assert positions_usd(given, decision)["best"] == pytest.approx(300, abs=1e-4)
    assert left[0] / left[1] == pytest.approx(3)


def test_a_conversion_pays_its_gas_and_its_rate() -> None:
    given = problem([pool("a", 0.10, "DAI")], {"USDC": 10_000}, gas=(5, 5, 7), conversion_rate=0.001)
    decision = solve(given)
    assert kinds(decision) == ["CONVERSION", "ALLOCATION"]
    deposited = (10_000 - 12) / 1.001
    assert positions_usd(given, decision)["a"] == pytest.approx(deposited, abs=1e-3)
    assert decision.conversion_usd == pytest.approx(0.001 * deposited, abs=1e-6)
    assert {row.fee_token for row in decision.transactions} == {"USDC"}


def test_a_pool_that_must_be_left_is_left_and_its_off_peg_token_converted_completely() -> None:
    pools = [pool("off", 0.30, "USDE", depositable=False, must_exit=True), pool("a", 0.05, "USDC")]
    given = problem(pools, held={("off", "USDE"): 1_000}, gas=(2, 3, 4), conversion_rate=0.001, prices={"USDE": 0.98})
    usdc, usde = given.tokens.index("USDC"), given.tokens.index("USDE")
    convertible, target = np.ones(2, dtype=bool), np.full(2, -1)
    convertible[usde], target[usde] = False, usdc
    decision = solve(replace(given, convertible_into=convertible, forced_target=target))
    assert kinds(decision) == ["WITHDRAWAL", "CONVERSION", "ALLOCATION"]
    assert [row.fee_token for row in decision.transactions] == ["USDE", "USDC", "USDC"]
    assert decision.wallet[usde] == 0 and decision.positions[0].sum() == 0
    converted = 980 - 3
    assert decision.conversion_usd == pytest.approx(0.001 * converted)
    assert positions_usd(given, decision)["a"] == pytest.approx(converted - 0.001 * converted - 4 - 2, abs=1e-4)


def test_a_forced_exit_that_cannot_pay_its_gas_is_infeasible_and_holds() -> None:
    given = problem([pool("off", 0.3, must_exit=True)], held={("off", "USDC"): 3}, gas=(8, 8, 8))
    decision = solve(given)
    assert decision.status == "infeasible"
    assert "forced exits" in decision.reason
    assert kinds(decision) == ["HOLD"]


def test_a_pool_that_must_be_left_but_allows_no_withdrawal_is_stuck_and_said_so() -> None:
    given = problem([pool("off", 0.3, must_exit=True, withdrawable=False)], held={("off", "USDC"): 3_000})
    decision = solve(given)
    assert decision.status == "optimal"
    assert explain(given, decision).binding == ("must exit: not withdrawable",)


def test_a_forced_balance_smaller_than_its_conversion_stays_with_a_note() -> None:
    given = problem([pool("a", 0.05)], {"USDC": 1_000, "USDE": 2}, gas=(1, 1, 4))
    convertible = np.array([True, False])
    decision = solve(replace(given, convertible_into=convertible, forced_target=np.array([-1, 0])))
    assert kinds(decision) == ["ALLOCATION"]
    assert any("USDE stays" in note for note in decision.notes)


def test_a_forced_target_that_may_not_be_converted_into_is_refused() -> None:
    given = problem([pool("a", 0.05)], {"USDC": 1_000, "USDE": 200})
    with pytest.raises(AllocationError, match="forced_target: USDE"):
        solve(replace(given, convertible_into=np.array([False, False]), forced_target=np.array([-1, 0])))


def test_a_token_that_may_not_be_converted_into_is_not_deposited() -> None:
    given = problem([pool("a", 0.30, "USDE"), pool("b", 0.05)], {"USDC": 1_000, "USDE": 1_000})
    given = replace(given, convertible_into=np.array([True, False]))
    decision = solve(given)
    assert positions_usd(given, decision) == pytest.approx({"a": 0, "b": 2_000}, abs=1e-4)
    assert explain(given, decision).binding[0] == "not depositable"


def test_drift_over_the_cap_forces_no_sale() -> None:
    pools = [pool("a", 0.05), pool("b", 0.0499)]
    held = {("a", "USDC"): 2_600, ("b", "USDC"): 7_400}
    given = problem(pools, held=held, gas=(8, 8, 8), max_alloc_percentage=0.25, group1_max_pct=0.3)
    decision = solve(given)
    assert kinds(decision) == ["HOLD", "HOLD"]
    assert explain(given, decision).binding == ("position cap", "position cap")


def test_drift_under_the_minimum_position_forces_no_trade() -> None:
    pools = [pool("a", 0.05), pool("b", 0.05)]
    held = {("a", "USDC"): 9_505, ("b", "USDC"): 495}
    decision = solve(problem(pools, held=held, gas=(8, 8, 8), min_pools=2, min_position_usd=500))
    assert decision.status == "optimal"
    assert kinds(decision) == ["HOLD", "HOLD"]


def test_a_position_under_the_minimum_transaction_may_only_be_left_in_full() -> None:
    pools = [pool("a", 0.01), pool("b", 0.5, tvl_usd=120)]
    given = problem(pools, {"USDC": 80}, held={("a", "USDC"): 45}, min_transaction_value=50)
    decision = solve(given)
    assert positions_usd(given, decision) == pytest.approx({"a": 0, "b": 120}, abs=1e-4)


def test_a_deposit_under_the_minimum_transaction_is_not_made() -> None:
    decision = solve(problem([pool("a", 0.5)], {"USDC": 49}, min_transaction_value=50))
    assert kinds(decision) == ["HOLD"]


def test_full_allocation_leaves_no_cash_even_where_it_does_not_pay() -> None:
    given = problem([pool("a", 0.0001)], {"USDC": 10_000}, gas=(8, 8, 8), horizon_days=1)
    assert kinds(solve(given)) == ["HOLD"]
    full = replace(given, parameters=given.parameters.with_overrides({"full_allocation": True}))
    decision = solve(full)
    assert decision.wallet.sum() == pytest.approx(0, abs=1e-4)
    assert decision.objective_usd < 0
    assert decision.gap_bps <= given.parameters.gap_bps


def test_full_allocation_keeps_what_the_caps_force_idle_and_burns_nothing() -> None:
    pools = [pool("a", 0.05), pool("b", 0.02, "DAI")]
    given = problem(
        pools, {"USDC": 10_000}, gas=(1, 1, 1), max_alloc_percentage=0.25, full_allocation=True, conversion_rate=0.001
    )
    decision = solve(given)
    assert positions_usd(given, decision) == pytest.approx({"a": 2_500, "b": 2_500}, abs=1e-3)
    assert decision.costs_usd == pytest.approx(1 + 1 + 1 + 2.5, abs=1e-5)


def test_profit_optimization_is_adopted_only_above_the_stated_gain() -> None:
    pools = [pool("a", 0.10), pool("b", 0.05)]
    rules = {"min_pools": 2, "max_alloc_percentage": 0.5, "min_position_usd": 100, "profit_optimization": True}
    given = problem(pools, {"USDC": 10_000}, **rules)
    assert positions_usd(given, solve(given))["a"] == pytest.approx(10_000, abs=1e-3)  # 250 more than 5,000 in each
    wary = problem(pools, {"USDC": 10_000}, **rules, profit_optimization_min_gain_usd=300)
    decision = solve(wary)
    assert positions_usd(wary, decision) == pytest.approx({"a": 5_000, "b": 5_000}, abs=1e-3)
    assert any("not adopted" in note for note in decision.notes)


def test_an_empty_universe_an_empty_wallet_and_no_money_at_all_are_decisions_too() -> None:
    no_pools = solve(problem([], {"USDC": 100}))
    assert (no_pools.status, kinds(no_pools)) == ("optimal", ["HOLD"])
    no_money = solve(problem([pool("a", 0.05)]))
    assert (no_money.status, no_money.transactions, no_money.objective_usd) == ("optimal", (), 0)
    nothing = solve(problem([]))
    assert (nothing.status, nothing.gap_bps) == ("optimal", 0)


def test_cash_left_in_fragments_that_pay_no_fee_is_gathered_by_trimming_deposits() -> None:
    pools = [pool("a", 0.0500001, "USDC", tvl_usd=997), pool("b", 0.05, "USDT", tvl_usd=995)]
    given = problem(pools, {"USDC": 1_000, "USDT": 1_000}, gas=(8, 8, 80))
    decision = solve(given)  # 997 and 987 would be best, but neither 3 USDC nor what is left of 13 USDT pays 8
    assert positions_usd(given, decision) == pytest.approx({"a": 992, "b": 992}, abs=1e-3)
    assert sorted(str(row.fee_token) for row in decision.transactions) == ["USDC", "USDT"]
    assert decision.gap_bps <= given.parameters.gap_bps


def test_a_time_limit_that_is_too_short_holds_and_says_so() -> None:
    pools = [pool(f"p{number}", 0.05 + number / 1e4) for number in range(60)]
    given = problem(pools, {"USDC": 1e6}, gas=(8, 8, 8), max_alloc_percentage=0.11, time_limit_seconds=1e-9)
    decision = solve(given)
    assert decision.status == "timeout"
    assert "time_limit_seconds" in decision.reason
    assert kinds(decision) == ["HOLD"]


def test_what_a_forced_conversion_brings_in_may_be_converted_onwards() -> None:
    given = problem(
        [pool("left", 0.2, "DAI"), pool("best", 0.1, "USDT"), pool("small", 0.01, "USDC", tvl_usd=1.0)],
        {"DAI": 100},
        held={("left", "DAI"): 900.0},
        prices={"USDC": 1.0},
    )
    dai, usdc = given.tokens.index("DAI"), given.tokens.index("USDC")
    forced = np.where(np.arange(len(given.tokens)) == dai, usdc, -1)
    given = replace(
        given,
        forced_target=forced,
        convertible_into=np.arange(len(given.tokens)) != dai,
        must_exit=np.array([True, False, False]),
    )
    decision = solve(given)
    assert positions_usd(given, decision) == pytest.approx({"left": 0, "best": 1_000, "small": 0}, abs=0.01)
    assert kinds(decision) == ["WITHDRAWAL", "CONVERSION", "CONVERSION", "ALLOCATION"]

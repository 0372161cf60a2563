"""Moving to given targets by rule: costs, cash, minimums and forced moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.allocation.execute import execute
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.allocation.targets import move_to
from tests.unit.allocation.random_problems import Shape, random_problem
from tests.unit.allocation.small import kinds, pool, positions_usd, problem


def test_a_deposit_pays_its_gas_out_of_the_cash():
    cash = problem([pool("a", 0.05)], {"USDC": 1000.0}, gas=(4.0, 0.0, 0.0))
    decision = move_to(cash, np.array([600.0]))
    assert positions_usd(cash, decision) == {"a": 600.0}
    assert decision.wallet.tolist() == [396.0] and decision.gas_usd == 4.0
    assert decision.objective_usd == pytest.approx(600.0 * 0.05 - 4.0)


def test_deposits_shrink_together_until_they_and_their_gas_fit_the_cash():
    cash = problem([pool("a", 0.05), pool("b", 0.05)], {"USDC": 1000.0}, gas=(5.0, 0.0, 0.0))
    decision = move_to(cash, np.array([1000.0, 2000.0]))
    assert positions_usd(cash, decision) == {"a": pytest.approx(330.0), "b": pytest.approx(660.0)}
    assert decision.wallet.sum() == pytest.approx(0.0, abs=1e-6)


def test_a_deposit_that_would_fall_under_the_minimum_is_left_out():
    cash = problem([pool("a", 0.05), pool("b", 0.05)], {"USDC": 100.0}, min_transaction_value=50)
    decision = move_to(cash, np.array([60.0, 90.0]))
    assert positions_usd(cash, decision) == {"a": 0.0, "b": pytest.approx(90.0)}
    assert kinds(move_to(cash, np.array([49.0, 0.0]))) == ["HOLD"]


def test_a_small_reduction_is_left_out_and_a_small_full_exit_is_not():
    held = problem([pool("a", 0.05)], {"USDC": 10.0}, {("a", "USDC"): 40.0}, min_transaction_value=50)
    assert kinds(move_to(held, np.array([20.0]))) == ["HOLD"]
    assert kinds(move_to(held, np.array([0.0]))) == ["WITHDRAWAL"]


def test_a_missing_token_is_converted_with_fee_and_gas_paid_in_the_source():
    cash = problem([pool("a", 0.05, "USDT")], {"USDC": 1000.0}, gas=(1.0, 0.0, 2.0), conversion_rate=0.01)
    decision = move_to(cash, np.array([500.0]))
    assert kinds(decision) == ["CONVERSION", "ALLOCATION"]
    assert decision.conversion_usd == pytest.approx(5.0) and decision.gas_usd == pytest.approx(3.0)
    left = dict(zip(cash.tokens, decision.wallet, strict=True))
    assert left == {"USDC": pytest.approx(492.0), "USDT": pytest.approx(0.0, abs=1e-9)}


def test_both_sides_of_a_pair_get_equal_dollars_and_each_leg_pays_gas():
    cash = problem([pool("a", 0.05, "DAI-USDC")], {"USDC": 500.0, "DAI": 500.0}, gas=(3.0, 0.0, 0.0))
    decision = move_to(cash, np.array([600.0]))
    assert decision.positions.tolist() == [[300.0, 300.0]]
    assert decision.gas_usd == 6.0


def test_a_full_exit_leaves_no_dust_at_any_price():
    for price in np.random.default_rng(3).uniform(0.9, 1.1, 200):
        held = problem([pool("a", 0.05)], None, {("a", "USDC"): 12345.6789}, prices={"USDC": float(price)})
        assert move_to(held, np.array([0.0])).positions.sum() == 0.0


def test_an_exit_that_no_single_balance_can_pay_is_left_out_and_said():
    gone = problem([pool("a", 0.05, "USDT", must_exit=True)], {"USDC": 5.0}, {("a", "USDT"): 6.0}, gas=(0.0, 10.0, 0.0))
    decision = move_to(gone, np.array([6.0]))
    assert kinds(decision) == ["HOLD"] and decision.status == "held"
    assert decision.notes == ("a must be left, but no cash pays the gas",)


def test_a_forced_exit_ignores_the_target():
    gone = problem([pool("a", 0.05, must_exit=True)], {"USDC": 50.0}, {("a", "USDC"): 900.0}, gas=(0.0, 7.0, 0.0))
    decision = move_to(gone, np.array([900.0]))
    assert positions_usd(gone, decision) == {"a": 0.0}
    assert decision.wallet.sum() == pytest.approx(943.0)


def depegged() -> AllocationProblem:
    """400 USDC at 0.9 in the wallet, which must become USDT; pools of both."""
    cash = problem(
        [pool("a", 0.05, "USDC"), pool("b", 0.05, "USDT")],
        {"USDC": 400.0, "USDT": 100.0},
        prices={"USDC": 0.9},
        gas=(0.0, 0.0, 1.0),
        conversion_rate=0.001,
    )
    return replace(cash, convertible_into=np.array([False, True]), forced_target=np.array([1, -1]))


def test_a_token_off_its_peg_is_converted_completely():
    decision = move_to(depegged(), np.zeros(2))
    assert decision.wallet[0] == pytest.approx(0.0, abs=1e-9)
    assert decision.wallet[1] == pytest.approx(100.0 + (360.0 - 1.0) / 1.001)


def test_nothing_is_deposited_in_or_converted_into_a_token_off_its_peg():
    decision = move_to(depegged(), np.array([200.0, 0.0]))
    assert decision.positions.sum() == 0.0
    assert [(row.token, row.to_token) for row in decision.transactions if row.type == "CONVERSION"] == [
        ("USDC", "USDT")
    ]


def test_a_position_is_not_reduced_for_a_deposit_that_is_left_out():
    pools = [pool("a", 0.05), pool("b", 0.05), pool("c", 0.05)]
    held = problem(pools, None, {("a", "USDC"): 1_000.0}, min_transaction_value=50)
    assert kinds(move_to(held, np.array([940.0, 30.0, 30.0]))) == ["HOLD"]
    part = move_to(held, np.array([800.0, 170.0, 30.0]))
    assert positions_usd(held, part) == {"a": pytest.approx(830.0), "b": pytest.approx(170.0), "c": 0.0}
    assert part.wallet.sum() == pytest.approx(0.0, abs=1e-9)


def test_a_position_is_reduced_where_the_targets_want_the_cash():
    held = problem([pool("a", 0.05)], None, {("a", "USDC"): 1_000.0}, min_transaction_value=50)
    decision = move_to(held, np.array([600.0]))
    assert positions_usd(held, decision) == {"a": pytest.approx(600.0)}
    assert decision.wallet.tolist() == [pytest.approx(400.0)]


def test_a_partial_move_that_is_not_larger_than_its_own_gas_is_left_out():
    held = problem([pool("a", 0.05)], {"USDC": 100.0}, {("a", "USDC"): 1_000.0}, (70.0, 70.0, 0.0))
    assert kinds(move_to(held, np.array([940.0]))) == ["HOLD"]
    assert kinds(move_to(held, np.array([1_060.0]))) == ["HOLD"]
    assert kinds(move_to(held, np.array([920.0]))) == ["WITHDRAWAL"]


def test_gas_that_fits_one_deposit_makes_one_without_any_minimum_too():
    cash = problem([pool("a", 0.05), pool("b", 0.05)], {"USDC": 20.0}, gas=(8.0, 0.0, 0.0), min_transaction_value=0)
    assert sorted(positions_usd(cash, move_to(cash, np.array([10.0, 10.0]))).values()) == [0.0, pytest.approx(10.0)]


def test_an_exit_is_paid_out_of_what_another_one_brings():
    pools = [pool("a", 0.05, "USDT", must_exit=True), pool("b", 0.05, must_exit=True)]
    gone = problem(pools, None, {("a", "USDT"): 6.0, ("b", "USDC"): 50.0}, (0.0, 10.0, 0.0))
    decision = move_to(gone, np.zeros(2))
    assert not decision.positions.any() and not decision.notes
    assert decision.wallet.sum() == pytest.approx(36.0)


def test_an_exit_that_could_not_be_paid_at_first_is_tried_again():
    pools = [
        pool("x", 0.05, "DAI-USDC", must_exit=True),
        pool("y", 0.05, "DAI", must_exit=True),
        pool("z", 0.05, must_exit=True),
    ]
    amounts = {("x", "DAI"): 9.9, ("x", "USDC"): 9.9, ("y", "DAI"): 19.7, ("z", "USDC"): 19.6}
    decision = move_to(problem(pools, None, amounts, (0.0, 10.0, 0.0)), np.zeros(3))
    assert not decision.positions.any() and not decision.notes
    assert decision.wallet.sum() == pytest.approx(59.1 - 40.0)


def test_a_group_stays_under_its_cap_though_a_reduction_in_it_is_left_out():
    pools = [pool("a", 0.05), pool("b", 0.06), pool("c", 0.07, group=2)]
    held = problem(pools, {"USDC": 970.0}, {("a", "USDC"): 1_030.0}, min_transaction_value=50)
    target = np.array([1_000.0, 500.0, 500.0])
    capped = move_to(held, target, np.array([1_500.0, 500.0, 0.0]))
    assert positions_usd(held, capped) == {"a": 1_030.0, "b": pytest.approx(470.0), "c": pytest.approx(500.0)}
    free = positions_usd(held, move_to(held, target))
    assert free["a"] + free["b"] > 1_500.0


def test_a_forced_conversion_that_cannot_pay_its_gas_is_said():
    poor = replace(depegged(), wallet=np.array([1.0, 100.0]))
    decision = move_to(poor, np.zeros(2))
    assert decision.wallet.tolist() == [1.0, 100.0]
    assert decision.notes == ("USDC must be converted, but its $0.90 do not pay the gas",)


def test_the_objective_knows_of_dilution():
    # 10 % of a pool of 900 shared with our 100: 100 * 10 % * 900 / 1000.
    cash = problem([pool("a", 0.10, tvl_usd=900.0)], {"USDC": 150.0}, {("a", "USDC"): 50.0}, dilution="pro_rata")
    decision = move_to(cash, np.array([100.0]))
    assert decision.objective_usd == pytest.approx(9.0)
    assert decision.hold_objective_usd == pytest.approx(5.0 * 900 / 950)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    weights=st.lists(st.integers(0, 100), min_size=6, max_size=6).filter(any),
    held=st.lists(st.sampled_from([0.0, 30.0, 700.0, 20_000.0]), min_size=6, max_size=6),
    cash_usd=st.floats(0.0, 1e5),
    gas_usd=st.sampled_from([0.0, 4.0, 60.0]),
)
def test_targets_that_ask_for_everything_leave_no_more_idle_than_the_deposits_that_were_too_small(
    weights, held, cash_usd, gas_usd
):
    pools = [pool(name, 0.05) for name in "abcdef"]
    book = problem(
        pools,
        {"USDC": cash_usd},
        {(name, "USDC"): usd for name, usd in zip("abcdef", held, strict=True)},
        (gas_usd, gas_usd, 0.0),
        min_transaction_value=50,
    )
    target = np.array(weights) / sum(weights) * book.aum_usd
    decision = move_to(book, target)
    missing = target - decision.positions @ book.token_prices
    smallest = max(50.0, gas_usd)
    idle_usd = float(decision.wallet.sum())
    short = float(np.minimum(np.maximum(missing, 0.0), smallest).sum())
    assert idle_usd <= short + smallest + gas_usd + 1e-6


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    aum_usd=st.sampled_from([30.0, 400.0, 5e3, 1e6, 1e8]),
    held_share=st.sampled_from([0.0, 0.5, 1.0]),
    gas_scale=st.sampled_from([0.0, 1.0, 20.0]),
    forced=st.booleans(),
    weights=st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8),
)
def test_whatever_the_target_money_is_conserved_and_no_rule_is_broken(
    seed, aum_usd, held_share, gas_scale, forced, weights
):
    shape = Shape(pools=8, tokens=4, aum_usd=aum_usd, held_share=held_share, forced=forced, gas_scale=gas_scale)
    day = random_problem(seed, shape)
    decision = move_to(day, np.array(weights) * aum_usd)
    wallet, positions = execute(day, decision.transactions)
    assert (wallet == decision.wallet).all() and (positions == decision.positions).all()
    assert (wallet >= 0).all() and (positions >= 0).all()
    after_usd = float((wallet + positions.sum(axis=0)) @ day.token_prices)
    assert after_usd == pytest.approx(day.aum_usd - decision.costs_usd, rel=0.0, abs=5e-15 * aum_usd + 1e-12)
    assert [row.seq for row in decision.transactions] == list(range(1, len(decision.transactions) + 1))
    minimum = day.parameters.min_transaction_value * (1 - 1e-9)
    grown = (positions - day.positions) @ day.token_prices
    for index in np.flatnonzero(grown > 1e-9 * aum_usd):
        assert grown[index] >= minimum and day.depositable[index] and not day.must_exit[index]
        assert day.convertible_into[list(day.pool_tokens[index])].all()
    for index in np.flatnonzero(grown < -1e-9 * aum_usd):
        assert day.withdrawable[index]
        assert -grown[index] >= minimum or positions[index].sum() == 0.0

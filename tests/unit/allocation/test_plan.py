"""Rows of a plan: what each does, in which order, and who pays for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.allocation import AllocationProblem, Transaction, evaluate_hold, execute, hold, solve
from defiyield_core.allocation.fees import FeeBook
from defiyield_core.allocation.flows import Flows
from defiyield_core.allocation.limits import limits_of
from defiyield_core.allocation.plan import movements, write
from defiyield_core.errors import AllocationError
from tests.unit.allocation.small import kinds, pool, problem


def row(kind: str, source: str, target: str, token: str, amount: float, **given: object) -> Transaction:
    values = {
        "to_token": token,
        "amount_usd": amount,
        "gas_cost_usd": 0.0,
        "conversion_cost_usd": 0.0,
        "fee_token": None,
    }
    return Transaction(1, kind, source, target, token, amount=amount, **(values | given))  # type: ignore[arg-type]


@pytest.fixture
def two_tokens() -> AllocationProblem:
    pools = [pool("a", 0.05, "USDC"), pool("b", 0.05, "USDT")]
    return problem(pools, {"USDC": 100}, {("b", "USDT"): 40}, prices={"USDC": 1.0, "USDT": 0.5})


def test_a_withdrawal_arrives_before_its_fee_is_paid(two_tokens: AllocationProblem) -> None:
    given = replace(two_tokens, wallet=np.zeros(2))
    wallet, positions = execute(given, [row("WITHDRAWAL", "b", "wallet", "USDT", 40, gas_cost_usd=5, fee_token="USDT")])
    assert wallet.tolist() == [0, 30]  # 5 USD are 10 USDT
    assert not positions.any()


def test_a_conversion_swaps_the_gross_value_at_the_prices(two_tokens: AllocationProblem) -> None:
    swap = row("CONVERSION", "wallet", "wallet", "USDC", 60, to_token="USDT", conversion_cost_usd=1, fee_token="USDC")
    wallet, _ = execute(two_tokens, [swap])
    assert wallet.tolist() == [39, 120]


def test_a_hold_row_moves_nothing(two_tokens: AllocationProblem) -> None:
    wallet, positions = execute(two_tokens, [row("HOLD", "b", "b", "USDT", 40)])
    assert np.array_equal(wallet, two_tokens.wallet) and np.array_equal(positions, two_tokens.positions)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("ALLOCATION", "wallet", "a", "USDC", 101), "movement takes 101 where 100 is left"),
        (row("ALLOCATION", "wallet", "a", "USDC", 100, gas_cost_usd=1, fee_token="USDC"), "its fee in USDC takes 1"),
        (row("ALLOCATION", "wallet", "a", "USDC", 10, gas_cost_usd=1, fee_token="USDT"), "its fee in USDT takes 2"),
        (row("WITHDRAWAL", "b", "wallet", "USDT", 41), "movement takes 41 where 40 is left"),
        (row("ALLOCATION", "wallet", "nowhere", "USDC", 1), "unknown pool or token 'nowhere'"),
        (row("ALLOCATION", "wallet", "a", "USDC", 1, gas_cost_usd=1), "unknown pool or token"),
        (row("ALLOCATION", "wallet", "a", "USDC", float("nan")), "movement takes nan"),
    ],
)
def test_a_row_that_cannot_be_run_is_refused(two_tokens: AllocationProblem, bad: Transaction, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        execute(two_tokens, [bad])


def test_with_an_empty_wallet_the_first_withdrawal_pays_itself() -> None:
    pools = [pool("low", 0.01, "USDC"), pool("high", 0.2, "USDC")]
    decision = solve(problem(pools, held={("low", "USDC"): 1_000}, gas=(2, 3, 4)))
    first, second = decision.transactions
    assert (first.type, first.fee_token, first.gas_cost_usd) == ("WITHDRAWAL", "USDC", 3)
    assert second.amount == pytest.approx(995, abs=1e-4)


def test_every_leg_of_a_two_token_withdrawal_is_a_row_with_its_gas() -> None:
    pools = [pool("lp", 0.01, "USDC-USDT", must_exit=True)]
    decision = solve(problem(pools, held={("lp", "USDC"): 500, ("lp", "USDT"): 300}, gas=(2, 3, 4)))
    assert kinds(decision) == ["WITHDRAWAL", "WITHDRAWAL"]
    assert decision.gas_usd == 6
    assert not decision.positions.any()


def test_a_fee_that_no_single_token_can_pay_divides_its_row() -> None:
    given = problem([pool("a", 0.05, "USDC", tvl_usd=96)], {"USDC": 100, "USDT": 7}, gas=(10, 1, 1))
    limits = limits_of(given)
    rows = movements(given, limits, Flows(np.array([96.0]), np.zeros(1), {}))
    book = FeeBook(given, limits, rows)
    assert book.whole("largest") is None and book.whole("tightest") is None
    payments = book.divided()
    assert payments == [[(1, 7.0), (0, 3.0)]]
    plan = write(given, rows, payments)
    assert [(r.fee_token, round(r.gas_cost_usd, 9), round(r.amount, 9)) for r in plan] == [
        ("USDT", 7, 67.2),
        ("USDC", 3, 28.8),
    ]
    wallet, positions = execute(given, plan)
    assert wallet == pytest.approx([1, 0]) and positions.sum() == pytest.approx(96)


def test_what_a_withdrawal_brings_in_pays_only_once_all_of_it_is_there() -> None:
    pools = [pool("off", 0.05, "USDC", must_exit=True)]
    given = problem(pools, {"USDT": 2}, {("off", "USDC"): 9}, gas=(10, 10, 10))
    decision = solve(given)
    assert decision.status == "optimal"
    assert [r.fee_token for r in decision.transactions] == ["USDT", "USDC"]
    assert decision.wallet.sum() == pytest.approx(1) and decision.gas_usd == pytest.approx(10)


def test_no_cash_for_the_fee_of_any_row_leaves_nothing_to_divide() -> None:
    given = problem([pool("a", 0.05)], {"USDC": 100}, gas=(10, 1, 1))
    limits = limits_of(given)
    rows = movements(given, limits, Flows(np.array([95.0]), np.zeros(1), {}))
    assert FeeBook(given, limits, rows).divided() is None


def test_holding_names_every_position_and_promises_its_growth() -> None:
    pools = [pool("a", 0.05), pool("lp", 0.10, "USDC-USDT")]
    held = {("a", "USDC"): 100, ("lp", "USDC"): 50, ("lp", "USDT"): 50}
    given = problem(pools, {"USDC": 7}, held)
    decision = hold(given, "timeout", "too slow")
    assert kinds(decision) == ["HOLD"] * 3
    assert decision.objective_usd == evaluate_hold(given) == pytest.approx(15)
    assert np.isnan(decision.bound_usd) and np.isnan(decision.gap_bps)
    assert decision.reason == "too slow" and decision.costs_usd == 0

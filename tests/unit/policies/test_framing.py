"""The problem that a day's view and state make: what may be bought, what must go, what stays aside."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from defiyield_core.parameters import Parameters, parameters
from defiyield_core.policies.port import escape_token, frame_problem, selected
from defiyield_core.portfolio.state import PortfolioState, starting_state
from tests.unit.portfolio.markets import FIRST, POOLS, TOKENS, market

EXIT = parameters("default", {"icebox_policy": "exit"})
HOLD = parameters("default", {"icebox_policy": "hold"})
USDC_OFF_PEG = {"iceboxed": np.tile(np.array([False, True, False]), (5, 1))}


def state(wallet: dict[str, float] | None = None, **positions: float) -> PortfolioState:
    """`p0=100.0` holds 100 units of the pool's first token."""
    cash = starting_state(FIRST - timedelta(days=1), wallet or {}, market())
    held = cash.positions.copy()
    for name, amount in positions.items():
        pool = int(name[1:])
        held[pool, market().pools.tokens[pool][0]] = amount
    return replace(cash, positions=held)


def flags(framed_problem, field: str) -> dict[str, bool]:
    return dict(zip(framed_problem.pool_ids, map(bool, getattr(framed_problem, field)), strict=True))


def frame(rules: Parameters, holding: PortfolioState, **changes: np.ndarray):
    return frame_problem(market(**changes).as_of(FIRST), holding, rules).problem


def test_pools_that_are_closed_and_not_held_are_no_part_of_the_problem():
    closed = np.tile(np.array([True, False, False, False]), (5, 1))
    assert frame(EXIT, state({"USDC": 1.0}), depositable=closed).pool_ids == (POOLS[0],)
    held = frame(EXIT, state(p2=5.0), depositable=closed)
    assert flags(held, "depositable") == {POOLS[0]: True, POOLS[2]: False}


def test_an_unapproved_token_in_the_wallet_stays_aside():
    unapproved = np.tile(np.array([True, True, False]), (5, 1))
    problem = frame(EXIT, state({"USDC": 10.0, "USDT": 90.0}), approved=unapproved)
    assert problem.aum_usd == 10.0


def test_cash_off_its_peg_is_to_be_converted_into_the_largest_token_on_its_peg():
    problem = frame(EXIT, state({"USDC": 1000.0}), **USDC_OFF_PEG)
    usdc, usdt = problem.tokens.index("USDC"), problem.tokens.index("USDT")
    assert problem.forced_target[usdc] == usdt
    assert not problem.convertible_into[usdc] and problem.convertible_into[usdt]


def test_dust_off_its_peg_is_not_worth_a_transaction():
    assert (frame(EXIT, state({"USDC": 20.0}), **USDC_OFF_PEG).forced_target == -1).all()


def test_without_a_token_on_its_peg_everything_stays_where_it_is():
    problem = frame(EXIT, state({"USDC": 9.0}, p0=100.0), iceboxed=np.ones((5, 3), dtype=bool))
    assert not flags(problem, "must_exit")[POOLS[0]] and not flags(problem, "withdrawable")[POOLS[0]]
    assert problem.wallet.sum() == 0.0


def test_holding_through_a_depeg_keeps_the_position_and_the_cash_aside():
    problem = frame(HOLD, state({"USDC": 500.0}, p0=100.0), **USDC_OFF_PEG)
    assert not flags(problem, "withdrawable")[POOLS[0]]
    assert problem.wallet.sum() == 0.0


def test_holding_through_a_depeg_does_not_keep_a_position_in_a_removed_protocol():
    removed = np.tile(np.array([True, False, False, False]), (5, 1))
    problem = frame(HOLD, state(p0=100.0, p1=100.0), must_exit=removed, **USDC_OFF_PEG)
    assert flags(problem, "must_exit")[POOLS[0]] and flags(problem, "withdrawable")[POOLS[0]]
    assert not flags(problem, "must_exit")[POOLS[1]] and not flags(problem, "withdrawable")[POOLS[1]]


def test_a_pool_that_is_gone_must_be_left_under_either_policy():
    gone = replace(state(p0=100.0), absent_days=np.array([3, 0, 0, 0]))
    for rules in (EXIT, HOLD):
        problem = frame(rules, gone, **USDC_OFF_PEG)
        assert flags(problem, "must_exit")[POOLS[0]] and not flags(problem, "depositable")[POOLS[0]]


def test_the_escape_is_the_largest_by_market_cap_and_never_unapproved_unpegged_or_unpriced():
    assert TOKENS[escape_token(market().as_of(FIRST))] == "USDT"
    for field, value in (("approved", False), ("iceboxed", True)):
        values = np.tile(np.array([not value] * 2 + [value]), (5, 1))
        assert TOKENS[escape_token(market(**{field: values}).as_of(FIRST))] == "USDC"
    assert TOKENS[escape_token(market(pegged=np.array([True, True, False])).as_of(FIRST))] == "USDC"
    unpriced = market(price_usd=np.tile(np.array([1.0, 1.0, 0.0]), (5, 1)))
    assert TOKENS[escape_token(unpriced.as_of(FIRST))] == "USDC"


def test_scenarios_narrow_by_forecast_tvl():
    many = 40
    tvl = np.arange(many, dtype=float)[::-1]
    view = replace(market().as_of(FIRST), forecast_tvl_usd=tvl)
    everywhere = np.ones(many, dtype=bool)
    assert np.flatnonzero(selected(view, everywhere, "largest_5")).tolist() == [0, 1, 2, 3, 4]
    assert np.flatnonzero(selected(view, everywhere, "smallest_30")).tolist() == list(range(10, 40))
    assert selected(view, everywhere, "all").all()


@pytest.mark.parametrize(("gas", "withdrawal"), [("realistic", 250_000), ("flat_21k", 21_000)])
def test_gas_of_a_leg_is_units_times_price_times_eth(gas: str, withdrawal: int):
    problem = frame(parameters("default", {"gas": gas}), state({"USDC": 1.0}))
    assert problem.gas.withdrawal_usd == pytest.approx(withdrawal * 10e-9 * 2000)

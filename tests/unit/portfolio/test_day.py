"""One day of a portfolio: worked numbers and the accounting identity."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.errors import LedgerError
from defiyield_core.parameters import parameters
from defiyield_core.policies import policy_for
from defiyield_core.portfolio.day import close_day, open_day
from defiyield_core.portfolio.state import PortfolioState, starting_state, state_from_rows, state_rows
from tests.unit.portfolio.markets import FIRST, TOKENS, market

RULES = parameters("default", {"min_pools": 0, "min_position_pct": 0.0, "group1_max_pct": 1.0})
HOLD = policy_for("hold", RULES, {})


def holding(pool: int, token: int, amount: float, wallet: float = 0.0) -> PortfolioState:
    cash = starting_state(FIRST - timedelta(days=1), {"USDC": wallet}, market())
    positions = cash.positions.copy()
    positions[pool, token] = amount
    return replace(cash, positions=positions, forecast_apy=np.full(4, 0.05))


def test_a_day_of_five_percent_apy_on_a_million_is_133_dollars_68():
    opened = open_day(holding(0, 1, 1_000_000), market(), FIRST, RULES, {})
    assert opened.accrual_usd.sum() == pytest.approx(1_000_000 * (1.05 ** (1 / 365) - 1), abs=1e-9)
    assert opened.accrual_usd.sum() == pytest.approx(133.68, abs=0.005)
    assert opened.forecast_accrual_usd == pytest.approx(opened.accrual_usd.sum())


NINE_MILLION = {"filled_tvl_usd": np.full((5, 4), 9e6)}


def accrued(law: dict[str, object], **changes: np.ndarray) -> tuple[float, float]:
    """A day of a million in a pool of five percent: what was booked, and what the forecast said."""
    opened = open_day(holding(0, 1, 1e6), market(**changes), FIRST, RULES.with_overrides(law), {})
    return float(opened.accrual_usd.sum()), opened.forecast_accrual_usd


def test_our_million_takes_a_tenth_of_the_rate_of_a_pool_of_nine():
    undiluted = 1e6 * (1.05 ** (1 / 365) - 1)
    booked, forecast = accrued({"dilution": "pro_rata"}, **NINE_MILLION)
    assert booked == pytest.approx(undiluted * 9 / 10, abs=1e-9)
    assert booked == pytest.approx(120.31, abs=0.005)
    assert forecast == pytest.approx(booked)


def test_the_books_may_dilute_where_the_decision_does_not_and_the_other_way_round():
    full, _ = accrued({}, **NINE_MILLION)
    assert accrued({"accrual_dilution": "pro_rata"}, **NINE_MILLION)[0] == pytest.approx(0.9 * full)
    assert accrued({"dilution": "pro_rata", "accrual_dilution": "off"}, **NINE_MILLION)[0] == full
    for law in ({"dilution": "rate_curve"}, {"accrual_dilution": "rate_curve"}):  # no source tells the total supply
        assert accrued(law, **NINE_MILLION)[0] == pytest.approx(0.9 * full)


def test_a_rate_observed_with_our_money_in_it_is_ours_already():
    law = {"dilution": "pro_rata", "tvl_includes_positions": True}
    assert accrued(law, **NINE_MILLION) == accrued({}, **NINE_MILLION)


def test_a_loss_is_not_diluted():
    losing = {"observed_apy": np.full((5, 4), -0.05)} | NINE_MILLION
    booked, _ = accrued({"dilution": "pro_rata"}, **losing)
    assert booked == pytest.approx(1e6 * (0.95 ** (1 / 365) - 1))


def test_a_missing_tvl_dilutes_nothing_and_a_tvl_of_zero_earns_nothing():
    full, _ = accrued({})
    law = {"dilution": "pro_rata"}
    assert accrued(law, filled_tvl_usd=np.full((5, 4), np.nan)) == (full, pytest.approx(full))
    assert accrued(law, filled_tvl_usd=np.zeros((5, 4))) == (0.0, 0.0)
    assert accrued(law, filled_tvl_usd=np.full((5, 4), 1.0))[0] == pytest.approx(full * 1e-6, rel=1e-5)


def test_both_sides_of_a_pair_are_diluted_alike():
    state = holding(3, 1, 400_000.0)
    positions = state.positions.copy()
    positions[3, 2] = 600_000.0
    rules = RULES.with_overrides({"dilution": "pro_rata"})
    opened = open_day(replace(state, positions=positions), market(**NINE_MILLION), FIRST, rules, {})
    growth = (1.08 ** (1 / 365) - 1) * 0.9
    assert opened.accrual_usd.tolist() == pytest.approx([0.0, 400_000.0 * growth, 600_000.0 * growth])


def test_idle_cash_earns_nothing():
    opened = open_day(starting_state(FIRST - timedelta(days=1), {"USDC": 500.0}, market()), market(), FIRST, RULES, {})
    assert opened.accrual_usd.sum() == 0.0
    assert opened.state.aum_usd == 500.0


def test_a_missing_row_and_a_flagged_rate_accrue_nothing():
    missing = market(observed_apy=np.tile(np.array([np.nan, 0.06, 0.07, 0.08]), (5, 1)))
    opened = open_day(holding(0, 1, 1000.0), missing, FIRST, RULES, {})
    assert opened.accrual_usd.sum() == 0.0 and opened.no_data[0] and opened.state.absent_days[0] == 1
    flagged = market(flagged=np.tile(np.array([True, False, False, False]), (5, 1)))
    assert open_day(holding(0, 1, 1000.0), flagged, FIRST, RULES, {}).accrual_usd.sum() == 0.0


def test_a_day_without_any_source_is_no_absence():
    silent = market(observed_apy=np.full((5, 4), np.nan))
    opened = open_day(holding(0, 1, 1000.0), silent, FIRST, RULES, {})
    assert opened.state.absent_days[0] == 0 and opened.no_data[0]


def test_a_fall_of_the_token_is_revaluation_and_no_yield():
    fallen = market(price_usd=np.tile(np.array([1.0, 0.9, 1.0]), (5, 1)))
    opened = open_day(holding(0, 1, 1000.0), fallen, FIRST, RULES, {})
    grown = 1000.0 * 1.05 ** (1 / 365)
    assert opened.accrual_usd.sum() == pytest.approx(grown - 1000.0)
    assert opened.revaluation_usd.sum() == pytest.approx(-0.1 * grown)
    assert opened.state.aum_usd == pytest.approx(0.9 * grown)


def test_a_pool_that_is_gone_loses_the_haircut_once_and_is_left():
    rules = RULES.with_overrides({"gone_haircut": 0.1})
    gone = market(observed_apy=np.tile(np.array([np.nan, 0.06, 0.07, 0.08]), (5, 1)))
    state = holding(0, 1, 1000.0, wallet=100.0)
    values = []
    for day in range(4):
        closed = close_day(open_day(state, gone, FIRST + timedelta(days=day), rules, {}), gone, HOLD, rules)
        state = closed.state
        values.append(state.position_usd[0])
    assert values[:2] == [1000.0, 1000.0]
    assert values[2:] == [0.0, 0.0]
    withdrawal = 250_000 * 10e-9 * 2000
    assert state.aum_usd == pytest.approx(100 + 900 - withdrawal)


def test_external_flows_are_booked_and_an_overdraft_is_refused():
    opened = open_day(holding(0, 1, 1000.0, wallet=50.0), market(), FIRST, RULES, {"USDC": 25.0})
    assert opened.flows_usd.sum() == 25.0
    with pytest.raises(LedgerError, match=r"takes 60\.00 USDC but the wallet holds 50\.00"):
        open_day(holding(0, 1, 1000.0, wallet=50.0), market(), FIRST, RULES, {"USDC": -60.0})


def test_a_deposit_of_a_token_that_is_not_approved_is_refused():
    unapproved = market(approved=np.tile(np.array([False, True, True]), (5, 1)))
    with pytest.raises(LedgerError, match="DAI, which is not an approved token"):
        open_day(holding(0, 1, 1000.0), unapproved, FIRST, RULES, {"DAI": 25.0})


def test_a_pool_that_was_already_silent_when_bought_is_gone_on_its_own_third_day():
    rules = RULES.with_overrides({"gone_haircut": 0.1})
    silent = market(observed_apy=np.tile(np.array([np.nan, 0.06, 0.07, 0.08]), (5, 1)))
    bought_on_its_second = replace(holding(0, 1, 1000.0), day=FIRST + timedelta(days=1))
    opened = open_day(bought_on_its_second, silent, FIRST + timedelta(days=2), rules, {})
    assert opened.state.absent_days[0] == 3 and opened.state.position_usd[0] == 900.0
    after = open_day(opened.state, silent, FIRST + timedelta(days=3), rules, {})
    assert after.state.position_usd[0] == 900.0


def test_stale_gas_stops_the_decision_and_the_portfolio_holds_and_accrues():
    stale = market(gas_age_days=np.full(5, 4))
    optimiser = policy_for("optimiser", RULES, {})
    closed = close_day(open_day(holding(0, 1, 1000.0), stale, FIRST, RULES, {}), stale, optimiser, RULES)
    assert closed.status == "data_missing" and "gas" in closed.reason
    assert closed.state.position_usd[0] == pytest.approx(1000.0 * 1.05 ** (1 / 365))


def test_a_depegged_token_is_sold_into_the_largest_token_on_its_peg():
    iced = np.tile(np.array([False, True, False]), (5, 1))
    depegged = market(
        iceboxed=iced,
        price_usd=np.tile(np.array([1.0, 0.95, 1.0]), (5, 1)),
        must_exit=np.tile(np.array([True, True, False, True]), (5, 1)),
        depositable=np.tile(np.array([False, False, True, False]), (5, 1)),
    )
    optimiser = policy_for("optimiser", RULES, {})
    closed = close_day(open_day(holding(0, 1, 100_000.0), depegged, FIRST, RULES, {}), depegged, optimiser, RULES)
    assert closed.state.wallet[TOKENS.index("USDC")] == pytest.approx(0.0, abs=1e-6)
    assert closed.state.positions[:, TOKENS.index("USDC")].sum() == pytest.approx(0.0, abs=1e-9)
    assert closed.state.aum_usd == pytest.approx(95_012.7 - closed.gas_usd - closed.conversion_usd, abs=0.1)


def test_holding_through_a_depeg_sells_nothing():
    rules = RULES.with_overrides({"icebox_policy": "hold"})
    depegged = market(iceboxed=np.tile(np.array([False, True, False]), (5, 1)))
    optimiser = policy_for("optimiser", rules, {})
    closed = close_day(open_day(holding(0, 1, 100_000.0), depegged, FIRST, rules, {}), depegged, optimiser, rules)
    assert closed.state.positions[0, 1] == pytest.approx(100_000.0 * 1.05 ** (1 / 365))
    assert closed.gas_usd == 0.0


def test_an_empty_portfolio_leaves_a_row():
    empty = holding(0, 1, 0.0)
    assert [row[4] for row in state_rows("p", empty, market())] == [0.0]


def test_a_state_survives_its_rows():
    import pandas as pd

    from defiyield_core.contracts import table

    state = replace(holding(3, 2, 12.5, wallet=3.25), absent_days=np.array([0, 0, 0, 2]))
    frame = pd.DataFrame(state_rows("p", state, market()), columns=list(table("portfolio_state").column_names))
    frame["date"] = pd.to_datetime(frame["date"])
    again = state_from_rows(frame, market())
    assert (again.wallet == state.wallet).all() and (again.positions == state.positions).all()
    assert again.absent_days[3] == 2 and again.day == state.day


@settings(max_examples=40, deadline=None)
@given(
    amounts=st.lists(st.floats(0, 5e6), min_size=4, max_size=4),
    wallet=st.floats(0, 1e6),
    prices=st.lists(st.floats(0.8, 1.2), min_size=3, max_size=3),
    rates=st.lists(st.floats(-0.5, 5.0), min_size=4, max_size=4),
    policy=st.sampled_from(["optimiser", "equal_weight", "hold", "waterfall", "older_rule"]),
    law=st.sampled_from(["off", "pro_rata", "rate_curve"]),
)
def test_money_is_conserved_whatever_happens(amounts, wallet, prices, rates, policy, law):
    rules = RULES.with_overrides({"dilution": law})
    state = starting_state(FIRST - timedelta(days=1), {"USDC": wallet}, market())
    positions = state.positions.copy()
    for pool, token in enumerate((1, 1, 2, 2)):
        positions[pool, token] = amounts[pool]
    state = replace(state, positions=positions)
    moved = market(price_usd=np.tile(np.array(prices), (5, 1)), observed_apy=np.tile(np.array(rates), (5, 1)))
    opened = open_day(state, moved, FIRST, rules, {"DAI": 10.0})
    closed = close_day(opened, moved, policy_for(policy, rules, {}), rules)
    identity = (
        opened.aum_open_usd
        + opened.accrual_usd.sum()
        + opened.revaluation_usd.sum()
        + opened.flows_usd.sum()
        - closed.gas_usd
        - closed.conversion_usd
    )
    assert closed.state.aum_usd == pytest.approx(identity, abs=1e-6)
    assert (closed.state.wallet >= 0).all() and (closed.state.positions >= 0).all()

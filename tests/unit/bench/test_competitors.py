"""The market that others are given is the one of our books, and their decisions are followed in them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from defiyield_core.parameters import parameters
from defiyield_core.policies.registry import POLICIES, policy_for
from defiyield_core.units import daily_growth
from tests.bench import competitors_cvxportfolio as rival
from tests.bench.competitors_market import CASH, asset_frames
from tests.bench.competitors_replay import as_policy
from tests.unit.allocation.small import pool, positions_usd, problem
from tests.unit.portfolio.markets import FIRST, POOLS, TOKENS, market

RULES = parameters("default")
AUM_USD = 1_000_000.0
DAYS = 5


def test_a_return_is_the_next_days_rate_and_price() -> None:
    price = np.ones((DAYS, len(TOKENS)))
    price[3:, TOKENS.index("USDT")] = 0.98
    flagged = np.zeros((DAYS, len(POOLS)), dtype=bool)
    flagged[2, 0] = True
    returns = asset_frames(market(DAYS, price_usd=price, flagged=flagged), RULES, "USDC", AUM_USD).returns
    assert list(returns.columns) == [*POOLS, CASH]
    earned = 1.0 + daily_growth(np.array([0.05, 0.06, 0.07, 0.08]))
    assert returns.iloc[0, :4].tolist() == pytest.approx((earned - 1.0).tolist())
    assert returns.iloc[1, 0] == 0.0
    assert returns.iloc[2].tolist() == pytest.approx([*(earned * [1, 1, 0.98, 0.99] - 1.0), 0.0])
    assert not returns.iloc[-1].any()


def test_gas_is_spread_over_the_largest_position_and_foreign_tokens_are_converted_on_the_way_in() -> None:
    frames = asset_frames(market(DAYS), RULES, "USDC", AUM_USD)
    gwei_eth = 10.0 * 2000.0 / 1e9
    assert frames.buying.iloc[0].tolist() == pytest.approx(
        [
            gwei_eth * 220_000 / 250_000.0,
            gwei_eth * 220_000 / 250_000.0,
            gwei_eth * 400_000 / 250_000.0 + 0.0004,
            gwei_eth * 620_000 / 250_000.0 + 0.0002,
        ]
    )
    assert frames.selling.iloc[0].tolist() == pytest.approx(
        [gwei_eth * legs * 250_000 / 250_000.0 for legs in (1, 1, 1, 2)]
    )


def test_what_must_be_left_and_what_is_closed_has_no_room() -> None:
    closed, leaves = np.ones((DAYS, 4), dtype=bool), np.zeros((DAYS, 4), dtype=bool)
    closed[1, 2], leaves[3, 1] = False, True
    frames = asset_frames(market(DAYS, depositable=closed, must_exit=leaves), RULES, "USDC", AUM_USD)
    assert np.argwhere(frames.room_usd.to_numpy() == 0).tolist() == [[1, 2]]
    assert np.argwhere(frames.exit_usd.to_numpy() == 0).tolist() == [[3, 1]]
    assert (frames.cap_usd.to_numpy() == 0.05 * 1e8).all()


def test_decisions_of_others_are_followed_where_they_traded() -> None:
    given = problem([pool("a", 0.05), pool("b", 0.04)], {"USDC": 5_000.0}, {("a", "USDC"): 5_000.0}, (1.0, 2.0, 0.0))
    with as_policy({given.as_of: {"b": 0.3, "unknown": 0.5}}) as name:
        policy = policy_for(name, given.parameters, {})
        assert positions_usd(given, policy.decide(given)) == {"a": 5_000.0, "b": pytest.approx(3_000.0)}
    assert name not in POLICIES


def test_cvxportfolio_buys_the_best_pools_up_to_their_caps() -> None:
    if not rival.is_installed():
        pytest.skip(rival.MISSING)
    rules = RULES.with_overrides({"group1_max_pct": 1.0, "max_alloc_percentage": 0.2})
    frames = asset_frames(market(DAYS), rules, "USDC", AUM_USD)
    made = rival.run_rival(frames, rules, AUM_USD, "CLARABEL")
    assert made.days == DAYS - 1
    assert made.targets[FIRST] == {name: pytest.approx(0.2, abs=1e-6) for name in POOLS}
    assert not any(made.targets[FIRST + timedelta(days=day)] for day in range(1, DAYS - 1))
    assert made.days_per_second > 0

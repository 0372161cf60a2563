"""Yardsticks: what they are called, what they may know, and that they are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.backtest.alone import run_alone
from defiyield_core.backtest.hindsight import best_pool, companions, is_hindsight
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import parameters
from defiyield_core.policies import policy_for
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.warehouse.opening import open_warehouse
from tests.unit.portfolio.markets import POOLS, market

DAYS = 20
SPEC = PortfolioSpec("p", "", "optimiser", parameters("default"), {"USDC": 100_000.0})
LISTS = {name: open_warehouse("memory:").read(name) for name in ("blacklisted_tokens", "approved_protocols")}


def paying(**by_pool: float) -> np.ndarray:
    apy = np.full((DAYS, len(POOLS)), 0.01)
    for name, rate in by_pool.items():
        apy[:, int(name[1])] = rate
    return apy


def test_names_stand_for_runs_with_the_portfolios_own_wallet_and_rules():
    assert [is_hindsight(name) for name in ("perfect_foresight", "random:3", "baseline")] == [True, True, False]
    three = companions("random:3", SPEC)
    assert [one.name for one in three] == ["random_1", "random_2", "random_3"]
    assert {one.spec.policy for one in three} == {"random_weights"} and all(
        one.spec.wallet == SPEC.wallet and one.spec.parameters == SPEC.parameters for one in three
    )
    assert len(companions("random", SPEC)) == 10
    for wrong in ("random:0", "random:many", "random:201", "perfect_foresight:2"):
        with pytest.raises(ConfigurationError, match=wrong):
            companions(wrong, SPEC)


def test_the_best_pool_is_the_one_that_ended_best_not_the_one_that_began_best():
    apy = paying(p0=0.30, p1=0.10)
    apy[4:, 0] = 0.0
    assert best_pool(market(DAYS, observed_apy=apy), SPEC) == POOLS[1]


def test_a_pool_too_small_for_the_wallet_or_closed_on_the_first_day_is_no_candidate():
    apy, tvl = paying(p0=0.5, p1=0.4, p2=0.3), np.full((DAYS, len(POOLS)), 1e9)
    tvl[:, 0] = 1e6
    closed = np.ones((DAYS, len(POOLS)), dtype=bool)
    closed[0, 1] = False
    assert best_pool(market(DAYS, observed_apy=apy, filled_tvl_usd=tvl, depositable=closed), SPEC) == POOLS[2]
    assert best_pool(market(DAYS, depositable=np.zeros((DAYS, len(POOLS)), dtype=bool)), SPEC) == ""


def test_a_pool_that_dies_loses_its_haircut_in_the_choice_too():
    apy = paying(p0=0.30, p1=0.25)
    apy[10:, 0] = np.nan
    rules = SPEC.parameters.with_overrides({"gone_haircut": 0.5})
    spec = replace(SPEC, parameters=rules)
    seen = market(DAYS, observed_apy=apy)
    assert best_pool(seen, spec) == POOLS[1]
    values = {
        pool: run_alone(seen, replace(spec, policy="hold_pool", policy_options={"pool_id": pool}), LISTS)
        .daily["aum_close_usd"]
        .iloc[-1]
        for pool in POOLS[:2]
    }
    assert values[POOLS[1]] > values[POOLS[0]]


def test_hold_pool_takes_an_id_or_a_protocol_with_a_token():
    for options in ({}, {"protocol": "aave-v3"}, {"pool_id": "x", "token": "USDC"}):
        with pytest.raises(ConfigurationError, match="hold_pool needs"):
            policy_for("hold_pool", SPEC.parameters, options)
    frames = run_alone(market(3), replace(SPEC, policy="hold_pool", policy_options={"pool_id": POOLS[1]}), LISTS)
    assert set(frames.positions["pool_id"]) == {POOLS[1]}
    nothing = run_alone(market(3), replace(SPEC, policy="hold_pool", policy_options={"pool_id": "none"}), LISTS)
    assert not len(nothing.positions)


def test_random_portfolios_differ_by_seed_and_agree_with_themselves():
    drawn = {}
    for seed in (1, 2, 3):
        spec = replace(SPEC, policy="random_weights", policy_options={"seed": seed})
        drawn[seed] = run_alone(market(3), spec, LISTS).positions
        assert run_alone(market(3), spec, LISTS).positions.equals(drawn[seed])
    assert not drawn[1].equals(drawn[2]) and not drawn[2].equals(drawn[3])
    with pytest.raises(ConfigurationError, match="seed"):
        policy_for("random_weights", SPEC.parameters, {"seed": -1})

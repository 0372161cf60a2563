"""What holds for every registered policy, on random problems and through a depeg."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.allocation.execute import execute
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.allocation.problem_file import problem_from_json, problem_json
from defiyield_core.parameters import parameters
from defiyield_core.policies import POLICIES, Policy, policy_for
from defiyield_core.portfolio.day import close_day, open_day
from defiyield_core.portfolio.spec import load_portfolios
from defiyield_core.portfolio.state import starting_state
from defiyield_core.settings import Settings
from tests.unit.allocation.random_problems import Shape, random_problem
from tests.unit.portfolio.markets import FIRST, POOLS, market

OPTIONS: dict[str, dict[str, Any]] = {"hold_pool": {"protocol": "aave-v3", "token": "USDC"}}
IGNORES_CAPS = ("equal_weight", "hold_pool", "best_apy")
DUE, NOT_DUE = date(2026, 1, 29), date(2026, 1, 30)
CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 100_000),
        "shape": st.builds(
            Shape,
            pools=st.integers(1, 9),
            tokens=st.integers(1, 4),
            aum_usd=st.sampled_from([300.0, 1e4, 1e6, 1e8]),
            held_share=st.sampled_from([0.0, 0.5, 0.97, 1.0]),
            forced=st.booleans(),
            gas_scale=st.sampled_from([0.0, 1.0, 20.0]),
            preset=st.sampled_from(["default", "seed", "small_book"]),
        ),
        "day": st.sampled_from([DUE, NOT_DUE]),
        "dilution": st.sampled_from(["off", "pro_rata"]),
        "min_pools": st.integers(0, 5),
    }
)


def policy(name: str, rules: Any) -> Policy:
    return policy_for(name, rules, OPTIONS.get(name, {}))


def problem_of(name: str, case: dict[str, Any]) -> AllocationProblem:
    """A random problem; for `hold_pool` one in which a single pool is open."""
    day = random_problem(case["seed"], case["shape"], dilution=case["dilution"], min_pools=case["min_pools"])
    day = replace(day, as_of=case["day"])
    if name != "hold_pool":
        return day
    only = np.arange(len(day.pool_ids)) == 0
    return replace(day, depositable=only, must_exit=day.must_exit & ~only)


def check_money(day: AllocationProblem, decision: AllocationDecision) -> None:
    wallet, positions = execute(day, decision.transactions)  # raises on an overdraft
    assert np.array_equal(wallet, decision.wallet) and np.array_equal(positions, decision.positions)
    assert (wallet >= 0).all() and (positions >= 0).all()
    after_usd = float((wallet + positions.sum(axis=0)) @ day.token_prices)
    assert after_usd == pytest.approx(day.aum_usd - decision.costs_usd, rel=0.0, abs=1e-9 * day.aum_usd)
    paid = sum(row.total_cost_usd for row in decision.transactions)
    assert paid == pytest.approx(decision.costs_usd, rel=1e-12, abs=1e-12 * day.aum_usd)


def check_rules(name: str, day: AllocationProblem, decision: AllocationDecision) -> None:
    rules, aum, tiny = day.parameters, day.aum_usd, 1e-9 * day.aum_usd
    before, after = day.position_usd, decision.positions @ day.token_prices
    grown, shrunk = after > before + tiny, after < before - tiny
    usable = day.convertible_into & (day.forced_target < 0)
    for pool in np.flatnonzero(grown):
        assert day.depositable[pool] and not day.must_exit[pool] and usable[list(day.pool_tokens[pool])].all()
        assert after[pool] - before[pool] >= rules.min_transaction_value * (1 - 1e-9)
    assert day.withdrawable[shrunk].all()
    if name != "equal_weight" and name != "hold_pool":
        assert (after <= np.maximum(rules.pool_tvl_share * day.tvl_usd, before) + tiny).all()
    if name not in IGNORES_CAPS:
        assert (after <= np.maximum(rules.position_cap_share * aum, before) + tiny).all()
        for number, share in zip((1, 2, 3), rules.group_caps, strict=True):
            members = day.group == number
            assert after[members].sum() <= max(share * aum, before[members].sum()) + tiny


def check_exits(day: AllocationProblem, decision: AllocationDecision) -> None:
    """What must be left is left, or a note says that no cash pays for it (or the solver says why nothing is done)."""
    stays = day.must_exit & day.withdrawable & (decision.positions > 0).any(axis=1)
    if decision.status == "infeasible":
        assert decision.reason and not decision.costs_usd
        return
    for pool in np.flatnonzero(stays):
        assert any(note.startswith(f"{day.pool_ids[pool]} must be left") for note in decision.notes)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_policy_keeps_the_money_and_its_rules_and_obeys_forced_exits(name):
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(CASES)
    def holds(case):
        day = problem_of(name, case)
        decision = policy(name, day.parameters).decide(day)
        check_money(day, decision)
        check_rules(name, day, decision)
        check_exits(day, decision)
        if name != "optimiser":
            assert decision.status in ("optimal", "held")

    holds()


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("seed", range(4))
def test_a_stored_problem_is_decided_again_to_the_last_bit(name, seed):
    shape = Shape(pools=8, tokens=3, held_share=0.9, forced=seed % 2 == 1)
    case = {"seed": seed, "shape": shape, "day": DUE, "dilution": "off", "min_pools": 3}
    day = problem_of(name, case)
    untouched = copy.deepcopy(day)
    decision = policy(name, day.parameters).decide(day)
    for field in ("wallet", "positions", "apy", "tvl_usd", "depositable", "withdrawable", "must_exit"):
        assert np.array_equal(getattr(day, field), getattr(untouched, field))
    stored = problem_from_json(json.loads(json.dumps(problem_json(day))))
    again = policy(name, stored.parameters).decide(stored)
    assert again.transactions == decision.transactions
    assert np.array_equal(again.wallet, decision.wallet) and np.array_equal(again.positions, decision.positions)
    assert (again.status, again.objective_usd, again.notes) == (decision.status, decision.objective_usd, decision.notes)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_holding_through_a_depeg_neither_sells_nor_adds_to_what_holds_the_token(name):
    rules = parameters("default", {"icebox_policy": "hold", "min_pools": 0, "min_position_pct": 0.0})
    iced = market(iceboxed=np.tile(np.array([False, True, False]), (5, 1)))
    cash = starting_state(FIRST - timedelta(days=1), {"USDT": 50_000.0, "USDC": 500.0}, market())
    positions = cash.positions.copy()
    positions[0, 1], positions[3, 1], positions[3, 2], positions[2, 2] = 10_000.0, 4_000.0, 4_000.0, 20_000.0
    opened = open_day(replace(cash, positions=positions), iced, FIRST, rules, {})
    closed = close_day(opened, iced, policy(name, rules), rules)
    held = dict(zip(POOLS, closed.state.positions - opened.state.positions, strict=True))
    assert not held["p0-usdc"].any() and not held["p3-usdc-usdt"].any() and not held["p1-usdc"].any()
    assert closed.state.wallet[1] == 500.0


def test_every_rule_has_a_portfolio_to_be_tested_with():
    shipped: Path = Settings.from_environment({}).portfolios
    rules = load_portfolios(shipped / "rules")
    assert set(rules) == {"older_rule", "gas_blind", "threshold", "waterfall", "best_apy", "random_weights"}
    assert not set(rules) & set(load_portfolios(shipped))
    for name, spec in rules.items():
        assert spec.policy == name and spec.wallet == {"USDC": 1_000_000} and spec.parameters == parameters()
        assert policy_for(spec.policy, spec.parameters, spec.policy_options).frame is not None
    of_stress = {"frozen_withdrawals"}  # added by a stressed run
    assert {*rules, "optimiser", "hold", "hold_pool", "equal_weight"} == set(POLICIES) - of_stress

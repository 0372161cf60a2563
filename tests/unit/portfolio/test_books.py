"""Rows of a decided day: what was explained, the problem itself, and an id that finds them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from defiyield_core.allocation import solve
from defiyield_core.allocation.explain import explain
from defiyield_core.allocation.problem_file import problem_from_json
from defiyield_core.calendar import Window
from defiyield_core.history import MarketHistory
from defiyield_core.parameters import Parameters, parameters
from defiyield_core.policies import policy_for
from defiyield_core.portfolio.books import PORTFOLIO_DAY_TABLES, Books, decision_id
from defiyield_core.portfolio.day import close_day, open_day
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import starting_state
from defiyield_core.universe.lists import seed_frame
from defiyield_core.warehouse.memory import MemoryWarehouse
from tests.unit.portfolio.markets import FIRST, market

RULES = parameters("default", {"min_pools": 2, "group1_max_pct": 1.0, "max_alloc_percentage": 0.4})
LISTS = {"blacklisted_tokens": seed_frame("blacklist"), "approved_protocols": seed_frame("protocols")}


def spec_of(policy: str = "optimiser", rules: Parameters = RULES) -> PortfolioSpec:
    return PortfolioSpec("desk", "", policy, rules, {"USDC": 100_000.0})


def booked(spec: PortfolioSpec, history: MarketHistory, lists: dict[str, pd.DataFrame] | None = None, days: int = 1):
    """The warehouse after the first days of a portfolio, and the days as they were closed."""
    books, closes = Books(spec, history, lists or LISTS), []
    policy = policy_for(spec.policy, spec.parameters, spec.policy_options)
    state = starting_state(FIRST - timedelta(days=1), spec.wallet, history)
    for offset in range(days):
        opened = open_day(state, history, FIRST + timedelta(days=offset), spec.parameters, {})
        closes.append(close_day(opened, history, policy, spec.parameters))
        books.add(closes[-1])
        state = closes[-1].state
    warehouse = MemoryWarehouse()
    warehouse.replace(books.writes(Window(FIRST, FIRST + timedelta(days=days - 1))))
    return warehouse, closes


def only(warehouse: MemoryWarehouse, table: str) -> dict[str, Any]:
    rows = warehouse.read(table)
    assert len(rows) == 1
    return dict(rows.iloc[0])


def test_every_candidate_is_booked_with_its_explanation():
    warehouse, (closed,) = booked(spec_of(), market())
    told = explain(closed.decided.problem, closed.decided.decision)
    rows = warehouse.read("asset_allocation_details").set_index("pool_id").loc[list(closed.decided.problem.pool_ids)]
    assert tuple(rows["binding"]) == told.binding
    assert "position cap" in told.binding and "cash" in told.binding
    for name in ("shadow_price_bps", "marginal_apy", "capacity_usd", "break_even_apy"):
        assert rows[name].to_numpy(dtype=float) == pytest.approx(getattr(told, name), nan_ok=True)
    assert rows["shadow_price_bps"].notna().any() and rows["break_even_apy"].notna().any()


def test_the_stored_problem_is_the_one_that_was_decided():
    warehouse, (closed,) = booked(spec_of(), market())
    row = only(warehouse, "allocation_problems")
    again = problem_from_json(json.loads(row["problem"]))
    decision = solve(again)
    assert row["run_id"] == decision_id(spec_of(), FIRST)
    assert decision.transactions == closed.decided.decision.transactions
    assert np.array_equal(decision.positions, closed.decided.decision.positions)


def test_the_day_tells_its_engine_and_when_its_costs_are_earned_back():
    warehouse, (closed,) = booked(spec_of(), market())
    row = only(warehouse, "allocation_parameters")
    told = explain(closed.decided.problem, closed.decided.decision)
    assert row["engine"] == "highs"
    assert closed.decided.decision.costs_usd > 0
    assert row["break_even_days"] == pytest.approx(told.break_even_days)


def test_a_rule_has_no_engine_and_no_prices_but_a_problem():
    warehouse, (closed,) = booked(spec_of("equal_weight"), market())
    row = only(warehouse, "allocation_parameters")
    details = warehouse.read("asset_allocation_details")
    assert row["engine"] is None and closed.decided.decision.prices is None
    assert set(details["binding"]) == {"rule of the policy"}
    assert details["shadow_price_bps"].isna().all() and details["marginal_apy"].notna().all()
    assert len(warehouse.read("allocation_problems")) == 1


def test_a_verdict_without_a_plan_is_still_an_engines():
    warehouse, _ = booked(spec_of(rules=RULES.with_overrides({"min_pools": 4, "min_position_pct": 0.9})), market())
    row = only(warehouse, "allocation_parameters")
    assert (row["status"], row["engine"]) == ("solver_infeasible", "highs")
    assert np.isnan(row["break_even_days"])


def test_a_day_without_data_has_a_row_and_no_problem():
    old_gas = market(gas_age_days=np.full(5, 99))
    warehouse, (closed,) = booked(spec_of(), old_gas)
    row = only(warehouse, "allocation_parameters")
    assert closed.decided is None
    assert row["status"] == "data_missing" and row["engine"] is None and np.isnan(row["break_even_days"])
    assert warehouse.read("allocation_problems").empty and warehouse.read("asset_allocation_details").empty


def test_each_day_keeps_the_lists_as_they_stood_at_its_end():
    added = pd.Timestamp(FIRST) + pd.Timedelta(days=1, hours=12)
    blacklist = LISTS["blacklisted_tokens"]
    entry = blacklist.iloc[:1].assign(token="NEWUSD", added_at=added, removed_at=added + pd.Timedelta(days=1))
    lists = {**LISTS, "blacklisted_tokens": pd.concat([blacklist, entry], ignore_index=True)}
    warehouse, _ = booked(spec_of(), market(), lists, days=4)
    stood = ["NEWUSD" in json.loads(text) for text in warehouse.read("allocation_parameters")["blacklisted_tokens"]]
    assert stood == [False, True, False, False]


def test_a_run_id_is_one_decision():
    warehouse, _ = booked(spec_of(), market(), days=5)
    ids = warehouse.read("allocation_parameters")["run_id"]
    assert ids.is_unique and len(ids) == 5
    assert decision_id(spec_of(), FIRST) == ids[0]
    other = replace(spec_of(), name="other")
    richer = replace(spec_of(), wallet={"USDC": 100_001.0})
    changed = spec_of(rules=RULES.with_overrides({"engine": "cvxpy"}))
    assert len({decision_id(spec, FIRST) for spec in (spec_of(), other, richer, changed)}) == 4
    for table in PORTFOLIO_DAY_TABLES:
        if "run_id" in warehouse.read(table).columns:
            assert set(warehouse.read(table)["run_id"]) <= set(ids)

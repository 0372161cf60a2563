"""Modes: what a day is decided from, and that money is conserved in each."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from defiyield_core.backtest.alone import run_alone
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import parameters
from defiyield_core.portfolio.spec import PortfolioSpec, load_portfolio
from defiyield_core.warehouse.opening import open_warehouse
from tests.unit.portfolio.markets import FIRST, market

DAYS = 6
RULES = parameters("default", {"min_pools": 0})
SPEC = PortfolioSpec("p", "", "optimiser", RULES, {"USDC": 60_000.0, "DAI": 40_000.0})
LISTS = {name: open_warehouse("memory:").read(name) for name in ("blacklisted_tokens", "approved_protocols")}


def run(mode: str, **changes: np.ndarray):
    return run_alone(market(DAYS, **changes), replace(SPEC, mode=mode), LISTS)


@pytest.mark.parametrize("mode", ["carry", "independent", "compounded"])
def test_every_day_adds_up_and_begins_where_the_last_one_ended(mode):
    daily = run(mode, price_usd=np.tile([1.0, 0.9995, 1.001], (DAYS, 1)) + np.arange(DAYS)[:, None] * 1e-4).daily
    gains = daily["accrual_usd"] + daily["revaluation_usd"] + daily["flows_usd"]
    closing = daily["aum_open_usd"] + gains - daily["gas_usd"] - daily["conversion_usd"]
    assert np.abs(closing - daily["aum_close_usd"]).max() <= 1e-6
    assert np.abs(daily["aum_open_usd"].to_numpy()[1:] - daily["aum_close_usd"].to_numpy()[:-1]).max() <= 1e-6


def test_independent_days_all_decide_the_same_on_a_market_that_stands_still():
    daily = run("independent").daily
    assert daily["aum_close_usd"].nunique() == 1 and daily["turnover_usd"].nunique() == 1
    fees = daily["gas_usd"] + daily["conversion_usd"]
    assert (fees > 0).all()
    assert daily["aum_close_usd"].iloc[0] == pytest.approx(100_000.0 - fees.iloc[0], abs=1e-6)
    # What a day earned and paid is put back: the next one begins with the starting wallet again.
    put_back = fees.to_numpy()[:-1] - daily["accrual_usd"].to_numpy()[1:]
    np.testing.assert_allclose(daily["flows_usd"].to_numpy()[1:], put_back, atol=1e-6)


def test_compounded_days_keep_what_they_earned_and_pay_an_entry_each():
    daily = run("compounded").daily
    assert np.abs(daily["flows_usd"]).max() <= 1e-6
    fees = daily["gas_usd"] + daily["conversion_usd"]
    assert (fees > 0).all()
    total = 100_000.0 + daily["accrual_usd"].sum() - fees.sum()
    assert daily["aum_close_usd"].iloc[-1] == pytest.approx(total, abs=1e-5)
    carried = run("carry").daily
    assert (carried["gas_usd"] + carried["conversion_usd"]).iloc[1:].sum() == 0.0
    assert carried["aum_close_usd"].iloc[-1] > daily["aum_close_usd"].iloc[-1]


@pytest.mark.parametrize("mode", ["independent", "compounded"])
def test_a_day_without_a_decision_keeps_yesterdays_positions_and_accrues(mode):
    age = np.zeros(DAYS, dtype=np.int64)
    age[3] = 10
    frames = run(mode, gas_age_days=age)
    daily, held = frames.daily, frames.positions.groupby("date")["value_usd"].sum().to_numpy()
    assert list(daily["status"]) == ["ok", "ok", "ok", "data_missing", "ok", "ok"]
    assert daily["accrual_usd"].iloc[3] > 0 and daily["turnover_usd"].iloc[3] == 0
    assert held[3] == pytest.approx(held[2] + daily["accrual_usd"].iloc[3], abs=1e-6)


def test_a_day_on_which_the_starting_tokens_cannot_be_held_keeps_its_positions():
    approved = np.ones((DAYS, 3), dtype=bool)
    approved[3, :2] = False
    daily = run("compounded", approved=approved).daily
    assert list(daily["status"])[3] == "data_missing" and "starting wallet" in daily["reason"].iloc[3]
    assert daily["accrual_usd"].iloc[3] > 0 and daily["status"].iloc[4] == "ok"


def test_the_mode_is_part_of_a_portfolio_file_and_does_not_go_with_flows(tmp_path: Path):
    text = "name: alone\nwallet: {USDC: 10}\nmode: independent\n"
    path = tmp_path / "alone.yaml"
    path.write_text(text)
    assert load_portfolio(path).mode == "independent"
    path.write_text(text + "flows: {2025-03-02: {USDC: 5}}\n")
    with pytest.raises(ConfigurationError, match="external flows"):
        load_portfolio(path)
    path.write_text(text.replace("independent", "sideways"))
    with pytest.raises(ConfigurationError, match="mode"):
        load_portfolio(path)
    with pytest.raises(ConfigurationError, match="addresses"):
        replace(SPEC, mode="compounded", addresses=("0xabc",))


def test_the_last_day_may_be_before_the_markets():
    whole, part = run("carry"), run_alone(market(DAYS), SPEC, LISTS, last=FIRST + timedelta(days=2))
    assert [moment.date() for moment in part.daily["date"]] == [FIRST + timedelta(days=n) for n in range(3)]
    assert part.daily.equals(whole.daily.head(3)) and part.daily["date"].iloc[0].date() == date(2025, 3, 1)

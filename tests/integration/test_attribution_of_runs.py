"""Attribution and dilution of whole runs over simulated and recorded markets, held against the books."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.backtest.engine import LoadedRange, load_range, run_range
from defiyield_core.calendar import Window
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio
from defiyield_core.reporting.attribution import Attribution, attribute
from defiyield_core.reporting.drags import dilution_cost_usd
from defiyield_core.settings import Settings
from defiyield_core.units import daily_growth

SETTINGS = Settings.from_environment({}, source="simulated:7")
WINDOW = Window(date(2025, 2, 4), date(2025, 3, 15))
BASELINE = find_portfolio(SETTINGS.portfolios, "baseline")
FLOWS = {WINDOW.start + timedelta(days=9): {"USDC": 250_000.0}, WINDOW.start + timedelta(days=20): {"DAI": 40.0}}
SPECS = {
    "baseline": BASELINE,
    "flows": replace(BASELINE, name="flows", flows=FLOWS),
    "diluted": replace(BASELINE, name="diluted", wallet={"USDC": 5e6}).with_overrides({"dilution": "pro_rata"}),
    "haircut": replace(find_portfolio(SETTINGS.portfolios, "equal_weight"), name="haircut").with_overrides(
        {"gone_haircut": 0.3}
    ),
}
TABLES = ("portfolio_daily", "asset_allocations", "allocation_transactions", "daily_ledger")


def rows(loaded: LoadedRange, table: str, portfolio: str) -> pd.DataFrame:
    return loaded.warehouse.read(table, loaded.window, scope={"portfolio": portfolio})


def taken_apart(loaded: LoadedRange, spec: PortfolioSpec) -> Attribution:
    run_range(loaded, spec)
    pools = loaded.warehouse.read("pools", loaded.window)
    return attribute(*(rows(loaded, name, spec.name) for name in TABLES), pools)


def check(loaded: LoadedRange, found: Attribution, portfolio: str) -> None:
    daily, ledger = rows(loaded, "portfolio_daily", portfolio), rows(loaded, "daily_ledger", portfolio)
    gain = daily["aum_close_usd"].iloc[-1] - daily["aum_open_usd"].iloc[0] - daily["flows_usd"].sum()
    assert found.total_usd == pytest.approx(gain, abs=1e-5)
    assert abs(found.remainder_usd) < 1e-5
    for names in (("pool_id",), ("protocol",), ("chain",), ("token",), ("cause",), ("date", "pool_id", "cause")):
        assert found.in_cents(*names)["cents"].sum() == round(gain * 100)
    by_token = found.lines.pivot_table(index="token", columns="cause", values="usd", aggfunc="sum")
    booked = ledger.groupby("token")[["accrual_usd", "revaluation_usd", "fees_usd"]].sum()
    by_token = by_token.reindex(index=booked.index).fillna(0.0)
    for cause in ("accrual", "revaluation"):
        assert by_token[cause].to_numpy() == pytest.approx(booked[f"{cause}_usd"].to_numpy(), abs=1e-5)
    fees = by_token["gas"] + by_token["conversion"]
    assert fees.to_numpy() == pytest.approx(-booked["fees_usd"].to_numpy(), abs=1e-5)
    assert not found.lines.isna().any().any()
    assert "unknown" not in set(found.lines["protocol"])


@pytest.fixture(scope="module")
def loaded() -> LoadedRange:
    return load_range(SETTINGS, WINDOW, specs=SPECS.values())


@pytest.mark.parametrize("name", SPECS)
def test_a_simulated_run_comes_apart_to_the_cent(loaded, name):
    check(loaded, taken_apart(loaded, SPECS[name]), name)


def test_booked_accrual_and_what_dilution_took_are_the_full_rate(loaded):
    found = taken_apart(loaded, SPECS["diluted"])
    accrual = found.lines[found.lines["cause"] == "accrual"].groupby(["date", "pool_id"], as_index=False)["usd"].sum()
    positions = rows(loaded, "asset_allocations", "diluted")
    metrics = loaded.warehouse.read("pool_daily_metrics", WINDOW)
    cost = dilution_cost_usd(accrual, positions, metrics)
    held = positions.groupby(["date", "pool_id"], as_index=False)["value_usd"].sum()
    paid = held.assign(date=held["date"] + pd.Timedelta(days=1)).merge(metrics, on=["date", "pool_id"])
    paid = paid[paid["apy"].notna() & ~paid["is_flagged"]]
    full = (paid["value_usd"] * daily_growth(paid["apy"].to_numpy(dtype=float))).groupby(paid["date"]).sum()
    booked = rows(loaded, "portfolio_daily", "diluted").set_index("date")["accrual_usd"]
    assert cost.sum() > 1.0
    assert (booked + cost.reindex(booked.index, fill_value=0.0))[full.index].to_numpy() == pytest.approx(
        full.to_numpy(), abs=1e-6
    )


def test_a_pool_that_goes_is_a_loss_of_value_and_not_of_yield(loaded):
    found = taken_apart(loaded, SPECS["haircut"])
    worst = found.lines.sort_values("usd").iloc[0]
    before = rows(loaded, "asset_allocations", "haircut").query("pool_id == @worst.pool_id and token == @worst.token")
    before = before[before["date"] == worst["date"] - pd.Timedelta(days=1)]["value_usd"]
    assert worst["cause"] == "revaluation"
    assert worst["usd"] == pytest.approx(-0.3 * float(before.iloc[0]), rel=0.02)
    assert np.isfinite(found.lines["usd"]).all()


@pytest.mark.recorded
def test_a_recorded_run_comes_apart_to_the_cent(recorded_dir):
    window = Window(date(2024, 9, 1), date(2024, 11, 30))
    settings = Settings.from_environment({}, source=f"recorded:{recorded_dir}")
    loaded = load_range(settings, window, specs=[BASELINE])
    check(loaded, taken_apart(loaded, BASELINE), "baseline")

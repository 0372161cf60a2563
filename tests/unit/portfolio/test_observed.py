"""A live portfolio's wallet on chain against its books."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pandas as pd

from defiyield_core.backtest.engine import load_range
from defiyield_core.calendar import Window
from defiyield_core.portfolio.runner import run_portfolio
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.warehouse.port import TableWrite

ADDRESS = "0x" + "1" * 40
DAY, NEXT = date(2025, 2, 4), date(2025, 2, 5)


def balances(day: date, **amounts: float) -> TableWrite:
    now = datetime(day.year, day.month, day.day, 23)
    frame = pd.DataFrame(
        [
            {
                "date": day,
                "address": ADDRESS,
                "token": token,
                "amount": amount,
                "valid_at": now,
                "seen_at": now,
                "source": "test",
            }
            for token, amount in amounts.items()
        ]
    )
    return TableWrite("raw_etherscan_account_balances", frame, Window(day, day))


def test_a_live_portfolio_starts_from_the_chain_and_reports_what_differs():
    settings = Settings.from_environment({}, source="simulated:7")
    loaded = load_range(settings, Window(DAY, NEXT))
    spec = replace(find_portfolio(settings.portfolios, "live"), addresses=(ADDRESS,))
    loaded.warehouse.replace(
        [
            balances(DAY, USDC=250_000.0, SHADY=5.0),
        ]
    )
    run = run_portfolio(loaded.context, spec, Window(DAY, DAY))
    assert abs(run.daily["aum_open_usd"].iloc[0] - 250_000) < 500
    assert run.warnings == ()
    loaded.warehouse.replace([balances(NEXT, USDC=250_000.0, SHADY=5.0)])
    run = run_portfolio(loaded.context, spec, Window(NEXT, NEXT))
    assert len(run.warnings) == 1 and "250,000.00 USDC on chain, the plan of 2025-02-04" in run.warnings[0]


def test_without_observations_nothing_is_reported():
    settings = Settings.from_environment({}, source="simulated:7")
    loaded = load_range(settings, Window(DAY, DAY))
    spec = replace(find_portfolio(settings.portfolios, "live"), addresses=(ADDRESS,))
    run = run_portfolio(loaded.context, spec, loaded.window)
    assert run.warnings == () and abs(run.daily["aum_open_usd"].iloc[0] - 1_000_000) < 2_000

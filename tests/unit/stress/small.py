"""A market of two days and two pools made by hand, as a source; and a short simulated run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.simulated import SimulatedSource

FIRST = date(2025, 3, 1)
AAVE, MORPHO = "pool-a", "pool-m"
PROJECTS = {AAVE: "aave-v3", MORPHO: "morpho-blue"}

SETTINGS = Settings.from_environment({}, source="simulated:11")
SPEC: PortfolioSpec = find_portfolio(SETTINGS.portfolios, "baseline").with_overrides({"forecaster": "ewma"})
MARKET = SimulatedSource(11, days=60)
WINDOW = Window(date(2025, 2, 5), date(2025, 2, 26))


def day(offset: int) -> date:
    """A day of the hand-made market, 0 is its first."""
    return FIRST + timedelta(days=offset)


def days(first: int, last: int) -> Window:
    """A window of the hand-made market, both ends included."""
    return Window(day(first), day(last))


class HandMade:
    """Ten days: two pools of 100 million USD at 5 % + 1 % and 10 %, three tokens at known prices, gas 10 + 1 gwei."""

    name = "made by hand"
    first_day = FIRST
    last_day = day(9)

    def pool_snapshots(self, window: Window) -> Fetched:
        listed = {"chain": "Ethereum", "symbol": "USDC", "stablecoin": True, "outlier": False}
        rows = [{**row, **listed, "project": PROJECTS[row["pool_id"]]} for row in self._pools(window)]
        return _fetched("raw_defillama_pools", rows)

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        rows = [row for row in self._pools(window) if row["pool_id"] in pool_ids]
        return _fetched("raw_defillama_pool_history", rows)

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        candles = {("USDC", "USD"): 1.0, ("USDT", "USD"): 1.0, ("DAI", "USDT"): 0.999}
        rows = [
            {
                "date": moment,
                "symbol": symbol,
                "quote_currency": quote,
                "open": price,
                "high": price + 0.001,
                "low": price - 0.001,
                "close": price,
                "market_cap_usd": 1e9,
            }
            for moment in self._days(window)
            for (symbol, quote), price in candles.items()
        ]
        return _fetched("raw_coinmarketcap_ohlcv", rows)

    def gas_hourly(self, window: Window) -> Fetched:
        rows = [
            {"date": moment, "base_fee_gwei": 10.0, "priority_fee_gwei": 1.0, "eth_usd": 2000.0}
            for moment in self._days(window)
        ]
        return _fetched("raw_ethgastracker_hourly_gas_data", rows)

    def account_balances(self, window: Window, addresses: Sequence[str]) -> Fetched:
        return Fetched(table("raw_etherscan_account_balances").empty(), warnings=("no accounts",))

    def account_transactions(self, window: Window, addresses: Sequence[str]) -> Fetched:
        return Fetched(table("raw_etherscan_account_transactions").empty(), warnings=("no accounts",))

    def _days(self, window: Window) -> list[date]:
        return [moment for moment in window if self.first_day <= moment <= self.last_day]

    def _pools(self, window: Window) -> list[dict[str, object]]:
        """The rates of Aave rise by 1 % a day, so that days can be told apart; those of Morpho stay."""
        return [
            {
                "date": moment,
                "pool_id": pool,
                "tvl_usd": 1e8,
                "apy": base + reward,
                "apy_base": base,
                "apy_reward": reward,
            }
            for moment in self._days(window)
            for pool, base, reward in (
                (AAVE, 0.05 + 0.01 * (moment - FIRST).days, 0.01),
                (MORPHO, 0.10, 0.0),
            )
        ]


def _fetched(name: str, rows: list[dict[str, object]]) -> Fetched:
    frame = pd.DataFrame(rows)
    moments = pd.to_datetime(frame["date"])
    return Fetched(conform(table(name), frame.assign(date=moments, valid_at=moments, seen_at=moments, source="hand")))

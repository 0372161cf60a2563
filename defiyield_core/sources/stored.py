"""What a deployment was told, as a source: the raw tables of its warehouse.

Belongs here: answering the source port from stored rows, as they were stored. Does not belong here: judging them.
A live market cannot be asked again for a day that is over: its snapshots are gone, its charts get corrected, its gas
prices are kept for a week. What the daily run stored is what it decided on, so a backtest that reads it decides the
same. The warehouse is only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.sources.port import Fetched
from defiyield_core.universe.lists import LIST_KINDS
from defiyield_core.warehouse.port import Warehouse

SNAPSHOTS = "raw_defillama_pools"
HISTORY = "raw_defillama_pool_history"
CANDLES = "raw_coinmarketcap_ohlcv"
GAS = "raw_ethgastracker_hourly_gas_data"
BALANCES = "raw_etherscan_account_balances"
TRANSACTIONS = "raw_etherscan_account_transactions"


class StoredSource:
    """The source port over the raw tables of a warehouse.

    Args:
        warehouse: of a deployment that has run; only read.

    Raises:
        ConfigurationError: no snapshot of pools is stored, so no day can be decided on.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._name = f"stored:{warehouse.describe()}"
        days = {table: warehouse.days(table) for table in (SNAPSHOTS, HISTORY, CANDLES)}
        if not days[SNAPSHOTS]:
            raise ConfigurationError(f"source '{self._name}': no pool snapshots are stored there; run a day first")
        self._first_day = min(stored[0] for stored in days.values() if stored)
        self._last_day = days[SNAPSHOTS][-1]

    @property
    def name(self) -> str:
        """Where the warehouse is, without a password."""
        return self._name

    @property
    def first_day(self) -> date:
        """First day of stored snapshots, charts or candles."""
        return self._first_day

    @property
    def last_day(self) -> date:
        """Day of the newest stored snapshot."""
        return self._last_day

    def lists(self) -> dict[str, pd.DataFrame]:
        """Its reviewed lists by table: a deployment may have changed those that come with the package."""
        return {kind.table: self._warehouse.read(kind.table) for kind in LIST_KINDS.values()}

    def pool_snapshots(self, window: Window) -> Fetched:
        """Stored rows of `raw_defillama_pools`."""
        return Fetched(self._warehouse.read(SNAPSHOTS, window))

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Stored rows of `raw_defillama_pool_history` of these pools."""
        rows = self._warehouse.read(HISTORY, window)
        return Fetched(rows[rows["pool_id"].isin(pool_ids)].reset_index(drop=True))

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        """Stored rows of `raw_coinmarketcap_ohlcv`, of all tokens that were asked for then."""
        return Fetched(self._warehouse.read(CANDLES, window))

    def gas_hourly(self, window: Window) -> Fetched:
        """Stored rows of `raw_ethgastracker_hourly_gas_data`."""
        return Fetched(self._warehouse.read(GAS, window))

    def account_balances(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Stored rows of `raw_etherscan_account_balances` of these addresses."""
        return self._of_accounts(BALANCES, window, addresses)

    def account_transactions(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Stored rows of `raw_etherscan_account_transactions` of these addresses."""
        return self._of_accounts(TRANSACTIONS, window, addresses)

    def _of_accounts(self, table: str, window: Window, addresses: Sequence[str]) -> Fetched:
        rows = self._warehouse.read(table, window)
        wanted = {address.lower() for address in addresses}
        return Fetched(rows[rows["address"].str.lower().isin(wanted)].reset_index(drop=True))

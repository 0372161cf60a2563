"""The source port: one method per raw table, each answering for a window of days.

A source never returns rows outside the window asked for. What it could not use it counts by reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol, runtime_checkable

import pandas as pd

from defiyield_core.calendar import Window


@dataclass(frozen=True)
class Fetched:
    """Rows of one raw table (contract types) with an account of what was refused.

    Attributes:
        refused: rows that were left out, counted by reason.
        warnings: sentences for people: an endpoint that failed, a key that is missing.
        complete: False when part of the source was down, so that absence of a row means nothing.
    """

    frame: pd.DataFrame
    refused: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    complete: bool = True


@runtime_checkable
class KnowsLists(Protocol):
    """A source that also knows which tokens and protocols were approved."""

    def lists(self) -> Mapping[str, pd.DataFrame]:
        """Rows of `approved_tokens`, `blacklisted_tokens` and `approved_protocols`, by table."""
        ...


class Source(Protocol):
    """A market that can be asked about days.

    Attributes:
        name: how it was configured, e.g. `simulated:7`.
        first_day: first day of data worth asking for; history before a run's window is fetched from here on.
        last_day: last day there is (None for the live market: yesterday).
    """

    @property
    def name(self) -> str: ...

    @property
    def first_day(self) -> date: ...

    @property
    def last_day(self) -> date | None: ...

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools`. Live: only for a day that ended within the last 6 hours (else a warning)."""
        ...

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history` of these pools."""
        ...

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        """Rows of `raw_coinmarketcap_ohlcv` of these tokens (upper-case symbols); USDT, ETH and BTC always too."""
        ...

    def gas_hourly(self, window: Window) -> Fetched:
        """Rows of `raw_ethgastracker_hourly_gas_data`."""
        ...

    def account_balances(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Rows of `raw_etherscan_account_balances`; balances are of now, so only the newest day has any."""
        ...

    def account_transactions(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Rows of `raw_etherscan_account_transactions`."""
        ...

"""A source that passes every question on: what sources that change a few answers of another one begin with.

Belongs here: passing on. Does not belong here: any change (see `audit.sources`, `stress.source`, `stress.bootstrap`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from defiyield_core.calendar import Window
from defiyield_core.sources.port import Fetched, Source


class ThroughSource:
    """The source port over another source, unchanged.

    Args:
        tokens: symbols that are asked for whatever the caller asks for (those of a wallet).
    """

    def __init__(self, inner: Source, tokens: Iterable[str] = ()) -> None:
        self._inner = inner
        self._tokens = frozenset(tokens)

    @property
    def name(self) -> str:
        """The other source's."""
        return self._inner.name

    @property
    def first_day(self) -> date:
        """The other source's."""
        return self._inner.first_day

    @property
    def last_day(self) -> date | None:
        """The other source's."""
        return self._inner.last_day

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools`."""
        return self._inner.pool_snapshots(window)

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history`."""
        return self._inner.pool_history(window, pool_ids)

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        """Rows of `raw_coinmarketcap_ohlcv`."""
        return self._inner.token_ohlcv(window, sorted({*tokens, *self._tokens}))

    def gas_hourly(self, window: Window) -> Fetched:
        """Rows of `raw_ethgastracker_hourly_gas_data`."""
        return self._inner.gas_hourly(window)

    def account_balances(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Rows of `raw_etherscan_account_balances`."""
        return self._inner.account_balances(window, addresses)

    def account_transactions(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Rows of `raw_etherscan_account_transactions`."""
        return self._inner.account_transactions(window, addresses)

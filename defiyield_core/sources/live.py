"""The live source: the public APIs behind the source port.

Belongs here: which requests answer a port method, what is kept when some of them fail, and what is said about it.
Does not belong here: HTTP (see `http`), reading answers (see each source's module), storing (see `pipeline`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from urllib.parse import quote

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window, utc_now
from defiyield_core.contracts import table
from defiyield_core.errors import SourceError
from defiyield_core.sources import defillama, etherscan, ethgastracker
from defiyield_core.sources.http import HttpClient, HttpRequest, scrub
from defiyield_core.sources.live_accounts import ChainAccounts
from defiyield_core.sources.live_prices import LivePrices
from defiyield_core.sources.live_settings import POLICY, Endpoints, Keys, endpoints_from, keys_from
from defiyield_core.sources.payload import merge
from defiyield_core.sources.port import Fetched

WARM_UP_DAYS = 120
SNAPSHOT_GRACE = timedelta(hours=6)
"""For so long after a day's end a reading of now still describes that end."""
HOURS_PER_DAY = 24


class LiveSource:
    """The market as the public APIs tell it.

    Args:
        client: shared HTTP client; it is closed with the source.
        now: the present, naive UTC.
        chain: chain of the accounts, by DefiLlama's name.
    """

    def __init__(
        self,
        client: HttpClient,
        endpoints: Endpoints,
        keys: Keys,
        *,
        now: Callable[[], datetime] = utc_now,
        chain: str = "Ethereum",
    ) -> None:
        self._client = client
        self._endpoints = endpoints
        self._keys = keys
        self._now = now
        self._chain = chain

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        client: HttpClient | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> LiveSource:
        """The source with the keys and addresses of the environment (`live_settings`).

        Raises:
            ConfigurationError: an address or a key cannot be used.
        """
        endpoints, keys = endpoints_from(environment), keys_from(environment)
        return cls(client or HttpClient(POLICY), endpoints, keys, now=now)

    @property
    def name(self) -> str:
        """`live`."""
        return "live"

    @property
    def first_day(self) -> date:
        """120 days ago: enough history for the forecasts of a first run."""
        return self._now().date() - timedelta(days=WARM_UP_DAYS)

    @property
    def last_day(self) -> None:
        """None: there is always yesterday."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools`: only for a day of the window that ended less than 6 hours ago.

        Raises:
            SourceError: the snapshot could not be fetched.
        """
        day = self._day_just_ended()
        missed = len(window) - (day is not None and day in window)
        warnings = []
        if missed:
            warnings.append(
                f"no pool snapshot for {missed} of {len(window)} days of {window}: it can be taken only within "
                f"{SNAPSHOT_GRACE.seconds // 3600} hours after a day's end"
            )
        if day is None or day not in window:
            return Fetched(table("raw_defillama_pools").empty(), {}, tuple(warnings))
        return merge("raw_defillama_pools", [self._pools(day)], warnings)

    def current_pools(self) -> Fetched:
        """Rows of `raw_defillama_pools` as they are now, dated today: a listing, not the reading of a day's end.

        Raises:
            SourceError: the listing could not be fetched.
        """
        return self._pools(self._now().date())

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history`; charts that fail are counted and named, the others are kept.

        Raises:
            SourceError: charts were asked for and none could be fetched.
        """
        pools = list(dict.fromkeys(pool_ids))
        requests = [HttpRequest(f"{self._endpoints.defillama}/chart/{quote(pool, safe='')}") for pool in pools]
        charts: dict[str, object] = {}
        failures: list[str] = []
        for pool, answer in zip(pools, self._client.get_many(requests), strict=True):
            problem = str(answer) if isinstance(answer, SourceError) else defillama.chart_problem(answer)
            if problem is None:
                charts[pool] = answer
            else:
                failures.append(f"pool {pool}: {problem}")
        if pools and not charts:
            raise SourceError(f"none of {len(pools)} pool charts could be fetched; {failures[0]}")
        parsed = defillama.parse_charts(charts, window=window, seen_at=self._now(), source="live defillama /chart")
        if not failures:
            return parsed
        warning = f"{len(failures)} of {len(pools)} pool charts could not be fetched; the first, {failures[0]}"
        refused = {**parsed.refused, "chart not fetched": len(failures)}
        return replace(parsed, refused=refused, warnings=(warning,), complete=False)

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        """Rows of `raw_coinmarketcap_ohlcv` of these tokens and of USDT, ETH and BTC (see `live_prices`).

        Raises:
            SourceError: no price could be had from anywhere.
        """
        with self._discreet():
            prices = LivePrices(self._client, self._endpoints, self._keys)
            return self._scrubbed(prices.fetch(window, tokens, self._now()))

    def gas_hourly(self, window: Window) -> Fetched:
        """Rows of `raw_ethgastracker_hourly_gas_data`; the source goes back about a week, and the answer says so.

        Raises:
            SourceError: the hours could not be fetched.
        """
        with self._discreet():
            params = {"apiKey": self._keys.ethgastracker} if self._keys.ethgastracker else {}
            payload = self._client.get_json(f"{self._endpoints.ethgastracker}/api/gas/average", params)
            parsed = ethgastracker.parse_average(
                payload, window=window, seen_at=self._now(), source="live ethgastracker /average"
            )
        hours = parsed.frame.groupby("date").size()
        counts = hours.reindex(pd.DatetimeIndex(window.days()), fill_value=0).to_numpy()
        partial = int(np.count_nonzero(counts < HOURS_PER_DAY))
        if not partial:
            return parsed
        missing = int(np.count_nonzero(counts == 0))
        warning = (
            f"ethgastracker does not cover the whole window {window}: {missing} days have no gas price and "
            f"{partial - missing} have fewer than {HOURS_PER_DAY} hours"
        )
        return replace(parsed, warnings=(*parsed.warnings, warning), complete=False)

    def account_balances(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Rows of `raw_etherscan_account_balances`: balances of now, so only for today or a day that just ended.

        Raises:
            SourceError: no address could be read.
        """
        name = "raw_etherscan_account_balances"
        day = self._day_just_ended()
        if day is None or day not in window:
            day = self._now().date()
        if addresses and day not in window:
            warning = f"no balances for {window}: they can be read only for today or a day that just ended"
            return Fetched(table(name).empty(), {}, (warning,))
        parts, warnings = self._per_address(
            addresses,
            lambda accounts, address: accounts.balances(
                day, address, seen_at=self._now(), source="live etherscan /balance"
            ),
        )
        return self._scrubbed(
            merge(name, parts, warnings, complete=len(parts) == len({address.lower() for address in addresses}))
        )

    def account_transactions(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Rows of `raw_etherscan_account_transactions`, every page of every address.

        Raises:
            SourceError: no address could be read.
        """
        parts, warnings = self._per_address(
            addresses,
            lambda accounts, address: accounts.transactions(
                window, address, seen_at=self._now(), source="live etherscan /txlist"
            ),
        )
        merged = etherscan.merged(parts)
        complete = merged.complete and len(parts) == len({address.lower() for address in addresses})
        return self._scrubbed(replace(merged, warnings=(*warnings, *merged.warnings), complete=complete))

    def _per_address(
        self, addresses: Sequence[str], read: Callable[[ChainAccounts, str], Fetched]
    ) -> tuple[list[Fetched], list[str]]:
        """What could be read, address by address, and sentences about what could not."""
        wanted = sorted({address.lower() for address in addresses})
        if not wanted:
            return [], []
        if not self._keys.etherscan:
            return [], [f"ETHERSCAN_API_KEY is not set: {len(wanted)} accounts were not read"]
        accounts = ChainAccounts(self._client, self._endpoints.etherscan, self._keys.etherscan, self._chain)
        parts, warnings = [], []
        for address in wanted:
            try:
                parts.append(read(accounts, address))
            except SourceError as error:
                warnings.append(f"account {address} could not be read: {error}")
        if not parts:
            raise SourceError(scrub(warnings[0], self._keys.secrets))
        return parts, warnings

    def _pools(self, day: date) -> Fetched:
        payload = self._client.get_json(f"{self._endpoints.defillama}/pools")
        parsed = defillama.parse_pools(payload, day=day, seen_at=self._now(), source="live defillama /pools")
        if len(parsed.frame):
            return parsed
        return replace(parsed, warnings=("DefiLlama lists no usable pool, which is an outage",), complete=False)

    def _day_just_ended(self) -> date | None:
        now = self._now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight.date() - timedelta(days=1) if now - midnight < SNAPSHOT_GRACE else None

    def _scrubbed(self, fetched: Fetched) -> Fetched:
        return replace(fetched, warnings=tuple(scrub(note, self._keys.secrets) for note in fetched.warnings))

    @contextmanager
    def _discreet(self) -> Iterator[None]:
        """No key in an error, even where a server quotes it."""
        try:
            yield
        except SourceError as error:
            raise SourceError(scrub(str(error), self._keys.secrets)) from None

"""Live daily prices: CoinMarketCap's candles where there is a key, DefiLlama's closes for the rest.

Belongs here: which requests the prices of a window take, and the fallback. Does not belong here: reading the answers
(see `coinmarketcap`, `defillama`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from defiyield_core.calendar import Window
from defiyield_core.errors import SourceError
from defiyield_core.sources import coinmarketcap, defillama
from defiyield_core.sources.http import HttpClient, HttpRequest
from defiyield_core.sources.live_settings import Endpoints, Keys
from defiyield_core.sources.payload import merge
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.tokens import registry

TABLE = "raw_coinmarketcap_ohlcv"
ALWAYS_PRICED = ("USDT", "ETH", "BTC")
COINGECKO_IDS = {"ETH": "coingecko:ethereum", "BTC": "coingecko:bitcoin", "USDT": "coingecko:tether"}
"""Coins of the coins API that are not on a chain of ours, or needed even without a registry."""
SYMBOLS_PER_REQUEST = 20
COINS_PER_REQUEST = 20
DAYS_PER_REQUEST = 100
CLOSE_TIME = time(22, 59, 30)
SEARCH_SECONDS = 3600
"""A close is the price nearest to 22:59:30 UTC within an hour: as late as possible, and never in the next day."""


@dataclass(frozen=True)
class LivePrices:
    """Daily prices of tokens by canonical name."""

    client: HttpClient
    endpoints: Endpoints
    keys: Keys

    def fetch(self, window: Window, tokens: Sequence[str], seen_at: datetime) -> Fetched:
        """Rows of `raw_coinmarketcap_ohlcv`.

        Raises:
            SourceError: no price could be had from anywhere.
        """
        wanted = sorted({token if ":" in token else token.upper() for token in (*tokens, *ALWAYS_PRICED)})
        candles, warnings = self._candles(window, wanted, seen_at)
        priced = set(candles.frame["symbol"])
        rest = [token for token in wanted if token not in priced]
        closes = self._closes(window, rest, seen_at)
        if not len(candles.frame) and not len(closes.frame) and not closes.complete:
            raise SourceError(f"no prices for {window}: {'; '.join((*warnings, *closes.warnings))}")
        if rest and self.keys.coinmarketcap:
            warnings.append(f"close-only prices from DefiLlama for {_listed(rest)}: CoinMarketCap gave none")
        return merge(TABLE, [closes, candles], warnings)

    def _candles(self, window: Window, tokens: Sequence[str], seen_at: datetime) -> tuple[Fetched, list[str]]:
        """Candles by symbol, and sentences about what failed (which the closes then make up for)."""
        if not self.keys.coinmarketcap:
            warning = (
                "COINMARKETCAP_API_KEY is not set: prices are DefiLlama's closes, without highs and lows, "
                "so a dip under the peg within a day goes unseen"
            )
            return merge(TABLE, []), [warning]
        symbols = [token for token in tokens if ":" not in token]
        requests = [
            HttpRequest(
                f"{self.endpoints.coinmarketcap}/v2/cryptocurrency/ohlcv/historical",
                {
                    "symbol": ",".join(batch),
                    "time_start": str(window.start - timedelta(days=1)),  # the API leaves its first day out
                    "time_end": str(window.end),
                    "interval": "daily",
                    "convert": "USD",
                    "skip_invalid": "true",
                },
                {"X-CMC_PRO_API_KEY": self.keys.coinmarketcap},
            )
            for batch in _batches(symbols, SYMBOLS_PER_REQUEST)
        ]
        parts, warnings = [], []
        for answer in self.client.get_many(requests):
            try:
                if isinstance(answer, SourceError):
                    raise answer
                parts.append(
                    coinmarketcap.parse_ohlcv(
                        answer, window=window, seen_at=seen_at, source="live coinmarketcap /ohlcv"
                    )
                )
            except SourceError as error:
                warnings.append(str(error))
        return merge(TABLE, parts), warnings

    def _closes(self, window: Window, tokens: Sequence[str], seen_at: datetime) -> Fetched:
        """Closes from the coins API; not complete when a request failed."""
        coins = {coin: token for token in tokens if (coin := coin_id(token))}
        unknown = [token for token in tokens if coin_id(token) is None]
        warnings = [f"no price source for {_listed(unknown)}: no registered address"] if unknown else []
        requests = [self._close_request(batch, part) for part in window.chunks(DAYS_PER_REQUEST) for batch in
                    _batches(sorted(coins), COINS_PER_REQUEST)]  # fmt: skip
        parts, complete = [], True
        for answer in self.client.get_many(requests):
            try:
                if isinstance(answer, SourceError):
                    raise answer
                parts.append(
                    defillama.parse_coin_prices(
                        answer, window=window, seen_at=seen_at, source="live defillama /coins/chart", tokens=coins
                    )
                )
            except SourceError as error:
                complete = False
                warnings.append(str(error))
        return merge(TABLE, parts, warnings, complete=complete)

    def _close_request(self, coins: Sequence[str], window: Window) -> HttpRequest:
        start = datetime.combine(window.start, CLOSE_TIME, tzinfo=UTC)
        return HttpRequest(
            f"{self.endpoints.defillama_coins}/chart/{','.join(coins)}",
            {
                "start": str(int(start.timestamp())),
                "span": str(len(window)),
                "period": "1d",
                "searchWidth": str(SEARCH_SECONDS),
            },
        )


def coin_id(token: str) -> str | None:
    """The coins API's id of a canonical token; None when no address of it is known."""
    if ":" in token:
        return token
    if token in COINGECKO_IDS:
        return COINGECKO_IDS[token]
    found = sorted(
        (chain != "ethereum", f"{chain}:{address}") for (chain, address), name in registry().items() if name == token
    )
    return found[0][1] if found else None


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _listed(tokens: Sequence[str]) -> str:
    more = f" and {len(tokens) - 10} more" if len(tokens) > 10 else ""
    return ", ".join(tokens[:10]) + more

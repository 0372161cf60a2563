"""CoinMarketCap: daily candles as rows of the raw table.

Belongs here: the shape of `/v2/cryptocurrency/ohlcv/historical` answers (and the array form of `quote` of
version 3). Does not belong here: HTTP (see `http`), judging a peg.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from defiyield_core.calendar import Window
from defiyield_core.errors import SourceError
from defiyield_core.sources.payload import Entries, as_object, clean, days_of, not_after, only_last
from defiyield_core.sources.port import Fetched

PRO_URL = "https://pro-api.coinmarketcap.com"
QUOTE_CURRENCIES = ("USD", "USDT")
_PRICES = ("open", "high", "low", "close")


def parse_ohlcv(payload: object, *, window: Window, seen_at: datetime, source: str) -> Fetched:
    """Rows of `raw_coinmarketcap_ohlcv` from an OHLCV answer for one asset or several.

    The candle's day is the UTC day of `time_open`; `valid_at` is `time_close`, never after the day's end or
    `seen_at`. Candles outside the window are left out. Where several assets share a symbol, the one of the
    largest latest market cap stays. Refused, counted by reason: wrong types, a close that is missing or not
    above 0, a negative open, high or low, other quote currencies, a second candle of a day, assets that share a
    symbol with a larger one.

    Raises:
        SourceError: the answer reports an error, or is no OHLCV answer.
    """
    answer = as_object(payload, "CoinMarketCap")
    _raise_reported(answer)
    if "data" not in answer:
        raise SourceError("CoinMarketCap answered without the field data; check the address of the endpoint")
    refused: Counter[str] = Counter()
    flat = [row for asset in _chosen(_assets(answer["data"], refused), refused) for row in _flat(asset, refused)]
    entries = Entries(flat)
    entries.refused.update(refused)
    return _rows(entries, window, seen_at, source)


def error_message(payload: object) -> str | None:
    """What an answer reports as its error, made safe to print; None when it reports none."""
    status = payload.get("status") if isinstance(payload, dict) else None
    if not isinstance(status, dict) or status.get("error_code") in (0, None, "0"):
        return None
    return clean(f"{status.get('error_code')}: {status.get('error_message')}")


def _raise_reported(answer: dict[str, Any]) -> None:
    message = error_message(answer)
    if message is not None:
        raise SourceError(f"CoinMarketCap reported error {message}; check the key and its plan")


def _rows(entries: Entries, window: Window, seen_at: datetime, source: str) -> Fetched:
    opened = entries.stamps("time_open")
    entries.inside(opened, window)
    days = days_of(opened)
    symbols = entries.texts("symbol", required=True)
    currencies = entries.texts("currency", required=True)
    prices = {name: entries.numbers(name, required=name == "close") for name in _PRICES}
    entries.refuse(prices["close"] <= 0, "close is not above 0")
    for name in ("open", "high", "low"):
        entries.refuse(prices[name] < 0, f"{name} is negative")
    columns: dict[str, object] = {
        "date": days,
        "symbol": symbols,
        "quote_currency": currencies,
        **prices,
        "volume_usd": entries.numbers("volume", strict=False),
        "market_cap_usd": entries.numbers("market_cap", strict=False),
        "valid_at": not_after(_closed(entries, days), seen_at),
        "seen_at": np.datetime64(seen_at, "ns"),
        "source": source,
    }
    entries.refuse(only_last(opened, entries.kept, symbols, currencies), "second candle of a day")
    return entries.rows("raw_coinmarketcap_ohlcv", columns)


def _closed(entries: Entries, days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """When each candle closed, at the latest at its day's end; that end where the source does not say."""
    ends = days + np.timedelta64(1, "D") - np.timedelta64(1, "us")
    quiet = Entries(entries.objects)  # a missing closing time refuses nothing
    closed = quiet.stamps("time_close")
    return np.where(np.isnat(closed), ends, np.minimum(closed, ends))


def _assets(data: object, refused: Counter[str]) -> Iterator[dict[str, Any]]:
    """Assets of an answer: one object, a list, or either of these by symbol or id."""
    if isinstance(data, dict) and "quotes" in data:
        yield data
        return
    if not isinstance(data, (dict, list)):
        raise SourceError(f"CoinMarketCap answered data of type {type(data).__name__}; expected an object or a list")
    for group in data.values() if isinstance(data, dict) else data:
        for asset in group if isinstance(group, list) else [group]:
            if isinstance(asset, dict):
                yield asset
            else:
                refused["asset is not an object"] += 1


def _chosen(assets: Iterator[dict[str, Any]], refused: Counter[str]) -> list[dict[str, Any]]:
    """One asset per symbol: anyone may list a coin under a known ticker."""
    by_symbol: dict[str, list[dict[str, Any]]] = {}
    for asset in assets:
        symbol = asset.get("symbol")
        if isinstance(symbol, str) and symbol.strip():
            by_symbol.setdefault(symbol.strip().upper(), []).append(asset)
        else:
            refused["symbol is not a text"] += 1
    chosen = []
    for symbol, rivals in by_symbol.items():
        best = max(rivals, key=_latest_market_cap)  # of equals the first, as the source ranks them
        chosen.append({**best, "symbol": symbol})
        if len(rivals) > 1:
            refused["another asset of the same symbol"] += len(rivals) - 1
    return chosen


def _latest_market_cap(asset: dict[str, Any]) -> float:
    for row in reversed(list(_flat(asset, Counter()))):
        cap = row.get("market_cap")
        if isinstance(cap, (int, float)) and not isinstance(cap, bool) and np.isfinite(cap) and cap > 0:
            return float(cap)
    return 0.0


def _flat(asset: dict[str, Any], refused: Counter[str]) -> Iterator[dict[str, Any]]:
    """Candles of an asset, one flat object per candle and quote currency."""
    candles = asset.get("quotes")
    if not isinstance(candles, list):
        refused["quotes is not a list"] += 1
        return
    for candle in candles:
        quotes = candle.get("quote") if isinstance(candle, dict) else None
        if isinstance(quotes, dict):
            pairs = list(quotes.items())
        elif isinstance(quotes, list):
            pairs = [(quote.get("symbol"), quote) for quote in quotes if isinstance(quote, dict)]
        else:
            pairs = []
        if not pairs:
            refused["candle without a quote"] += 1
        for currency, quote in pairs:
            if currency not in QUOTE_CURRENCIES or not isinstance(quote, dict):
                refused["quote currency is neither USD nor USDT"] += 1
                continue
            times = {name: candle.get(name) for name in ("time_open", "time_close")}
            yield {**quote, **times, "symbol": asset.get("symbol"), "currency": currency}

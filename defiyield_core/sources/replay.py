"""A market held in memory, answered through the source port.

Belongs here: `MarketTables` (what a market consists of, in the APIs' own units) and `ReplaySource`, which cuts
windows out of it, writes them as the APIs' JSON and hands them to the same parsers that the live source uses.
Does not belong here: where the tables come from (`recorded_files` reads them, `market_model` generates them).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from defiyield_core.calendar import DayArray, Window, end_of, parse_day
from defiyield_core.contracts import table
from defiyield_core.errors import ConfigurationError
from defiyield_core.sources import coinmarketcap, defillama, ethgastracker
from defiyield_core.sources.port import Fetched
from defiyield_core.units import FloatArray, IntArray

ALWAYS_PRICED = ("USDT", "ETH", "BTC")
FIRST_DAY_VARIABLE = "DEFIYIELD_FIRST_DAY"
_LAST_MOMENT = "T23:59:59.999999Z"
_ONE_DAY = np.timedelta64(1, "D")
_LAST_MICROSECOND = np.timedelta64(86_400_000_000 - 1, "us")


@dataclass(frozen=True)
class PoolRows:
    """Observations of pools, sorted by day; equal lengths. Rates in percent, missing values NaN.

    Attributes:
        pool: index into `MarketTables.listings`.
    """

    day: DayArray
    pool: IntArray
    tvl_usd: FloatArray
    apy_percent: FloatArray
    apy_base_percent: FloatArray
    apy_reward_percent: FloatArray

    def take(self, rows: slice | npt.NDArray[Any]) -> PoolRows:
        """Some of the rows, in their order."""
        return PoolRows(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Candles:
    """Daily candles of one token, sorted by day; prices in the currency of `quote`, missing values NaN."""

    day: DayArray
    quote: npt.NDArray[np.object_]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume_usd: FloatArray
    market_cap_usd: FloatArray


@dataclass(frozen=True)
class GasRows:
    """Gas prices, sorted by moment (`datetime64[s]`, UTC)."""

    moment: npt.NDArray[np.datetime64]
    base_fee_gwei: FloatArray
    priority_fee_gwei: FloatArray
    eth_usd: FloatArray


@dataclass(frozen=True)
class MarketTables:
    """A whole market.

    Attributes:
        listings: the fixed fields of each pool as `/pools` writes them (`pool`, `chain`, `project`, `symbol`, ...).
        candles: by upper-case symbol.
        remarks: sentences for people about what was left out on the way in.
    """

    listings: tuple[Mapping[str, Any], ...]
    pools: PoolRows
    candles: Mapping[str, Candles]
    gas: GasRows
    remarks: tuple[str, ...] = ()


class ReplaySource(ABC):
    """The source port over `MarketTables`.

    A row is stamped as seen at the end of the day it describes, so that equal requests give equal rows whenever they
    are made and however they are cut into windows.
    """

    kind: str

    @property
    @abstractmethod
    def name(self) -> str:
        """How it was configured."""

    @property
    @abstractmethod
    def first_day(self) -> date:
        """First day of data worth asking for."""

    @property
    @abstractmethod
    def last_day(self) -> date:
        """Last day there is."""

    @abstractmethod
    def tables(self) -> MarketTables:
        """The market, read or generated at the first call."""

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools`: every pool that has a row on the day, described as it is listed."""
        market = self.tables()
        rows = market.pools.take(_between(market.pools.day, window))
        payloads = {
            day: {"status": "success", "data": _snapshot(market.listings, rows, span)} for day, span in _spans(rows.day)
        }
        seen_at = {day: end_of(day) for day in payloads}
        parsed = defillama.parse_snapshots(payloads, seen_at=seen_at, source=f"{self.kind} /pools")
        return self._answer(parsed, self._pool_outages(window), market.remarks)

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history` of these pools."""
        market = self.tables()
        wanted = frozenset(pool_ids)
        asked = np.array([listing["pool"] in wanted for listing in market.listings], dtype=bool)
        rows = market.pools.take(_between(market.pools.day, window))
        rows = rows.take(asked[rows.pool])
        parsed = defillama.parse_charts(
            _charts(market.listings, rows),
            window=window,
            seen_at=end_of(window.end),
            source=f"{self.kind} /chart",
        )
        return self._answer(parsed, self._pool_outages(window), market.remarks)

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        """Rows of `raw_coinmarketcap_ohlcv` of these tokens and of USDT, ETH and BTC."""
        candles = self.tables().candles
        symbols = sorted({token.upper() for token in (*tokens, *ALWAYS_PRICED)} & candles.keys())
        payload = {"data": {symbol: [_ohlcv(symbol, candles[symbol], window)] for symbol in symbols}}
        parsed = coinmarketcap.parse_ohlcv(
            payload, window=window, seen_at=end_of(window.end), source=f"{self.kind} /ohlcv"
        )
        return self._answer(parsed)

    def gas_hourly(self, window: Window) -> Fetched:
        """Rows of `raw_ethgastracker_hourly_gas_data`."""
        gas = self.tables().gas
        rows = _between(gas.moment, window)
        parsed = ethgastracker.parse_average(
            _gas(gas, rows), window=window, seen_at=end_of(window.end), source=f"{self.kind} /average"
        )
        missing = np.setdiff1d(window.days(), gas.moment[rows].astype("datetime64[D]"))
        return self._answer(parsed, _outages("gas prices", missing))

    def account_balances(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """No rows: a replayed market has no accounts. A warning says so when addresses were asked for."""
        return self._no_accounts("raw_etherscan_account_balances", addresses)

    def account_transactions(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """No rows: a replayed market has no accounts. A warning says so when addresses were asked for."""
        return self._no_accounts("raw_etherscan_account_transactions", addresses)

    def _pool_outages(self, window: Window) -> tuple[str, ...]:
        """A day between the market's first and last on which no pool at all has a row is the source's failure."""
        days = self.tables().pools.day
        inside = window.days()
        return _outages("pools", np.setdiff1d(inside[inside >= days[0]], days[_between(days, window)]))

    def _answer(self, parsed: Fetched, outages: tuple[str, ...] = (), remarks: tuple[str, ...] = ()) -> Fetched:
        """The answer, its rows seen at the end of their own day. Outages make it incomplete, remarks do not."""
        frame = parsed.frame
        days = frame["date"].to_numpy().astype("datetime64[us]")
        frame["seen_at"] = (days + _LAST_MICROSECOND).astype("datetime64[ns]")
        return replace(
            parsed,
            frame=frame,
            warnings=(*remarks, *parsed.warnings, *outages),
            complete=parsed.complete and not outages,
        )

    def _no_accounts(self, name: str, addresses: Sequence[str]) -> Fetched:
        warning = f"source {self.name} has no accounts: {len(addresses)} addresses stay without rows in {name}"
        return Fetched(table(name).empty(), warnings=(warning,) if addresses else ())


def first_day_override(last_day: date, environment: Mapping[str, str] | None = None) -> date | None:
    """The day in DEFIYIELD_FIRST_DAY, or None when it is not set.

    Raises:
        ConfigurationError: it is no day, or later than the source's last.
    """
    text = (os.environ if environment is None else environment).get(FIRST_DAY_VARIABLE)
    if not text:
        return None
    day = parse_day(text, FIRST_DAY_VARIABLE)
    if day > last_day:
        raise ConfigurationError(f"{FIRST_DAY_VARIABLE} {day} is after {last_day}, the last day of the source")
    return day


def _between(sorted_moments: npt.NDArray[np.datetime64], window: Window) -> slice:
    """Rows of the window in an ascending array of days or moments."""
    start, stop = np.datetime64(window.start, "D"), np.datetime64(window.end, "D") + _ONE_DAY
    unit = sorted_moments.dtype
    first, after = np.searchsorted(sorted_moments, np.array([start, stop]).astype(unit), side="left")
    return slice(int(first), int(after))


def _spans(days: DayArray) -> list[tuple[date, slice]]:
    """(day, rows of that day) of an ascending array of days."""
    return [(day.item(), span) for day, span in _runs(days)]


def _runs(ordered: npt.NDArray[Any]) -> Iterator[tuple[Any, slice]]:
    """(value, its rows) of an ascending array."""
    values, starts = np.unique(ordered, return_index=True)
    bounds = [*starts.tolist(), len(ordered)]
    return ((value, slice(a, b)) for value, a, b in zip(values, bounds[:-1], bounds[1:], strict=True))


def _outages(what: str, missing: DayArray) -> tuple[str, ...]:
    if not len(missing):
        return ()
    shown = ", ".join(str(day) for day in missing[:3]) + (", ..." if len(missing) > 3 else "")
    return (f"the source has no {what} on {len(missing)} days asked for ({shown})",)


def _or_none(values: FloatArray) -> list[float | None]:
    """JSON numbers: null where a value is missing."""
    return [None if value != value else value for value in values.tolist()]


def _snapshot(listings: Sequence[Mapping[str, Any]], rows: PoolRows, span: slice) -> list[dict[str, Any]]:
    """The `data` of one `/pools` response."""
    return [
        {**listings[pool], "tvlUsd": tvl, "apy": apy, "apyBase": base, "apyReward": reward}
        for pool, tvl, apy, base, reward in zip(
            rows.pool[span].tolist(),
            _or_none(rows.tvl_usd[span]),
            _or_none(rows.apy_percent[span]),
            _or_none(rows.apy_base_percent[span]),
            _or_none(rows.apy_reward_percent[span]),
            strict=True,
        )
    ]


def _charts(listings: Sequence[Mapping[str, Any]], rows: PoolRows) -> dict[str, Any]:
    """One `/chart/{pool}` response per pool that has rows."""
    rows = rows.take(np.argsort(rows.pool, kind="stable"))
    unique, which = np.unique(rows.day, return_inverse=True)
    stamps = [f"{day}{_LAST_MOMENT}" for day in unique]
    points = [
        {"timestamp": stamps[day], "tvlUsd": tvl, "apy": apy, "apyBase": base, "apyReward": reward}
        for day, tvl, apy, base, reward in zip(
            which.tolist(),
            _or_none(rows.tvl_usd),
            _or_none(rows.apy_percent),
            _or_none(rows.apy_base_percent),
            _or_none(rows.apy_reward_percent),
            strict=True,
        )
    ]
    return {listings[pool]["pool"]: {"status": "success", "data": points[span]} for pool, span in _runs(rows.pool)}


def _ohlcv(symbol: str, candles: Candles, window: Window) -> dict[str, Any]:
    """One token of an `/ohlcv/historical` response."""
    span = _between(candles.day, window)
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume_usd, candles.market_cap_usd)
    days = [str(day) for day in candles.day[span]]
    quotes = [
        {
            "time_open": f"{day}T00:00:00.000Z",
            "time_close": f"{day}{_LAST_MOMENT}",
            "quote": {
                currency: {
                    "open": open_,
                    "high": high,
                    "low": low,
                    "close": close,
                    "volume": volume,
                    "market_cap": market_cap,
                    "timestamp": f"{day}{_LAST_MOMENT}",
                }
            },
        }
        for day, currency, open_, high, low, close, volume, market_cap in zip(
            days, candles.quote[span], *(_or_none(column[span]) for column in columns), strict=True
        )
    ]
    return {"id": None, "name": symbol, "symbol": symbol, "quotes": quotes}


def _gas(gas: GasRows, rows: slice) -> dict[str, Any]:
    """An `/average` response; `median` is the whole price, base fee and tip."""
    data = [
        {"period": f"{moment}+00:00", "baseFee": base, "median": total, "ethPrice": eth}
        for moment, base, total, eth in zip(
            np.datetime_as_string(gas.moment[rows], unit="s").tolist(),
            _or_none(gas.base_fee_gwei[rows]),
            _or_none(gas.base_fee_gwei[rows] + gas.priority_fee_gwei[rows]),
            _or_none(gas.eth_usd[rows]),
            strict=True,
        )
    ]
    return {"data": {"network": "mainnet", "data": data}}

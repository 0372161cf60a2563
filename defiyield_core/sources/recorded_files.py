"""The recorded layout: parquet files under `pools/` and `market/`, read into `MarketTables`.

Belongs here: which files and columns there are, what is refused, how dates of any form become days, and how the sources
inside one file are merged. Does not belong here: windows and payloads (`replay`).
Rates in these files are percent and stay percent: the parsers convert them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from defiyield_core.calendar import DayArray
from defiyield_core.errors import SourceError
from defiyield_core.sources.replay import Candles, GasRows, MarketTables, PoolRows

POOLS = "pools/pools.parquet"
HISTORY = "pools/pool_history.parquet"
CANDLES = "market/token_ohlcv_daily.parquet"
GAS_DAILY = "market/gas_daily.parquet"
GAS_BLOCKS = "market/gas_2hourly.parquet"
MARKET_CAPS = "market/stablecoin_marketcap_daily.parquet"
REQUIRED = (POOLS, HISTORY, CANDLES, GAS_DAILY)

SYMBOL_OF_COIN = {
    "dai": "DAI",
    "ethena usde": "USDE",
    "falcon usd": "USDF",
    "global dollar": "USDG",
    "paypal usd": "PYUSD",
    "ripple usd": "RLUSD",
    "tether": "USDT",
    "usd1": "USD1",
    "usdc": "USDC",
    "usdd": "USDD",
    "usds": "USDS",
}
"""Tokens by the names of the market cap file, lower case."""


@dataclass(frozen=True)
class _File:
    """A parquet file with the columns asked for, and how to speak of it in an error."""

    path: Path
    frame: pd.DataFrame

    def days(self, column: str) -> DayArray:
        """A column of dates, timestamps or ISO text as UTC days; an empty cell is NaT."""
        return self.moments(column).astype("datetime64[D]")

    def moments(self, column: str) -> npt.NDArray[np.datetime64]:
        """A column of timestamps (naive ones are UTC) as `datetime64[s]`."""
        values = self._converted(column, lambda cells: pd.to_datetime(cells, utc=True), "a date")
        return values.dt.tz_localize(None).to_numpy().astype("datetime64[s]")

    def numbers(self, column: str) -> npt.NDArray[np.float64]:
        """A column of numbers; missing cells, or a missing optional column, are NaN."""
        if column not in self.frame:
            return np.full(len(self.frame), np.nan)
        values = self._converted(column, pd.to_numeric, "a number")
        return values.to_numpy(dtype="float64", na_value=np.nan).copy()

    def texts(self, column: str, default: str | None = None) -> npt.NDArray[np.object_]:
        """A column of text; missing cells, or a missing optional column, are `default`."""
        if column not in self.frame:
            return np.full(len(self.frame), default, dtype=object)
        values = self.frame[column].astype(object)
        return values.where(values.notna(), default).to_numpy()

    def _converted(self, column: str, convert: Callable[[pd.Series], pd.Series], what: str) -> pd.Series:
        try:
            return convert(self.frame[column])
        except (ValueError, TypeError, OverflowError) as error:
            raise SourceError(f"{self.path}: column '{column}' holds a value that is not {what}: {error}") from error


def load_market(folder: Path) -> MarketTables:
    """The market recorded in `folder`, read once per process for as long as its files stay as they are.

    Raises:
        SourceError: a file is missing or unreadable, lacks a column, is empty, or holds values of another kind.
    """
    names = (*REQUIRED, GAS_BLOCKS, MARKET_CAPS)
    stats = [(folder / name).stat() if (folder / name).exists() else None for name in names]
    return _load(folder, tuple((s.st_mtime_ns, s.st_size) if s else None for s in stats))


@lru_cache(maxsize=2)
def _load(folder: Path, signature: tuple[tuple[int, int] | None, ...]) -> MarketTables:
    del signature  # part of the cache's key: files that have changed are read again
    refused: Counter[str] = Counter()
    needed, optional = ("pool_id", "project", "chain", "symbol", "stablecoin"), ("pool_meta", "underlying_tokens")
    listings = _listings(_read(folder, POOLS, needed, optional))
    gas_days = _read(folder, GAS_DAILY, ("date", "avg_gas_price_gwei", "eth_price_usd"))
    return MarketTables(
        listings=listings,
        pools=_pool_rows(folder, [listing["pool"] for listing in listings], refused),
        candles=_candles(folder),
        gas=_gas(folder, gas_days),
        remarks=tuple(f"{folder / HISTORY}: {count} rows left out, {why}" for why, count in (+refused).items()),
    )


def _read(folder: Path, name: str, required: Sequence[str], optional: Sequence[str] = ()) -> _File:
    path = folder / name
    if not path.is_file():
        raise SourceError(f"{path} is missing: a recorded folder needs {', '.join(REQUIRED)}")
    try:
        there = set(pq.read_schema(path).names)
        missing = [column for column in required if column not in there]
        if missing:
            raise SourceError(
                f"{path} lacks the columns {', '.join(missing)}: it needs {', '.join(required)} and has "
                f"{', '.join(sorted(there)) or 'none'}"
            )
        wanted = [*required, *(column for column in optional if column in there)]
        frame = pq.read_table(path, columns=wanted).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} cannot be read as parquet: {error}") from error
    return _File(path, frame)


def _listings(pools: _File) -> tuple[dict[str, Any], ...]:
    """What `/pools` says of each pool apart from its numbers; the first of rows with one id."""
    if pools.frame["pool_id"].isna().any():
        raise SourceError(f"{pools.path}: column 'pool_id' has empty cells; every pool needs its id")
    frame = pools.frame
    stablecoin = frame["stablecoin"].eq(True) | frame["stablecoin"].astype(str).str.lower().eq("true")
    listings: dict[str, dict[str, Any]] = {}
    for pool_id, project, chain, symbol, is_stable, meta, tokens in zip(
        pools.texts("pool_id"),
        pools.texts("project"),
        pools.texts("chain"),
        pools.texts("symbol"),
        stablecoin.tolist(),
        pools.texts("pool_meta"),
        frame["underlying_tokens"] if "underlying_tokens" in frame else [None] * len(frame),
        strict=True,
    ):
        underlying = _token_list(tokens)
        exposure = None if underlying is None else "single" if len(underlying) == 1 else "multi"
        listings.setdefault(
            str(pool_id),
            {
                "pool": str(pool_id),
                "chain": chain,
                "project": project,
                "symbol": symbol,
                "poolMeta": meta,
                "stablecoin": bool(is_stable),
                "exposure": exposure,
                "outlier": False,
                "underlyingTokens": underlying,
            },
        )
    return tuple(listings.values())


def _token_list(cell: Any) -> list[str] | None:
    """A list of tokens, whether it came as a list, an array or JSON text."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError:
            cell = [cell]
    if cell is None or not hasattr(cell, "__len__"):
        return None
    return [str(token) for token in cell if token is not None] or None


def _pool_rows(folder: Path, pool_ids: Sequence[str], refused: Counter[str]) -> PoolRows:
    file = _read(folder, HISTORY, ("pool_id", "date", "tvl_usd", "apy"), ("apy_base", "apy_reward"))
    days = file.days("date")
    pools = pd.Index(pool_ids).get_indexer(file.frame["pool_id"].astype(object))
    undated, unlisted = np.isnat(days), pools < 0
    refused["without a date"] += int(undated.sum())
    refused["of a pool that pools.parquet does not list"] += int((unlisted & ~undated).sum())
    order = np.lexsort((pools, days))
    order = order[~(undated | unlisted)[order]]
    if not len(order):
        raise SourceError(f"{file.path} has no rows of pools listed in {folder / POOLS}")
    # A later line of the file corrects an earlier one of the same pool and day (the sort is stable).
    same = (np.diff(days[order]) == np.timedelta64(0, "D")) & (np.diff(pools[order]) == 0)
    refused["given again for the same day"] += int(same.sum())
    order = order[np.append(~same, True)]
    return PoolRows(
        day=days,
        pool=pools.astype(np.int64),
        tvl_usd=file.numbers("tvl_usd"),
        apy_percent=file.numbers("apy"),
        apy_base_percent=file.numbers("apy_base"),
        apy_reward_percent=file.numbers("apy_reward"),
    ).take(order)


_CANDLE_NUMBERS = ("open", "high", "low", "close", "volume_usd", "market_cap_usd")


def _candles(folder: Path) -> dict[str, Candles]:
    """Candles by upper-case symbol: one a day and quote, complete ones before close-only ones."""
    file = _read(
        folder,
        CANDLES,
        ("symbol", "date", "close"),
        ("open", "high", "low", "volume_usd", "market_cap_usd", "quote", "kind"),
    )
    frame = pd.DataFrame({name: file.numbers(name) for name in _CANDLE_NUMBERS})
    frame["symbol"] = pd.Series(file.texts("symbol", ""), dtype=object).astype(str).str.upper()
    frame["day"] = file.days("date").astype("datetime64[s]")
    frame["quote"] = pd.Series(file.texts("quote", "USD"), dtype=object).astype(str).str.upper()
    frame["rank"] = (pd.Series(file.texts("kind", "ohlcv"), dtype=object) == "close_only").astype(int)
    frame = frame[frame["day"].notna() & frame["symbol"].ne("")]
    frame = frame.sort_values(["symbol", "day", "quote", "rank"], kind="stable")
    frame = frame.drop_duplicates(["symbol", "day", "quote"], keep="first")
    frame = _with_market_caps(frame, folder)
    return {
        str(symbol): Candles(
            rows["day"].to_numpy().astype("datetime64[D]"),
            rows["quote"].to_numpy(dtype=object),
            *(rows[name].to_numpy() for name in _CANDLE_NUMBERS),
        )
        for symbol, rows in frame.groupby("symbol", sort=True)
    }


def _with_market_caps(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Market caps that the candles lack, from the file of market caps where there is one."""
    if not (folder / MARKET_CAPS).is_file():
        return frame
    file = _read(folder, MARKET_CAPS, ("date", "coin_name", "market_cap"))
    names = pd.Series(file.texts("coin_name", ""), dtype=object).astype(str).str.strip().str.lower()
    caps = pd.DataFrame(
        {"symbol": names.map(SYMBOL_OF_COIN), "day": file.days("date").astype("datetime64[s]")},
    )
    caps["cap"] = file.numbers("market_cap")
    caps = caps.dropna().query("cap > 0").drop_duplicates(["symbol", "day"], keep="last")
    found = frame[["symbol", "day"]].merge(caps, how="left", on=["symbol", "day"])["cap"].to_numpy()
    known = frame["market_cap_usd"].to_numpy()
    return frame.assign(market_cap_usd=np.where(known > 0, known, found))


def _gas(folder: Path, daily: _File) -> GasRows:
    """Blocks where a day has any, else the day's average at midday (which includes the tip, so that is 0 there)."""
    averages = pd.DataFrame({"moment": daily.moments("date")})
    averages["price"] = daily.numbers("avg_gas_price_gwei")
    averages["eth_usd"] = daily.numbers("eth_price_usd")
    averages["day"] = averages["moment"].dt.normalize()
    averages = averages.dropna(subset=["day"]).drop_duplicates("day", keep="last")
    blocks = _gas_blocks(folder)
    blocks["day"] = blocks["moment"].dt.normalize()
    blocks = blocks.merge(averages[["day", "eth_usd"]], how="left", on="day")
    alone = averages[~averages["day"].isin(blocks["day"])]
    alone = alone.assign(moment=alone["day"] + pd.Timedelta(hours=12), base=alone["price"], tip=0.0)
    rows = pd.concat([part for part in (blocks, alone[blocks.columns]) if len(part)] or [blocks])
    rows = rows.drop_duplicates("moment", keep="last").sort_values("moment", kind="stable")
    return GasRows(
        moment=rows["moment"].to_numpy().astype("datetime64[s]"),
        base_fee_gwei=rows["base"].to_numpy(dtype="float64"),
        priority_fee_gwei=rows["tip"].to_numpy(dtype="float64"),
        eth_usd=rows["eth_usd"].to_numpy(dtype="float64"),
    )


def _gas_blocks(folder: Path) -> pd.DataFrame:
    """Columns moment, base, tip of the sampled blocks; none when the file is not there."""
    if not (folder / GAS_BLOCKS).is_file():
        return pd.DataFrame({"moment": np.array([], dtype="datetime64[s]"), "base": [], "tip": []})
    file = _read(folder, GAS_BLOCKS, ("timestamp", "base_fee_gwei", "priority_fee_p50_gwei"))
    blocks = pd.DataFrame({"moment": file.moments("timestamp"), "base": file.numbers("base_fee_gwei")})
    blocks["tip"] = np.nan_to_num(file.numbers("priority_fee_p50_gwei"))
    return blocks.dropna()

"""`defiyield record DIR`: live history written in the recorded layout, for backtests and for replay.

Belongs here: the files and columns of that layout as they are written, and how new rows join those already there.
Does not belong here: reading the layout back (see `recorded`), asking the APIs (see `live`).
Rates in these files are percent, as DefiLlama publishes them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from defiyield_core.calendar import Window, utc_now
from defiyield_core.errors import ConfigurationError, SourceError
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.tokens import pool_tokens, registry

MIN_TVL_USD = 1_000_000.0
MIN_GAS_HOURS = 12
"""A day's average gas price needs this many hours: a few hours of a night would look cheap."""
PERCENT_DECIMALS = 10
"""Digits of a percentage that are kept: undoes the rounding of percent -> fraction -> percent."""


class Recordable(Protocol):
    """What `record` asks for; the live source has it."""

    @property
    def first_day(self) -> date: ...

    def current_pools(self) -> Fetched: ...

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched: ...

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched: ...

    def gas_hourly(self, window: Window) -> Fetched: ...


@dataclass(frozen=True)
class RecordedFile:
    """One file of the layout.

    Attributes:
        key: columns that identify a row; of two rows with one key the new one stays.
        rank: column values that never give way to lower ones: a full candle is not replaced by a close-only one.
        carried: columns whose old value stays where the new one is null.
    """

    path: str
    schema: pa.Schema
    key: tuple[str, ...]
    rank: Callable[[pd.DataFrame], pd.Series] | None = None
    carried: tuple[str, ...] = ()


def _texts(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.large_string()) for name in names]


def _doubles(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.float64()) for name in names]


POOLS = RecordedFile(
    "pools/pools.parquet",
    pa.schema(
        [
            *_texts("pool_id", "project", "chain", "symbol", "pool_meta"),
            ("underlying_tokens", pa.list_(pa.string())),
            ("stablecoin", pa.bool_()),
            *_texts("id_confidence"),
        ]
    ),
    ("pool_id",),
)
HISTORY = RecordedFile(
    "pools/pool_history.parquet",
    pa.schema(
        [*_texts("pool_id"), ("date", pa.timestamp("ms")), *_doubles("tvl_usd", "apy", "apy_base", "apy_reward")]
    ),
    ("pool_id", "date"),
)
CANDLES = RecordedFile(
    "market/token_ohlcv_daily.parquet",
    pa.schema(
        [
            *_texts("symbol"),
            ("date", pa.timestamp("ms")),
            *_doubles("open", "high", "low", "close", "volume_usd", "market_cap_usd"),
            *_texts("quote", "kind"),
        ]
    ),
    ("symbol", "date", "quote"),
    rank=lambda frame: frame["kind"].ne("close_only").astype(int),
)
GAS = RecordedFile(
    "market/gas_daily.parquet",
    pa.schema(
        [
            ("date", pa.date32()),
            ("unix_timestamp", pa.int64()),
            ("avg_gas_price_wei", pa.int64()),
            *_doubles("avg_gas_price_gwei", "eth_price_usd"),
            ("gas_used", pa.int64()),
            ("tx_count", pa.int64()),
        ]
    ),
    ("date",),
    carried=("gas_used", "tx_count"),
)


@dataclass(frozen=True)
class RecordReport:
    """What a recording did.

    Attributes:
        rows: rows that each file now has, by its path.
        added: rows of each file with a key that was not there before.
        warnings: sentences for people.
        complete: False when part of a source was down.
    """

    rows: dict[str, int]
    added: dict[str, int]
    warnings: tuple[str, ...]
    complete: bool

    def text(self) -> str:
        """The report for people: one line per file, then the warnings."""
        lines = [f"{path}: {count} rows, {self.added[path]} of them new" for path, count in self.rows.items()]
        if not self.complete:
            lines.append("the recording is not complete; run it again to fill the gaps")
        return "\n".join([*lines, *(f"warning: {note}" for note in self.warnings)])


def record(
    source: Recordable,
    out: Path,
    *,
    window: Window | None = None,
    days: int | None = None,
    stablecoins_only: bool = True,
    min_tvl_usd: float = MIN_TVL_USD,
    chains: Sequence[str] | None = None,
    today: date | None = None,
) -> RecordReport:
    """Download live history into the recorded layout under `out`, joined with what is already there.

    Everything is downloaded and joined before the first file is replaced, and each file is replaced at once: a
    failure leaves the folder as it was. New rows win over old ones of the same key; nothing else is lost.

    Args:
        window: days to record; by default the last `days` days to yesterday, or those since the source's first day.
        days: number of days when there is no window.
        stablecoins_only: leave out pools that DefiLlama does not flag as stablecoin pools.
        min_tvl_usd: leave out smaller pools, USD.
        chains: chains by DefiLlama's names; None for all.
        today: the present UTC day (default: the real one); it is not over, so nothing of it is recorded.

    Raises:
        SourceError: pools, charts or prices could not be fetched, or no pool fits.
        ConfigurationError: a file that is already there cannot be read or written; it is left alone.
    """
    span = _span(source, window, days, today or utc_now().date())
    listed = source.current_pools()
    pools = _fitting(listed.frame, stablecoins_only, min_tvl_usd, chains)
    charts = source.pool_history(span, list(pools["pool_id"]))
    prices = source.token_ohlcv(span, _tokens(pools))
    warnings: list[str] = []
    gas = _gas_or_nothing(source, span, warnings)
    fresh = [
        (POOLS, _pool_rows(pools)),
        (HISTORY, _history_rows(charts.frame)),
        (CANDLES, _candle_rows(prices.frame)),
        (GAS, _gas_rows(gas.frame if gas else None, warnings)),
    ]
    rows, added = _write(Path(out), fresh)
    answers = [listed, charts, prices, *([gas] if gas else [])]
    notes = dict.fromkeys([*(note for answer in answers for note in answer.warnings), *warnings])
    complete = gas is not None and all(answer.complete for answer in answers)
    return RecordReport(rows, added, tuple(notes), complete)


def _span(source: Recordable, window: Window | None, days: int | None, today: date) -> Window:
    yesterday = today - timedelta(days=1)
    if window is None:
        if days is not None and days < 1:
            raise ConfigurationError(f"{days} days cannot be recorded: give at least 1")
        window = Window(source.first_day if days is None else today - timedelta(days=days), yesterday)
    if window.end > yesterday:
        raise ConfigurationError(f"{window} cannot be recorded: {today} is not over; end at {yesterday}")
    return window


def _fitting(
    pools: pd.DataFrame, stablecoins_only: bool, min_tvl_usd: float, chains: Sequence[str] | None
) -> pd.DataFrame:
    fits = pools["tvl_usd"] >= min_tvl_usd
    if stablecoins_only:
        fits &= pools["stablecoin"]
    if chains is not None:
        fits &= pools["chain"].str.lower().isin([chain.lower() for chain in chains])
    if not fits.any():
        kind = "stablecoin pools" if stablecoins_only else "pools"
        raise SourceError(
            f"none of {len(pools)} listed pools fits ({kind} with a TVL of at least {min_tvl_usd:,.0f} USD, chains: "
            f"{', '.join(chains or ['all'])}); widen the filter"
        )
    return pools[fits].reset_index(drop=True)


def _tokens(pools: pd.DataFrame) -> list[str]:
    """Tokens that need a price: those of the pools that have a name, and all registered ones."""
    named = {token for tokens in _underlying(pools) for token in tokens}
    return sorted(named | set(registry().values()))


def _underlying(pools: pd.DataFrame) -> list[list[str]]:
    columns = (pools["underlying_tokens"], pools["symbol"], pools["chain"])
    return [list(pool_tokens(*row)) for row in zip(*columns, strict=True)]


def _pool_rows(pools: pd.DataFrame) -> pd.DataFrame:
    columns = ["pool_id", "project", "chain", "symbol", "pool_meta"]
    return pools[columns].assign(
        underlying_tokens=_underlying(pools), stablecoin=pools["stablecoin"], id_confidence="exact"
    )


def _history_rows(charts: pd.DataFrame) -> pd.DataFrame:
    rows = charts[["pool_id", "date", "tvl_usd"]].copy()
    for name in ("apy", "apy_base", "apy_reward"):
        rows[name] = np.round(charts[name].to_numpy() * 100.0, PERCENT_DECIMALS)
    return rows


def _candle_rows(prices: pd.DataFrame) -> pd.DataFrame:
    rows = prices.rename(columns={"quote_currency": "quote"})
    close_only = rows["high"].isna() | rows["low"].isna()
    return rows.assign(kind=np.where(close_only, "close_only", "ohlcv"))[list(CANDLES.schema.names)]


def _gas_or_nothing(source: Recordable, window: Window, warnings: list[str]) -> Fetched | None:
    """Gas of the window; a failure is a warning, because pools and prices are worth keeping without it."""
    try:
        return source.gas_hourly(window)
    except SourceError as error:
        warnings.append(f"no gas prices were recorded: {error}")
        return None


def _gas_rows(hours: pd.DataFrame | None, warnings: list[str]) -> pd.DataFrame:
    """Daily averages of base fee plus tip; days with too few hours are left out and named."""
    if hours is None or not len(hours):
        return pd.DataFrame({name: [] for name in GAS.schema.names})
    priced = hours.assign(gwei=hours["base_fee_gwei"] + hours["priority_fee_gwei"])
    days = priced.groupby("date").agg(gwei=("gwei", "mean"), eth=("eth_usd", "mean"), hours=("gwei", "size"))
    short = days["hours"] < MIN_GAS_HOURS
    if short.any():
        named = ", ".join(str(day.date()) for day in days.index[short])
        warnings.append(f"gas of {named} was not recorded: fewer than {MIN_GAS_HOURS} hours of these days are known")
    days = days[~short]
    return pd.DataFrame(
        {
            "date": days.index.date,
            "unix_timestamp": days.index.astype("datetime64[s]").astype(np.int64),
            "avg_gas_price_wei": np.round(days["gwei"].to_numpy() * 1e9).astype(np.int64),
            "avg_gas_price_gwei": days["gwei"].to_numpy(),
            "eth_price_usd": days["eth"].to_numpy(),
            "gas_used": None,
            "tx_count": None,
        }
    )


def _write(out: Path, fresh: Sequence[tuple[RecordedFile, pd.DataFrame]]) -> tuple[dict[str, int], dict[str, int]]:
    """Join, write every file beside its place, then move all of them there."""
    rows: dict[str, int] = {}
    added: dict[str, int] = {}
    staged: list[tuple[Path, Path]] = []
    try:
        for file, frame in fresh:
            target = out / file.path
            new = _as_table(file, frame)
            old = _existing(target, file)
            if not len(frame) and old is not None:
                rows[file.path], added[file.path] = old.num_rows, 0
                continue
            joined = _joined(file, old, new)
            rows[file.path] = joined.num_rows
            added[file.path] = joined.num_rows - (old.num_rows if old is not None else 0)
            staged.append((_staged(target, joined), target))
        for temporary, target in staged:
            temporary.replace(target)
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error}; nothing that was there is lost") from error
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
    return rows, added


def _as_table(file: RecordedFile, frame: pd.DataFrame) -> pa.Table:
    if not len(frame):
        return file.schema.empty_table()
    return pa.Table.from_pandas(frame.reindex(columns=file.schema.names), file.schema, preserve_index=False)


def _staged(target: Path, joined: pa.Table) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            pq.write_table(joined, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _existing(target: Path, file: RecordedFile) -> pa.Table | None:
    if not target.exists():
        return None
    try:
        table = pq.read_table(target)
        missing = [name for name in file.key if name not in table.column_names]
        if missing:
            raise ConfigurationError(f"{target} lacks the columns {missing}: it is no recording; choose another folder")
        known = [file.schema.field(name) if name in file.schema.names else field for name, field in _fields(table)]
        return table.cast(pa.schema(known))
    except pa.ArrowException as error:
        raise ConfigurationError(f"{target} cannot be read: {error}; move it away or choose another folder") from error


def _fields(table: pa.Table) -> list[tuple[str, pa.Field]]:
    return [(field.name, field) for field in table.schema.remove_metadata()]


def _joined(file: RecordedFile, old: pa.Table | None, new: pa.Table) -> pa.Table:
    """Old and new rows, one per key, sorted by it; columns that only the old file has are kept."""
    if old is None:
        old = new.slice(0, 0)
    both = pa.concat_tables([old.replace_schema_metadata(), new.replace_schema_metadata()], promote_options="default")
    keys = both.select([*file.key, *({"kind"} & set(both.column_names))]).to_pandas()
    keys["rank"] = file.rank(keys) if file.rank is not None else 0
    keys["age"] = np.arange(len(keys))
    best = keys.sort_values(["rank", "age"], kind="stable").drop_duplicates(list(file.key), keep="last")
    chosen = best.sort_values(list(file.key), kind="stable").index.to_numpy()
    joined = both.take(pa.array(chosen))
    for name in file.carried:
        joined = _carry(file, name, old, joined)
    return joined


def _carry(file: RecordedFile, name: str, old: pa.Table, joined: pa.Table) -> pa.Table:
    """The column with nulls filled from the old rows of the same key."""
    if name not in old.column_names or not old.num_rows:
        return joined
    key = list(file.key)
    before = old.select([*key, name]).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    now = joined.select([*key, name]).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    known = before.dropna(subset=[name]).drop_duplicates(key, keep="last").set_index(key)[name]
    index = pd.MultiIndex.from_frame(now[key]) if len(key) > 1 else pd.Index(now[key[0]])
    filled = now[name].fillna(pd.Series(known.reindex(index).to_numpy(), index=now.index, dtype=now[name].dtype))
    field = joined.schema.field(name)
    return joined.set_column(joined.column_names.index(name), field, pa.array(filled, field.type, from_pandas=True))

"""Everything known about the market, and the part of it known at a moment.

`MarketHistory` is loaded once for a window from the warehouse. `MarketHistory.as_of(day)` gives a `MarketView` that
holds that day and what came before it, and nothing later: policies get a view, never the history.
Belongs here: aligning tables into arrays. Does not belong here: deciding, booking.
Shapes: T days, P pools, K tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from defiyield_core.calendar import DayArray, Window, end_of
from defiyield_core.errors import DataError
from defiyield_core.forecasting.port import horizon_of
from defiyield_core.parameters import Parameters
from defiyield_core.units import BoolArray, FloatArray, IntArray
from defiyield_core.warehouse.port import Warehouse

NEVER = 10_000
"""Age in days of something that was never observed."""


@dataclass(frozen=True)
class PoolBook:
    """What pools are, as first seen: P ids in ascending order, labels, tokens (indices into the K tokens)."""

    ids: tuple[str, ...]
    symbols: tuple[str, ...]
    protocols: tuple[str, ...]
    chains: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class MarketView:
    """What is known at the end of `day`.

    Attributes:
        apy, tvl_usd: (P,) last observation carried at most 3 days, NaN otherwise.
        apy_history: (t + 1, P) observed rates of the window's days up to `day`, NaN where missing.
        forecast_apy, forecast_tvl_usd: (P,) forecasts made at the end of `day`, NaN where there is none.
        group: (P,). depositable, must_exit: (P,) verdicts of eligibility. reasons: (P,) texts.
        price_usd: (K,) last close. price_age_days: (K,). on_peg: (K,) not in the icebox. approved: (K,).
        pegged: (K,) pegged to the dollar. market_cap_usd: (K,) NaN where unknown.
        gas_price_gwei, eth_usd: of the day (the forecast where it has none). gas_age_days: age of the gas data.
    """

    day: date
    pools: PoolBook
    tokens: tuple[str, ...]
    apy: FloatArray
    tvl_usd: FloatArray
    apy_history: FloatArray
    forecast_apy: FloatArray
    forecast_tvl_usd: FloatArray
    group: IntArray
    depositable: BoolArray
    must_exit: BoolArray
    reasons: tuple[str, ...]
    price_usd: FloatArray
    price_age_days: IntArray
    on_peg: BoolArray
    approved: BoolArray
    pegged: BoolArray
    market_cap_usd: FloatArray
    gas_price_gwei: float
    eth_usd: float
    gas_age_days: int


@dataclass(frozen=True)
class MarketHistory:
    """A window of the market as arrays, a row per day (see `MarketView` for meanings).

    `observed_apy` is NaN where the pool has no row on the day; `flagged` rates accrue zero; `source_up` says that the
    pool source answered on the day at all.
    """

    days: DayArray
    pools: PoolBook
    tokens: tuple[str, ...]
    observed_apy: FloatArray
    filled_apy: FloatArray
    filled_tvl_usd: FloatArray
    flagged: BoolArray
    source_up: BoolArray
    group: IntArray
    depositable: BoolArray
    must_exit: BoolArray
    reasons: np.ndarray
    forecast_apy: FloatArray
    forecast_tvl_usd: FloatArray
    price_usd: FloatArray
    price_age_days: IntArray
    iceboxed: BoolArray
    approved: BoolArray
    pegged: BoolArray
    market_cap_usd: FloatArray
    gas_price_gwei: FloatArray
    eth_usd: FloatArray
    gas_age_days: IntArray

    def index_of(self, day: date) -> int:
        """Row of a day.

        Raises:
            DataError: the day is outside the window that was loaded.
        """
        row = int((np.datetime64(day, "D") - self.days[0]).astype(int))
        if not 0 <= row < len(self.days):
            raise DataError(f"{day} is outside the loaded window {self.days[0]}..{self.days[-1]}")
        return row

    def as_of(self, day: date) -> MarketView:
        """The view of the end of `day`."""
        t = self.index_of(day)
        return MarketView(
            day=day,
            pools=self.pools,
            tokens=self.tokens,
            apy=self.filled_apy[t],
            tvl_usd=self.filled_tvl_usd[t],
            apy_history=self.observed_apy[: t + 1].copy(),
            forecast_apy=self.forecast_apy[t],
            forecast_tvl_usd=self.forecast_tvl_usd[t],
            group=self.group[t],
            depositable=self.depositable[t],
            must_exit=self.must_exit[t],
            reasons=tuple(self.reasons[t]),
            price_usd=self.price_usd[t],
            price_age_days=self.price_age_days[t],
            on_peg=~self.iceboxed[t],
            approved=self.approved[t],
            pegged=self.pegged,
            market_cap_usd=self.market_cap_usd[t],
            gas_price_gwei=float(self.gas_price_gwei[t]),
            eth_usd=float(self.eth_usd[t]),
            gas_age_days=int(self.gas_age_days[t]),
        )

    def fingerprint(self) -> str:
        """Hash of every number and label: equal fingerprints mean equal data."""
        digest = hashlib.sha256()
        for name in (
            "observed_apy",
            "filled_tvl_usd",
            "forecast_apy",
            "price_usd",
            "gas_price_gwei",
            "eth_usd",
            "group",
        ):
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        for labels in (self.pools.ids, self.tokens, tuple(str(day) for day in self.days)):
            digest.update("\x1f".join(labels).encode())
        digest.update(np.packbits(self.depositable).tobytes())
        return digest.hexdigest()[:16]


def load_market(
    warehouse: Warehouse,
    parameters: Parameters,
    window: Window,
    *,
    held_tokens: Iterable[str] = (),
    held_pools: Iterable[str] = (),
) -> MarketHistory:
    """The market of a window under the parameters' eligibility rules and forecaster, out of the warehouse.

    Raises:
        DataError: a table that decisions need has no row for the window at all.
    """
    days = window.days()
    metrics = warehouse.read("pool_daily_metrics", window)
    if not len(metrics):
        raise DataError(f"pool_daily_metrics has no rows for {window}: run the ingest and process phases first")
    lists = warehouse.read("approved_tokens")
    book = warehouse.read("pools", Window(date(1970, 1, 1), window.end))
    book = book.drop_duplicates("pool_id", keep="first").set_index("pool_id").sort_index()
    names = sorted({*metrics["pool_id"].unique(), *held_pools} & set(book.index))
    tokens = tuple(sorted({*lists["token"], *held_tokens}))
    pools, usable = _pool_book(book.loc[names], tokens)
    pool_frame = _Grid(days, pools.ids, "pool_id")

    eligible = warehouse.read("eligible_pools", window, scope={"ruleset": parameters.ruleset})
    forecasts = warehouse.read("pool_forecasts", window, scope={"model": parameters.forecaster})
    forecasts = forecasts[forecasts["horizon_days"] == horizon_of(parameters)]
    groups = warehouse.read("pool_groups", window)
    observed = pool_frame.of(metrics, "apy", np.nan)
    reasons = np.full(observed.shape, "no row on this day", dtype=object)
    pool_frame.put(eligible, "reasons", reasons)
    price, price_age, market_cap = _prices(warehouse, tokens, window)
    pegged = np.isin(tokens, lists.loc[lists["pegged"], "token"])
    blacklisted = _on_list(warehouse.read("blacklisted_tokens"), tokens, days)
    iceboxed = _iceboxed(warehouse, tokens, window)
    gas, eth, gas_age = _gas(warehouse, window, parameters.max_gas_age_days)
    return MarketHistory(
        days=days,
        pools=pools,
        tokens=tokens,
        observed_apy=observed,
        filled_apy=pool_frame.of(metrics, "apy_filled", np.nan),
        filled_tvl_usd=pool_frame.of(metrics, "tvl_usd_filled", np.nan),
        flagged=pool_frame.of(metrics, "is_flagged", False),
        source_up=_any_row(metrics, days),
        group=pool_frame.of(groups, "pool_group", np.int64(3)),
        depositable=pool_frame.of(eligible, "depositable", False) & usable,
        must_exit=pool_frame.of(eligible, "must_exit", False),
        reasons=reasons,
        forecast_apy=pool_frame.of(forecasts, "apy", np.nan),
        forecast_tvl_usd=pool_frame.of(forecasts, "tvl_usd", np.nan),
        price_usd=_book_price(price, price_age, pegged, iceboxed, parameters),
        price_age_days=price_age,
        iceboxed=iceboxed,
        approved=_on_list(lists, tokens, days) & ~blacklisted,
        pegged=pegged,
        market_cap_usd=market_cap,
        gas_price_gwei=gas,
        eth_usd=eth,
        gas_age_days=gas_age,
    )


class _Grid:
    """Places rows of a long frame into [days x names] arrays."""

    def __init__(self, days: DayArray, names: tuple[str, ...], key: str) -> None:
        self._first = days[0]
        self._shape = (len(days), len(names))
        self._names = pd.Index(names)
        self._key = key

    def of(self, frame: pd.DataFrame, column: str, missing: float | bool | np.int64) -> np.ndarray:
        """Array of one column, `missing` where there is no row."""
        grid = np.full(self._shape, missing)
        self.put(frame, column, grid)
        return grid

    def put(self, frame: pd.DataFrame, column: str, grid: np.ndarray) -> None:
        """Write one column into an existing array."""
        column_of = self._names.get_indexer(frame[self._key])
        row_of = (frame["date"].to_numpy().astype("datetime64[D]") - self._first).astype(int)
        inside = (column_of >= 0) & (row_of >= 0) & (row_of < self._shape[0])
        grid[row_of[inside], column_of[inside]] = frame[column].to_numpy()[inside]


def _pool_book(book: pd.DataFrame, tokens: tuple[str, ...]) -> tuple[PoolBook, BoolArray]:
    """The pools' labels, and which of them consist of known tokens only."""
    index = {token: position for position, token in enumerate(tokens)}
    members = [json.loads(text) for text in book["tokens"]]
    usable = np.array([bool(names) and all(name in index for name in names) for names in members], dtype=bool)
    known = tuple(tuple(index[name] for name in names if name in index) for names in members)
    return (
        PoolBook(
            ids=tuple(book.index),
            symbols=tuple(book["symbol"]),
            protocols=tuple(book["protocol"]),
            chains=tuple(book["chain"]),
            tokens=known,
        ),
        usable,
    )


def _any_row(metrics: pd.DataFrame, days: DayArray) -> BoolArray:
    seen = metrics.loc[metrics["apy"].notna(), "date"].to_numpy().astype("datetime64[D]")
    return np.isin(days, seen)


def _prices(warehouse: Warehouse, tokens: tuple[str, ...], window: Window) -> tuple[FloatArray, IntArray, FloatArray]:
    """Last close, its age in days, last market cap, each (T, K); price 0 and age NEVER before the first."""
    rows = warehouse.read(
        "token_daily",
        Window(date(1970, 1, 1), window.end),
        columns=("date", "token", "close_usd", "market_cap_usd"),
    )
    rows = rows[rows["token"].isin(tokens)]
    first = window.start if not len(rows) else min(window.start, rows["date"].min().date())
    days = Window(first, window.end).days()
    grid = _Grid(days, tokens, "token")
    close, caps = grid.of(rows, "close_usd", np.nan), grid.of(rows, "market_cap_usd", np.nan)
    age = _age(np.isfinite(close))
    keep = slice(len(days) - len(window), len(days))
    return np.nan_to_num(_carried(close)[keep]), age[keep], _carried(caps)[keep]


def _book_price(
    price: FloatArray, age_days: IntArray, pegged: BoolArray, iceboxed: BoolArray, parameters: Parameters
) -> FloatArray:
    """(T, K) the price that books use: the last close, 1 for a dollar token that never had one.

    With `prices: pegged` every dollar token counts as 1, except one that is being left at the market price.
    """
    booked = np.where((age_days >= NEVER) & pegged, 1.0, price)
    if parameters.prices == "pegged":
        at_market = iceboxed if parameters.icebox_policy == "exit" else np.zeros_like(iceboxed)
        booked = np.where(pegged & ~at_market, 1.0, booked)
    return booked


def _carried(values: FloatArray) -> FloatArray:
    """Last finite value of each column, NaN before the first."""
    rows = np.where(np.isfinite(values), np.arange(len(values))[:, None], -1)
    last = np.maximum.accumulate(rows, axis=0)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), np.nan)


def _age(observed: BoolArray) -> IntArray:
    """Days since the last observation of each column, NEVER before the first."""
    steps = np.arange(len(observed))[:, None]
    last = np.maximum.accumulate(np.where(observed, steps, -1), axis=0)
    return np.where(last >= 0, steps - last, NEVER)


def _on_list(entries: pd.DataFrame, tokens: tuple[str, ...], days: DayArray) -> BoolArray:
    """(T, K) on the list at the end of the day."""
    index = {token: position for position, token in enumerate(tokens)}
    on_list = np.zeros((len(days), len(tokens)), dtype=bool)
    ends = np.array([np.datetime64(end_of(day.astype(date)), "us") for day in days])
    for row in entries[entries["token"].isin(tokens)].itertuples():
        removed_at = np.datetime64("NaT") if pd.isna(row.removed_at) else np.datetime64(row.removed_at, "us")
        on_list[:, index[row.token]] |= (ends >= np.datetime64(row.added_at, "us")) & ~(ends >= removed_at)
    return on_list


def _iceboxed(warehouse: Warehouse, tokens: tuple[str, ...], window: Window) -> BoolArray:
    rows = warehouse.read("icebox_tokens", window)
    inside = rows[rows["status"] != "left"].assign(inside=True)
    return _Grid(window.days(), tokens, "token").of(inside, "inside", False)


def _gas(warehouse: Warehouse, window: Window, max_age_days: int) -> tuple[FloatArray, FloatArray, IntArray]:
    """(T,) gas price in gwei and ETH price (the forecast where the day has none), and the age of the data."""
    span = Window(window.start - timedelta(days=max_age_days + 1), window.end)
    rows = warehouse.read("gas_fees_daily", span)
    days = span.days()
    values = np.full((len(days), 2), np.nan)
    row_of = (rows["date"].to_numpy().astype("datetime64[D]") - days[0]).astype(int)
    values[row_of, 0] = (rows["base_fee_gwei"] + rows["priority_fee_gwei"]).to_numpy()
    values[row_of, 1] = rows["eth_usd"].to_numpy()
    age = _age(np.isfinite(values[:, :1]))[:, 0]
    forecast = warehouse.read("gas_forecasts", span, scope={"model": "ewma"})
    forecast = forecast[forecast["horizon_days"] == 1]
    gap_fill: Mapping[date, tuple[float, float]] = {
        row.date.date(): (row.gas_price_gwei, row.eth_usd) for row in forecast.itertuples()
    }
    filled = _carried(values)
    for t, day in enumerate(days):
        known = gap_fill.get(day.astype(date))
        if age[t] > 0 and known is not None:
            filled[t] = known
    keep = slice(len(days) - len(window), len(days))
    return filled[keep, 0], filled[keep, 1], age[keep]

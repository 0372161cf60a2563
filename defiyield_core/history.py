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
from dataclasses import asdict, dataclass, fields
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.calendar import DayArray, Window
from defiyield_core.errors import DataError
from defiyield_core.forecasting.port import horizon_of
from defiyield_core.grids import NEVER, Grid, age_days, carried
from defiyield_core.parameters import ELIGIBILITY_FIELDS, Parameters
from defiyield_core.units import BoolArray, FloatArray, IntArray
from defiyield_core.universe.eligibility import GONE_DAYS
from defiyield_core.universe.facts import iceboxed_days, on_list
from defiyield_core.universe.gas import daily_gas, hourly_gas
from defiyield_core.universe.metrics import ROW_DAYS
from defiyield_core.universe.observations import REFERENCE_DAYS, absent_days, pool_observations
from defiyield_core.universe.prices import token_candles
from defiyield_core.warehouse.port import Warehouse


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

    `observed_apy` is NaN where the pool has no row on the day; `flagged` rates accrue zero; `absent_days` counts the
    days in a row on which the pool had no row while the source was up, up to 3 (it is gone then).
    """

    days: DayArray
    pools: PoolBook
    tokens: tuple[str, ...]
    observed_apy: FloatArray
    filled_apy: FloatArray
    filled_tvl_usd: FloatArray
    flagged: BoolArray
    absent_days: IntArray
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
        """The view of the end of `day`, in arrays of its own: no later day hangs on them."""
        t = self.index_of(day)
        return MarketView(
            day=day,
            pools=self.pools,
            tokens=self.tokens,
            apy=self.filled_apy[t].copy(),
            tvl_usd=self.filled_tvl_usd[t].copy(),
            apy_history=self.observed_apy[: t + 1].copy(),
            forecast_apy=self.forecast_apy[t].copy(),
            forecast_tvl_usd=self.forecast_tvl_usd[t].copy(),
            group=self.group[t].copy(),
            depositable=self.depositable[t].copy(),
            must_exit=self.must_exit[t].copy(),
            reasons=tuple(self.reasons[t]),
            price_usd=self.price_usd[t].copy(),
            price_age_days=self.price_age_days[t].copy(),
            on_peg=~self.iceboxed[t],
            approved=self.approved[t].copy(),
            pegged=self.pegged.copy(),
            market_cap_usd=self.market_cap_usd[t].copy(),
            gas_price_gwei=float(self.gas_price_gwei[t]),
            eth_usd=float(self.eth_usd[t]),
            gas_age_days=int(self.gas_age_days[t]),
        )

    def fingerprint(self) -> str:
        """Hash of every number and label: equal fingerprints mean equal data."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray) and value.dtype != object:
                digest.update(np.ascontiguousarray(value).tobytes())
            else:
                plain = value.tolist() if isinstance(value, np.ndarray) else value
                digest.update(json.dumps(asdict(plain) if isinstance(plain, PoolBook) else plain).encode())
        return digest.hexdigest()[:16]


MARKET_FIELDS = (
    "forecaster",
    "forecast_apy",
    "horizon_days",
    "prices",
    "icebox_policy",
    "max_gas_age_days",
    *ELIGIBILITY_FIELDS,
)
"""Parameters that a market depends on: where they are equal, portfolios may share one."""


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
    metrics = warehouse.read("pool_daily_metrics", window)
    if not len(metrics):
        raise DataError(f"pool_daily_metrics has no rows for {window}: run the ingest and process phases first")
    book = warehouse.read("pools", Window(date(1970, 1, 1), window.end))
    book = book.drop_duplicates("pool_id", keep="first").set_index("pool_id").sort_index()
    names = sorted({*metrics["pool_id"].unique(), *held_pools} & set(book.index))
    tokens = tuple(sorted({*warehouse.read("approved_tokens")["token"], *held_tokens}))
    pools, known = _pool_book(book.loc[names], tokens)
    of_tokens = _token_arrays(warehouse, parameters, window, tokens)
    of_pools = _pool_arrays(warehouse, parameters, window, pools, metrics)
    usable = known & _all_priced(pools, of_tokens["price_usd"])
    of_pools["depositable"] &= usable
    of_pools["reasons"][~usable & (of_pools["reasons"] == "")] = "no price for one of its tokens"
    gas, eth, gas_age = _gas(warehouse, window, parameters.max_gas_age_days)
    return MarketHistory(
        days=window.days(),
        pools=pools,
        tokens=tokens,
        absent_days=_absent_days(warehouse, window, pools),
        **of_pools,
        **of_tokens,
        gas_price_gwei=gas,
        eth_usd=eth,
        gas_age_days=gas_age,
    )


def _pool_arrays(
    warehouse: Warehouse, parameters: Parameters, window: Window, pools: PoolBook, metrics: pd.DataFrame
) -> dict[str, Any]:
    """What the tables of the window say of pools, (T, P) by the names of `MarketHistory`."""
    grid = Grid(window.days(), pools.ids, "pool_id")
    eligible = warehouse.read("eligible_pools", window, scope={"ruleset": parameters.ruleset})
    forecasts = _forecasts(warehouse, parameters, window)
    observed = grid.of(metrics, "apy", np.nan)
    reasons = np.full(observed.shape, "no row on this day", dtype=object)
    grid.put(eligible, "reasons", reasons)
    return {
        "observed_apy": observed,
        "filled_apy": grid.of(metrics, "apy_filled", np.nan),
        "filled_tvl_usd": grid.of(metrics, "tvl_usd_filled", np.nan),
        "flagged": grid.of(metrics, "is_flagged", False),
        "group": grid.of(warehouse.read("pool_groups", window), "pool_group", np.int64(3)),
        "depositable": grid.of(eligible, "depositable", False),
        "must_exit": grid.of(eligible, "must_exit", False),
        "reasons": reasons,
        "forecast_apy": grid.of(forecasts, "expected_apy", np.nan),
        "forecast_tvl_usd": grid.of(forecasts, "tvl_usd", np.nan),
    }


def _forecasts(warehouse: Warehouse, parameters: Parameters, window: Window) -> pd.DataFrame:
    """Forecasts of the parameters' model and horizon, with the APY that decisions expect (`forecast_apy`)."""
    wanted = ("date", "pool_id", "horizon_days", "apy", "risk_adjusted_apy", "tvl_usd")
    rows = warehouse.read("pool_forecasts", window, scope={"model": parameters.forecaster}, columns=wanted)
    rows = rows[rows["horizon_days"] == horizon_of(parameters)]
    if parameters.forecast_apy == "point":
        return rows.assign(expected_apy=rows["apy"])
    if len(rows) and rows["risk_adjusted_apy"].isna().all():
        raise DataError(f"the forecasts of {parameters.forecaster} for {window} have no bounds: forecast them again")
    return rows.assign(expected_apy=rows["risk_adjusted_apy"].fillna(rows["apy"]))


def _token_arrays(
    warehouse: Warehouse, parameters: Parameters, window: Window, tokens: tuple[str, ...]
) -> dict[str, Any]:
    """Prices and lists of tokens, (T, K) by the names of `MarketHistory`."""
    approved, blacklist = warehouse.read("approved_tokens"), warehouse.read("blacklisted_tokens")
    labels = np.array(tokens, dtype=object)
    price, price_age, market_cap = _prices(warehouse, tokens, window)
    pegged = np.isin(tokens, approved.loc[approved["pegged"], "token"])
    iceboxed = iceboxed_days(labels, window, approved, warehouse.read("icebox_tokens", window))
    return {
        "price_usd": _book_price(price, price_age, pegged, iceboxed, parameters),
        "price_age_days": price_age,
        "iceboxed": iceboxed,
        "approved": on_list(approved, "token", labels, window) & ~on_list(blacklist, "token", labels, window),
        "pegged": pegged,
        "market_cap_usd": market_cap,
    }


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


def _all_priced(pools: PoolBook, price: FloatArray) -> BoolArray:
    """(T, P) every token of the pool has a price that books can use."""
    priced = np.ones((len(price), len(pools.ids)), dtype=bool)
    for pool, members in enumerate(pools.tokens):
        priced[:, pool] = (price[:, list(members)] > 0).all(axis=1)
    return priced


def _absent_days(warehouse: Warehouse, window: Window, pools: PoolBook) -> IntArray:
    """(T, P) by the same rule and from the same days as eligibility's, up to GONE_DAYS (also for a pool unseen)."""
    span = Window(window.start - timedelta(days=ROW_DAYS + REFERENCE_DAYS + 1), window.end)
    wanted = ("date", "pool_id", "apy", "tvl_usd")
    observed = pool_observations(
        warehouse.read("raw_defillama_pool_history", span, columns=wanted),
        warehouse.read("raw_defillama_pools", span, columns=(*wanted, "stablecoin")),
        span.days(),
    )
    absent = absent_days(~np.isnan(observed["apy"]))[-len(window) :]
    column = pd.Index(observed.ids).get_indexer(list(pools.ids))
    counted = np.full((len(window), len(pools.ids)), GONE_DAYS, dtype=np.int64)
    counted[:, column >= 0] = np.minimum(absent[:, column[column >= 0]], GONE_DAYS)
    return counted


def _prices(warehouse: Warehouse, tokens: tuple[str, ...], window: Window) -> tuple[FloatArray, IntArray, FloatArray]:
    """Last close, its age in days, last market cap, each (T, K); price 0 and age NEVER before the first.

    From the raw candles, which reach back before the window: a price is carried into it.
    """
    rows = token_candles(warehouse.read("raw_coinmarketcap_ohlcv", Window(date(1970, 1, 1), window.end)))
    rows = rows[rows["token"].isin(tokens)]
    first = window.start if not len(rows) else min(window.start, rows["date"].min().date())
    days = Window(first, window.end).days()
    grid = Grid(days, tokens, "token")
    close, caps = grid.of(rows, "close_usd", np.nan), grid.of(rows, "market_cap_usd", np.nan)
    age = age_days(np.isfinite(close))
    keep = slice(len(days) - len(window), len(days))
    return np.nan_to_num(carried(close)[keep]), age[keep], carried(caps)[keep]


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


def _gas(warehouse: Warehouse, window: Window, max_age_days: int) -> tuple[FloatArray, FloatArray, IntArray]:
    """(T,) gas price in gwei and ETH price (the forecast where the day has none), and the age of the data."""
    span = Window(window.start - timedelta(days=max_age_days + 1), window.end)
    rows = daily_gas(hourly_gas(warehouse.read("raw_ethgastracker_hourly_gas_data", span)))
    days = span.days()
    values = np.full((len(days), 2), np.nan)
    row_of = (rows["date"].to_numpy().astype("datetime64[D]") - days[0]).astype(int)
    values[row_of, 0] = (rows["base_fee_gwei"] + rows["priority_fee_gwei"]).to_numpy()
    values[row_of, 1] = rows["eth_usd"].to_numpy()
    age = age_days(np.isfinite(values[:, :1]))[:, 0]
    forecast = warehouse.read("gas_forecasts", span, scope={"model": "ewma"})
    forecast = forecast[forecast["horizon_days"] == 1]
    gap_fill: Mapping[date, tuple[float, float]] = {
        row.date.date(): (row.gas_price_gwei, row.eth_usd) for row in forecast.itertuples()
    }
    filled = carried(values)
    for t, day in enumerate(days):
        known = gap_fill.get(day.astype(date))
        if age[t] > 0 and known is not None:
            filled[t] = known
    keep = slice(len(days) - len(window), len(days))
    return filled[keep, 0], filled[keep, 1], age[keep]

"""Loading a market: what is carried into the window, what counts as absence, and that a view cannot look ahead."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.backtest.engine import LoadedRange, load_range
from defiyield_core.calendar import Window
from defiyield_core.history import NEVER, MarketHistory, load_market
from defiyield_core.parameters import parameters
from defiyield_core.settings import Settings
from defiyield_core.warehouse.port import TableWrite
from tests.unit.portfolio.markets import FIRST, market

RULES = parameters("default")
WINDOW = Window(date(2025, 2, 10), date(2025, 2, 14))
EVERYTHING = Window(date(1970, 1, 1), WINDOW.end)
CHARTS, SNAPSHOTS = "raw_defillama_pool_history", "raw_defillama_pools"
CANDLES, GAS = "raw_coinmarketcap_ohlcv", "raw_ethgastracker_hourly_gas_data"


@pytest.fixture(scope="module")
def loaded() -> LoadedRange:
    return load_range(Settings.from_environment({}, source="simulated:11"), WINDOW)


class Without:
    """The warehouse without some rows of its raw tables, for the length of a test."""

    def __init__(self, loaded: LoadedRange) -> None:
        self.loaded = loaded
        self.before: dict[str, pd.DataFrame] = {}

    def rows(self, table: str, first: date, last: date, keep: set[str] = frozenset(), column: str = "pool_id") -> None:
        frame = self.loaded.warehouse.read(table)
        self.before.setdefault(table, frame)
        inside = frame["date"].between(pd.Timestamp(first), pd.Timestamp(last)) & ~frame[column].isin(keep)
        self.loaded.warehouse.replace((TableWrite(table, frame[~inside], EVERYTHING),))

    def market(self) -> MarketHistory:
        return load_market(self.loaded.warehouse, RULES, WINDOW)


@pytest.fixture
def without(loaded: LoadedRange):
    made = Without(loaded)
    yield made
    loaded.warehouse.replace(tuple(TableWrite(name, frame, EVERYTHING) for name, frame in made.before.items()))


def test_a_price_from_before_the_window_is_carried_into_it(without: Without):
    usdc = without.market().tokens.index("USDC")
    others = set(without.loaded.warehouse.read(CANDLES)["symbol"]) - {"USDC"}
    without.rows(CANDLES, WINDOW.start, WINDOW.start, keep=others, column="symbol")
    candles = without.loaded.warehouse.read(CANDLES)
    eve = candles[(candles["symbol"] == "USDC") & (candles["date"] == pd.Timestamp(WINDOW.start - timedelta(days=1)))]
    carried = without.market()
    assert carried.price_usd[0, usdc] == eve["close"].iloc[0]
    assert carried.price_age_days[:2, usdc].tolist() == [1, 0]


def test_gas_from_before_the_window_is_carried_into_it(without: Without):
    without.rows(GAS, WINDOW.start, WINDOW.start, column="source")
    carried = without.market()
    assert carried.gas_age_days[:2].tolist() == [1, 0]
    assert np.isfinite(carried.gas_price_gwei[0]) and carried.eth_usd[0] > 0


def test_a_token_without_any_price_closes_its_pools_unless_it_is_a_dollar(without: Without):
    whole = without.market()
    token = whole.tokens.index("USDC")
    mine = [pool for pool, members in enumerate(whole.pools.tokens) if token in members]
    assert whole.depositable[:, mine].any()
    others = set(without.loaded.warehouse.read(CANDLES)["symbol"]) - {"USDC"}
    without.rows(CANDLES, date(1970, 1, 1), WINDOW.end, keep=others, column="symbol")
    assert (without.market().price_usd[:, token] == 1.0).all()
    assert without.market().depositable[:, mine].any()
    lists = without.loaded.warehouse.read("approved_tokens")
    without.loaded.warehouse.replace(
        (TableWrite("approved_tokens", lists.assign(pegged=lists["pegged"] & (lists["token"] != "USDC")), None),)
    )
    try:
        unpriced = without.market()
    finally:
        without.loaded.warehouse.replace((TableWrite("approved_tokens", lists, None),))
    assert (unpriced.price_age_days[:, token] == NEVER).all()
    assert not unpriced.depositable[:, mine].any()
    assert "no price for one of its tokens" in set(unpriced.reasons[:, mine].ravel())


def test_a_pool_alone_without_rows_is_absent_and_gone_on_the_third_day(without: Without):
    whole = without.market()
    seen = np.isfinite(whole.observed_apy).all(axis=0)
    pool = int(np.flatnonzero(seen)[0])
    others = set(without.loaded.warehouse.read(CHARTS)["pool_id"]) - {whole.pools.ids[pool]}
    for table in (CHARTS, SNAPSHOTS):
        without.rows(table, WINDOW.start + timedelta(days=1), WINDOW.end, keep=others)
    assert without.market().absent_days[:, pool].tolist() == [0, 1, 2, 3, 3]


def test_an_outage_that_lets_a_few_pools_through_is_no_pools_absence(without: Without):
    whole = without.market()
    seen = np.flatnonzero(np.isfinite(whole.observed_apy).all(axis=0))
    for table in (CHARTS, SNAPSHOTS):
        without.rows(
            table, WINDOW.start + timedelta(days=1), WINDOW.start + timedelta(days=3), keep=set(whole.pools.ids[:3])
        )
    assert (without.market().absent_days[:, seen] == 0).all()


def test_a_wrapper_is_off_its_peg_with_what_it_wraps(loaded: LoadedRange):
    lists, iced = loaded.warehouse.read("approved_tokens"), loaded.warehouse.read("icebox_tokens")
    wrapper = lists[lists["token"] == "USDC"].assign(token="SUSDE", pegged=False, wraps="USDE")
    inside = {"token": "USDE", "status": "held", "reason": "close", "added_at": pd.Timestamp(WINDOW.start)}
    frozen = pd.DataFrame([{"date": pd.Timestamp(day), **inside} for day in WINDOW]).reindex(columns=iced.columns)
    both = (
        TableWrite("approved_tokens", pd.concat([lists, wrapper], ignore_index=True), None),
        TableWrite("icebox_tokens", frozen, WINDOW),
    )
    loaded.warehouse.replace(both)
    try:
        seen = load_market(loaded.warehouse, RULES, WINDOW)
    finally:
        loaded.warehouse.replace(
            (TableWrite("approved_tokens", lists, None), TableWrite("icebox_tokens", iced, WINDOW))
        )
    assert seen.iceboxed[:, seen.tokens.index("SUSDE")].all()
    assert not seen.iceboxed[:, seen.tokens.index("USDT")].any()


def test_a_view_shares_no_memory_with_the_days_after_it():
    history = market()
    view = history.as_of(FIRST)
    for field in fields(view):
        value = getattr(view, field.name)
        if isinstance(value, np.ndarray):
            for source in fields(history):
                other = getattr(history, source.name)
                if isinstance(other, np.ndarray):
                    assert not np.shares_memory(value, other), field.name


def test_the_fingerprint_depends_on_every_array():
    history = market()
    for field in fields(history):
        value = getattr(history, field.name)
        if isinstance(value, np.ndarray):
            changed = value.copy()
            last = changed.flat[-1]
            changed.flat[-1] = "x" if value.dtype == object else (not last if value.dtype == bool else last + 1)
            assert replace(history, **{field.name: changed}).fingerprint() != history.fingerprint(), field.name
    assert replace(history, tokens=("A", "B", "C")).fingerprint() != history.fingerprint()
    assert market().fingerprint() == history.fingerprint()

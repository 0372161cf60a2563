"""The source over a warehouse's raw tables: what was stored, and nothing else."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.sources.opening import open_source, source_label
from defiyield_core.sources.simulated import SimulatedSource
from defiyield_core.sources.stored import BALANCES, CANDLES, GAS, HISTORY, SNAPSHOTS, StoredSource
from defiyield_core.warehouse.memory import MemoryWarehouse
from defiyield_core.warehouse.port import TableWrite

MARKET = SimulatedSource(3, days=12, pools=6)
CHARTED = Window(MARKET.first_day, MARKET.last_day)
TOLD = Window(MARKET.last_day - timedelta(days=2), MARKET.last_day)
"""Snapshots are stored from later on than charts, as in a young deployment."""
SINGLE = Window(TOLD.start, TOLD.start)


def pool_ids() -> list[str]:
    return sorted(MARKET.pool_snapshots(TOLD).frame["pool_id"].unique())


@pytest.fixture(scope="module")
def warehouse() -> MemoryWarehouse:
    made = MemoryWarehouse()
    frames = {
        SNAPSHOTS: (TOLD, MARKET.pool_snapshots(TOLD).frame),
        HISTORY: (CHARTED, MARKET.pool_history(CHARTED, pool_ids()).frame),
        CANDLES: (CHARTED, MARKET.token_ohlcv(CHARTED, ("USDC",)).frame),
        GAS: (TOLD, MARKET.gas_hourly(TOLD).frame),
    }
    made.replace([TableWrite(name, frame, window) for name, (window, frame) in frames.items()])
    return made


@pytest.fixture
def stored(warehouse) -> StoredSource:
    return StoredSource(warehouse)


def test_it_spans_from_the_first_chart_to_the_last_snapshot(stored):
    assert (stored.name, stored.first_day, stored.last_day) == (
        "stored:memory (gone when the process ends)",
        CHARTED.start,
        TOLD.end,
    )


@pytest.mark.parametrize("window", [CHARTED, TOLD, SINGLE])
def test_it_answers_with_the_rows_that_were_stored(warehouse, stored, window):
    answers = {
        SNAPSHOTS: stored.pool_snapshots(window),
        HISTORY: stored.pool_history(window, pool_ids()),
        CANDLES: stored.token_ohlcv(window, ()),
        GAS: stored.gas_hourly(window),
    }
    for name, answer in answers.items():
        assert len(answer.frame)
        pd.testing.assert_frame_equal(answer.frame, warehouse.read(name, window), obj=name)
        assert (answer.complete, answer.warnings) == (True, ())


def test_charts_are_of_the_pools_asked_for(stored):
    first, *_ = pool_ids()
    answer = stored.pool_history(CHARTED, (first, "never-heard-of"))
    assert set(answer.frame["pool_id"]) == {first}
    assert not len(stored.pool_history(CHARTED, ()).frame)


def test_accounts_are_those_asked_for_in_any_spelling(warehouse):
    day = pd.Timestamp(TOLD.end)
    fields = {"date": day, "valid_at": day, "seen_at": day, "source": "test", "token": "ETH", "amount": 1.0}
    frame = pd.DataFrame([{**fields, "address": address} for address in ("0xaa", "0xbb")])
    with_accounts = MemoryWarehouse()
    with_accounts.replace(
        [
            TableWrite(SNAPSHOTS, warehouse.read(SNAPSHOTS), TOLD),
            TableWrite(BALANCES, frame, Window(TOLD.end, TOLD.end)),
        ]
    )
    source = StoredSource(with_accounts)
    assert source.account_balances(TOLD, ("0xAA",)).frame["address"].tolist() == ["0xaa"]
    assert not len(source.account_balances(TOLD, ()).frame)
    assert not len(source.account_transactions(TOLD, ("0xAA",)).frame)


def test_days_outside_what_is_stored_have_no_rows(stored):
    before = Window(date(2020, 1, 1), date(2020, 1, 31))
    assert not len(stored.pool_snapshots(before).frame)
    assert not len(stored.gas_hourly(before).frame)


def test_a_warehouse_without_snapshots_is_refused():
    with pytest.raises(ConfigurationError, match=r"source 'stored:memory .*': no pool snapshots are stored there"):
        StoredSource(MemoryWarehouse())


def test_it_opens_by_the_address_of_a_warehouse_and_never_shows_it(tmp_path):
    with pytest.raises(ConfigurationError, match="no pool snapshots"):
        open_source(f"stored:duckdb:{tmp_path / 'empty.duckdb'}")
    secret = "stored:postgresql://desk:hush@127.0.0.1:1/none"
    assert "hush" not in source_label(secret) and source_label("simulated:3") == "simulated:3"

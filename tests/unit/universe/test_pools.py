"""Pools as they stood on a day."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.universe.pools import SNAPSHOT_COLUMNS, first_seen, stablecoin_pools
from tests.unit.universe.frames import FIRST, day, stamp

USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"


def snapshots(*rows: dict[str, Any]) -> pd.DataFrame:
    """Snapshot rows with usual values where none are given."""
    usual = dict.fromkeys(SNAPSHOT_COLUMNS) | {
        "chain": "Ethereum",
        "project": "aave-v3",
        "symbol": "USDC",
        "tvl_usd": 1e6,
        "stablecoin": True,
    }
    frame = pd.DataFrame([usual | row for row in rows], columns=list(SNAPSHOT_COLUMNS))
    return frame.assign(date=frame["date"].map(stamp))


def pools_of(frame: pd.DataFrame, first: int, last: int) -> pd.DataFrame:
    """The table `pools` of a window."""
    return stablecoin_pools(frame, first_seen([frame]), Window(day(first), day(last)))


def test_an_address_becomes_the_token_and_a_repeated_token_counts_once() -> None:
    rows = pools_of(snapshots({"date": 0, "pool_id": "a", "underlying_tokens": json.dumps([USDC, USDC.lower()])}), 0, 0)
    assert rows["tokens"].tolist() == ['["USDC"]']


def test_a_contract_that_was_approved_later_is_named_by_the_list() -> None:
    address = "0x" + "ab" * 20
    frame = snapshots({"date": 0, "pool_id": "p", "underlying_tokens": f'["{address}"]'})
    rows = stablecoin_pools(frame, first_seen([frame]), Window(FIRST, FIRST), {f"ethereum:{address}": "NEWUSD"})
    assert set(rows["tokens"]) == {'["NEWUSD"]'}


def test_without_a_list_the_symbol_names_the_tokens() -> None:
    rows = pools_of(snapshots({"date": 0, "pool_id": "a", "symbol": "USDe-usdt"}), 0, 0)
    assert json.loads(rows["tokens"].iloc[0]) == ["USDE", "USDT"]


def test_a_pool_without_any_name_holds_an_unknown_token() -> None:
    rows = pools_of(snapshots({"date": 0, "pool_id": "a", "symbol": ""}), 0, 0)
    assert rows["tokens"].tolist() == ['["UNKNOWN"]']


def test_other_pools_are_left_out() -> None:
    frame = snapshots({"date": 0, "pool_id": "a"}, {"date": 0, "pool_id": "b", "stablecoin": False})
    assert pools_of(frame, 0, 0)["pool_id"].tolist() == ["a"]


def test_a_pool_that_left_the_snapshots_keeps_its_row_for_thirty_days() -> None:
    rows = pools_of(snapshots({"date": 0, "pool_id": "a", "tvl_usd": 7.0}), 1, 40)
    assert rows["date"].max() == stamp(30)
    assert (rows["tvl_usd"] == 7.0).all() and len(rows) == 30


def test_a_pool_is_described_by_its_newest_snapshot_and_not_a_later_one() -> None:
    frame = snapshots({"date": 0, "pool_id": "a", "tvl_usd": 1.0}, {"date": 2, "pool_id": "a", "tvl_usd": 3.0})
    rows = pools_of(frame, 0, 3)
    assert rows["tvl_usd"].tolist() == [1.0, 1.0, 3.0, 3.0]
    assert (rows["first_day"] == pd.Timestamp(FIRST)).all()


def test_the_first_day_may_be_known_from_the_chart() -> None:
    chart = pd.DataFrame({"date": [stamp(-9)], "pool_id": ["a"]})
    frame = snapshots({"date": 0, "pool_id": "a"})
    rows = stablecoin_pools(frame, first_seen([frame, chart]), Window(FIRST, FIRST))
    assert rows["first_day"].tolist() == [stamp(-9)]

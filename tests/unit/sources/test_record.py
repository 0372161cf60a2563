"""Recording live history into the layout that the recorded source replays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError, SourceError
from defiyield_core.sources import coinmarketcap, defillama, ethgastracker
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.record import record
from defiyield_core.sources.recorded import RecordedSource
from tests.unit.sources.conftest import (
    candle,
    chart_answer,
    chart_point,
    gas_answer,
    gas_hour,
    ohlcv_asset,
    pool_entry,
    pools_answer,
)

TODAY = date(2025, 6, 2)
SEEN = datetime(2025, 6, 2, 12)
WINDOW = Window(date(2025, 5, 31), date(2025, 6, 1))
POOLS, HISTORY = "pools/pools.parquet", "pools/pool_history.parquet"
CANDLES, GAS = "market/token_ohlcv_daily.parquet", "market/gas_daily.parquet"
FILES = (POOLS, HISTORY, CANDLES, GAS)


@dataclass
class Market:
    """A source over given answers, parsed as live ones are."""

    pools: Sequence[Any] = ()
    charts: dict[str, Sequence[Any]] = field(default_factory=dict)
    assets: Sequence[Any] = ()
    hours: Sequence[Any] = ()
    gas_fails: bool = False
    first_day: date = date(2025, 5, 1)
    asked_pools: list[str] = field(default_factory=list)
    asked_window: Window | None = None

    def current_pools(self) -> Fetched:
        return defillama.parse_pools(pools_answer(*self.pools), day=TODAY, seen_at=SEEN, source="live")

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        self.asked_pools, self.asked_window = list(pool_ids), window
        payloads = {pool: chart_answer(*self.charts.get(pool, ())) for pool in pool_ids}
        return defillama.parse_charts(payloads, window=window, seen_at=SEEN, source="live")

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        payload = {"data": list(self.assets)}
        return coinmarketcap.parse_ohlcv(payload, window=window, seen_at=SEEN, source="live")

    def gas_hourly(self, window: Window) -> Fetched:
        if self.gas_fails:
            raise SourceError("ethgastracker is down")
        return ethgastracker.parse_average(gas_answer(*self.hours), window=window, seen_at=SEEN, source="live")


def market(**fields: Any) -> Market:
    given = {
        "pools": [pool_entry("a"), pool_entry("b", symbol="DAI-USDC", underlyingTokens=None, project="curve-dex")],
        "charts": {
            "a": [chart_point("2025-05-31T23:00:00Z", apy=4.56789), chart_point("2025-06-01T23:00:00Z", apy=4.6)],
            "b": [chart_point("2025-06-01T23:00:00Z", apy=None, apyBase=None)],
        },
        "assets": [ohlcv_asset("USDC", candle("2025-05-31", 0.9991), candle("2025-06-01"))],
        "hours": [gas_hour(f"2025-06-01T{h:02}:00:00Z", baseFee=1.0 + h, median=2.0 + h) for h in range(24)],
    }
    return Market(**{**given, **fields})


def read(folder: Path, name: str) -> pd.DataFrame:
    return pq.read_table(folder / name).to_pandas()


def test_rates_are_written_in_percent_as_they_came(tmp_path: Path) -> None:
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    history = read(tmp_path, HISTORY)
    assert history["apy"].tolist()[:2] == [4.56789, 4.6]
    assert np.isnan(history["apy"].tolist()[2])
    assert history["pool_id"].tolist() == ["a", "a", "b"]


def test_percent_survives_the_way_through_the_files(tmp_path: Path) -> None:
    source = market()
    record(source, tmp_path, window=WINDOW, today=TODAY)
    live = source.pool_history(WINDOW, ["a", "b"]).frame
    replayed = RecordedSource(str(tmp_path)).pool_history(WINDOW, ["a", "b"]).frame
    for name in ("apy", "apy_base", "apy_reward", "tvl_usd"):
        np.testing.assert_array_equal(replayed[name], live[name])


def test_what_was_recorded_can_be_replayed(tmp_path: Path) -> None:
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    source = RecordedSource(str(tmp_path))
    pools = source.pool_snapshots(WINDOW).frame
    assert set(pools["pool_id"]) == {"a", "b"}
    prices = source.token_ohlcv(WINDOW, ["USDC"]).frame
    assert prices[prices["symbol"] == "USDC"]["close"].tolist() == [0.9991, 1.0]
    gas = source.gas_hourly(Window(date(2025, 6, 1), date(2025, 6, 1))).frame
    assert (gas["base_fee_gwei"] + gas["priority_fee_gwei"]).tolist() == [13.5]


def test_a_days_gas_is_the_mean_of_its_hours_tip_included(tmp_path: Path) -> None:
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    row = read(tmp_path, GAS).iloc[0]
    assert row["avg_gas_price_gwei"] == 13.5  # mean of 1..24, and a tip of 1
    assert row["avg_gas_price_wei"] == 13_500_000_000
    assert row["unix_timestamp"] == 1748736000
    assert row["date"] == date(2025, 6, 1)


def test_a_day_with_few_hours_of_gas_is_left_out_and_named(tmp_path: Path) -> None:
    hours = [gas_hour(f"2025-06-01T{h:02}:00:00Z") for h in range(11)]
    report = record(market(hours=hours), tmp_path, window=WINDOW, today=TODAY)
    assert len(read(tmp_path, GAS)) == 0
    assert any("gas of 2025-06-01 was not recorded" in note for note in report.warnings)


def test_a_gas_outage_does_not_stop_the_rest(tmp_path: Path) -> None:
    report = record(market(gas_fails=True), tmp_path, window=WINDOW, today=TODAY)
    assert report.rows[HISTORY] == 3
    assert report.rows[GAS] == 0
    assert not report.complete
    assert "no gas prices were recorded: ethgastracker is down" in report.warnings
    assert "not complete" in report.text()


def test_tokens_are_named_by_their_contracts(tmp_path: Path) -> None:
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    pools = read(tmp_path, POOLS).set_index("pool_id")
    assert {pool: list(tokens) for pool, tokens in pools["underlying_tokens"].items()} == {
        "a": ["USDC"],
        "b": ["DAI", "USDC"],
    }


def test_small_pools_and_pools_of_other_tokens_are_left_out(tmp_path: Path) -> None:
    pools = [
        pool_entry("good"),
        pool_entry("small", tvlUsd=999_999.0),
        pool_entry("volatile", stablecoin=False),
        pool_entry("elsewhere", chain="Base"),
    ]
    source = market(pools=pools)
    record(source, tmp_path, window=WINDOW, today=TODAY)
    assert source.asked_pools == ["elsewhere", "good"]
    record(source, tmp_path, window=WINDOW, today=TODAY, chains=["ethereum"])
    assert source.asked_pools == ["good"]
    record(source, tmp_path, window=WINDOW, today=TODAY, stablecoins_only=False, min_tvl_usd=0)
    assert source.asked_pools == ["elsewhere", "good", "small", "volatile"]


def test_when_no_pool_fits_it_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="none of 2 listed pools fits"):
        record(market(), tmp_path, window=WINDOW, today=TODAY, min_tvl_usd=1e15)
    assert list(tmp_path.iterdir()) == []


def test_new_rows_win_and_nothing_else_is_lost(tmp_path: Path) -> None:
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    later = market(
        pools=[pool_entry("a", poolMeta="renamed"), pool_entry("c")],
        charts={"a": [chart_point("2025-06-01T23:00:00Z", apy=9.0)], "c": [chart_point("2025-06-01T01:00:00Z")]},
        assets=[ohlcv_asset("USDT", candle("2025-06-01"))],
        hours=[],
    )
    report = record(later, tmp_path, window=WINDOW, today=TODAY)
    history = read(tmp_path, HISTORY).set_index(["pool_id", "date"])["apy"]
    assert history[("a", pd.Timestamp("2025-06-01"))] == 9.0
    assert history[("a", pd.Timestamp("2025-05-31"))] == 4.56789
    assert len(history) == 4
    pools = read(tmp_path, POOLS).set_index("pool_id")["pool_meta"]
    assert pools.to_dict() == {"a": "renamed", "b": None, "c": None}
    assert report.added == dict(zip(FILES, (1, 1, 1, 0), strict=True))
    assert report.rows == dict(zip(FILES, (3, 4, 3, 1), strict=True))


def test_recording_twice_changes_no_byte_of_the_tables(tmp_path: Path) -> None:
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    before = {name: pq.read_table(tmp_path / name) for name in FILES}
    report = record(market(), tmp_path, window=WINDOW, today=TODAY)
    assert set(report.added.values()) == {0}
    for name, old in before.items():
        assert pq.read_table(tmp_path / name).equals(old)


def test_a_close_only_price_does_not_replace_a_candle_but_a_candle_replaces_it(tmp_path: Path) -> None:
    whole, bare = candle("2025-06-01", 0.99), candle("2025-06-01", 0.5, open=None, high=None, low=None)
    for order, close in (((whole, bare), 0.99), ((bare, whole), 0.99), ((whole, candle("2025-06-01", 0.98)), 0.98)):
        folder = tmp_path / f"{close}-{order[0] is whole}-{order[1] is bare}"
        for one in order:
            record(market(assets=[ohlcv_asset("USDC", one)]), folder, window=WINDOW, today=TODAY)
        rows = read(folder, CANDLES)
        assert rows["close"].tolist() == [close]
        assert rows["kind"].tolist() == ["ohlcv"]


def test_columns_that_only_the_old_file_has_are_kept(tmp_path: Path) -> None:
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    path = tmp_path / GAS
    old = read(tmp_path, GAS).assign(gas_used=111, tx_count=222, extra="mine")
    old = pd.concat([old, old.assign(date=date(2025, 5, 1))], ignore_index=True)
    old.to_parquet(path)
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    joined = read(tmp_path, GAS)
    assert joined["date"].tolist() == [date(2025, 5, 1), date(2025, 6, 1)]
    assert joined["gas_used"].tolist() == [111, 111]  # the new row does not know it
    assert joined["extra"].tolist() == ["mine", None]


def test_a_file_that_cannot_be_read_is_refused_and_left_alone(tmp_path: Path) -> None:
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    history = (tmp_path / HISTORY).read_bytes()
    (tmp_path / CANDLES).write_bytes(b"not parquet")
    changed = replace(market(), charts={"a": [chart_point("2025-06-01T23:00:00Z", apy=99.0)]})
    with pytest.raises(ConfigurationError, match=r"token_ohlcv_daily\.parquet cannot be read"):
        record(changed, tmp_path, window=WINDOW, today=TODAY)
    assert (tmp_path / HISTORY).read_bytes() == history
    assert (tmp_path / CANDLES).read_bytes() == b"not parquet"
    assert [path.name for path in tmp_path.rglob("*.tmp")] == []


def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pools").mkdir()
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / POOLS)
    with pytest.raises(ConfigurationError, match="it is no recording"):
        record(market(), tmp_path, window=WINDOW, today=TODAY)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        record(market(), tmp_path / "file", window=WINDOW, today=TODAY)


def test_a_day_that_is_not_over_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="2025-06-02 is not over; end at 2025-06-01"):
        record(market(), tmp_path, window=Window(TODAY, TODAY), today=TODAY)


def test_the_window_is_the_last_days_or_all_there_is(tmp_path: Path) -> None:
    source = market()
    record(source, tmp_path, days=30, today=TODAY)
    assert source.asked_window == Window(date(2025, 5, 3), date(2025, 6, 1))
    record(source, tmp_path, today=TODAY)
    assert source.asked_window == Window(date(2025, 5, 1), date(2025, 6, 1))
    with pytest.raises(ConfigurationError, match="give at least 1"):
        record(source, tmp_path, days=0, today=TODAY)


@pytest.mark.recorded
def test_the_files_have_the_columns_and_types_of_the_recorded_ones(tmp_path: Path, recorded_dir: Path) -> None:
    record(market(), tmp_path, window=WINDOW, today=TODAY)
    for name in FILES:
        ours, theirs = pq.read_schema(tmp_path / name), pq.read_schema(recorded_dir / name)
        assert ours.remove_metadata().equals(theirs.remove_metadata()), name


@pytest.mark.recorded
def test_recording_onto_the_recorded_files_loses_none_of_their_rows(tmp_path: Path, recorded_dir: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((recorded_dir / name).read_bytes())
    report = record(market(), tmp_path, window=WINDOW, today=TODAY)
    for name, key in zip(FILES, ("pool_id", "pool_id", "symbol", "date"), strict=True):
        before, after = read(recorded_dir, name), read(tmp_path, name)
        columns = [key] if name == FILES[0] else list({key, "date"})
        columns += ["quote"] if name == FILES[2] else []
        keys = set(before[columns].itertuples(index=False, name=None))
        assert keys <= set(after[columns].itertuples(index=False, name=None))
        assert report.rows[name] == len(after)

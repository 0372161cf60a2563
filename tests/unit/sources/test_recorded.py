"""The recorded source replays a folder of parquet files through the parsers of the live APIs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window, end_of
from defiyield_core.contracts import table
from defiyield_core.contracts.checks import violations
from defiyield_core.contracts.schema import conform
from defiyield_core.errors import ConfigurationError, SourceError
from defiyield_core.sources import open_source
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.recorded import RecordedSource

DAY = date(2024, 3, 1)
WEEK = Window(DAY, DAY + timedelta(days=6))
STABLE = [f"stable-{index:02d}" for index in range(21)]


def _day(offset: int) -> pd.Timestamp:
    return pd.Timestamp(DAY) + pd.Timedelta(days=offset)


def _pools() -> pd.DataFrame:
    pools = pd.DataFrame({"pool_id": [*STABLE, "volatile"]})
    return pools.assign(
        project="aave-v3",
        chain="Ethereum",
        symbol="USDC-DAI",
        pool_meta=None,
        underlying_tokens=[["USDC", "DAI"]] * len(pools),
        stablecoin=pools["pool_id"] != "volatile",
        id_confidence="exact",
    )


def _history() -> pd.DataFrame:
    """Five stablecoin pools from the first day on, all 21 from the third; the sixth day is missing."""
    rows = [
        {
            "pool_id": pool,
            "date": _day(offset),
            "tvl_usd": 1e6 + offset,
            "apy": 5.0,
            "apy_base": 5.0,
            "apy_reward": np.nan,
        }
        for offset in (0, 1, 2, 3, 4, 6)
        for pool in [*(STABLE[:5] if offset < 2 else STABLE), "volatile"]
    ]
    return pd.DataFrame(rows)


def _candles() -> pd.DataFrame:
    columns = ["symbol", "date", "open", "high", "low", "close", "volume_usd", "market_cap_usd", "quote", "kind"]
    return pd.DataFrame(
        [
            ("USDC", _day(0), 1.0, 1.001, 0.999, 1.0005, 1e9, np.nan, "USD", "ohlcv"),
            ("USDC", _day(0), np.nan, np.nan, np.nan, 1.0009, np.nan, np.nan, "USD", "close_only"),
            ("USDC", _day(0), 1.0, 1.002, 0.998, 1.0001, 1e9, 7.0, "USDT", "ohlcv"),
            ("USDe", _day(1), np.nan, np.nan, np.nan, 0.9990, np.nan, np.nan, "USD", "close_only"),
            ("ETH", _day(0), 3000.0, 3100.0, 2900.0, 3050.0, 1e9, np.nan, "USD", "ohlcv"),
        ],
        columns=columns,
    )


def _gas_daily() -> pd.DataFrame:
    days = [_day(offset).date() for offset in range(7)]
    return pd.DataFrame({"date": days, "avg_gas_price_gwei": 20.0, "eth_price_usd": 3000.0})


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """A complete folder; keyword arguments replace a file's frame, or leave it out (None)."""

    def make(**changed: pd.DataFrame | None) -> Path:
        frames: dict[str, pd.DataFrame | None] = {
            "pools/pools": _pools(),
            "pools/pool_history": _history(),
            "market/token_ohlcv_daily": _candles(),
            "market/gas_daily": _gas_daily(),
        }
        for name in ("gas_2hourly", "stablecoin_marketcap_daily"):
            frames[f"market/{name}"] = None
        for path in list(frames):
            frames[path] = changed.get(path.split("/")[1], frames[path])
        for path, frame in frames.items():
            target = tmp_path / f"{path}.parquet"
            target.parent.mkdir(exist_ok=True)
            target.unlink(missing_ok=True)
            if frame is not None:
                frame.to_parquet(target, index=False)
        return tmp_path

    return make


def _meets_contract(answer: Fetched, name: str) -> None:
    pd.testing.assert_frame_equal(answer.frame, conform(table(name), answer.frame))
    assert violations(table(name), answer.frame) == []


def test_percent_of_the_files_is_a_fraction_in_the_rows(make_folder: Callable[..., Path]) -> None:
    source = RecordedSource(make_folder())
    history = source.pool_history(WEEK, ["stable-00"])
    snapshots = source.pool_snapshots(WEEK)
    _meets_contract(history, "raw_defillama_pool_history")
    _meets_contract(snapshots, "raw_defillama_pools")
    assert history.frame["apy"].eq(0.05).all()
    assert history.frame["apy_reward"].isna().all()
    assert snapshots.frame["apy"].eq(0.05).all()
    assert {tuple(json.loads(tokens)) for tokens in snapshots.frame["underlying_tokens"]} == {("USDC", "DAI")}


def test_a_snapshot_holds_the_pools_that_report_on_the_day_and_no_others(make_folder: Callable[..., Path]) -> None:
    frame = RecordedSource(make_folder()).pool_snapshots(WEEK).frame
    by_day = frame.groupby("date")["pool_id"].nunique()
    assert by_day.to_dict() == {_day(0): 6, _day(1): 6, _day(2): 22, _day(3): 22, _day(4): 22, _day(6): 22}
    assert frame.loc[frame["pool_id"] == "volatile", "stablecoin"].eq(False).all()


def test_rows_are_seen_at_the_end_of_the_day_they_describe_however_the_window_is_cut(
    make_folder: Callable[..., Path],
) -> None:
    source = RecordedSource(make_folder())
    whole = source.pool_snapshots(WEEK).frame
    pieces = pd.concat([source.pool_snapshots(Window(day, day)).frame for day in WEEK], ignore_index=True)
    pd.testing.assert_frame_equal(whole, pieces)
    ends = [pd.Timestamp(end_of(day.date())) for day in whole["date"]]
    assert whole["seen_at"].tolist() == ends
    assert whole["valid_at"].tolist() == ends
    assert source.gas_hourly(WEEK).frame["seen_at"].tolist() == [pd.Timestamp(end_of(day)) for day in WEEK]


def test_a_day_without_any_pool_is_an_outage_and_no_absence(make_folder: Callable[..., Path]) -> None:
    source = RecordedSource(make_folder())
    whole = source.pool_history(WEEK, STABLE)
    assert not whole.complete
    assert any("2024-03-06" in warning for warning in whole.warnings)
    assert source.pool_history(Window(DAY, DAY + timedelta(days=4)), STABLE).complete
    assert not source.pool_snapshots(Window(DAY + timedelta(days=5), DAY + timedelta(days=5))).complete


def test_days_after_the_end_have_no_rows_and_say_so(make_folder: Callable[..., Path]) -> None:
    later = Window(date(2025, 1, 1), date(2025, 1, 2))
    source = RecordedSource(make_folder())
    for answer in (source.pool_snapshots(later), source.pool_history(later, STABLE), source.gas_hourly(later)):
        assert answer.frame.empty
        assert not answer.complete
    assert source.token_ohlcv(later, ["USDC"]).frame.empty


def test_history_begins_with_twenty_stablecoin_pools_and_later_rows_do_not_move_it(
    make_folder: Callable[..., Path],
) -> None:
    history = _history()
    assert RecordedSource(make_folder(pool_history=history)).first_day == DAY + timedelta(days=2)
    until = history[history["date"] <= _day(3)]
    shorter = RecordedSource(make_folder(pool_history=until))
    assert shorter.first_day == DAY + timedelta(days=2)
    assert shorter.last_day == DAY + timedelta(days=3)


def test_a_thin_history_begins_with_its_first_row(make_folder: Callable[..., Path]) -> None:
    history = _history()
    thin = RecordedSource(make_folder(pool_history=history[history["pool_id"].isin(STABLE[:4])]))
    assert thin.first_day == DAY


def test_the_first_day_can_be_set_from_the_environment(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = RecordedSource(make_folder())
    monkeypatch.setenv("DEFIYIELD_FIRST_DAY", "2024-03-02")
    assert source.first_day == date(2024, 3, 2)
    monkeypatch.setenv("DEFIYIELD_FIRST_DAY", "2030-01-01")
    with pytest.raises(ConfigurationError, match="after 2024-03-07"):
        _ = source.first_day
    monkeypatch.setenv("DEFIYIELD_FIRST_DAY", "spring")
    with pytest.raises(ConfigurationError, match="DEFIYIELD_FIRST_DAY"):
        _ = source.first_day


def test_a_full_candle_wins_over_a_close_of_the_same_quote_and_other_quotes_stay(
    make_folder: Callable[..., Path],
) -> None:
    answer = RecordedSource(make_folder()).token_ohlcv(WEEK, ["usdc", "USDE"])
    _meets_contract(answer, "raw_coinmarketcap_ohlcv")
    usdc = answer.frame[answer.frame["symbol"] == "USDC"].set_index("quote_currency")
    assert usdc["close"].to_dict() == {"USD": 1.0005, "USDT": 1.0001}
    usde = answer.frame[answer.frame["symbol"] == "USDE"].iloc[0]
    assert usde["close"] == 0.9990
    assert np.isnan(usde["low"])
    assert "ETH" in set(answer.frame["symbol"])  # always, asked for or not


def test_missing_market_caps_come_from_their_own_file(make_folder: Callable[..., Path]) -> None:
    caps = pd.DataFrame({"date": [_day(0), _day(1)], "coin_name": ["USDC", "Ethena USDe"], "market_cap": [32e9, 2.5e9]})
    source = RecordedSource(make_folder(stablecoin_marketcap_daily=caps))
    frame = source.token_ohlcv(WEEK, ["USDC", "USDE"]).frame.set_index(["symbol", "quote_currency"])
    assert frame.loc[("USDC", "USD"), "market_cap_usd"] == 32e9
    assert frame.loc[("USDC", "USDT"), "market_cap_usd"] == 7.0  # its own is kept
    assert frame.loc[("USDE", "USD"), "market_cap_usd"] == 2.5e9


def test_gas_is_the_blocks_of_a_day_or_its_average_at_midday(make_folder: Callable[..., Path]) -> None:
    moments = pd.to_datetime(["2024-03-01 01:00", "2024-03-01 03:00"], utc=True)
    blocks = pd.DataFrame({"timestamp": moments, "base_fee_gwei": [10.0, 12.0], "priority_fee_p50_gwei": [0.5, np.nan]})
    answer = RecordedSource(make_folder(gas_2hourly=blocks)).gas_hourly(Window(DAY, DAY + timedelta(days=1)))
    _meets_contract(answer, "raw_ethgastracker_hourly_gas_data")
    assert answer.frame["valid_at"].astype(str).tolist() == [
        "2024-03-01 01:00:00",
        "2024-03-01 03:00:00",
        "2024-03-02 12:00:00",
    ]
    np.testing.assert_allclose(answer.frame["base_fee_gwei"], [10.0, 12.0, 20.0])
    np.testing.assert_allclose(answer.frame["priority_fee_gwei"], [0.5, 0.0, 0.0], atol=1e-12)
    assert answer.frame["eth_usd"].eq(3000.0).all()


@pytest.mark.parametrize("form", ["text", "date", "stamp", "zoned"])
def test_dates_of_any_form_and_further_columns_are_read(make_folder: Callable[..., Path], form: str) -> None:
    history = _history().assign(note="anything", apy_mean=1.0)
    forms = {
        "text": history["date"].dt.strftime("%Y-%m-%d"),
        "date": history["date"].dt.date,
        "stamp": history["date"].astype("datetime64[s]"),
        "zoned": history["date"].dt.tz_localize("UTC"),
    }
    source = RecordedSource(make_folder(pool_history=history.assign(date=forms[form])))
    assert source.last_day == WEEK.end
    assert len(source.pool_history(WEEK, ["stable-00"]).frame) == 6


def test_optional_columns_may_be_missing(make_folder: Callable[..., Path]) -> None:
    source = RecordedSource(
        make_folder(
            pools=_pools().drop(columns=["pool_meta", "underlying_tokens", "id_confidence"]),
            pool_history=_history().drop(columns=["apy_base", "apy_reward"]),
            token_ohlcv_daily=_candles()[["symbol", "date", "close"]],
        )
    )
    assert source.pool_snapshots(WEEK).frame["underlying_tokens"].isna().all()
    assert source.pool_history(WEEK, STABLE).frame["apy_base"].isna().all()
    assert set(source.token_ohlcv(WEEK, ["USDC"]).frame["quote_currency"]) == {"USD"}


def test_rows_that_cannot_be_used_are_left_out_and_reported(make_folder: Callable[..., Path]) -> None:
    again = pd.DataFrame({"pool_id": ["stable-00"], "date": [_day(0)], "tvl_usd": [5.0], "apy": [9.0]})
    stray = again.assign(pool_id="nobody")
    undated = again.assign(date=pd.NaT)
    wild = again.assign(pool_id="stable-01", date=_day(1), apy=-500.0)
    history = pd.concat([_history(), again, stray, undated, wild], ignore_index=True)
    answer = RecordedSource(make_folder(pool_history=history)).pool_history(WEEK, [*STABLE, "nobody"])
    warnings = " ".join(answer.warnings)
    assert "1 rows left out, without a date" in warnings
    assert "1 rows left out, of a pool that pools.parquet does not list" in warnings
    first = answer.frame[(answer.frame["pool_id"] == "stable-00") & (answer.frame["date"] == _day(0))]
    assert first["apy"].tolist() == [0.09]  # the later line corrects the earlier one
    assert dict(answer.refused) == {"apy is below -1": 1}


def test_a_missing_folder_or_file_is_named(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        open_source(f"recorded:{tmp_path / 'nowhere'}")
    folder = make_folder(gas_daily=None)
    with pytest.raises(ConfigurationError, match=r"lacks market/gas_daily\.parquet"):
        RecordedSource(folder)


def test_a_broken_file_is_named_with_what_is_wrong(make_folder: Callable[..., Path]) -> None:
    source = RecordedSource(make_folder(pool_history=_history().drop(columns=["apy"])))
    with pytest.raises(SourceError, match=r"pool_history\.parquet lacks the columns apy"):
        source.pool_snapshots(WEEK)
    folder = make_folder()
    (folder / "market/gas_daily.parquet").write_bytes(b"no parquet")
    with pytest.raises(SourceError, match=r"gas_daily\.parquet cannot be read"):
        RecordedSource(folder).gas_hourly(WEEK)
    source = RecordedSource(make_folder(pool_history=_history().assign(date="next week")))
    with pytest.raises(SourceError, match="column 'date' holds a value that is not a date"):
        source.pool_snapshots(WEEK)
    source = RecordedSource(make_folder(pool_history=_history().iloc[:0]))
    with pytest.raises(SourceError, match="has no rows"):
        _ = source.last_day


def test_a_replayed_market_has_no_accounts(make_folder: Callable[..., Path]) -> None:
    source = RecordedSource(make_folder())
    for answer in (source.account_balances(WEEK, ["0xabc"]), source.account_transactions(WEEK, ["0xabc"])):
        assert answer.frame.empty
        assert "no accounts" in answer.warnings[0]
    assert source.account_balances(WEEK, []).warnings == ()


@pytest.mark.recorded
def test_a_recorded_year_is_parsed_in_seconds_and_meets_the_contracts(recorded_dir: Path) -> None:
    source = RecordedSource(recorded_dir)
    started = time.process_time()
    year = Window(source.first_day, min(source.last_day, source.first_day + timedelta(days=364)))
    snapshots = source.pool_snapshots(year)
    stable = sorted(set(snapshots.frame.loc[snapshots.frame["stablecoin"], "pool_id"]))
    history = source.pool_history(year, stable)
    candles = source.token_ohlcv(year, ["USDC", "USDE", "DAI", "FRAX", "LUSD", "PYUSD"])
    gas = source.gas_hourly(year)
    elapsed = time.process_time() - started
    _meets_contract(snapshots, "raw_defillama_pools")
    _meets_contract(history, "raw_defillama_pool_history")
    _meets_contract(candles, "raw_coinmarketcap_ohlcv")
    _meets_contract(gas, "raw_ethgastracker_hourly_gas_data")
    assert set(gas.frame["date"]) == set(pd.to_datetime(year.days()))
    # The numbers of a pool are the same whether its snapshot or its chart is asked.
    both = history.frame.merge(snapshots.frame, on=["date", "pool_id"], suffixes=("", "_snapshot"))
    assert len(both) == len(history.frame)
    assert both["apy"].equals(both["apy_snapshot"])
    assert elapsed < 6.0  # about 1.2 s on an idle core


@pytest.mark.recorded
def test_the_recorded_year_is_dense_from_its_first_day(recorded_dir: Path) -> None:
    source = RecordedSource(recorded_dir)
    day = source.pool_snapshots(Window(source.first_day, source.first_day)).frame
    before = source.pool_snapshots(Window(source.first_day - timedelta(days=1), source.first_day - timedelta(days=1)))
    assert day["stablecoin"].sum() >= 20 > before.frame["stablecoin"].sum()

"""What CoinMarketCap says, as candles."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from defiyield_core.calendar import Window, end_of
from defiyield_core.errors import SourceError
from defiyield_core.sources import coinmarketcap
from defiyield_core.sources.port import Fetched
from tests.unit.sources.conftest import candle, ohlcv_asset

SEEN = datetime(2025, 6, 2, 1)
WINDOW = Window(date(2025, 5, 30), date(2025, 6, 1))


def parse(data: Any, window: Window = WINDOW, seen_at: datetime = SEEN, **status: Any) -> Fetched:
    payload = {"status": {"error_code": 0, "error_message": None, **status}, "data": data}
    return coinmarketcap.parse_ohlcv(payload, window=window, seen_at=seen_at, source="test")


def test_a_candle_keeps_its_prices_and_is_valid_at_its_close() -> None:
    row = parse(ohlcv_asset("usdc", candle("2025-06-01", 0.999))).frame.iloc[0]
    assert (row["symbol"], row["quote_currency"]) == ("USDC", "USD")
    assert tuple(row[["open", "high", "low", "close", "volume_usd", "market_cap_usd"]]) == (
        1.0,
        1.01,
        0.99,
        0.999,
        5,
        7,
    )
    assert row["valid_at"] == pd.Timestamp("2025-06-01T23:59:59.999")


def test_one_asset_several_by_symbol_and_a_list_are_the_same_candles() -> None:
    asset = ohlcv_asset("USDC", candle("2025-06-01"))
    expected = parse(asset).frame
    for data in ({"USDC": [asset]}, {"USDC": asset}, {"3408": asset}, [asset]):
        pd.testing.assert_frame_equal(parse(data).frame, expected)


def test_the_array_form_of_quote_is_read_too() -> None:
    new = candle("2025-06-01")
    new["quote"] = [{"symbol": "USD", "id": 2781, **new["quote"]["USD"]}]
    pd.testing.assert_frame_equal(
        parse(ohlcv_asset("USDC", new)).frame, parse(ohlcv_asset("USDC", candle("2025-06-01"))).frame
    )


def test_several_symbols_in_one_answer() -> None:
    data = {name: [ohlcv_asset(name, candle("2025-05-31"), candle("2025-06-01"))] for name in ("USDC", "USDT", "ETH")}
    frame = parse(data).frame
    assert frame.groupby("symbol").size().to_dict() == {"ETH": 2, "USDC": 2, "USDT": 2}


def test_a_coin_listed_under_a_known_ticker_does_not_replace_it() -> None:
    impostor = ohlcv_asset("USDC", candle("2025-06-01", 0.01, market_cap=0.0), id=9)
    real = ohlcv_asset("USDC", candle("2025-06-01", 1.0, market_cap=6e10), id=3408)
    for rivals in ([impostor, real], [real, impostor]):
        fetched = parse({"USDC": rivals})
        assert fetched.frame["close"].tolist() == [1.0]
        assert fetched.refused == {"another asset of the same symbol": 1}


def test_candles_outside_the_window_are_left_out_without_being_counted() -> None:
    days = ("2025-05-29", "2025-05-30", "2025-06-01", "2025-06-02")
    fetched = parse(ohlcv_asset("USDC", *(candle(day) for day in days)))
    assert fetched.frame["date"].dt.strftime("%Y-%m-%d").tolist() == ["2025-05-30", "2025-06-01"]
    assert fetched.refused == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"close": None}, "close is missing"),
        ({"close": 0}, "close is not above 0"),
        ({"close": "1"}, "close is not a number"),
        ({"close": math.nan}, "close is not finite"),
        ({"low": -0.1}, "low is negative"),
        ({"high": []}, "high is not a number"),
    ],
)
def test_a_candle_that_cannot_be_used_is_counted_and_the_others_stay(fields: dict[str, Any], reason: str) -> None:
    fetched = parse(ohlcv_asset("USDC", candle("2025-05-31"), candle("2025-06-01", **{"close": 1.0, **fields})))
    assert len(fetched.frame) == 1
    assert fetched.refused == {reason: 1}


def test_a_missing_low_is_null() -> None:
    assert math.isnan(parse(ohlcv_asset("USDC", candle("2025-06-01", low=None))).frame["low"].iloc[0])


def test_a_quote_in_tether_is_marked_and_any_other_refused() -> None:
    both = candle("2025-06-01")
    both["quote"] = {"USDT": {"close": 1.0}, "EUR": {"close": 0.9}}
    fetched = parse(ohlcv_asset("SUSD", both))
    assert fetched.frame["quote_currency"].tolist() == ["USDT"]
    assert fetched.refused == {"quote currency is neither USD nor USDT": 1}


def test_a_closing_time_after_the_day_or_none_at_all_is_the_end_of_the_day() -> None:
    late, none = candle("2025-05-31"), candle("2025-06-01")
    late["time_close"] = "2025-06-01T00:00:00.000Z"
    del none["time_close"]
    frame = parse(ohlcv_asset("USDC", late, none)).frame
    assert frame["valid_at"].tolist() == [pd.Timestamp(end_of(date(2025, 5, 31))), pd.Timestamp(end_of(WINDOW.end))]


def test_a_second_candle_of_a_day_is_counted() -> None:
    fetched = parse(ohlcv_asset("USDC", candle("2025-06-01", 1.0), candle("2025-06-01", 0.98)))
    assert fetched.frame["close"].tolist() == [0.98]
    assert fetched.refused == {"second candle of a day": 1}


@pytest.mark.parametrize(
    "data",
    [{}, [], {"USDC": []}, {"USDC": [7]}, {"USDC": [{"symbol": "USDC"}]}, {"X": [{"quotes": []}]}, [{"quotes": [{}]}]],
)
def test_answers_without_candles_are_no_rows(data: Any) -> None:
    assert len(parse(data).frame) == 0


def test_a_candle_without_a_quote_and_one_without_a_time_are_counted() -> None:
    timeless = candle("2025-06-01")
    timeless["time_open"] = None
    fetched = parse(ohlcv_asset("USDC", {"time_open": "2025-06-01T00:00:00Z"}, timeless, 5))
    assert fetched.refused == {"candle without a quote": 2, "time_open is not a moment": 1}


def test_a_reported_error_is_an_error_with_its_message() -> None:
    with pytest.raises(SourceError, match="1006: Your plan lacks this"):
        parse({}, error_code=1006, error_message="Your plan lacks this")


@pytest.mark.parametrize("payload", [None, [], "x", {"status": {"error_code": 0}}, {"data": 5}])
def test_a_payload_of_another_shape_is_an_error(payload: object) -> None:
    with pytest.raises(SourceError, match="CoinMarketCap"):
        coinmarketcap.parse_ohlcv(payload, window=WINDOW, seen_at=SEEN, source="test")


@pytest.mark.recorded
def test_the_documented_example_is_two_days_of_bitcoin(recorded_dir: Path) -> None:
    file = recorded_dir / "api_samples" / "cmc_v2_ohlcv_historical_official_example.json"
    fetched = coinmarketcap.parse_ohlcv(
        json.loads(file.read_text()), window=Window(date(2019, 1, 1), date(2019, 1, 31)), seen_at=SEEN, source="x"
    )
    assert fetched.frame["symbol"].tolist() == ["BTC", "BTC"]
    assert fetched.frame["close"].tolist() == [3943.40933686, 3836.74131867]
    assert fetched.refused == {}

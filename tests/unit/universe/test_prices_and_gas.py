"""Candles in USD, gas by the hour and day."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from defiyield_core.universe.gas import daily_gas, hourly_gas
from defiyield_core.universe.prices import token_candles
from tests.unit.universe.frames import stamp


def candle(offset: int, symbol: str, close: float, quote: str = "USD", low: float | None = None) -> dict:
    """One raw candle."""
    return {
        "date": stamp(offset),
        "symbol": symbol,
        "quote_currency": quote,
        "open": close,
        "high": close,
        "low": np.nan if low is None else low,
        "close": close,
        "market_cap_usd": np.nan,
    }


def candles(*rows: dict) -> pd.DataFrame:
    """Candles in USD by token, of one day or of all."""
    return token_candles(pd.DataFrame(rows))


def test_a_usdt_quote_is_multiplied_by_the_price_of_usdt() -> None:
    rows = candles(candle(0, "USDT", 0.98), candle(0, "TUSD", 1.01, "USDT", low=1.0)).set_index("token")
    assert rows.loc["TUSD", "close_usd"] == pytest.approx(0.9898)
    assert rows.loc["TUSD", "low_usd"] == pytest.approx(0.98)
    assert rows.loc["TUSD", "source_quote"] == "USDT"


def test_a_usd_quote_wins_over_a_usdt_one() -> None:
    rows = candles(candle(0, "DAI", 1.2, "USDT"), candle(0, "USDT", 1.0), candle(0, "DAI", 1.001))
    assert rows.set_index("token").loc["DAI", "close_usd"] == 1.001
    assert len(rows) == 2


def test_without_a_price_of_usdt_there_is_no_price_in_dollars() -> None:
    assert candles(candle(0, "USDT", 1.0), candle(1, "TUSD", 1.0, "USDT"))["token"].tolist() == ["USDT"]


def test_a_missing_low_is_the_close() -> None:
    assert candles(candle(0, "USDC", 0.95))["low_usd"].tolist() == [0.95]


def test_gas_is_averaged_over_the_hour_and_then_over_the_day() -> None:
    raw = pd.DataFrame(
        {
            "valid_at": pd.to_datetime(
                ["2025-01-01 05:40", "2025-01-01 00:10", "2025-01-01 00:50", "2025-01-02 00:00"]
            ),
            "base_fee_gwei": [30.0, 10.0, 20.0, 7.0],
            "priority_fee_gwei": [3.0, 1.0, 2.0, 0.0],
            "eth_usd": [3000.0, 1000.0, 2000.0, 2500.0],
        }
    )
    hourly = hourly_gas(raw)
    assert hourly["hour"].dt.hour.tolist() == [0, 5, 0]
    assert hourly["base_fee_gwei"].tolist() == [15.0, 30.0, 7.0]
    first = daily_gas(hourly).iloc[0]
    assert (first["base_fee_gwei"], first["priority_fee_gwei"], first["hours"]) == (22.5, 2.25, 2)
    assert first["max_gas_price_gwei"] == 33.0
    assert first["eth_usd"] == 2250.0

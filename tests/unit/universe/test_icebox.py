"""Domain, section 5: tokens off their peg enter the icebox and leave it again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.parameters import parameters
from defiyield_core.universe.icebox import icebox_rows, icebox_states
from tests.unit.universe.frames import FIRST, column, day, stamp

RULES = parameters("default")
NO_LIST = pd.DataFrame({"token": [], "added_at": pd.Series([], dtype="datetime64[ns]"), "pegged": []})


def inside(low: list[float | None], close: list[float | None] | None = None) -> list[bool]:
    """Whether one token is in the icebox at the end of each day."""
    lows = column(*low)
    closes = np.where(np.isnan(lows), np.nan, 1.0) if close is None else column(*close)
    return [bool(value) for value in icebox_states(lows, closes, RULES).inside[:, 0]]


def test_one_deep_low_is_a_thin_print_two_in_a_row_are_not() -> None:
    assert inside([1, 0.97, 1, 0.97, 0.97]) == [False, False, False, False, True]


def test_one_close_a_percent_under_is_enough() -> None:
    assert inside([0.995, 0.99, 0.999], [1, 0.99, 1]) == [False, True, True]


@pytest.mark.parametrize("price", [0.98, 1 - 0.02])
def test_a_low_on_the_threshold_breaches(price: float) -> None:
    assert inside([price, price])[1]


def test_it_leaves_after_two_good_lows_and_three_good_closes() -> None:
    close = [1, 0.985, 1, 1, 1, 1]
    assert inside([1, 0.985, 1, 1, 1, 1], close) == [False, True, True, True, False, False]


def test_a_new_breach_starts_the_recovery_again() -> None:
    close = [0.985, 1, 1, 0.985, 1, 1, 1]
    assert inside(list(close), close) == [True] * 6 + [False]


def test_a_low_breach_during_recovery_holds_it_inside() -> None:
    assert inside([0.98, 0.98, 1, 0.97, 1, 1], [1] * 6) == [False, True, True, True, True, False]


def test_prices_that_stop_for_more_than_two_days_put_it_in() -> None:
    assert inside([1, None, None, None, 1, 1, 1]) == [False, False, False, True, True, True, False]


def test_a_token_that_never_had_a_price_is_not_in_it() -> None:
    assert inside([None] * 6) == [False] * 6


def candles(**closes: list[float | None]) -> pd.DataFrame:
    """Candles of tokens from FIRST on; low is the close."""
    rows = [
        (stamp(offset), token, price)
        for token, prices in closes.items()
        for offset, price in enumerate(prices)
        if price is not None
    ]
    frame = pd.DataFrame(rows, columns=["date", "token", "close_usd"])
    return frame.assign(low_usd=frame["close_usd"])


def test_every_day_inside_and_the_day_of_leaving_is_a_row() -> None:
    prices = candles(USDC=[1, 0.95, 1, 1, 1, 1], USDT=[1] * 6)
    rows = icebox_rows(prices, NO_LIST, RULES, Window(FIRST, day(5)))
    assert rows["token"].unique().tolist() == ["USDC"]
    assert rows["status"].tolist() == ["entered", "held", "held", "left"]
    assert rows["reason"].tolist() == ["close", "close", "close", "recovered"]
    assert (rows["added_at"] == stamp(1)).all()
    assert rows["removed_at"].iloc[-1] == stamp(4) and rows["removed_at"].iloc[:-1].isna().all()


def test_a_window_alone_knows_when_its_tokens_entered() -> None:
    prices = candles(USDC=[1, 0.95, 1, 1, 1, 1], USDT=[1] * 6)
    whole = icebox_rows(prices, NO_LIST, RULES, Window(FIRST, day(5)))
    alone = icebox_rows(prices[prices["date"] <= stamp(3)], NO_LIST, RULES, Window(day(3), day(3)))
    same_day = whole[whole["date"] == stamp(3)].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, same_day)


def test_days_without_any_price_from_the_source_say_nothing() -> None:
    prices = candles(USDC=[1, None, None, None, None, 1], USDT=[1, None, None, None, None, 1])
    assert icebox_rows(prices, NO_LIST, RULES, Window(FIRST, day(5))).empty


def test_an_outage_of_the_source_lets_the_state_last() -> None:
    prices = candles(USDC=[1, 0.95, None, 1], USDT=[1, 1, None, 1])
    rows = icebox_rows(prices, NO_LIST, RULES, Window(FIRST, day(3)))
    assert rows["status"].tolist() == ["entered", "held", "held"]
    assert np.isnan(rows["close_usd"].iloc[1])


def test_volatile_coins_and_tokens_listed_as_not_pegged_are_not_judged() -> None:
    listed = pd.DataFrame({"token": ["SUSDE"], "added_at": [pd.Timestamp("1970-01-01")], "pegged": [False]})
    prices = candles(ETH=[0.5, 0.5], BTC=[0.5, 0.5], SUSDE=[0.9, 0.9], FRAX=[0.9, 0.9])
    assert icebox_rows(prices, listed, RULES, Window(FIRST, day(1)))["token"].unique().tolist() == ["FRAX"]


def test_without_candles_the_icebox_is_empty() -> None:
    assert icebox_rows(candles(USDC=[1]).head(0), NO_LIST, RULES, Window(FIRST, day(2))).empty

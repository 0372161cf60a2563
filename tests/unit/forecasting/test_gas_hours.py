"""Gas by the hour: the three models, gaps, cold start, stale data, bounds, and no look at later hours."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.forecasting.gas_hours import LOOKBACK_DAYS, MODELS, gas_hour_rows

MONDAY = date(2024, 1, 1)
RHYTHM = 0.8 * np.sin(2.0 * np.pi * (np.arange(24) - 9) / 24)
"""Log of an hour's price less that of the day: cheapest at 3, dearest at 15; its mean is 0."""


def hourly(prices: np.ndarray, first_day: date = MONDAY) -> pd.DataFrame:
    """Rows of `gas_fees_hourly` from (n_days, 24) prices in gwei, of which a tenth is tip; NaN: no row."""
    hours = np.datetime64(first_day, "h") + np.arange(prices.size)
    value = prices.ravel()
    frame = pd.DataFrame(
        {
            "date": hours.astype("datetime64[D]").astype("datetime64[ns]"),
            "hour": hours.astype("datetime64[ns]"),
            "base_fee_gwei": 0.9 * value,
            "priority_fee_gwei": 0.1 * value,
            "eth_usd": 3000.0,
        }
    )
    return frame[np.isfinite(value)].reset_index(drop=True)


def noisy(n_days: int, seed: int = 1, sd: float = 0.2) -> np.ndarray:
    """A level that wanders, the rhythm, weekends at 60 %, and noise."""
    random = np.random.default_rng(seed)
    weekend = np.where(np.arange(n_days) % 7 >= 5, np.log(0.6), 0.0)
    level = 0.15 * random.standard_normal(n_days).cumsum()
    return 5.0 * np.exp((level + weekend)[:, None] + RHYTHM + sd * random.standard_normal((n_days, 24)))


def day_of(offset: int) -> date:
    return MONDAY + timedelta(days=offset)


def forecast(prices: np.ndarray, model: str, offset: int | None = None) -> np.ndarray:
    """(24,) what is forecast at the end of the day at `offset` (default: the last one)."""
    day = day_of(len(prices) - 1 if offset is None else offset)
    rows = gas_hour_rows(hourly(prices), Window(day, day), [model])
    np.testing.assert_array_equal(rows["hour_utc"], np.arange(len(rows)))
    return rows["gas_price_gwei"].to_numpy()


@pytest.mark.parametrize("model", MODELS)
def test_a_constant_price_is_forecast_as_it_is(model: str) -> None:
    np.testing.assert_allclose(forecast(np.full((70, 24), 3.0), model), 3.0, rtol=1e-12)


def test_persistence_is_the_same_hour_of_the_day_before() -> None:
    prices = noisy(20)
    np.testing.assert_allclose(forecast(prices, "persistence"), prices[-1], rtol=1e-12)


def test_flat_halves_the_weight_of_a_day_with_each_day_of_age() -> None:
    prices = np.repeat(np.array([[8.0], [2.0], [4.0]]), 24, axis=1)
    expected = np.exp((np.log(8.0) / 4 + np.log(2.0) / 2 + np.log(4.0)) / 1.75)
    np.testing.assert_allclose(forecast(prices, "flat"), expected, rtol=1e-12)


def test_the_profile_finds_a_rhythm_but_for_what_little_it_is_shrunk() -> None:
    prices = 5.0 * np.exp(np.tile(RHYTHM, (70, 1)))
    # The shape is 28/29 of the rhythm plus what the 40 weekdays among 56 days add: 40/54 of the remaining 1/29.
    share = 28 / 29 + (1 - 28 / 29) * 40 / 54
    found = np.log(forecast(prices, "profile", 59) / 5.0)  # a Thursday, for a Friday
    late = 1.0 - share
    weights = 0.7 ** np.arange(24)[::-1]
    fading = 0.7 * np.exp(-np.arange(24) / 24) * (weights * late * RHYTHM).sum() / (weights.sum() + 0.5)
    np.testing.assert_allclose(found, share * RHYTHM + fading, rtol=0, atol=1e-12)


def test_weekends_are_told_from_weekdays() -> None:
    weekend = np.arange(70) % 7 >= 5
    prices = np.repeat(np.where(weekend, 2.0, 4.0)[:, None], 24, axis=1)
    friday, sunday = 67, 69  # the 16 weekend days of 56 are shrunk by 8, to two thirds
    apart = np.log(0.5) * 2 / 3
    saturday_price, monday_price = forecast(prices, "profile", friday)[23], forecast(prices, "profile", sunday)[23]
    # What is left of past weekends in the level keeps these from being exact.
    assert 4.0 * np.exp(apart) * 0.75 < saturday_price < 4.0 * np.exp(apart) * 1.1
    assert monday_price > 1.6 * prices[sunday, 23]
    np.testing.assert_allclose(forecast(prices, "flat", friday)[0], 4.0, rtol=0.05)


def test_the_profile_beats_the_others_where_there_is_a_rhythm() -> None:
    prices = noisy(160)
    window = Window(day_of(70), day_of(158))
    rows = gas_hour_rows(hourly(prices), window)
    actual = prices[71:160]
    error = {
        name: np.abs(np.log(mine["gas_price_gwei"].to_numpy().reshape(actual.shape) / actual)).mean()
        for name, mine in rows.groupby("model")
    }
    assert error["profile"] < 0.85 * error["persistence"]
    assert error["profile"] < 0.6 * error["flat"]


def test_hours_never_seen_lie_between_their_neighbours() -> None:
    prices = 5.0 * np.exp(np.tile(RHYTHM, (70, 1)))
    whole = forecast(prices, "profile")
    prices[:, ::2] = np.nan
    halved = forecast(prices, "profile")
    np.testing.assert_allclose(np.log(halved[1::2]), np.log(whole[1::2]), atol=0.02)
    np.testing.assert_allclose(np.log(halved[0::2]), np.log(whole[0::2]), atol=0.05)
    prices[:, :] = np.nan
    prices[:, [22, 4]] = [2.0, 8.0]
    expected = 2.0 * np.exp(np.log(4.0) * np.arange(7) / 6)
    np.testing.assert_allclose(np.roll(forecast(prices, "persistence"), 2)[:7], expected, rtol=1e-12)


def test_an_hour_missing_for_a_while_changes_little_and_one_missing_day_nothing_but_itself() -> None:
    prices = noisy(120, sd=0.0)
    whole = forecast(prices, "profile")
    gapped = prices.copy()
    gapped[95:110, 7] = np.nan
    np.testing.assert_allclose(forecast(gapped, "profile"), whole, rtol=0.03)
    gapped[100] = np.nan
    assert np.isfinite(forecast(gapped, "profile")).all()


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_forecast_from_less_than_three_days(model: str) -> None:
    prices = noisy(4)
    rows = gas_hour_rows(hourly(prices), Window(day_of(-1), day_of(3)), [model])
    assert rows["date"].dt.date.drop_duplicates().tolist() == [day_of(2), day_of(3)]
    assert len(rows) == 48


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_forecast_once_the_newest_hour_is_more_than_three_days_old(model: str) -> None:
    rows = gas_hour_rows(hourly(noisy(40)), Window(day_of(39), day_of(45)), [model])
    assert rows["date"].dt.date.drop_duplicates().tolist() == [day_of(offset) for offset in range(39, 43)]
    assert rows.groupby("date").size().tolist() == [24] * 4
    assert np.isfinite(rows["gas_price_gwei"]).all()


def test_no_rows_at_all_still_have_the_columns_of_the_table() -> None:
    rows = gas_hour_rows(hourly(np.full((1, 24), np.nan)), Window(MONDAY, day_of(3)))
    assert len(rows) == 0
    assert tuple(rows.columns) == table("gas_hour_forecasts").column_names


def test_rows_are_those_of_the_table() -> None:
    rows = gas_hour_rows(hourly(noisy(90)), Window(day_of(80), day_of(89)))
    assert tuple(rows.columns) == table("gas_hour_forecasts").column_names
    assert len(rows) == 3 * 10 * 24
    assert not rows.duplicated(["date", "model", "hour_utc"]).any()
    assert rows["hour_utc"].dtype == np.int64
    assert (rows["lower_gwei"] > 0.0).all()
    assert (rows["lower_gwei"] <= rows["gas_price_gwei"]).all()
    assert (rows["gas_price_gwei"] <= rows["upper_gwei"]).all()


def test_prices_of_zero_are_forecast_and_never_below_zero() -> None:
    prices = noisy(60)
    prices[40:45] = 0.0
    rows = gas_hour_rows(hourly(prices), Window(day_of(38), day_of(59)))
    numbers = rows[["gas_price_gwei", "lower_gwei", "upper_gwei"]].to_numpy()
    assert np.isfinite(numbers).all()
    assert (numbers >= 0.0).all()


def test_a_window_says_what_its_days_say_alone_and_later_hours_change_nothing() -> None:
    prices = noisy(LOOKBACK_DAYS + 30, seed=5)
    prices[3::17, 5:9] = np.nan
    prices[20::40] = np.nan
    first, last = LOOKBACK_DAYS + 4, LOOKBACK_DAYS + 16
    together = gas_hour_rows(hourly(prices), Window(day_of(first), day_of(last)))
    alone = []
    for offset in range(first, last + 1):
        spoilt = prices.copy()
        spoilt[offset + 1 :] = np.random.default_rng(offset).random(spoilt[offset + 1 :].shape) * 900.0
        spoilt[: offset - LOOKBACK_DAYS] = 77.0
        alone.append(gas_hour_rows(hourly(spoilt), Window(day_of(offset), day_of(offset))))
    order = ["model", "date", "hour_utc"]
    found, expected = (frame.sort_values(order).reset_index(drop=True) for frame in (pd.concat(alone), together))
    assert len(expected) == 3 * 13 * 24
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("model", MODELS)
def test_four_of_five_hours_lie_within_their_bounds(model: str) -> None:
    prices = noisy(300, seed=8, sd=0.3)
    rows = gas_hour_rows(hourly(prices), Window(day_of(130), day_of(298)), [model])
    actual = prices[131:300].ravel()
    inside = (rows["lower_gwei"] <= actual) & (actual <= rows["upper_gwei"])
    assert 0.75 < inside.mean() < 0.85


def test_a_model_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'clock'"):
        gas_hour_rows(hourly(noisy(5)), Window(day_of(4), day_of(4)), ["clock"])


def test_an_hour_with_two_rows_is_refused() -> None:
    rows = hourly(noisy(5))
    with pytest.raises(DataError, match="two rows"):
        gas_hour_rows(pd.concat([rows, rows.tail(1)]), Window(day_of(4), day_of(4)))

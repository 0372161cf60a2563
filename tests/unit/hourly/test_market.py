"""The hours of a market: they add up to the days, and know nothing early."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.errors import ConfigurationError
from defiyield_core.history import MarketHistory
from defiyield_core.hourly.market import HOURS, StepMarket, daily_market, hourly_market, narrowed
from defiyield_core.sources.replay import GasRows
from tests.unit.hourly.states import FIRST, history

MEMBERS = ((1,), (2,), (1, 2))


def days(count: int = 4) -> MarketHistory:
    """Rates, TVLs and prices that change every day; the second pool has no row on the third day."""
    rng = np.random.default_rng(2)
    apy = rng.uniform(0.02, 0.12, (count, 3))
    if count > 2:
        apy[2, 1] = np.nan
    return history(
        count,
        MEMBERS,
        apy=apy,
        forecast_apy=np.full((count, 3), 0.05),
        filled_tvl_usd=rng.uniform(1e6, 1e7, (count, 3)),
        price_usd=rng.uniform(0.99, 1.01, (count, 3)),
        group=rng.integers(1, 4, (count, 3)),
        depositable=rng.random((count, 3)) > 0.3,
    )


def gas(count: int = 4, missing: int | None = None) -> GasRows:
    """An hour's base fee is the number of the hour."""
    hours = np.arange(count * HOURS)
    kept = hours[hours != missing] if missing is not None else hours
    moments = FIRST.astype("datetime64[s]") + kept * np.timedelta64(3600, "s")
    return GasRows(moments, kept.astype(float), np.full(len(kept), 0.5), np.full(len(kept), 3000.0))


def test_the_hours_of_a_day_compound_to_the_growth_of_the_day():
    daily = days()
    hourly = hourly_market(daily, gas(), seed=1)
    assert len(hourly) == 3 * HOURS and hourly.steps_per_year == 8760
    growth = np.log1p(hourly.rows.observed_apy).reshape(3, HOURS, 3).mean(axis=1)
    assert growth == pytest.approx(np.log1p(daily.observed_apy[1:]), nan_ok=True)
    assert np.isnan(hourly.rows.observed_apy[HOURS : 2 * HOURS, 1]).all()
    assert np.nanstd(hourly.rows.observed_apy[:HOURS], axis=0).min() > 1e-4


def test_the_last_hour_closes_like_the_day():
    daily = days()
    rows = hourly_market(daily, gas(), seed=1).rows
    ends = slice(HOURS - 1, None, HOURS)
    assert rows.price_usd[ends] == pytest.approx(daily.price_usd[1:])
    assert rows.filled_tvl_usd[ends] == pytest.approx(daily.filled_tvl_usd[1:])
    assert (rows.group[ends] == daily.group[1:]).all()
    noon = np.sqrt(daily.price_usd[0] * daily.price_usd[1])
    assert rows.price_usd[HOURS // 2 - 1] == pytest.approx(noon)
    assert rows.gas_price_gwei[:3].tolist() == [24.5, 25.5, 26.5]


def test_a_days_verdicts_are_known_at_its_last_hour_and_not_before():
    daily = days()
    changed = replace(daily, group=daily.group.copy(), depositable=daily.depositable.copy())
    changed.group[2], changed.depositable[2] = 4 - daily.group[2], ~daily.depositable[2]
    before, after = (hourly_market(market, gas(), seed=1).rows for market in (daily, changed))
    last = 2 * HOURS - 1
    for name in ("group", "depositable"):
        assert (getattr(before, name)[:last] == getattr(after, name)[:last]).all(), name
    assert (before.depositable[last] != after.depositable[last]).any()


def test_later_days_change_nothing_before_them():
    longer = days(5)
    shorter = hourly_market(_first(longer, 4), gas(5), seed=1).rows
    rows = hourly_market(longer, gas(5), seed=1).rows
    for name in ("observed_apy", "forecast_apy", "filled_tvl_usd", "price_usd", "gas_price_gwei", "depositable"):
        assert np.array_equal(getattr(rows, name)[: 3 * HOURS], getattr(shorter, name), equal_nan=name.endswith("apy"))


def _first(market: MarketHistory, count: int) -> MarketHistory:
    arrays = {name: value for name, value in vars(market).items() if isinstance(value, np.ndarray) and name != "pegged"}
    return replace(market, **{name: value[:count] for name, value in arrays.items()})


def test_forecasts_follow_the_hours_and_nothing_later():
    daily = days()
    rows = hourly_market(daily, gas(), seed=1).rows
    level, weight = np.log1p(0.05), 1 - (6 / 7) ** (1 / 24)
    for hour in range(5):
        level += weight * (np.log1p(rows.observed_apy[hour, 0]) - level)
        assert rows.forecast_apy[hour, 0] == pytest.approx(np.expm1(level))


def test_equal_seeds_give_equal_hours_and_others_do_not():
    first, again, other = (hourly_market(days(), gas(), seed=seed).rows.observed_apy for seed in (1, 1, 2))
    assert np.array_equal(first, again, equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)


def test_a_view_is_the_step_and_its_moment():
    market = hourly_market(days(), gas(), seed=1)
    view = market.view(30)
    assert view.day == market.day(30) == (FIRST + 2).item()
    assert market.moments[30] == np.datetime64("2025-03-03T06:00:00")
    assert view.gas_price_gwei == 54.5 and view.forecast_apy is not None
    assert np.array_equal(view.forecast_apy, market.rows.forecast_apy[30], equal_nan=True)
    assert [market.is_last_of_day(step) for step in (22, 23, 24)] == [False, True, False]


def test_what_cannot_matter_is_left_out():
    daily = days()
    daily.depositable[:, 1] = False
    narrow = narrowed(daily_market(daily), ["DAI"]).rows
    assert narrow.pools.ids == ("p0", "p2") and narrow.tokens == ("DAI", "USDC", "USDT")
    assert narrow.pools.tokens == ((1,), (1, 2))
    lonely = replace(daily, depositable=np.tile([True, False, False], (4, 1)))
    kept = narrowed(daily_market(lonely), ["USDC"]).rows
    assert kept.tokens == ("USDC", "USDT"), "the largest token stays, to flee to"
    assert kept.pools.tokens == ((0,),) and kept.price_usd.shape == (4, 2)


def test_bad_input_is_refused():
    with pytest.raises(ConfigurationError, match="two days"):
        hourly_market(days(1), gas(1), seed=1)
    with pytest.raises(ConfigurationError, match="no gas price"):
        hourly_market(days(), gas(missing=50), seed=1)
    with pytest.raises(ConfigurationError, match="no gas price"):
        hourly_market(days(), gas(3), seed=1)
    with pytest.raises(ConfigurationError, match="whole days"):
        StepMarket(days(), 3)
    with pytest.raises(ConfigurationError, match="at least 1"):
        StepMarket(days(), 0)

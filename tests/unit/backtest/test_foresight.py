"""Perfect foresight: worked numbers, what stays as it is, and that no view of the ordinary market sees it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import numpy as np
import pytest

from defiyield_core.backtest.foresight import Expected, coming, with_forecasts, with_foresight
from defiyield_core.errors import DataError
from defiyield_core.parameters import parameters
from defiyield_core.portfolio.day import open_day
from defiyield_core.portfolio.state import starting_state
from tests.unit.portfolio.markets import FIRST, market

FORECASTS = ("forecast_apy", "forecast_tvl_usd")


def rates(*first_pool: float) -> dict[str, np.ndarray]:
    """Observed rates: the first pool as told, the others 5 %."""
    apy = np.full((len(first_pool), 4), 0.05)
    apy[:, 0] = first_pool
    return {"observed_apy": apy, "filled_apy": np.nan_to_num(apy, nan=0.9), "forecast_apy": np.full_like(apy, 0.01)}


def test_the_mean_of_the_days_after_is_expected_and_today_is_not_in_it() -> None:
    apy = coming(market(4, **rates(0.9, 0.04, 0.08, 0.5)), 2).apy[0, 0]
    growth = ((1.04 ** (1 / 365) - 1) + (1.08 ** (1 / 365) - 1)) / 2
    assert apy == pytest.approx((1 + growth) ** 365 - 1, rel=1e-12)
    assert 0.059 < apy < 0.060


def test_a_constant_rate_is_expected_as_it_is() -> None:
    assert coming(market(9), 5).apy[:-1] == pytest.approx(np.tile([0.05, 0.06, 0.07, 0.08], (8, 1)), rel=1e-9)


def test_missing_and_flagged_days_pay_nothing() -> None:
    flagged = np.zeros((3, 4), dtype=bool)
    flagged[2, 1] = True
    seen = coming(market(3, **rates(0.05, np.nan, 0.05), flagged=flagged), 2).apy[0]
    half = (1 + (1.05 ** (1 / 365) - 1) / 2) ** 365 - 1
    assert seen[:2] == pytest.approx([half, half], rel=1e-12)
    assert seen[2] == pytest.approx(0.05, rel=1e-12)


def test_the_expected_rate_accrues_what_the_books_will() -> None:
    found = market(8, **rates(0.03, 0.2, np.nan, 0.07, 0.01, 0.4, 0.06, 0.05))
    expected = coming(found, 5).apy[0, 0]
    state = starting_state(FIRST - timedelta(days=1), {}, found)
    positions = state.positions.copy()
    positions[0, 1] = 1e6
    booked = [
        open_day(replace(state, positions=positions), found, FIRST + timedelta(days=day), parameters(), {})
        for day in range(1, 6)
    ]
    total = sum(day.accrual_usd.sum() for day in booked)
    assert 5 * 1e6 * ((1 + expected) ** (1 / 365) - 1) == pytest.approx(total, rel=1e-9)


def test_the_tvl_is_that_of_the_last_day_and_none_of_a_pool_that_is_gone() -> None:
    tvl = np.tile(np.arange(1.0, 7.0)[:, None] * 1e6, (1, 4))
    tvl[4:, 2] = np.nan
    absent = np.zeros((6, 4), dtype=np.int64)
    absent[3:, 1] = 3
    expected = coming(market(6, filled_tvl_usd=tvl, absent_days=absent, forecast_tvl_usd=np.full((6, 4), 9e6)), 3)
    assert expected.tvl_usd[0].tolist() == [4e6, 0.0, 4e6, 4e6]
    assert expected.tvl_usd[1].tolist() == [5e6, 0.0, 9e6, 5e6]


def test_near_the_end_the_days_that_are_left_stand_for_the_horizon() -> None:
    expected = coming(market(4, **rates(0.9, 0.9, 0.9, 0.07)), 14)
    assert expected.apy[2, 0] == pytest.approx(0.07, rel=1e-9)
    assert expected.apy[3].tolist() == [0.01] * 4


def test_a_market_of_one_day_keeps_its_forecasts() -> None:
    one = market(1)
    assert with_foresight(one, 14).forecast_apy.tolist() == one.forecast_apy.tolist()


def test_only_forecasts_change_and_the_ordinary_market_stays_blind() -> None:
    ordinary = market(5, **rates(0.05, 0.05, 0.3, 0.3, 0.3))
    before = ordinary.fingerprint()
    seeing = with_foresight(ordinary, 2)
    assert ordinary.fingerprint() == before
    for field in fields(ordinary):
        same = np.array_equal(getattr(seeing, field.name), getattr(ordinary, field.name))
        assert same == (field.name not in FORECASTS[:1]), field.name
    assert ordinary.as_of(FIRST).forecast_apy[0] == 0.01
    assert seeing.as_of(FIRST).forecast_apy[0] > 0.1


def test_what_lies_beyond_the_horizon_changes_nothing() -> None:
    random = np.random.default_rng(4)
    apy = random.random((9, 4))
    longer, shorter = market(9, observed_apy=apy), market(6, observed_apy=apy[:6])
    np.testing.assert_array_equal(coming(longer, 3).apy[:3], coming(shorter, 3).apy[:3])
    np.testing.assert_array_equal(coming(longer, 3).tvl_usd[:3], coming(shorter, 3).tvl_usd[:3])


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        coming(market(), 0)
    with pytest.raises(DataError, match="forecasts of tvl_usd are"):
        with_forecasts(market(), Expected(np.zeros((5, 4)), np.zeros((4, 4))))

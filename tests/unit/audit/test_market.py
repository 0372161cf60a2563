"""Markets with two sides, on small markets made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from defiyield_core.audit.market import SHOWN, dying_pools, paying, pool_side, shown, split, stale, without_pools
from defiyield_core.history import MarketHistory
from tests.unit.portfolio.markets import FIRST, POOLS, market


def numbered(days: int, first_day: int = 0) -> MarketHistory:
    """Every number tells its day and pool: day 3 of pool 1 expects 0.31; the market may begin on another day."""
    number = (np.arange(days)[:, None] + first_day) * 0.1 + np.arange(4) * 0.01
    made = market(
        days,
        observed_apy=number,
        filled_apy=number + 100,
        forecast_apy=number + 200,
        filled_tvl_usd=number + 300,
        forecast_tvl_usd=number + 400,
    )
    return replace(made, days=made.days + first_day)


def fewer(whole: MarketHistory, kept: list[int]) -> MarketHistory:
    """The same market without some of its pools."""
    pools = whole.pools
    names = ("ids", "symbols", "protocols", "chains", "tokens")
    book = replace(pools, **{name: tuple(getattr(pools, name)[pool] for pool in kept) for name in names})
    return replace(
        whole, pools=book, **{name: getattr(whole, name)[:, kept] for name in (*SHOWN, "flagged", "absent_days")}
    )


def test_views_are_of_one_side_and_the_books_of_the_other() -> None:
    books, seen = (
        numbered(4),
        replace(numbered(4), forecast_apy=np.full((4, 4), 0.9), depositable=np.zeros((4, 4), bool)),
    )
    both = split(books, seen)
    view = both.as_of(FIRST + timedelta(days=2))
    assert (view.forecast_apy == 0.9).all() and not view.depositable.any()
    assert (both.observed_apy == books.observed_apy).all() and (both.forecast_apy == books.forecast_apy).all()
    assert both.fingerprint() not in (books.fingerprint(), seen.fingerprint())
    assert both.fingerprint() != split(books, books).fingerprint()


@pytest.mark.parametrize("age", [1, 3])
def test_stale_views_are_those_of_days_before(age: int) -> None:
    longer, true = numbered(8), numbered(5, first_day=3)
    both = stale(true, longer, age)
    view, before = (one.as_of(FIRST + timedelta(days=day)) for one, day in ((both, 6), (longer, 6 - age)))
    for name in ("apy", "tvl_usd", "forecast_apy", "forecast_tvl_usd"):
        assert (getattr(view, name) == getattr(before, name)).all()
    assert (both.observed_apy == true.observed_apy).all()
    assert view.day == FIRST + timedelta(days=6)


def test_stale_views_keep_todays_prices_and_gas() -> None:
    price = np.linspace(0.9, 1.1, 18).reshape(6, 3)
    true = market(6, price_usd=price, gas_price_gwei=np.arange(6.0))
    view = stale(true, true, 2).as_of(FIRST + timedelta(days=4))
    assert (view.price_usd == price[4]).all() and view.gas_price_gwei == 4.0


def test_before_the_first_day_the_first_day_stands_in() -> None:
    true = numbered(3)
    assert (stale(true, true, 7).as_of(FIRST + timedelta(days=2)).apy == true.filled_apy[0]).all()


def test_another_market_is_placed_by_day_and_pool() -> None:
    other = fewer(numbered(6, first_day=1), [3, 1])
    placed = pool_side(other, {"forecast_apy": np.nan, "depositable": False, "reasons": "unknown"}, numbered(3))
    nan = np.nan
    expected = [[nan] * 4, [nan, 200.11, nan, 200.13], [nan, 200.21, nan, 200.23]]
    np.testing.assert_allclose(placed["forecast_apy"], expected, rtol=1e-12)
    assert placed["depositable"].tolist() == [[False] * 4, [False, True, False, True], [False, True, False, True]]
    assert placed["reasons"][1].tolist() == ["unknown", "", "unknown", ""]


def test_a_shown_market_hides_what_it_does_not_know() -> None:
    view = shown(numbered(3), fewer(numbered(3), [0, 1])).as_of(FIRST)
    assert view.depositable.tolist() == [True, True, False, False]
    assert np.isnan(view.forecast_apy[2:]).all() and view.group[2:].tolist() == [3, 3]


def test_books_may_accrue_what_another_market_paid() -> None:
    true, other = numbered(3), replace(numbered(3), observed_apy=np.zeros((3, 4)))
    both = paying(true, other)
    assert (both.observed_apy == 0).all()
    view = both.as_of(FIRST + timedelta(days=1))
    assert (view.apy_history == true.observed_apy[:2]).all() and (view.forecast_apy == true.forecast_apy[1]).all()


def test_left_out_pools_are_closed_and_the_others_stay() -> None:
    closed = without_pools(market(2), np.array([True, False, False, True]))
    assert closed.depositable.tolist() == [[False, True, True, False]] * 2


def gone_after(last: int, days: int = 20) -> MarketHistory:
    apy = np.full((days, 4), 0.05)
    apy[last + 1 :, 2] = np.nan
    return market(days, observed_apy=apy)


@pytest.mark.parametrize(("last", "dead"), [(16, True), (17, False)])
def test_a_pool_without_rows_for_three_days_at_the_end_has_stopped(last: int, dead: bool) -> None:
    found = dying_pools(gone_after(last))
    assert found.stopped.tolist() == [False, False, dead, False]
    assert not found.fallen.any()


def test_a_pool_that_came_back_has_not_stopped() -> None:
    apy = np.full((20, 4), 0.05)
    apy[5:15, 2] = np.nan
    assert not dying_pools(market(20, observed_apy=apy)).any.any()


@pytest.mark.parametrize(("left", "dead"), [(9.0, True), (10.0, True), (11.0, False)])
def test_a_pool_with_a_tenth_of_its_highest_tvl_has_fallen(left: float, dead: bool) -> None:
    tvl = np.full((30, 4), 50.0)
    tvl[5:15, 1], tvl[20:, 1] = 100.0, left
    assert dying_pools(market(30, filled_tvl_usd=tvl)).fallen.tolist() == [False, dead, False, False]


def test_one_wrong_row_is_no_death() -> None:
    tvl = np.full((30, 4), 50.0)
    tvl[10, 1], tvl[29, 3] = 5000.0, 0.1
    assert POOLS[1] == "p1-usdc" and not dying_pools(market(30, filled_tvl_usd=tvl)).fallen.any()


def test_a_pool_of_unknown_tvl_has_not_fallen() -> None:
    assert not dying_pools(market(9, filled_tvl_usd=np.full((9, 4), np.nan))).fallen.any()

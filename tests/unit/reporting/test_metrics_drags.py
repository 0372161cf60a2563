"""Drags, concentration, forecast error, regret; and the figures of a whole run that rest on them."""

from __future__ import annotations

import json
import math
from datetime import date

import numpy as np
import pandas as pd
import pytest

from defiyield_core.errors import DataError
from defiyield_core.reporting.daily import daily_returns
from defiyield_core.reporting.drags import (
    books_dilute,
    concentration,
    dilution_cost_usd,
    dilution_drag,
    idle_cost_usd,
    yearly_rate,
)
from defiyield_core.reporting.metrics import performance
from defiyield_core.reporting.yardsticks import capture, forecast_error, regret
from tests.unit.reporting.sample_frames import sample_report

NO_DILUTION = {"dilution": "off", "accrual_dilution": "as_decided", "tvl_includes_positions": False}


def book(closes: list[float], *, opening: float = 100.0, freq: str = "D", **columns) -> pd.DataFrame:
    """Rows of `portfolio_daily`; what is not given is 0."""
    frame = pd.DataFrame(
        {
            "portfolio": "p",
            "date": pd.date_range("2025-01-01", periods=len(closes), freq=freq),
            "aum_open_usd": [opening, *closes[:-1]],
            "aum_close_usd": closes,
            "status": "ok",
        }
    )
    for name in ("accrual", "forecast_accrual", "revaluation", "gas", "conversion", "idle", "turnover", "flows"):
        frame[f"{name}_usd"] = 0.0
    return frame.assign(**columns)


def held(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """Rows of `asset_allocations` from (day, pool, dollars)."""
    days, pools, usd = zip(*rows, strict=True) if rows else ((), (), ())
    return pd.DataFrame({"date": pd.to_datetime(list(days)), "pool_id": list(pools), "value_usd": list(usd)})


def test_costs_are_a_rate_of_a_year():
    frame = book([100.0, 100.0], gas_usd=[0.1, 0.0], conversion_usd=[0.0, 0.02])
    figures = performance(frame)
    assert figures.gas_drag == pytest.approx(0.0005 * 365)
    assert figures.conversion_drag == pytest.approx(0.0001 * 365)


def test_the_rates_of_all_causes_add_up_to_the_mean_return():
    daily = sample_report().daily["baseline"]
    rates = {name: yearly_rate(daily, daily[f"{name}_usd"].to_numpy()) for name in ("accrual", "revaluation")}
    figures = performance(daily)
    net = rates["accrual"] + rates["revaluation"] - figures.gas_drag - figures.conversion_drag
    assert net == pytest.approx(daily_returns(daily).mean() * 365)


def test_idle_money_costs_the_rate_that_the_rest_earned():
    frame = book([100.0, 100.75, 100.75], idle_usd=[25.0, 0.0, 0.0], accrual_usd=[0.0, 0.75, 0.0])
    assert idle_cost_usd(frame) == pytest.approx([0.0, 0.25, 0.0])
    assert performance(frame).idle_drag == pytest.approx(0.0025 / 3 * 365)


def test_a_day_with_everything_idle_is_charged_the_rate_of_the_run():
    frame = book([100.0] * 4, idle_usd=[50.0, 100.0, 0.0, 0.0], accrual_usd=[0.0, 1.0, 0.0, 4.0])
    # 5 dollars on 50 + 100 invested; on the third day 100 were idle.
    assert idle_cost_usd(frame) == pytest.approx([0.0, 1.0, 100.0 * 5.0 / 150.0, 0.0])


def test_idle_money_that_escaped_a_loss_costs_less_than_nothing():
    assert idle_cost_usd(book([100.0, 99.0], idle_usd=[50.0, 50.0], accrual_usd=[0.0, -1.0]))[1] == pytest.approx(-1.0)


def test_the_cost_of_idle_money_is_unknown_when_nothing_was_ever_invested():
    figures = performance(book([100.0, 100.0], idle_usd=[100.0, 100.0]))
    assert math.isnan(figures.idle_drag) and figures.as_dict()["idle_cost_usd"] is None


def test_the_rounding_of_a_cash_book_is_no_investment():
    frame = book([100.0, 100.0], idle_usd=[100.0 - 1e-12, 100.0], accrual_usd=[0.0, 1e-9])
    assert math.isnan(idle_cost_usd(frame)[1])


def test_dilution_costs_what_the_law_took():
    # 100 dollars in a pool of 400 accrue g T / (T + V) = 0.8 g: of 1.25 a dollar's quarter is missing.
    positions = held(("2025-01-01", "a", 60.0), ("2025-01-01", "a", 40.0), ("2025-01-01", "b", 10.0))
    accrual = pd.DataFrame({"date": pd.Timestamp("2025-01-02"), "pool_id": ["a", "b"], "usd": [1.0, -1.0]})
    tvl = pd.DataFrame({"date": pd.Timestamp("2025-01-02"), "pool_id": ["a", "b"], "tvl_usd_filled": [400.0, 10.0]})
    cost = dilution_cost_usd(accrual, positions, tvl)
    assert cost.to_dict() == {pd.Timestamp("2025-01-02"): pytest.approx(0.25)}
    frame, law = book([100.0, 100.0]), NO_DILUTION | {"dilution": "pro_rata"}
    assert dilution_drag(frame, accrual, positions, tvl, law) == pytest.approx(0.0025 / 2 * 365)
    assert dilution_drag(frame, accrual, positions, tvl, NO_DILUTION) == 0.0


@pytest.mark.parametrize("size", [np.nan, 0.0, None])
def test_a_pool_of_unknown_or_no_size_dilutes_nothing(size):
    accrual = pd.DataFrame({"date": [pd.Timestamp("2025-01-02")], "pool_id": ["a"], "usd": [1.0]})
    tvl = pd.DataFrame({"date": [pd.Timestamp("2025-01-02")], "pool_id": ["a"], "tvl_usd_filled": [size]})
    tvl = tvl if size is not None else tvl.iloc[:0]
    assert dilution_cost_usd(accrual, held(("2025-01-01", "a", 5.0)), tvl).sum() == 0.0


def test_dilution_needs_the_size_of_pools():
    with pytest.raises(DataError, match="tvl_usd_filled"):
        dilution_cost_usd(pd.DataFrame(), held(), pd.DataFrame({"date": [], "pool_id": []}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"dilution": "pro_rata"}, True),
        ({"dilution": "pro_rata", "accrual_dilution": "off"}, False),
        ({"accrual_dilution": "rate_curve"}, True),
        ({"accrual_dilution": "pro_rata", "tvl_includes_positions": True}, False),
    ],
)
def test_whether_books_dilute_is_told_by_their_parameters(changes, expected):
    assert books_dilute(NO_DILUTION | changes) is expected


def test_concentration_is_the_sum_of_squared_shares_through_time():
    positions = held(
        ("2025-01-01", "a", 10.0), ("2025-01-01", "b", 10.0), ("2025-01-02", "a", 30.0), ("2025-01-02", "b", 10.0)
    )
    found = concentration(book([100.0] * 3), positions)
    assert found.hhi.to_numpy() == pytest.approx([0.5, 0.625, np.nan], nan_ok=True)
    assert found.mean == pytest.approx(0.5625)
    assert (found.highest, found.highest_day) == (pytest.approx(0.625), date(2025, 1, 2))
    assert found.effective == pytest.approx((2.0 + 1.6) / 2)


def test_concentration_by_owner_adds_up_before_it_squares():
    positions = held(("2025-01-01", "a", 10.0), ("2025-01-01", "b", 10.0), ("2025-01-01", "c", 20.0))
    one = book([100.0])
    assert concentration(one, positions, {"a": "aave", "b": "aave", "c": "sky"}).mean == pytest.approx(0.5)
    assert concentration(one, positions, {"c": "sky"}).mean == pytest.approx(0.5)


def test_a_portfolio_without_positions_has_no_concentration():
    found = concentration(book([100.0]), held())
    assert math.isnan(found.mean) and math.isnan(found.highest) and found.highest_day is None


def test_forecast_errors_are_counted_on_days_with_money_at_work():
    frame = book([100.0] * 4, accrual_usd=[0.0, 3.0, 1.0, 0.0], forecast_accrual_usd=[0.0, 2.0, 4.0, 0.0])
    error = forecast_error(frame)
    assert (error.days, error.total_usd, error.bias_usd, error.mean_absolute_usd) == (2, -2.0, -1.0, 2.0)
    assert error.root_mean_square_usd == pytest.approx(math.sqrt(5.0))
    assert error.share_of_accrual == 1.0
    assert performance(frame).forecast_bias_usd == -1.0


def test_a_promise_that_never_paid_has_no_share():
    error = forecast_error(book([100.0], forecast_accrual_usd=[2.0]))
    assert error.bias_usd == -2.0 and math.isnan(error.share_of_accrual)


def test_without_money_at_work_there_is_no_forecast_error():
    error = forecast_error(book([100.0, 100.0]))
    assert error.days == 0 and math.isnan(error.bias_usd)


def test_regret_is_what_foresight_gained_more_day_by_day():
    own, best = book([101.0, 101.0, 102.0]), book([101.0, 103.0, 104.5])
    found = regret(own, best)
    assert found.usd == pytest.approx(2.5)
    assert found.usd_by_day.to_numpy() == pytest.approx([0.0, 2.0, 0.5])
    assert found.worst_day == date(2025, 1, 2)
    assert found.apy == pytest.approx(1.045 ** (365 / 3) - 1.02 ** (365 / 3))


def test_flows_are_no_regret():
    flows = [0.0, 50.0]
    found = regret(book([100.0, 150.0], flows_usd=flows), book([100.0, 151.0], flows_usd=flows))
    assert found.usd == pytest.approx(1.0)


def test_capture_counts_from_the_reference():
    own, best, reference = (book(list(100 * rate ** (np.arange(1, 366) / 365))) for rate in (1.08, 1.10, 1.05))
    assert regret(own, best, reference).capture == pytest.approx(0.6)
    assert regret(own, best).capture == pytest.approx(0.8)


@pytest.mark.parametrize(("reference", "best"), [(0.05, 0.05), (0.05, 0.05009), (0.06, 0.05), (0.05, math.nan)])
def test_where_foresight_is_worth_nothing_there_is_nothing_to_capture(reference, best):
    assert math.isnan(capture(0.07, reference, best))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (book([100.0]), "its days"),
        (book([100.0, 100.0]).assign(date=pd.date_range("2025-01-02", periods=2)), "its days"),
        (book([100.0, 100.0], opening=90.0), "opens 10.00 USD apart"),
        (book([100.0, 100.0], flows_usd=[0.0, 7.0]), "7.00 USD a day"),
    ],
)
def test_runs_with_other_money_or_days_cannot_be_regretted(other, says):
    with pytest.raises(DataError, match=says):
        regret(book([100.0, 100.0]), other)
    with pytest.raises(DataError, match=says):
        regret(book([100.0, 100.0]), book([100.0, 100.0]), other)


def test_a_drawdown_has_its_days():
    figures = performance(book([110.0, 99.0, 104.5, 121.0]))
    assert (figures.max_drawdown_peak_day, figures.max_drawdown_day) == (date(2025, 1, 1), date(2025, 1, 2))
    assert figures.max_drawdown_recovery_day == date(2025, 1, 4)
    assert figures.max_drawdown_days == figures.longest_drawdown_days == 2


def test_a_drawdown_from_the_start_begins_the_day_before_and_may_not_end():
    figures = performance(book([99.0, 98.0]))
    assert (figures.max_drawdown_peak_day, figures.max_drawdown_recovery_day) == (date(2024, 12, 31), None)
    assert figures.max_drawdown_days == 2


def test_the_best_and_worst_30_days_end_where_they_do():
    returns = np.zeros(90)
    returns[40], returns[45] = -0.02, 0.10
    figures = performance(book(list(100 * np.cumprod(1 + returns))))
    assert figures.best_30_days == pytest.approx(0.10)
    assert figures.best_30_days_last_day == date(2025, 1, 1) + pd.Timedelta(days=70)
    assert figures.worst_30_days == pytest.approx(-0.02)
    assert figures.worst_30_days_last_day == date(2025, 1, 1) + pd.Timedelta(days=40)


def test_hours_make_the_same_rates_as_the_days_they_fill():
    growth = 1.08 ** (1 / 8760)
    closes = list(100.0 * growth ** np.arange(1, 24 * 40 + 1))
    frame = book(closes, freq="h", turnover_usd=1.0)
    figures = performance(frame, periods_per_year=8760)
    assert figures.days == 40
    assert figures.net_apy == pytest.approx(0.08)
    assert figures.turnover_per_year == pytest.approx(8760 / np.mean(closes))
    assert figures.best_30_days == pytest.approx(1.08 ** (30 / 365) - 1)


def test_lengths_of_hours_come_out_in_days():
    closes = [101.0, *[100.0] * 12, 102.0]
    figures = performance(book(closes, freq="h"), periods_per_year=8760)
    assert figures.max_drawdown_days == figures.longest_drawdown_days == 0.5


@pytest.mark.parametrize("closes", [[0.0], [100.0], [100.0, 0.0, 0.0], [0.0] * 40, [100.0] * 40])
def test_no_figure_of_a_degenerate_run_is_infinite(closes):
    plain = performance(book(closes, opening=closes[0] or 100.0)).as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    for name in ("sharpe", "sortino"):
        assert plain[name] is None or abs(plain[name]) < 1e6


def test_the_risk_free_rate_is_subtracted():
    daily = sample_report().daily["baseline"]
    plain, demanding = performance(daily), performance(daily, risk_free_apy=0.04)
    assert demanding.sharpe < plain.sharpe and demanding.volatility == plain.volatility
    assert plain.cagr == plain.net_apy

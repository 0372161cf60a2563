"""Performance figures: worked numbers, and identities on sample books."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.errors import DataError
from defiyield_core.reporting.metrics import by_day, daily_returns, drawdown, performance, return_index
from tests.unit.reporting.sample_frames import DAYS, sample_report, sample_tables


def _days(closes: list[float], *, opening: float = 100.0, flows: list[float] | None = None, **columns) -> pd.DataFrame:
    opens = [opening, *closes[:-1]]
    frame = pd.DataFrame(
        {
            "portfolio": "p",
            "date": pd.date_range("2025-01-01", periods=len(closes)),
            "aum_open_usd": opens,
            "aum_close_usd": closes,
            "flows_usd": flows or [0.0] * len(closes),
            "status": "ok",
        }
    )
    for name in ("accrual", "forecast_accrual", "revaluation", "gas", "conversion", "idle", "turnover"):
        frame[f"{name}_usd"] = 0.0
    return frame.assign(**columns)


def test_the_return_of_a_day_is_its_gain_over_the_opening_value():
    assert daily_returns(_days([110.0, 99.0])) == pytest.approx([0.1, -0.1])


def test_money_that_flows_in_is_no_return():
    figures = performance(_days([100.0, 600.0, 660.0], flows=[0.0, 500.0, 0.0]))
    assert figures.total_return == pytest.approx(0.1)
    assert figures.flows_usd == 500.0


def test_a_first_day_that_opens_with_nothing_is_measured_on_what_it_received():
    assert daily_returns(_days([990.0], opening=0.0, flows=[1000.0])) == pytest.approx([-0.01])


def test_an_empty_portfolio_returns_nothing_instead_of_failing():
    figures = performance(_days([0.0, 0.0], opening=0.0))
    assert figures.total_return == 0.0
    assert figures.as_dict()["turnover"] is None


def test_net_apy_compounds_the_return_to_a_year():
    closes = list(100.0 * 1.05 ** (np.arange(1, 74) / 365))
    assert performance(_days(closes)).net_apy == pytest.approx(0.05)


def test_a_total_loss_has_no_annual_rate():
    assert performance(_days([0.0])).as_dict()["net_apy"] is None


def test_drawdown_counts_from_the_running_peak_and_names_its_day():
    figures = performance(_days([120.0, 90.0, 96.0, 130.0]))
    assert figures.max_drawdown == pytest.approx(0.25)
    assert figures.max_drawdown_day == date(2025, 1, 2)


def test_a_loss_on_the_first_day_is_a_drawdown_from_what_was_invested():
    assert performance(_days([97.0, 98.0])).max_drawdown == pytest.approx(0.03)


def test_a_portfolio_that_only_rises_has_no_drawdown():
    figures = performance(_days([101.0, 102.0]))
    assert (figures.max_drawdown, figures.max_drawdown_day) == (0.0, None)


def test_costs_idle_and_turnover_are_measured_against_the_closing_value():
    frame = _days([100.0, 300.0], gas_usd=[1.0, 0.5], conversion_usd=[0.25, 0.25])
    figures = performance(frame.assign(idle_usd=[50.0, 30.0], turnover_usd=[100.0, 300.0]))
    assert (figures.gas_usd, figures.conversion_usd, figures.fees_usd) == (1.5, 0.5, 2.0)
    assert figures.fees_bps_of_nav == pytest.approx(100.0)
    assert figures.mean_idle_share == pytest.approx(0.3)
    assert figures.turnover == pytest.approx(2.0)


def test_volatility_is_the_deviation_of_daily_returns_over_a_year_of_365_days():
    assert performance(_days([101.0, 101.0])).volatility == pytest.approx(0.01 / np.sqrt(2) * np.sqrt(365))


def test_statuses_are_counted():
    figures = performance(_days([1.0, 1.0, 1.0]).assign(status=["ok", "timeout", "ok"]))
    assert figures.status_counts == {"ok": 2, "timeout": 1}
    assert figures.days_not_ok == 1


def test_the_figures_are_json_as_they_are():
    plain = performance(sample_report().daily["baseline"]).as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False))["days"] == DAYS
    assert plain["first_day"] == "2025-03-01"


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (_days([1.0]).iloc[:0], "no rows"),
        (_days([1.0]).drop(columns="idle_usd"), "idle_usd"),
        (pd.concat([_days([1.0]), _days([1.0])]), "more than one row on 2025-01-01"),
        (pd.concat([_days([1.0]), _days([1.0]).assign(portfolio="q")]), "one portfolio at a time"),
    ],
)
def test_rows_that_are_no_single_history_are_refused(frame, says):
    with pytest.raises(DataError, match=says):
        by_day(frame)


def test_the_order_of_rows_does_not_matter():
    daily = sample_report().daily["baseline"]
    assert performance(daily.sample(frac=1.0, random_state=3)) == performance(daily)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-0.4, 0.5), min_size=1, max_size=30),
    st.lists(st.floats(0.0, 500.0), min_size=30, max_size=30),
)
def test_the_index_is_blind_to_flows_whatever_they_are(returns, flows):
    opens, closes, value = [], [], 1000.0
    for gain, flow in zip(returns, flows, strict=False):
        opens.append(value)
        value = value * (1 + gain) + flow
        closes.append(value)
    frame = _days(closes, opening=1000.0, flows=flows[: len(closes)]).assign(aum_open_usd=opens)
    index = return_index(frame)
    assert index == pytest.approx(np.cumprod(1 + np.array(returns)), rel=1e-9)
    assert (drawdown(index) <= 0).all()


def test_the_sample_books_close_every_day():
    tables = sample_tables()
    daily = tables["portfolio_daily"]
    close = (
        daily["aum_open_usd"]
        + daily["accrual_usd"]
        + daily["revaluation_usd"]
        + daily["flows_usd"]
        - daily["gas_usd"]
        - daily["conversion_usd"]
    )
    assert close.to_numpy() == pytest.approx(daily["aum_close_usd"].to_numpy(), abs=1e-6)
    held = tables["asset_allocations"].groupby(["portfolio", "date"])["value_usd"].sum()
    whole = daily.set_index(["portfolio", "date"])
    assert (held + whole["idle_usd"]).to_numpy() == pytest.approx(whole["aum_close_usd"].loc[held.index].to_numpy())
    ledger = tables["daily_ledger"].groupby(["portfolio", "date"])["value_usd"].sum()
    assert ledger.to_numpy() == pytest.approx(whole["aum_close_usd"].loc[ledger.index].to_numpy())

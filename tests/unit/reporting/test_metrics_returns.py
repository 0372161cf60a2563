"""Statistics of returns: worked numbers, edges, properties, and agreement with empyrical where both define a figure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.errors import DataError
from defiyield_core.reporting.returns import (
    HOURS_PER_YEAR,
    best_and_worst,
    cagr,
    calmar,
    checked,
    deepest_fall,
    expected_shortfall,
    falls,
    growth_index,
    hit_rate,
    longest_under_water,
    sharpe,
    sortino,
    total_return,
    value_at_risk,
    volatility,
)

NUMBERS = np.arange(200)
WAVES = 0.0002 + 0.004 * np.sin(1.7 * NUMBERS) * np.cos(0.13 * NUMBERS) + 0.002 * np.sin(0.9 * NUMBERS + 1)
RISK_FREE_APY = 0.05
# What empyrical-reloaded 0.7.1 says of WAVES with annualization=365 (the last with 8760); losses have their sign there.
EMPYRICAL = {
    "total": 0.042366003178198275,
    "cagr": 0.07866586406767384,
    "volatility": 0.04757493841292307,
    "sharpe": 1.6155276012991842,
    "sharpe_risk_free": 0.5899156536193501,
    "sortino": 2.455627885751933,
    "sortino_risk_free": 0.8574960675832468,
    "max_drawdown": -0.007655378034060931,
    "calmar": 10.27589541857597,
    "value_at_risk": -0.003913721175033833,
    "expected_shortfall": -0.0047105302443105485,
    "sharpe_hourly": 7.914436577130927,
}
NEVER_INFINITE = (cagr, volatility, sharpe, sortino, calmar, value_at_risk, expected_shortfall, hit_rate)


def ours(returns: np.ndarray) -> dict[str, float]:
    """Our figures by the names of the table, with empyrical's signs."""
    fall = deepest_fall(returns)
    return {
        "total": total_return(returns),
        "cagr": cagr(returns),
        "volatility": volatility(returns),
        "sharpe": sharpe(returns),
        "sharpe_risk_free": sharpe(returns, risk_free_apy=RISK_FREE_APY),
        "sortino": sortino(returns),
        "sortino_risk_free": sortino(returns, risk_free_apy=RISK_FREE_APY),
        "max_drawdown": -fall.depth if fall else 0.0,
        "calmar": calmar(returns),
        "value_at_risk": -value_at_risk(returns),
        "expected_shortfall": -expected_shortfall(returns),
        "sharpe_hourly": sharpe(returns, HOURS_PER_YEAR),
    }


def test_figures_are_those_that_empyrical_gave():
    assert ours(WAVES) == pytest.approx(EMPYRICAL, rel=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_figures_are_those_of_empyrical(seed):
    theirs = pytest.importorskip("empyrical", reason="empyrical-reloaded is not installed: pip install -e '.[compare]'")
    random = np.random.default_rng(seed)
    returns = random.normal(0.0002, 10.0 ** random.uniform(-4, -2), size=int(random.integers(2, 500)))
    year, rate = {"annualization": 365}, (1 + RISK_FREE_APY) ** (1 / 365) - 1
    assert ours(returns) == pytest.approx(
        {
            "total": theirs.cum_returns_final(returns),
            "cagr": theirs.annual_return(returns, **year),
            "volatility": theirs.annual_volatility(returns, **year),
            "sharpe": theirs.sharpe_ratio(returns, **year),
            "sharpe_risk_free": theirs.sharpe_ratio(returns, risk_free=rate, **year),
            "sortino": theirs.sortino_ratio(returns, **year),
            "sortino_risk_free": theirs.sortino_ratio(returns, required_return=rate, **year),
            "max_drawdown": theirs.max_drawdown(returns),
            "calmar": theirs.calmar_ratio(returns, **year),
            "value_at_risk": theirs.value_at_risk(returns),
            "expected_shortfall": theirs.conditional_value_at_risk(returns),
            "sharpe_hourly": theirs.sharpe_ratio(returns, annualization=8760),
        },
        rel=1e-9,
        abs=1e-12,
        nan_ok=True,
    )


def test_worked_ratios():
    returns = np.array([0.01, -0.01, 0.03, 0.01])
    assert sharpe(returns) == pytest.approx(0.01 / math.sqrt(0.0008 / 3) * math.sqrt(365))
    assert sortino(returns) == pytest.approx(0.01 / 0.005 * math.sqrt(365))
    assert hit_rate(returns) == 0.75


def test_a_year_of_days_and_one_of_hours_annualise_to_the_same_rate():
    hourly = 1.08 ** (1 / HOURS_PER_YEAR) - 1
    assert cagr(np.full(48, hourly), HOURS_PER_YEAR) == pytest.approx(0.08)
    assert cagr(np.full(2, 1.08 ** (1 / 365) - 1)) == pytest.approx(0.08)


def test_a_fall_is_told_from_its_peak_to_its_recovery():
    fall = deepest_fall(np.array([0.2, -0.25, 0.1, 0.25, -0.05]))
    assert (fall.depth, fall.peak, fall.trough) == (pytest.approx(0.25), 0, 1)
    assert (fall.recovery, fall.under_water) == (3, 2)


def test_a_fall_from_what_was_invested_has_its_peak_before_the_first_period():
    fall = deepest_fall(np.array([-0.1, 0.05, 0.0]))
    assert (fall.peak, fall.trough, fall.recovery, fall.under_water) == (-1, 0, None, 3)


def test_the_longest_time_under_water_need_not_be_that_of_the_deepest_fall():
    returns = np.array([-0.5, 1.0, -0.01, 0.0, 0.0, 0.05])
    assert deepest_fall(returns).under_water == 1
    assert longest_under_water(returns) == 3


def test_value_at_risk_is_an_interpolated_quantile_and_the_shortfall_the_mean_beyond_it():
    returns = np.arange(41) / 100 - 0.10
    assert value_at_risk(returns) == pytest.approx(0.08)
    assert expected_shortfall(returns) == pytest.approx(0.09)


def test_a_portfolio_that_always_gains_has_a_negative_value_at_risk():
    assert value_at_risk(np.array([0.01, 0.02, 0.03])) == pytest.approx(-0.011)


def test_stretches_are_compounded_and_placed():
    best, worst = best_and_worst(np.array([0.0, 0.1, 0.1, -0.5, 0.2]), 2)
    assert (best.growth, best.first, best.last) == (pytest.approx(0.21), 1, 2)
    assert (worst.growth, worst.first, worst.last) == (pytest.approx(-0.45), 2, 3)


def test_a_stretch_longer_than_the_run_is_none():
    assert best_and_worst(np.zeros(29), 30) is None
    assert best_and_worst(np.zeros(30), 30)[0].last == 29


def test_a_stretch_of_no_period_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        best_and_worst(np.zeros(3), 0)


def test_after_a_total_loss_there_is_no_rate_and_the_fall_is_whole():
    returns = np.array([0.1, -1.0, 0.0])
    assert total_return(returns) == -1.0
    assert deepest_fall(returns).depth == 1.0
    assert math.isnan(cagr(returns)) and math.isnan(calmar(returns))
    best, worst = best_and_worst(returns, 1)
    assert (best.growth, worst.growth) == (pytest.approx(0.1), -1.0)


def test_without_a_period_nothing_is_defined_but_the_total():
    empty = np.array([])
    assert total_return(empty) == 0.0
    assert all(math.isnan(figure(empty)) for figure in NEVER_INFINITE)
    assert deepest_fall(empty) is None
    assert longest_under_water(empty) == 0


def test_one_period_has_no_deviation():
    one = np.array([0.01])
    assert all(math.isnan(figure(one)) for figure in (volatility, sharpe, sortino))
    assert value_at_risk(one) == expected_shortfall(one) == pytest.approx(-0.01)


@pytest.mark.parametrize("level", [0.0, 0.0001, 0.1])
def test_returns_that_are_all_the_same_have_no_ratio(level):
    noise = np.random.default_rng(1).normal(scale=1e-16, size=300)
    assert math.isnan(sharpe(level + noise))
    assert math.isnan(sortino(level + np.abs(noise)))
    assert math.isnan(calmar(level + noise))


@pytest.mark.parametrize(
    ("returns", "says"),
    [([0.1, np.nan], "number 1 is nan"), ([np.inf], "inf"), ([-1.2], "at least -1"), ([[0.1]], "shape")],
)
def test_what_is_no_series_of_returns_is_refused(returns, says):
    with pytest.raises(DataError, match=says):
        checked(np.array(returns))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.floats(-1.0, 1.0), st.just(0.0)), max_size=40))
def test_no_figure_is_ever_infinite(returns):
    values = np.array(returns, dtype=float)
    assert not any(math.isinf(figure(values)) for figure in NEVER_INFINITE)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=40))
def test_a_fall_is_consistent_with_the_index_below_its_peak(returns):
    values = np.array(returns)
    index, fall = growth_index(values), deepest_fall(values)
    depth = -falls(index).min()
    if fall is None:
        assert depth <= 1e-12
        return
    level = np.concatenate(([1.0], index))
    assert fall.depth == pytest.approx(1 - level[fall.trough + 1] / level[fall.peak + 1]) == pytest.approx(depth)
    end = len(values) if fall.recovery is None else fall.recovery
    assert (index[fall.peak + 1 : end] < level[fall.peak + 1]).all()
    assert fall.under_water == end - fall.peak - 1 <= longest_under_water(values)
    assert fall.recovery is None or index[fall.recovery] >= level[fall.peak + 1] * (1 - 1e-11)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=60))
def test_the_shortfall_is_never_milder_than_the_value_at_risk(returns):
    values = np.array(returns)
    assert expected_shortfall(values) >= value_at_risk(values) - 1e-12

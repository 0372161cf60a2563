"""The yardsticks: newest value and exponentially weighted mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.baselines import Ewma, FlatForecast, Median, OptimisedSes, Persistence
from defiyield_core.forecasting.port import Forecaster, History, forecast_days, horizon_of
from defiyield_core.forecasting.registry import find_forecaster
from defiyield_core.forecasting.tables import gas_forecast_rows, pool_forecast_rows
from defiyield_core.panel import Panel, days_between
from defiyield_core.parameters import parameters

FIRST = date(2025, 1, 1)
BASELINES = {name: find_forecaster(name) for name in ("persistence", "ewma", "median_7d", "ses")}


def series(*values: float | None) -> np.ndarray:
    """(n_days, 1); None is a missing day."""
    return np.array([[np.nan if value is None else value] for value in values], dtype=float)


def observed(apy: np.ndarray, tvl: np.ndarray | None = None) -> Panel:
    """A panel of pools p0, p1, ... from FIRST on."""
    ids = np.array([f"p{index}" for index in range(apy.shape[1])], dtype=object)
    days = days_between(FIRST, FIRST + timedelta(days=len(apy) - 1))
    return Panel(days, ids, {"apy": apy, "tvl_usd": np.full_like(apy, 1e6) if tvl is None else tvl})


def last_day_rows(panel: Panel, *forecasters: Forecaster, horizons: Sequence[int] = (1,)) -> pd.DataFrame:
    """Forecasts made on the panel's last day."""
    last = FIRST + timedelta(days=len(panel.days) - 1)
    return pool_forecast_rows(panel, Window(last, last), list(forecasters or (Persistence(),)), horizons)


def test_ewma_worked_by_hand() -> None:
    assert Ewma().levels(series(0.04, 0.08, 0.02), 2)[0, 0] == pytest.approx((0.02 + 0.04 + 0.01) / 1.75)


def test_ewma_weights_are_shared_by_the_observed_days() -> None:
    assert Ewma().levels(series(0.04, None, 0.02), 2)[0, 0] == pytest.approx((0.02 + 0.01) / 1.25)


def test_ewma_forgets_after_thirty_days() -> None:
    values = series(99.0, *[1.0] * 30)
    assert Ewma().levels(values, 30)[0, 0] == 1.0
    assert Ewma().levels(values, 29)[0, 0] > 1.0


def test_persistence_is_the_newest_observation() -> None:
    assert Persistence().levels(series(0.01, 0.03, None), 0)[:, 0].tolist() == [0.01, 0.03, 0.03]


def test_the_median_of_a_week_worked_by_hand() -> None:
    week = series(0.9, 0.01, 0.02, None, 0.03, 0.04, 0.05, 0.06)
    assert Median().levels(week, 7)[0, 0] == pytest.approx(0.035)
    assert Median().levels(week, 0)[0, 0] == 0.9


def test_without_an_observation_in_the_week_the_median_is_the_newest_value() -> None:
    assert Median().levels(series(0.04, *[None] * 8), 8)[0, 0] == 0.04


def test_smoothing_follows_a_trend_and_averages_noise() -> None:
    trend = series(*np.linspace(0.01, 0.09, 80))
    noise = series(*(0.05 + 0.01 * np.random.default_rng(2).standard_normal(80)))
    assert OptimisedSes().levels(trend, 79)[0, 0] == trend[-1, 0]
    smooth = OptimisedSes().levels(noise, 79)[0, 0]
    assert abs(smooth - 0.05) < 0.004


def test_each_pool_has_its_own_smoothing() -> None:
    trend, noise = np.linspace(0.01, 0.09, 80), 0.05 + 0.01 * np.random.default_rng(2).standard_normal(80)
    both = OptimisedSes().levels(np.column_stack([trend, noise]), 79)[0]
    assert both.tolist() == [OptimisedSes().levels(one[:, None], 79)[0, 0] for one in (trend, noise)]


@given(st.lists(st.one_of(st.none(), st.floats(-0.9, 9)), min_size=1, max_size=40))
def test_a_forecast_lies_between_what_was_seen(values: list[float | None]) -> None:
    seen = [value for value in values[-30:] if value is not None]
    for forecaster in (Ewma(), Persistence(), Median(), OptimisedSes()):
        level = forecaster.levels(series(*values), len(values) - 1)[0, 0]
        if seen:
            assert min(seen) - 1e-9 <= level <= max(seen) + 1e-9
        else:
            assert np.isnan(level)


@dataclass(frozen=True)
class OneByOne:
    """The same forecaster without its way to do many days at once."""

    inner: Forecaster
    lookback_days: int = 30
    targets: frozenset[str] = frozenset({"apy", "tvl_usd"})
    name: str = "one_by_one"

    def fit(self, history: History) -> FlatForecast:
        """Fitted day by day."""
        return self.inner.fit(history)  # type: ignore[return-value]


@pytest.mark.parametrize("forecaster", list(BASELINES.values()), ids=list(BASELINES))
def test_all_days_at_once_equal_day_after_day_bit_by_bit(forecaster: Forecaster) -> None:
    generator = np.random.default_rng(5)
    apy = generator.random((70, 9))
    apy[generator.random(apy.shape) < 0.3] = np.nan
    panel = observed(apy, generator.random((70, 9)) * 1e9)
    history = History(panel.days, panel.ids, panel.values)
    together = forecast_days(forecaster, history, 0, (1, 14))
    one_by_one = forecast_days(OneByOne(forecaster), history, 0, (1, 14))
    for horizon in (1, 14):
        for name in ("apy", "tvl_usd"):
            np.testing.assert_array_equal(together[horizon][name], one_by_one[horizon][name])


@pytest.mark.parametrize(("age", "forecast"), [(0, True), (3, True), (4, False)])
def test_nothing_older_than_three_days_is_forecast(age: int, forecast: bool) -> None:
    rows = last_day_rows(observed(series(0.05, *[None] * age)))
    assert len(rows) == int(forecast)
    if forecast:
        assert rows["observed_age_days"].tolist() == [age]


def test_a_flagged_day_is_neither_forecast_nor_remembered() -> None:
    assert last_day_rows(observed(series(0.05, 10.5))).empty
    assert last_day_rows(observed(series(0.05, 10.5, None))).empty
    after = last_day_rows(observed(series(0.05, 10.5, 0.05)), Ewma())
    assert after["apy"].tolist() == pytest.approx([0.05])


def test_without_a_known_tvl_there_is_no_forecast() -> None:
    assert last_day_rows(observed(series(0.05), series(None))).empty


def test_every_model_and_horizon_has_its_rows() -> None:
    rows = last_day_rows(observed(np.full((3, 2), 0.05)), Persistence(), Ewma(), horizons=(1, 14))
    assert len(rows) == 8
    assert set(zip(rows["model"], rows["horizon_days"], strict=True)) == {
        (model, horizon) for model in ("persistence", "ewma") for horizon in (1, 14)
    }


def test_gas_is_forecast_from_base_fee_and_tip_with_the_newest_eth_price() -> None:
    days = days_between(FIRST, FIRST + timedelta(days=2))
    daily = {"gas_price_gwei": np.array([40.0, 20.0, np.nan]), "eth_usd": np.array([1.0, 2500.0, np.nan])}
    last = FIRST + timedelta(days=2)
    rows = gas_forecast_rows(daily, days, Window(last, last), [Persistence(), Ewma()], (1,)).set_index("model")
    assert rows.loc["persistence", "gas_price_gwei"] == 20.0
    assert rows.loc["ewma", "gas_price_gwei"] == pytest.approx((0.5 * 20 + 0.25 * 40) / 0.75)
    assert (rows["eth_usd"] == 2500.0).all()


def test_gas_older_than_three_days_is_not_forecast() -> None:
    days = days_between(FIRST, FIRST + timedelta(days=4))
    daily = {"gas_price_gwei": series(9, None, None, None, None)[:, 0], "eth_usd": np.full(5, 2500.0)}
    rows = gas_forecast_rows(daily, days, Window(FIRST, FIRST + timedelta(days=4)), [Persistence()], (1,))
    assert len(rows) == 4


def test_an_unknown_forecaster_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigurationError, match="there are combination, ewma, lightgbm, median_7d, persistence, ses"):
        find_forecaster("oracle")


@pytest.mark.parametrize(("horizon", "stored"), [(14.0, 14), (0.4, 1), (6.6, 7)])
def test_a_portfolio_is_answered_by_the_nearest_whole_horizon(horizon: float, stored: int) -> None:
    assert horizon_of(parameters("default", {"horizon_days": horizon})) == stored

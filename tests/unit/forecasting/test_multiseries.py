"""skforecast's multi-series forecasters: the same port, the same rules."""

from __future__ import annotations

import numpy as np
import pytest

from defiyield_core.forecasting.boosting import LightGBM, XGBoost
from defiyield_core.forecasting.multiseries import MultiSeries
from defiyield_core.forecasting.port import forecast_days
from tests.unit.forecasting.small import DIES, GAPPED, YOUNG, assert_same, market, scrambled_after

HISTORY = market(160)
LAST = len(HISTORY.days) - 1
MODELS = {
    "lightgbm": MultiSeries("skforecast_lightgbm", LightGBM(rounds=10).estimator, 90),
    "xgboost": MultiSeries("skforecast_xgboost", XGBoost(rounds=10).estimator, 90),
}
by_model = pytest.mark.parametrize("forecaster", list(MODELS.values()), ids=list(MODELS))


@by_model
def test_scrambling_everything_later_changes_no_forecast(forecaster: MultiSeries) -> None:
    honest = forecast_days(forecaster, HISTORY, 143, (1, 7))
    spoilt = forecast_days(forecaster, scrambled_after(HISTORY, 145), 143, (1, 7))
    for horizon, rows in honest.items():
        for key, values in rows.items():
            np.testing.assert_array_equal(values[:3], spoilt[horizon][key][:3])


@by_model
def test_a_walk_equals_day_after_day(forecaster: MultiSeries) -> None:
    together = forecast_days(forecaster, HISTORY, LAST - 3, (1, 7))
    for row in range(4):
        for forecast in forecaster.fit(HISTORY.up_to(LAST - 3 + row)).predict((1, 7)):
            for name, values in forecast.points.items():
                np.testing.assert_allclose(values, together[forecast.horizon_days][name][row], rtol=1e-9)


@by_model
def test_older_days_than_the_lookback_change_nothing(forecaster: MultiSeries) -> None:
    long = market(forecaster.lookback_days + 40)
    last = len(long.days) - 1
    short = long.between(last - forecaster.lookback_days, last)
    assert_same(
        forecast_days(forecaster, long, last, (7,)), forecast_days(forecaster, short, len(short.days) - 1, (7,)), 1e-9
    )


@by_model
def test_every_living_pool_has_a_forecast_that_is_not_negative(forecaster: MultiSeries) -> None:
    answers = forecast_days(forecaster, HISTORY, LAST, (14,))[14]
    for point in ("apy", "apy_at", "tvl_usd"):
        values = answers[point][0]
        assert (np.delete(values, DIES) >= 0).all()
    alive = np.delete(answers["apy"][0], DIES)
    assert len(np.unique(alive)) == len(alive)


@by_model
def test_a_young_pool_is_forecast_at_a_weighted_mean_and_gaps_are_carried(forecaster: MultiSeries) -> None:
    answers = forecast_days(forecaster, HISTORY, LAST, (7,))[7]
    assert answers["apy"][0, YOUNG] == pytest.approx(answers["apy_at"][0, YOUNG], rel=1e-12)
    assert answers["apy"][0, GAPPED] != pytest.approx(answers["apy_at"][0, GAPPED], rel=1e-6)

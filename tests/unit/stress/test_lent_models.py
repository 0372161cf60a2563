"""Trained models of the undisturbed run, lent to cases of events."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.forecasting.boosting import LightGBM
from defiyield_core.stress.branch import run_undisturbed
from defiyield_core.stress.cases import Case, bootstrap_cases
from defiyield_core.stress.events import ApyCollapse, GasSpike
from defiyield_core.stress.models import is_trained
from defiyield_core.stress.runner import case_days
from tests.unit.stress.small import MARKET, SETTINGS, SPEC, WINDOW

DAY = WINDOW.end - timedelta(days=7)


@pytest.fixture(scope="module")
def trained(model_store):
    """An undisturbed run by the combination with trained trees."""
    spec = SPEC.with_overrides({"forecaster": "combination", "horizon_days": 1})
    return run_undisturbed(replace(SETTINGS, models=model_store), spec, WINDOW, MARKET)


@pytest.fixture
def untrainable(monkeypatch):
    def train(self, rows, target):
        raise AssertionError("nothing may be trained")

    monkeypatch.setattr(LightGBM, "train", train)


def test_the_models_of_the_burn_in_are_lent_too(trained):
    keys = trained.lent.keys
    assert keys
    assert len(set(keys)) == len(keys)
    assert max(key.trained_through for key in keys) <= WINDOW.end
    assert min(key.trained_through for key in keys) < WINDOW.start - timedelta(days=7)


def test_an_event_that_changes_no_number_gives_the_undisturbed_books(trained, untrainable):
    """Gas times one: everything from the event's day on is forecast and decided again."""
    same = case_days(trained, Case("same", "k", events=(GasSpike(day=DAY, days=3, factor=1.0),)))
    pd.testing.assert_frame_equal(same, trained.daily, check_exact=True)


def test_forecasts_follow_an_event_without_training(trained, untrainable):
    days = case_days(trained, Case("fall", "k", events=(ApyCollapse(day=DAY, days=None),))).set_index("date")
    before = trained.daily.set_index("date")
    expected = days["weighted_apy"] / before["weighted_apy"]
    assert (expected[: pd.Timestamp(DAY - timedelta(days=1))] == 1.0).all()
    assert expected.iloc[-1] < 0.8


def test_a_market_in_another_order_must_not_borrow(trained, untrainable):
    (case,) = bootstrap_cases(WINDOW, [3], 7)
    with pytest.raises(AssertionError, match="nothing may be trained"):
        case_days(trained, case)


def test_nothing_is_lent_when_every_case_trains(base):
    assert base.lent.keys == ()
    again = run_undisturbed(SETTINGS, SPEC, Window(WINDOW.start, WINDOW.start), MARKET, retrain=True)
    assert again.lent is None


def test_baselines_are_not_trained():
    assert [is_trained(name) for name in ("ewma", "ses", "combination", "lightgbm")] == [False, False, True, True]

"""Metrics of forecasts against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from defiyield_core.forecasting.evaluation.metrics import (
    auc,
    brier,
    coverage,
    mean_by_pool,
    mean_of_known,
    median_of_known,
    naive_scales,
    pinball,
    regret_of_top,
    relative_mae,
    scaled,
    spearman,
    weighted_mean,
)

NAN = float("nan")


def test_means_look_at_what_is_known() -> None:
    values = np.array([[1.0, NAN, NAN], [3.0, 5.0, NAN]])
    assert mean_of_known(values) == 3.0
    np.testing.assert_array_equal(mean_by_pool(values), [2.0, 5.0, NAN])
    assert math.isnan(mean_of_known(np.array([NAN])))
    assert mean_of_known(np.array([2.0, np.inf])) == 2.0


def test_a_median_counts_what_is_infinite() -> None:
    assert median_of_known(np.array([1.0, NAN, 2.0, np.inf])) == 2.0
    assert median_of_known(np.array([1.0, np.inf, np.inf])) == np.inf
    assert math.isnan(median_of_known(np.array([])))


def test_pinball_charges_each_side_by_its_probability() -> None:
    actual = np.array([5.0, 1.0, 3.0])
    np.testing.assert_allclose(pinball(actual, np.full(3, 3.0), 0.9), [1.8, 0.2, 0.0], rtol=1e-15)
    np.testing.assert_allclose(pinball(actual, np.full(3, 3.0), 0.1), [0.2, 1.8, 0.0], rtol=1e-15)


def test_pinball_is_least_at_the_quantile() -> None:
    actual = np.random.default_rng(1).normal(size=4000)
    at = [pinball(actual, np.full(4000, guess), 0.9).mean() for guess in (0.9, float(np.quantile(actual, 0.9)), 1.7)]
    assert at[1] < min(at[0], at[2])


def test_coverage_counts_the_edges_and_known_rows_only() -> None:
    lower, upper = np.zeros(5), np.ones(5)
    upper[4] = NAN
    assert coverage(np.array([0.0, 1.0, 1.5, NAN, 0.5]), lower, upper) == pytest.approx(2 / 3)
    assert math.isnan(coverage(np.array([NAN]), np.zeros(1), np.ones(1)))


def test_naive_scales_are_those_of_the_days_so_far() -> None:
    values = np.array([[1.0], [4.0], [NAN], [2.0], [6.0]])
    absolute, squared = naive_scales(values)
    np.testing.assert_allclose(absolute[:, 0], [NAN, 3.0, 3.0, 3.0, 3.5])
    np.testing.assert_allclose(squared[:, 0], [NAN, 3.0, 3.0, 3.0, math.sqrt(12.5)])
    later = values.copy()
    later[4] = 100.0
    np.testing.assert_array_equal(naive_scales(later)[0][:4], absolute[:4])


def test_scaled_errors_of_a_still_pool_are_not_known() -> None:
    found = scaled(np.array([-2.0, 1.0, 0.0]), np.array([4.0, 0.0, 0.0]))
    np.testing.assert_array_equal(found, [0.5, NAN, NAN])


def test_relative_error_uses_common_days() -> None:
    loss = np.array([[1.0, 2.0], [3.0, NAN], [8.0, 2.0]])
    reference = np.array([[2.0, 4.0], [2.0, 9.0], [NAN, 1.0]])
    np.testing.assert_allclose(relative_mae(loss, reference), [4.0 / 4.0, 4.0 / 5.0])


def test_relative_error_where_the_reference_is_right() -> None:
    reference = np.array([[0.0, 0.0, 1e-17, NAN]])
    np.testing.assert_array_equal(relative_mae(np.array([[0.5, 1e-5, 3e-17, 1.0]]), reference), [np.inf, NAN, NAN, NAN])


def test_weights() -> None:
    assert weighted_mean(np.array([1.0, 4.0, NAN]), np.array([3.0, 1.0, 9.0])) == pytest.approx(1.75)
    assert math.isnan(weighted_mean(np.array([1.0]), np.array([0.0])))


def test_rank_correlation_worked() -> None:
    assert spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0])) == pytest.approx(0.8)
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])) == pytest.approx(-1.0)
    # ranks with a tie 1.5, 1.5, 3: covariance 1.5 over the root of 1.5 * 2
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(1.5 / math.sqrt(3.0))
    assert math.isnan(spearman(np.array([1.0, 2.0, NAN]), np.array([1.0, 2.0, 3.0])))
    assert math.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_regret_worked() -> None:
    actual = np.array([5.0, 1.0, 4.0, 2.0])
    assert regret_of_top(np.array([1.0, 9.0, 8.0, 0.0]), actual, 2) == pytest.approx(4.5 - 2.5)
    assert regret_of_top(actual, actual, 2) == 0.0
    assert regret_of_top(np.array([1.0, NAN, 8.0, 0.0]), actual, 2) == 0.0  # what is not forecast is not chosen from
    assert math.isnan(regret_of_top(actual, actual, 4))


def test_auc_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    label = (random.random(200) < 0.3).astype(float)
    score = np.round(label + random.normal(size=200), 1)  # rounded: with ties
    assert auc(label, score) == pytest.approx(roc_auc_score(label, score), rel=1e-12)
    assert auc(np.array([0.0, 1.0, 1.0]), np.array([0.5, 0.5, 0.9])) == 0.75
    assert math.isnan(auc(np.ones(3), np.arange(3.0)))


def test_brier_worked() -> None:
    assert brier(np.array([1.0, 0.0, NAN]), np.array([0.8, 0.4, 0.5])) == pytest.approx((0.04 + 0.16) / 2)

"""The rebuilt classifier: its label, what its forest has seen, and what bands imply."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from defiyield_core.forecasting.baselines import Ewma, Persistence
from defiyield_core.forecasting.evaluation import classifier
from defiyield_core.forecasting.evaluation.classifier import (
    FOREST,
    forest_probabilities,
    holds,
    implied_probabilities,
    inputs,
    probabilities,
    yardsticks,
)
from defiyield_core.forecasting.intervals import LOWER, UPPER, with_quantiles
from defiyield_core.forecasting.port import APY, History, forecast_days
from tests.unit.forecasting.small import DIES, YOUNG, market, scrambled_after

NAN = float("nan")


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "_TREES", 8)


def column(values: list[float]) -> np.ndarray:
    return np.array(values)[:, None]


def test_the_label_is_the_median_of_the_next_thirty_days_against_today() -> None:
    falls = [1.0] + [0.9] * 15 + [0.1] * 15  # median 0.5
    keeps = [1.0] + [0.9] * 16 + [0.1] * 14  # median 0.9
    assert holds(column(falls))[0, 0] == 0.0
    assert holds(column(keeps))[0, 0] == 1.0
    assert holds(column([1.0] + [0.8] * 30))[0, 0] == 1.0


def test_the_label_leaves_today_out() -> None:
    later = [0.79] * 15 + [0.81] * 15  # median 0.8: holds; a day more at 0.79 would not
    assert holds(column([1.0, *later]))[0, 0] == 1.0
    assert holds(column([1.0, *later[:-1], 0.79]))[0, 0] == 0.0


def test_a_label_needs_half_of_the_days_all_of_them_over_and_a_yield() -> None:
    half = [1.0] + [NAN] * 15 + [0.9] * 15
    assert holds(column(half))[0, 0] == 1.0
    assert np.isnan(holds(column([1.0] + [NAN] * 16 + [0.9] * 14))[0, 0])
    assert np.isnan(holds(column([0.0] + [0.9] * 30))[0, 0])
    assert np.isnan(holds(column([-0.1] + [0.9] * 30))[0, 0])
    assert np.isnan(holds(column([1.0] * 50))[20:, 0]).all()


def test_inputs_are_of_the_days_so_far() -> None:
    history = market(60)
    apy = np.array([0.02, NAN, 0.04])
    small = History(
        history.days[:3], history.ids[:1], {"apy": apy[:, None], "tvl_usd": np.array([[5.0], [NAN], [7.0]])}
    )
    np.testing.assert_allclose(inputs(small)[:, 0, 1], [5.0, 5.0, 7.0])
    np.testing.assert_allclose(inputs(small)[:, 0, 2], [0.02, 0.02, 0.03])
    np.testing.assert_allclose(inputs(small)[:, 0, 3], [0.0, 0.0, 0.01], atol=1e-9)


def test_a_forest_has_seen_only_labels_that_were_over() -> None:
    history = market(160)
    origins = np.array([110, 117])
    told = forest_probabilities(history, origins)
    again = forest_probabilities(scrambled_after(history, 117), origins)
    np.testing.assert_array_equal(told, again)
    known = np.isfinite(told)
    assert known.sum() > 15 and ((told[known] >= 0.0) & (told[known] <= 1.0)).all()
    assert np.isnan(told[:, YOUNG]).all()


def test_without_past_labels_the_forest_says_nothing() -> None:
    assert np.isnan(forest_probabilities(market(60), np.array([25]))).all()


def test_past_labels_that_all_agree_are_the_answer() -> None:
    history = market(120)
    still = replace(history, series={**history.series, APY: np.full_like(history.series[APY], 0.05)})
    np.testing.assert_array_equal(forest_probabilities(still, np.array([100])), np.ones((1, 12)))


def test_bands_imply_a_probability() -> None:
    history = market(30)
    today = history.series[APY][20, 0]
    shape = (1, 12)
    width = 0.01 * 2.0 * 1.2815515655446004  # a standard deviation of 0.01

    def answer(point: float) -> float:
        rows = {
            APY: np.full(shape, point),
            (APY, LOWER): np.full(shape, point - width / 2),
            (APY, UPPER): np.full(shape, point + width / 2),
        }
        return float(implied_probabilities(history, {30: rows}, 20, np.array([20]))[0, 0])

    assert answer(0.8 * today) == pytest.approx(0.5)
    assert answer(0.8 * today + 0.01) == pytest.approx(0.8413447460685429, rel=1e-9)
    assert answer(0.8 * today - 0.01) == pytest.approx(1 - 0.8413447460685429, rel=1e-9)


def test_all_models_answer_the_same_pairs() -> None:
    history = market(200)
    first, origins = 110, np.arange(110, 199, 7)
    walked = {
        model.name: with_quantiles(forecast_days(model, history, 0, (30,)), history, 0, first)
        for model in (Persistence(), Ewma())
    }
    walked["points_only"] = {30: {APY: walked["ewma"][30][APY]}}
    rows = probabilities(history, walked, first, origins, last=199)
    assert set(rows["model"]) == {FOREST, "persistence", "ewma"}
    pairs = {model: set(zip(own["pool_id"], own["origin"], strict=True)) for model, own in rows.groupby("model")}
    assert len(pairs[FOREST]) > 50 and pairs[FOREST] == pairs["ewma"] == pairs["persistence"]
    assert rows["origin"].max() + pd.Timedelta(days=30) <= pd.Timestamp(history.days[199])
    assert f"p{DIES:02d}" in set(rows["pool_id"])
    found = {row.model: row for row in yardsticks(rows)}
    label = rows[rows["model"] == "ewma"]["label"]
    assert found["ewma"].base_rate == pytest.approx(label.mean())
    assert found["ewma"].rows == len(label)
    assert 0.0 <= found["ewma"].auc <= 1.0


def test_no_origin_whose_days_are_over_gives_no_rows() -> None:
    assert yardsticks(probabilities(market(60), {}, 40, np.array([40, 47]), last=59)) == []

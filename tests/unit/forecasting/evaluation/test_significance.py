"""Bootstrap of skill and the test of Diebold and Mariano, on cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from defiyield_core.forecasting.evaluation.significance import (
    diebold_mariano,
    origins_per_block,
    overlapping_origins,
    pooled_skill,
)

NAN = float("nan")


def losses(seed: int, shape: tuple[int, int] = (26, 40)) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize(
    ("horizon", "step", "overlap", "block"),
    [(1, 7, 1, 4), (7, 7, 1, 4), (8, 7, 2, 4), (30, 7, 5, 5), (7, 1, 7, 28), (30, 1, 30, 30)],
)
def test_origins_that_belong_together(horizon: int, step: int, overlap: int, block: int) -> None:
    assert overlapping_origins(horizon, step) == overlap
    assert origins_per_block(horizon, step) == block


def test_identical_losses_have_no_skill() -> None:
    same = losses(1)
    found = pooled_skill(same, same, 4)
    assert (found.value, found.low, found.high, found.excludes_zero) == (0.0, 0.0, 0.0, False)
    test = diebold_mariano(same, same, 2)
    assert math.isnan(test.statistic) and math.isnan(test.p_value)


def test_a_share_of_every_loss_is_that_much_skill() -> None:
    reference = losses(2)
    found = pooled_skill(0.75 * reference, reference, 4)
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25), rel=1e-12)


def test_a_clearly_better_model_is_seen() -> None:
    reference = losses(3)
    mine = 0.8 * losses(3) + 0.05 * losses(4)
    found = pooled_skill(mine, reference, 4)
    assert found.excludes_zero and 0.0 < found.low < found.value < found.high
    test = diebold_mariano(mine, reference, 1)
    assert test.statistic < -5.0 and test.p_value < 1e-4


def test_noise_is_not_taken_for_skill() -> None:
    inside = rejected = 0
    for seed in range(40):
        mine, reference = losses(100 + seed, (26, 12)), losses(500 + seed, (26, 12))
        found = pooled_skill(mine, reference, 4, draws=300)
        inside += found.low < 0.0 < found.high
        rejected += diebold_mariano(mine, reference, 1).p_value < 0.05
    assert inside >= 34 and rejected <= 6


def test_the_interval_is_the_same_every_time() -> None:
    mine, reference = losses(5), losses(6)
    assert pooled_skill(mine, reference, 4) == pooled_skill(mine, reference, 4)


def test_skill_is_of_pairs_that_both_have() -> None:
    mine, reference = np.full((12, 3), 1.0), np.full((12, 3), 2.0)
    mine[0, 0], reference[1, 1] = 1e9, NAN
    reference[0, 0] = NAN
    assert pooled_skill(mine, reference, 2).value == 0.5


def test_few_origins_have_no_interval_and_one_pool_has_that_of_its_origins() -> None:
    found = pooled_skill(losses(7, (7, 40)), losses(8, (7, 40)), 4)
    assert math.isfinite(found.value)
    assert math.isnan(found.low) and math.isnan(found.high) and not found.excludes_zero
    alone = pooled_skill(losses(7, (26, 1)), losses(8, (26, 1)), 4)
    assert alone.low < alone.value < alone.high
    nothing = pooled_skill(np.ones((26, 4)), np.zeros((26, 4)), 4)
    assert math.isnan(nothing.value) and math.isnan(nothing.low)


def test_without_overlap_the_test_is_that_of_student() -> None:
    mine, reference = losses(9), losses(10)
    difference = (mine - reference).mean(axis=1)
    expected = ttest_1samp(difference, 0.0)
    found = diebold_mariano(mine, reference, 1)
    # V/T uses n, Student's t uses n - 1; the small-sample factor sqrt((T - 1) / T) makes up for it exactly.
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.origins == 26


def test_overlap_worked_by_hand() -> None:
    difference = np.array([1.0, 2.0, 0.0, 3.0, 4.0, 2.0])
    # mean 2; g0 = 10/6, g1 = ((-1)(0) + (0)(-2) + (-2)(1) + (1)(2) + (2)(0)) / 6 = 0
    # T = 6, m = 2: factor (3 + 1/3) / 6
    expected = 2.0 / math.sqrt((10.0 / 6.0) / 6.0) * math.sqrt((3.0 + 1.0 / 3.0) / 6.0)
    found = diebold_mariano(difference[:, None], np.zeros((6, 1)), 2)
    assert found.statistic == pytest.approx(expected, rel=1e-12)


def test_a_wave_whose_variance_would_be_negative_still_has_a_statistic() -> None:
    wave = np.where(np.arange(20) % 2 == 0, 1.0, -1.0)[:, None] + 0.1
    found = diebold_mariano(wave, np.zeros((20, 1)), 2)
    assert math.isfinite(found.statistic) and 0.0 <= found.p_value <= 1.0


def test_too_few_origins_are_not_tested() -> None:
    assert math.isnan(diebold_mariano(losses(11, (4, 3)), losses(12, (4, 3)), 3).p_value)
    assert math.isnan(diebold_mariano(np.full((9, 2), NAN), losses(12, (9, 2)), 1).p_value)


def test_a_constant_difference_is_not_tested() -> None:
    assert math.isnan(diebold_mariano(np.full((9, 3), 0.1), np.full((9, 3), 0.3), 1).statistic)

"""The combination: weights from matured errors, the shrinkage of short records, the fallback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from defiyield_core.forecasting.baselines import Median, Persistence
from defiyield_core.forecasting.combination import _BASELINES, BURN_DAYS, Combination, _Record
from defiyield_core.forecasting.port import APY, APY_AT, DayForecasts, History, WalkedDay, forecast_days
from tests.unit.forecasting.small import market

HISTORY = market()
APY_VALUES = HISTORY.series["apy"]


@dataclass(frozen=True)
class Oracle:
    """Knows the next days (from its own copy); wrong by `error` where told so."""

    truth: np.ndarray
    error: np.ndarray
    name: str = "oracle"
    lookback_days: int = 1
    targets: frozenset[str] = frozenset({"apy"})

    def fit(self, history: History) -> WalkedDay:
        """A walk of one day."""
        return WalkedDay(self, history)

    def walk(self, history: History, first: int, horizons: Sequence[int]) -> DayForecasts:
        """The truth plus the error."""
        rows: DayForecasts = {}
        for horizon in horizons:
            moved = np.concatenate([self.truth[horizon:], np.full((horizon, self.truth.shape[1]), 0.05)])
            told = (moved + self.error)[first : len(history.days)]
            rows[horizon] = {APY: told, APY_AT: told}
        return rows


def steady(n_days: int = 220) -> History:
    """Noise around a level: no gaps, no deaths."""
    noise = 0.05 + 0.01 * np.random.default_rng(5).standard_normal((n_days, 8))
    whole = market(n_days)
    return replace(whole, ids=whole.ids[:8], series={"apy": noise}, labels={})


def test_a_member_that_is_right_for_a_pool_is_followed_and_one_that_is_wrong_is_left() -> None:
    history = steady()
    error = np.zeros((220, 8))
    error[:, 4:] = 0.2
    found = forecast_days(Combination(Oracle(history.series["apy"], error)), history, 200, (1,))[1][APY_AT][:-1]
    outcome = history.series["apy"][201:]
    off = np.abs(found - outcome).mean(axis=0)
    assert (off[:4] < 0.006).all()
    assert (found[:, 4:] < 0.075).all()


def test_an_error_counts_only_when_its_horizon_is_over() -> None:
    history = steady()
    right = Combination(Oracle(history.series["apy"], np.zeros((220, 8))))
    suddenly_wrong = np.zeros((220, 8))
    suddenly_wrong[195:] = 0.3
    wrong = Combination(Oracle(history.series["apy"], suddenly_wrong))
    horizon = 7
    one, other = (
        forecast_days(combination, history.up_to(194 + horizon), 190, (horizon,))[horizon][APY_AT]
        for combination in (right, wrong)
    )
    np.testing.assert_array_equal(one[:5], other[:5])
    record = _Record(
        history.series["apy"], (100, 100), APY_AT, horizon, Persistence().levels(history.series["apy"], 100), 1e-5
    )
    honest = Oracle(history.series["apy"], np.zeros((220, 8))).walk(history, 100, (horizon,))[horizon][APY_AT]
    spoilt = Oracle(history.series["apy"], suddenly_wrong).walk(history, 100, (horizon,))[horizon][APY_AT]
    first_known = 195 + horizon - 100
    np.testing.assert_array_equal(record.score(honest)[:first_known], record.score(spoilt)[:first_known])
    assert (record.score(honest)[first_known] < record.score(spoilt)[first_known]).all()


def test_a_short_record_is_judged_by_all_pools() -> None:
    history = steady()
    apy = history.series["apy"].copy()
    apy[:200, 7] = np.nan
    record = _Record(apy, (0, 0), APY_AT, 1, Persistence().levels(apy, 0), 1e-5)
    scores = record.score(Median().levels(apy, 0))
    others = scores[201, :7].mean()
    assert scores[201, 7] == pytest.approx(others, rel=0.05)
    assert scores[203, 7] != scores[219, 7]


def test_without_any_record_every_candidate_counts_alike() -> None:
    history = steady(40)
    apy = history.series["apy"]
    record = _Record(apy, (39, 39), APY_AT, 1, Persistence().levels(apy, 39), 1e-5)
    candidates = [np.full((1, 8), 0.02), np.full((1, 8), 0.04)]
    blend, _ = record.blend(candidates, record.scores(candidates))
    np.testing.assert_allclose(blend, 0.03, rtol=1e-12)


def test_a_missing_candidate_leaves_the_others() -> None:
    apy = steady(40).series["apy"]
    record = _Record(apy, (39, 39), APY_AT, 1, Persistence().levels(apy, 39), 1e-5)
    candidates = [np.full((1, 8), np.nan), np.full((1, 8), 0.04)]
    assert (record.blend(candidates, record.scores(candidates))[0] == 0.04).all()


def test_the_persistence_of_a_mean_is_scored_against_the_mean() -> None:
    apy = np.linspace(0.01, 0.2, 60)[:, None]
    record = _Record(apy, (0, 0), APY, 7, Persistence().levels(apy, 0), 1e-5)
    exact = apy + 4 * (apy[1] - apy[0])
    assert record.score(exact)[-1, 0] == pytest.approx(0.0, abs=1e-9)
    assert record.score(apy)[-1, 0] == pytest.approx(1.0)


def test_tvl_and_gas_are_combinations_of_the_baselines() -> None:
    gas = replace(
        HISTORY, ids=np.array(["gas"], dtype=object), series={"gas_price_gwei": 5 + APY_VALUES[:, :1]}, labels={}
    )
    answers = forecast_days(Combination(), gas, len(gas.days) - 5, (1, 7))
    assert set(answers[7]) == {"gas_price_gwei"}
    recent = gas.series["gas_price_gwei"][-35:]
    assert ((answers[7]["gas_price_gwei"] >= recent.min()) & (answers[7]["gas_price_gwei"] <= recent.max())).all()


def test_a_horizon_beyond_the_burn_still_has_a_forecast() -> None:
    history = steady()
    oracle = Oracle(history.series["apy"], np.zeros((220, 8)))
    answers = forecast_days(Combination(oracle), history, 219, (BURN_DAYS + 5,))
    assert np.isfinite(answers[BURN_DAYS + 5][APY]).all()


def harmed(size: float, noise: float) -> tuple[History, Combination]:
    """Eight steady pools; the member is right but for pools 6 and 7, which it misses by about `size`."""
    history = steady()
    error = np.zeros((220, 8))
    error[:, 6:] = size + noise * np.random.default_rng(2).standard_normal((220, 2))
    return history, Combination(Oracle(history.series["apy"], error))


def test_a_pool_whose_skill_is_negative_is_on_its_best_baseline() -> None:
    history, combination = harmed(0.03, 0.005)
    apy = history.series["apy"]
    for horizon in (1, 7):
        found = forecast_days(combination, history, 200, (horizon,))[horizon]
        record = _Record(apy, (110, 200), APY_AT, horizon, Persistence().levels(apy, 110), 1e-5)
        levels = [baseline.levels(apy, 110) for baseline in _BASELINES]
        scores = np.stack([record.score(level) for level in levels])
        best = np.take_along_axis(np.stack(levels)[:, 90:], scores.argmin(axis=0)[None], axis=0)[0]
        np.testing.assert_array_equal(found[APY_AT][:, 6:], best[:, 6:])
        assert (found[APY_AT][:, :6] != best[:, :6]).all()


def test_a_fallen_pool_returns_to_the_model_when_that_is_right_again() -> None:
    history = steady()
    error = np.zeros((220, 8))
    error[:130, 7] = 0.03
    combination = Combination(Oracle(history.series["apy"], error))
    answers = forecast_days(combination, history, 100, (1,))[1][APY][:, 7]
    levels = np.stack([baseline.levels(history.series["apy"], 100)[:, 7] for baseline in _BASELINES])
    on_a_baseline = (answers == levels).any(axis=0)
    assert on_a_baseline[:30].all() and not on_a_baseline[-20:].any()


def test_a_pool_within_the_doubt_stays_with_the_model() -> None:
    history, combination = harmed(0.0, 0.014)
    answers = forecast_days(combination, history, 200, (1,))[1][APY]
    levels = np.stack([baseline.levels(history.series["apy"], 200) for baseline in _BASELINES])
    assert not (answers == levels).any()


def test_the_t_value_of_harm_worked_by_hand() -> None:
    apy = np.full((12, 1), 0.05)
    record = _Record(apy, (0, 0), APY_AT, 2, Persistence().levels(apy, 0), 1e-5)
    told = np.full((12, 1), 0.05)
    told[::2] = 0.06
    weights = 0.97 ** np.arange(10)[::-1]
    misses = np.where(np.arange(10) % 2 == 0, 0.01, 0.0)
    mean = (weights * misses).sum() / weights.sum()
    variance = (weights * misses**2).sum() / weights.sum() - mean**2
    assert record.harm(told)[-1, 0] == pytest.approx(mean / np.sqrt(variance / (weights.sum() / 2)), rel=1e-9)
    assert record.harm(told)[3, 0] == -np.inf
    assert record.harm(apy)[-1, 0] == 0.0


def test_the_best_is_the_candidate_with_the_lowest_score_and_the_first_of_equals() -> None:
    apy = steady(60).series["apy"]
    persistence = Persistence().levels(apy, 0)
    record = _Record(apy, (0, 0), APY_AT, 1, persistence, 1e-5)
    centre, far = np.full_like(apy, 0.05), np.full_like(apy, 0.5)

    def best(*candidates: np.ndarray) -> np.ndarray:
        return record.best(candidates, record.scores(candidates))[-1]

    assert (best(far, persistence, centre) == 0.05).all()
    assert (best(centre + 0.0, centre) == centre[-1]).all()
    np.testing.assert_array_equal(best(persistence, far, persistence), persistence[-1])


@pytest.mark.parametrize("age_days", [1, 3, 7, 13])
def test_a_pool_too_young_for_the_model_is_on_the_baselines(age_days: int) -> None:
    history = steady()
    apy = history.series["apy"].copy()
    apy[:-age_days, 7] = np.nan
    young = replace(history, series={"apy": apy})
    combination = Combination(Oracle(history.series["apy"], np.full((220, 8), 0.2)))
    answers = forecast_days(combination, young, 219, (1, 14))
    seen = apy[-age_days:, 7]
    for horizon in (1, 14):
        for point in (APY, APY_AT):
            assert seen.min() - 1e-12 <= answers[horizon][point][0, 7] <= seen.max() + 1e-12


def test_a_pool_with_a_fortnight_of_days_may_be_forecast_by_the_model() -> None:
    history = steady()
    apy = history.series["apy"].copy()
    apy[:-14, 7] = np.nan
    young = replace(history, series={"apy": apy})
    right, wrong = (
        forecast_days(Combination(Oracle(history.series["apy"], np.full((220, 8), error))), young, 219, (7,))[7][APY][0]
        for error in (0.0, 0.01)
    )
    assert right[7] != wrong[7]


def test_a_dead_pool_has_no_forecast_and_moves_no_other() -> None:
    history = steady()
    apy = history.series["apy"].copy()
    apy[-31:, 7] = np.nan
    apy[:, 6] = np.nan
    combination = Combination(Median())
    answers = forecast_days(combination, replace(history, series={"apy": apy}), 219, (1, 14))
    without = forecast_days(
        combination,
        replace(history, ids=history.ids[[0, 1, 2, 3, 4, 5, 7]], series={"apy": apy[:, [0, 1, 2, 3, 4, 5, 7]]}),
        219,
        (1, 14),
    )
    for horizon in (1, 14):
        for point in (APY, APY_AT):
            assert np.isnan(answers[horizon][point][0, 6:]).all()
            np.testing.assert_array_equal(answers[horizon][point][0, :6], without[horizon][point][0, :6])

"""The combination: weights from matured errors, the shrinkage of short records, the fallback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from defiyield_core.forecasting.baselines import Median, Persistence
from defiyield_core.forecasting.combination import BURN_DAYS, Combination, _Record
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
    blend, _ = record.blend([np.full((1, 8), 0.02), np.full((1, 8), 0.04)])
    np.testing.assert_allclose(blend, 0.03, rtol=1e-12)


def test_a_missing_candidate_leaves_the_others() -> None:
    apy = steady(40).series["apy"]
    record = _Record(apy, (39, 39), APY_AT, 1, Persistence().levels(apy, 39), 1e-5)
    assert (record.blend([np.full((1, 8), np.nan), np.full((1, 8), 0.04)])[0] == 0.04).all()


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

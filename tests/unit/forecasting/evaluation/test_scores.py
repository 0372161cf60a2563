"""The table of scores: outcomes, the same rows for all, an account of the rest, and no look-ahead."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from defiyield_core.forecasting.baselines import Ewma, Persistence
from defiyield_core.forecasting.combination import Combination
from defiyield_core.forecasting.evaluation.scores import (
    COLUMNS,
    LATER,
    NOT_FORECAST,
    NOT_OBSERVED,
    SCORED,
    STALE,
    Origins,
    Scores,
    origin_positions,
    outcome,
    score,
    together,
)
from defiyield_core.forecasting.intervals import with_quantiles
from defiyield_core.forecasting.port import (
    APY,
    APY_AT,
    GAS,
    GAS_ID,
    TVL,
    DayForecasts,
    Forecaster,
    History,
    forecast_days,
)
from tests.unit.forecasting.small import DIES, GAPPED, YOUNG, market, quick, scrambled_after

FIRST, LAST = 100, 219
HORIZONS = (1, 7, 30)


def walked(history: History, forecaster: Forecaster, horizons: tuple[int, ...] = HORIZONS) -> DayForecasts:
    return with_quantiles(forecast_days(forecaster, history, 0, horizons), history, 0, FIRST)


def scored(
    history: History, *forecasters: Forecaster, last: int = LAST, horizons: tuple[int, ...] = HORIZONS
) -> Scores:
    positions = np.arange(FIRST, last + 1, 7)
    eligible = np.ones((len(positions), len(history.ids)), dtype=bool)
    answers = {one.name: walked(history, one, horizons) for one in forecasters}
    return score(history, answers, FIRST, Origins(positions, last, eligible))


@pytest.fixture(scope="module")
def history() -> History:
    return market()


@pytest.fixture(scope="module")
def scores(history: History) -> Scores:
    return scored(history, Persistence(), Ewma())


def test_origins_are_on_the_days_asked_for(history: History) -> None:
    found = origin_positions(history, date(2024, 2, 1), date(2024, 2, 22), 7)
    assert found.tolist() == [31, 38, 45, 52]


def test_outcomes_worked() -> None:
    apy = np.array([[0.01], [0.02], [np.nan], [0.04], [0.05]])
    days = np.datetime64("2024-01-01", "D") + np.arange(5)
    small = History(days, np.array(["a"], dtype=object), {APY: apy, TVL: 100.0 * apy})
    np.testing.assert_array_equal(outcome(small, "apy", 3)[:, 0], [0.04, 0.05, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(outcome(small, "tvl", 3)[:2, 0], 100.0 * apy[3:, 0])
    np.testing.assert_allclose(outcome(small, "mean_apy", 3)[:, 0], [0.03, 0.045, np.nan, np.nan, np.nan])


def test_a_row_is_what_was_said_beside_what_came(history: History, scores: Scores) -> None:
    assert tuple(scores.frame.columns) == COLUMNS
    frame = scores.frame
    row = frame[(frame["target"] == "mean_apy") & (frame["model"] == "ewma") & (frame["horizon_days"] == 7)].set_index(
        ["origin", "pool_id"]
    )
    at = row.loc[(pd.Timestamp(history.days[107]), "p00")]
    said = walked(history, Ewma())[7]
    assert at["forecast"] == said[APY][7, 0]
    assert (at["lower"], at["upper"]) == (said[APY, 0.1][7, 0], said[APY, 0.9][7, 0])
    assert at["actual"] == pytest.approx(history.series[APY][108:115, 0].mean(), rel=1e-12)
    assert at["target_date"] == pd.Timestamp(history.days[114])
    change = np.abs(np.diff(history.series[APY][:108, 0]))
    assert at["lifetime_scale"] == pytest.approx(change.mean(), rel=1e-12)
    assert at["lifetime_rms"] == pytest.approx(np.sqrt((change**2).mean()), rel=1e-12)
    assert at["tvl_usd"] == history.series[TVL][107, 0]


def test_the_targets_are_the_right_points(history: History, scores: Scores) -> None:
    said = walked(history, Ewma())[30]
    for target, point in (("apy", APY_AT), ("mean_apy", APY), ("tvl", TVL)):
        rows = scores.frame[
            (scores.frame["target"] == target)
            & (scores.frame["model"] == "ewma")
            & (scores.frame["horizon_days"] == 30)
            & (scores.frame["origin"] == pd.Timestamp(history.days[FIRST]))
        ]
        expected = pd.Series(said[point][0], index=history.ids)
        np.testing.assert_array_equal(rows["forecast"], expected[rows["pool_id"]])


def test_all_models_are_scored_on_the_same_rows(history: History) -> None:
    member = quick()
    found = scored(history, Persistence(), member, Combination(member), horizons=(7,)).frame
    keys = ["target", "horizon_days", "origin", "pool_id"]
    per_model = found.groupby("model")[keys].apply(lambda rows: set(map(tuple, rows.to_numpy())))
    assert len(per_model) == 3 and len(set(map(frozenset, per_model))) == 1
    assert not found.duplicated([*keys, "model"]).any()


def test_every_pair_is_accounted_for(history: History, scores: Scores) -> None:
    account = scores.skipped.pivot_table(index=["target", "horizon_days"], columns="reason", values="pairs")
    apy = history.series[APY]
    origins = np.arange(FIRST, LAST + 1, 7)
    begun = int((np.isfinite(apy).cumsum(axis=0)[origins] > 0).sum())
    assert (account.sum(axis=1) == begun).all()
    # one pool is observed on four days of five, one ended 30 days before the last
    one = account.loc[("apy", 1)]
    ended = [day for day in origins if day > LAST - 30]
    stale = [day for day in ended if day - (LAST - 30) > 3 and day + 1 <= LAST]
    gaps = [day for day in origins if (day + 1) % 5 == 0 and day + 1 <= LAST]
    unseen = [day for day in origins if day + 1 > LAST - 30 and day not in stale and day + 1 <= LAST]
    assert one[STALE] == len(stale)
    assert one[NOT_OBSERVED] == len(gaps) + len(unseen)
    assert one[LATER] == 12 and one[NOT_FORECAST] == 0  # the last origin is the last day
    last = [day for day in origins if day + 30 > LAST]
    young = [day for day in last if day >= LAST - 9]
    assert account.loc[("apy", 30), LATER] == 11 * len(last) + len(young)
    by_model = scores.frame.groupby(["target", "horizon_days", "model"]).size()
    assert (by_model.unstack("model").eq(account[SCORED], axis=0)).all().all()


def test_outcomes_end_on_the_last_day(history: History) -> None:
    found = scored(history, Persistence(), last=180).frame
    assert found["target_date"].max() == pd.Timestamp(history.days[179])  # the origin 149, and 30 days
    assert f"p{YOUNG:02d}" not in set(found["pool_id"])
    assert {f"p{DIES:02d}", f"p{GAPPED:02d}"} <= set(found["pool_id"])


def test_what_comes_later_changes_no_forecast(history: History) -> None:
    member = quick()
    models = (Persistence(), member, Combination(member))
    then = 156  # an origin
    before = scored(history, *models, horizons=(7, 14)).frame
    after = scored(scrambled_after(history, then), *models, horizons=(7, 14)).frame
    said = ["forecast", "lower", "upper", "lifetime_scale", "lifetime_rms", "tvl_usd"]
    keys = ["target", "model", "horizon_days", "origin", "pool_id"]
    cut = pd.Timestamp(history.days[then])
    left, right = (frame[frame["origin"] <= cut].set_index(keys) for frame in (before, after))
    common = left.index.intersection(right.index)
    assert len(common) > 0.9 * len(left)
    pd.testing.assert_frame_equal(left.loc[common, said], right.loc[common, said], check_exact=True)
    spoilt = left.loc[common, "actual"] != right.loc[common, "actual"]
    assert spoilt.groupby("horizon_days").any().all()


def test_a_model_without_any_forecast_is_left_out(history: History) -> None:
    positions = np.arange(FIRST, LAST + 1, 7)
    answers = {"persistence": walked(history, Persistence())}
    answers["silent"] = {
        h: {key: np.full_like(v, np.nan) for key, v in rows.items()} for h, rows in answers["persistence"].items()
    }
    eligible = np.ones((len(positions), len(history.ids)), dtype=bool)
    found = score(history, answers, FIRST, Origins(positions, LAST, eligible))
    assert set(found.frame["model"]) == {"persistence"}
    assert "silent has no forecast of apy at 1 days: left out" in found.warnings


def test_gas_is_scored_like_a_pool() -> None:
    days = np.datetime64("2024-01-01", "D") + np.arange(LAST + 1)
    price = 5.0 + np.random.default_rng(1).random((LAST + 1, 1))
    gas = History(days, np.array([GAS_ID], dtype=object), {GAS: price})
    positions = np.arange(FIRST, LAST + 1, 7)
    answers = {"ewma": walked(gas, Ewma())}
    found = score(gas, answers, FIRST, Origins(positions, LAST, np.zeros((len(positions), 1), dtype=bool)))
    rows = found.frame[found.frame["horizon_days"] == 7]
    assert set(rows["target"]) == {"gas"} and len(rows) == len([day for day in positions if day + 7 <= LAST])
    assert rows["actual"].iloc[0] == pytest.approx(price[FIRST + 1 : FIRST + 8].mean(), rel=1e-12)
    assert rows["tvl_usd"].isna().all()
    both = together(scored(market(), Ewma()), found)
    assert set(both.frame["target"]) == {"apy", "mean_apy", "tvl", "gas"}

"""The global models: walk, calendar of refits, no look-ahead, cold start, gaps, death, clones, bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.forecasting import global_model, rolling
from defiyield_core.forecasting.baselines import Ewma
from defiyield_core.forecasting.boosting import LightGBM, XGBoost
from defiyield_core.forecasting.combination import Combination
from defiyield_core.forecasting.features import Features, features
from defiyield_core.forecasting.global_model import FEWEST_ROWS, GlobalModel, _rows, fingerprint, refit_days
from defiyield_core.forecasting.port import Forecaster, History, forecast_days
from defiyield_core.forecasting.store import MemoryModels
from tests.unit.forecasting.small import DIES, GAPPED, YOUNG, assert_same, market, quick, scrambled_after

HISTORY = market()
LAST = len(HISTORY.days) - 1
MODELS = {"lightgbm": quick(), "xgboost": quick(XGBoost()), "combination": Combination(quick())}
by_model = pytest.mark.parametrize("forecaster", list(MODELS.values()), ids=list(MODELS))


@by_model
def test_scrambling_everything_later_changes_no_forecast(forecaster: Forecaster) -> None:
    honest = forecast_days(forecaster, HISTORY, 195, (1, 7))
    spoilt = forecast_days(forecaster, scrambled_after(HISTORY, 200), 195, (1, 7))
    for horizon, rows in honest.items():
        for key, values in rows.items():
            np.testing.assert_array_equal(values[:6], spoilt[horizon][key][:6])
            assert not np.array_equal(values[6:], spoilt[horizon][key][6:], equal_nan=True)


@by_model
def test_a_walk_equals_day_after_day(forecaster: Forecaster) -> None:
    together = forecast_days(forecaster, HISTORY, LAST - 9, (1, 7))
    for row in range(10):
        history = HISTORY.between(LAST - 9 + row - forecaster.lookback_days, LAST - 9 + row)
        for forecast in forecaster.fit(history).predict((1, 7)):
            for name, values in forecast.points.items():
                np.testing.assert_allclose(values, together[forecast.horizon_days][name][row], rtol=1e-9, err_msg=name)


@by_model
def test_a_forecast_does_not_depend_on_the_first_day_of_the_run(forecaster: Forecaster) -> None:
    early = forecast_days(forecaster, HISTORY, LAST - 12, (7,))
    late = forecast_days(forecaster, HISTORY, LAST - 3, (7,))
    assert_same({7: {key: values[9:] for key, values in early[7].items()}}, late, 1e-9)


@by_model
def test_older_days_than_the_lookback_change_nothing(forecaster: Forecaster) -> None:
    long = market(forecaster.lookback_days + 60)
    last = len(long.days) - 1
    short = long.between(last - forecaster.lookback_days, last)
    assert_same(
        forecast_days(forecaster, long, last, (7,)), forecast_days(forecaster, short, len(short.days) - 1, (7,)), 1e-9
    )


@by_model
def test_the_same_question_has_the_same_answer(forecaster: Forecaster) -> None:
    fresh = quick(forecaster.engine) if isinstance(forecaster, GlobalModel) else Combination(quick())
    assert_same(forecast_days(forecaster, HISTORY, LAST, (1, 7)), forecast_days(fresh, HISTORY, LAST, (1, 7)))


def test_refits_are_on_mondays() -> None:
    days = np.arange(np.datetime64("2025-06-02", "D"), np.datetime64("2025-06-16", "D"))
    refits = np.unique(refit_days(days)).astype("datetime64[D]").astype(str)
    assert refits.tolist() == ["2025-06-02", "2025-06-09"]
    assert (refit_days(days) <= days.astype(np.int64)).all()


def test_between_refits_the_model_stays_and_the_features_move_on() -> None:
    model = quick()
    monday = int(np.flatnonzero(refit_days(HISTORY.days) == HISTORY.days.astype(np.int64))[-2])
    forecast_days(model, HISTORY.up_to(monday + 6), monday, (1,))
    assert isinstance(model.models, MemoryModels)
    keys = list(model.models._models)
    assert [key.trained_through.isoformat() for key in keys] == [str(HISTORY.days[monday])]


def test_a_model_learns_only_outcomes_known_on_its_refit_day() -> None:
    model = quick()
    refit = int(np.flatnonzero(refit_days(HISTORY.days) == HISTORY.days.astype(np.int64))[-2])
    forecast_days(model, HISTORY, refit, (7,))
    other = quick()
    forecast_days(other, scrambled_after(HISTORY, refit), refit, (7,))
    assert isinstance(model.models, MemoryModels) and isinstance(other.models, MemoryModels)
    trained, again = (
        {key: stored for key, stored in source.models._models.items() if key.trained_through <= _day(refit)}  # type: ignore[attr-defined]
        for source in (model, other)
    )
    assert trained.keys() == again.keys() and len(trained) == 2
    for key, stored in trained.items():
        assert stored.booster.text() == again[key].booster.text()


def _day(position: int) -> object:
    return HISTORY.days[position].astype(object)


def test_the_model_beats_persistence_where_pools_revert() -> None:
    history = market(300)
    apy = history.series["apy"]
    found = forecast_days(quick(), history, 200, (7,))[7]["apy_at"]
    outcome = rolling.ahead(apy, 7)[200:]
    error, naive = np.abs(found - outcome), np.abs(apy[200:] - outcome)
    both = np.isfinite(error) & np.isfinite(naive)
    assert error[both].mean() < 0.9 * naive[both].mean()


@by_model
def test_without_enough_history_the_forecast_is_a_baseline(forecaster: Forecaster) -> None:
    short = HISTORY.between(LAST - 20, LAST)
    answers = forecast_days(forecaster, short, 20, (7,))[7]["apy"][0]
    seen = short.series["apy"]
    alive = np.isfinite(seen[-4:]).any(axis=0)
    assert np.isfinite(answers[alive]).all()
    assert (answers[alive] >= np.nanmin(seen[:, alive], axis=0)).all()
    assert (answers[alive] <= np.nanmax(seen[:, alive], axis=0)).all()


def test_a_young_pool_is_forecast_at_its_smooth_level() -> None:
    answers = forecast_days(quick(), HISTORY, LAST, (7,))[7]["apy"][0]
    smooth = features(HISTORY, LAST).smooth[0]
    assert answers[YOUNG] == smooth[YOUNG]
    assert answers[0] != smooth[0]


def test_a_young_pool_of_the_combination_stays_between_what_was_seen() -> None:
    answers = forecast_days(Combination(quick()), HISTORY, LAST, (7,))[7]
    seen = HISTORY.series["apy"][:, YOUNG]
    assert np.nanmin(seen) <= answers["apy"][0, YOUNG] <= np.nanmax(seen)


@by_model
def test_a_pool_with_gaps_is_forecast_every_day(forecaster: Forecaster) -> None:
    answers = forecast_days(forecaster, HISTORY, LAST - 9, (7,))[7]
    for point in ("apy", "apy_at", "tvl_usd"):
        assert np.isfinite(answers[point][:, GAPPED]).all()


@by_model
def test_a_dead_pool_has_no_forecast_once_a_month_is_over(forecaster: Forecaster) -> None:
    history = market(230)
    longer = replace(
        history, series={name: np.where(_dead(history), np.nan, values) for name, values in history.series.items()}
    )
    answers = forecast_days(forecaster, longer, len(longer.days) - 1, (7,))[7]
    assert np.isnan(answers["apy"][0, DIES]) and np.isnan(answers["tvl_usd"][0, DIES])


def _dead(history: History) -> np.ndarray:
    dead = np.zeros(history.series["apy"].shape, dtype=bool)
    dead[-40:, DIES] = True
    return dead


@by_model
def test_two_pools_are_forecast_alike_only_if_they_are_alike(forecaster: Forecaster) -> None:
    history = market(seed=8)
    twin = {name: values.copy() for name, values in history.series.items()}
    for values in twin.values():
        values[:, 7] = values[:, 6]
    labels = {name: values.copy() for name, values in history.labels.items()}
    for values in labels.values():
        values[7] = values[6]
    answers = forecast_days(forecaster, replace(history, series=twin, labels=labels), LAST - 5, (7,))[7]["apy"]
    for row in answers:
        assert row[6] == row[7]
        others = np.delete(row, 7)
        others = others[np.isfinite(others)]
        assert len(np.unique(others)) == len(others)


@by_model
def test_an_apy_that_was_never_negative_is_not_forecast_negative(forecaster: Forecaster) -> None:
    history = market(seed=4)
    near_zero = np.maximum(history.series["apy"] - 0.05, 0.0)
    series = {**history.series, "apy": near_zero, "tvl_usd": np.full_like(near_zero, 1e-3)}
    answers = forecast_days(forecaster, replace(history, series=series), LAST - 20, (1, 14))
    for rows in answers.values():
        for values in rows.values():
            assert (values[np.isfinite(values)] >= 0.0).all()


@by_model
def test_the_mean_over_one_day_is_the_value_on_it(forecaster: Forecaster) -> None:
    answers = forecast_days(forecaster, HISTORY, LAST, (1,))[1]
    np.testing.assert_array_equal(answers["apy"], answers["apy_at"])


@pytest.mark.parametrize("engine", [LightGBM(), XGBoost()], ids=["lightgbm", "xgboost"])
def test_labels_and_market_may_be_missing(engine: LightGBM | XGBoost) -> None:
    bare = replace(HISTORY, labels={}, market={}, series={name: HISTORY.series[name] for name in ("apy", "tvl_usd")})
    answers = forecast_days(quick(engine), bare, LAST, (7,))[7]["apy"][0]
    assert np.isfinite(np.delete(answers, DIES)).all()


def _with_later_ones(history: History, known_from: int) -> History:
    """The history as a longer run sees it: a pool, a price and a part of the APY that begin at a position."""

    def wider(values: np.ndarray) -> np.ndarray:
        later = np.where(np.arange(len(values)) < known_from, np.nan, 0.05)
        return np.column_stack([later, values])

    coin = np.where(np.arange(len(history.days)) < known_from, np.nan, 1.0)
    series = {name: wider(values) for name, values in history.series.items()}
    late = np.where(np.isnan(coin)[:, None], np.nan, series["apy"])
    return replace(
        history,
        ids=np.append(["a pool of later"], history.ids).astype(object),
        series={**series, "apy_late": late},
        labels={name: np.append(["later"], values).astype(object) for name, values in history.labels.items()},
        market={**history.market, "GHO": coin},
    )


def test_a_longer_run_finds_the_models_of_a_run_of_one_day() -> None:
    model, later = quick(), len(HISTORY.days)
    day = LAST - 10
    alone = forecast_days(model, HISTORY.up_to(day), day, (1, 7))
    assert isinstance(model.models, MemoryModels)
    keys = list(model.models._models)
    longer = _with_later_ones(market(later), day + 1)
    together = forecast_days(model, longer.between(0, day + 3), day, (1, 7))
    assert [key for key in model.models._models if key.trained_through == keys[0].trained_through] == keys
    for horizon, rows in alone.items():
        for point, values in rows.items():
            np.testing.assert_array_equal(values[0], together[horizon][point][0, 1:], err_msg=f"{horizon} {point}")


def test_what_is_observed_changes_the_key_and_what_is_not_does_not() -> None:
    part = HISTORY.between(50, 150)
    assert fingerprint(_with_later_ones(HISTORY, 151).between(50, 150)) == fingerprint(part)
    assert fingerprint(_with_later_ones(HISTORY, 150).between(50, 150)) != fingerprint(part)
    moved = {**part.market, "USDC": part.market["USDC"] + 1e-9}
    assert fingerprint(replace(part, market=moved)) != fingerprint(part)
    renamed = {**part.labels, "chain": np.full(len(part.ids), "base", dtype=object)}
    assert fingerprint(replace(part, labels=renamed)) != fingerprint(part)


@pytest.mark.parametrize("make", [quick, lambda: Combination(quick())], ids=["lightgbm", "combination"])
def test_the_models_behind_each_day_are_those_of_its_refit(make: Callable[[], GlobalModel | Combination]) -> None:
    forecaster = make()
    used = forecaster.models_used(HISTORY, LAST - 9, (1, 7))
    numbers = HISTORY.days[LAST - 9 :].astype(np.int64)
    refits = dict(zip(numbers.tolist(), refit_days(HISTORY.days[LAST - 9 :]).tolist(), strict=True))
    places = [(day, model.key.point, model.key.horizon_days) for day, model in used]
    wanted = (("apy_at", 1), ("apy_at", 7), ("apy", 7))
    assert places == [(day, *place) for day in numbers.tolist() for place in wanted]
    epoch = np.datetime64("1970-01-01", "D")
    for day, model in used:
        assert int((np.datetime64(model.key.trained_through, "D") - epoch).astype(int)) == refits[day]
        assert model.metrics["rows"] >= FEWEST_ROWS


def test_the_models_used_are_the_ones_a_walk_has_stored() -> None:
    model = quick()
    forecast_days(model, HISTORY, LAST - 3, (7,))
    assert isinstance(model.models, MemoryModels)
    stored = dict(model.models._models)
    used = model.models_used(HISTORY, LAST - 3, (7,))
    assert used and all(stored[found.key] is found for _, found in used)
    assert dict(model.models._models) == stored


def test_without_enough_rows_no_model_is_used() -> None:
    assert quick().models_used(HISTORY.up_to(20), 15, (1, 7)) == []
    assert Combination(Ewma()).models_used(HISTORY, LAST, (7,)) == []


def half_labelled(history: History, position: int) -> History:
    """The history whose pools with an odd number have labels from the day at `position` on."""
    odd = np.arange(len(history.ids)) % 2 == 1
    return replace(history, labelled_from=np.where(odd, history.days[position], history.days[0]))


def as_known(history: History, last: int) -> History:
    """The history as a run of the day at `last` reads it: labels of later days have not been seen."""
    assert history.labelled_from is not None
    seen = history.labelled_from <= history.days[last]
    labels = {name: np.where(seen, values, "").astype(object) for name, values in history.labels.items()}
    known_from = np.where(seen, history.labelled_from, np.datetime64("NaT", "D"))
    return replace(history.up_to(last), labels=labels, labelled_from=known_from)


@by_model
def test_labels_that_became_known_on_the_way_change_no_day_before(forecaster: Forecaster) -> None:
    halves = half_labelled(HISTORY, LAST - 6)
    together = forecast_days(forecaster, halves, LAST - 12, (1, 7))
    for row in range(13):
        alone = forecast_days(forecaster, as_known(halves, LAST - 12 + row), LAST - 12 + row, (1, 7))
        for horizon, rows in alone.items():
            for name, values in rows.items():
                np.testing.assert_array_equal(
                    values[0], together[horizon][name][row], err_msg=f"{horizon} {name} {row}"
                )


def test_a_feature_uses_labels_from_the_day_on_which_they_were_known() -> None:
    always, halves = features(HISTORY, 0), features(half_labelled(HISTORY, 150), 0)
    for name in always.names:
        place = always.names.index(name)
        same = np.array_equal(always.values[:150, :, place], halves.values[:150, :, place], equal_nan=True)
        assert same is not (name == "off_peg" or (name.startswith("peers") and "all" not in name)), name
        assert name == "off_peg" or np.isnan(halves.values[:150, 1::2, place]).all() or same
    np.testing.assert_array_equal(always.values[151:], halves.values[151:])  # peers are of the day before


def test_the_key_tells_since_when_labels_were_known_and_not_what_came_later() -> None:
    halves = half_labelled(HISTORY, 150)
    assert fingerprint(halves.up_to(149)) == fingerprint(as_known(halves, 149))
    assert fingerprint(halves) == fingerprint(as_known(halves, LAST))
    assert len({fingerprint(half_labelled(HISTORY, day)) for day in (0, 149, 150)}) == 3
    everywhere = replace(HISTORY, labelled_from=np.full(len(HISTORY.ids), HISTORY.days[0]))
    assert fingerprint(everywhere) == fingerprint(HISTORY)  # nothing was trained again for data that always had labels


@pytest.mark.parametrize("cut", [0, 30, 100])
def test_rows_are_counted_as_they_are_trained_on(cut: int) -> None:
    history = HISTORY.between(cut, LAST)
    model = quick()
    for _, stored in model.models_used(history, len(history.days) - 15, (1, 7, 30)):
        assert _rows(history, stored.key) == stored.metrics["rows"]


def test_a_market_too_young_for_a_model_is_not_prepared_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[int] = []

    def spied(history: History, first: int) -> Features:
        prepared.append(len(history.days) - first)
        return features(history, first)

    monkeypatch.setattr(global_model, "features", spied)
    young = np.arange(len(HISTORY.days))[:, None] >= LAST - 40
    series = {name: np.where(young, values, np.nan) for name, values in HISTORY.series.items()}
    quick().walk(replace(HISTORY, series=series), LAST - 9, (1, 7))
    assert max(prepared) == 10  # the days asked for, and no training window
    prepared.clear()
    quick().walk(HISTORY, LAST - 9, (1, 7))
    assert max(prepared) > 90

"""Conformal bands: the formula by hand, coverage on markets of many kinds, edges, and no look at later days."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import norm, t

from defiyield_core.forecasting import intervals, rolling
from defiyield_core.forecasting.baselines import Ewma, Persistence
from defiyield_core.forecasting.intervals import (
    LOWER,
    UPPER,
    Calibrated,
    burn_days,
    calibrated,
    conformal_bands,
    risk_adjusted_apy,
    with_quantiles,
)
from defiyield_core.forecasting.port import APY, APY_AT, GAS, TVL, History, forecast_days
from tests.unit.forecasting.small import DIES, YOUNG, assert_same, market, scrambled_after

HORIZONS = (1, 7, 14, 30)
Q90 = norm.ppf(0.9)


def outcome(observed: np.ndarray, point: str, horizon: int) -> np.ndarray:
    ahead = rolling.mean_ahead if point in (APY, GAS) else rolling.ahead
    return ahead(observed, horizon)


def covered(bands: tuple[np.ndarray, np.ndarray], actual: np.ndarray) -> np.ndarray:
    """1 inside, 0 outside, NaN where there is no band or no outcome."""
    lower, upper = bands
    known = np.isfinite(actual) & np.isfinite(lower)
    return np.where(known, (lower <= actual) & (actual <= upper), np.nan)


# -- the formula ------------------------------------------------------------------------------------------------------


def test_without_known_errors_the_band_is_that_of_a_random_walk_with_the_usual_movement() -> None:
    observed = np.array([[0.30], [0.34]])
    lower, upper = conformal_bands(observed, observed, APY_AT, 4, (0, 1))
    # A mean error of 1 has a standard deviation of sqrt(pi / 2) and its 90 % quantile at 1.28 of those.
    half = 0.04 * np.sqrt(4.0) * Q90 * np.sqrt(np.pi / 2.0) * t.ppf(0.9, 5) / Q90
    np.testing.assert_allclose([lower[0, 0], upper[0, 0]], [0.34 - half, 0.34 + half], rtol=1e-12)


def test_a_tvl_has_the_like_in_logs() -> None:
    observed = np.array([[1e6], [1e6 * np.exp(0.09)]])
    lower, upper = conformal_bands(observed, observed, TVL, 2, (0, 1))
    half = 0.09 * np.sqrt(2.0) * np.sqrt(np.pi / 2.0) * t.ppf(0.9, 5)
    np.testing.assert_allclose([lower[0, 0], upper[0, 0]], 1e6 * np.exp([0.09 - half, 0.09 + half]), rtol=1e-12)


def by_hand(points: np.ndarray, observed: np.ndarray, horizon: int, day: int, pool: int) -> tuple[float, float]:
    """The band of `apy_at` on one day, written out with loops over days. All values are there."""
    n_pools = observed.shape[1]

    @cache
    def movement(on: int) -> np.ndarray:
        backs = [back for back in range(60) if on - back >= 1]
        weight = sum(0.95**back for back in backs)
        roots = sum(0.95**back * np.sqrt(np.abs(observed[on - back] - observed[on - back - 1])) for back in backs)
        if not backs:
            return np.maximum(1e-3 * np.abs(points[on]), 1e-6)
        usual = np.median(roots / weight / np.sqrt(np.abs(points[on]))) * np.sqrt(np.abs(points[on]))
        return np.maximum(((roots + 2.0 * usual) / (weight + 2.0)) ** 2, 1e-3 * np.abs(points[on]))

    error = observed[horizon:] - points[:-horizon]

    @cache
    def scale(on: int) -> np.ndarray:
        now = movement(on)
        weight, total, moved = 0.0, np.zeros(n_pools), np.zeros(n_pools)
        for back in range(60):
            made = on - back - horizon
            if made >= 0:
                weight += 0.97**back
                total += 0.97**back * np.abs(error[made])
                moved += 0.97**back * movement(made)
        usual = np.median(total / weight / now) if weight > 5.0 else np.sqrt(horizon)
        livelier = now * (weight + 5.0) / (moved + 5.0 * now)
        return (total + 5.0 * usual * now) / (weight + 5.0) * np.cbrt(np.clip(livelier, 0.2, 5.0))

    @cache
    def known(on: int) -> np.ndarray:
        made = range(max(on - horizon - 59, 0), on - horizon + 1)
        return np.sort(np.concatenate([error[s] / scale(s) for s in made])) if len(made) else np.zeros(0)

    sides = []
    for side in (-1.0, 1.0):
        level = 0.1
        for judged in range(day - horizon - 59, day - horizon + 1):
            if judged < 0 or len(errors := side * known(judged)) < 50:
                continue
            z = side * error[judged] / scale(judged)
            missed = np.mean([np.mean(errors >= one) < level for one in z])
            level += 0.02 * (0.1 - missed)
        errors = np.sort(side * known(day))[::-1]
        sides.append(
            side * np.interp(np.clip(level, 0.005, 0.3) * (len(errors) + 1) - 1, np.arange(len(errors)), errors)
        )
    low, high = sides
    spans = min(day - horizon + 1, 60) / horizon
    share = 1.0 / (2.0 + spans)
    wide = t.ppf(0.9, 5.0 + spans) / Q90 * scale(day)[pool]
    middle = points[day, pool]
    return (
        max(middle + wide * ((1 - share) * low - share * high), 0.0),
        middle + wide * ((1 - share) * high - share * low),
    )


@pytest.mark.parametrize("horizon", [1, 9])
def test_bands_are_those_of_the_formula(horizon: int) -> None:
    random = np.random.default_rng(4)
    observed = 0.4 + 0.01 * random.standard_t(4, (150, 3)).cumsum(axis=0) * np.array([0.2, 1.0, 2.0])
    points = Ewma().levels(observed, 0)
    lower, upper = conformal_bands(points, observed, APY_AT, horizon, (0, 0))
    for day, pool in ((149, 0), (149, 2), (100, 1)):
        np.testing.assert_allclose(
            [lower[day, pool], upper[day, pool]], by_hand(points, observed, horizon, day, pool), rtol=1e-9
        )


def test_sums_are_those_of_the_shared_ones_to_the_last_bit() -> None:
    values = np.random.default_rng(2).standard_normal((150, 4))
    values[values > 1.0] = np.nan
    for first in (0, 30, 59, 60, 149):
        found = intervals._discounted_sums(values, 0.97, first)
        expected = rolling.discounted_sums(values, 0.97, intervals.SCALE_DAYS, first)
        np.testing.assert_array_equal(found, expected)


def test_the_working_level_of_a_side_moves_with_its_misses() -> None:
    hit, miss = np.array([0.5, 0.5]), np.array([0.0, 0.5])
    ranks = np.array([hit, [np.nan, np.nan], miss, hit])
    found = intervals._working_levels(ranks, np.array([-1, 0, 1, 2, 3]))
    np.testing.assert_allclose(found, [0.1, 0.102, 0.102, 0.094, 0.096], rtol=1e-12)
    always = intervals._working_levels(np.zeros((60, 3)), np.array([59]))
    np.testing.assert_allclose(always, intervals.LEVELS[0])


def test_the_risk_adjusted_apy_is_the_mean_of_the_point_and_its_lower_bound() -> None:
    apy, lower = np.array([0.10, 0.10, -0.02, np.nan]), np.array([0.04, np.nan, -0.02, np.nan])
    np.testing.assert_allclose(risk_adjusted_apy(apy, lower), [0.07, 0.10, -0.02, np.nan])
    np.testing.assert_allclose(risk_adjusted_apy(apy, lower, weight=0.0), [0.10, 0.10, -0.02, np.nan])
    np.testing.assert_allclose(risk_adjusted_apy(apy, lower, weight=1.0), [0.04, 0.10, -0.02, np.nan])


# -- coverage ---------------------------------------------------------------------------------------------------------


def reverting(noise: np.ndarray, keep: float) -> np.ndarray:
    state, rows = np.zeros(noise.shape[1]), []
    for step in noise:
        state = keep * state + step
        rows.append(state)
    return np.array(rows)


def walk(noise: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return 0.05 * noise.cumsum(axis=0)


def mean_reverting(noise: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return reverting(0.2 * noise, 0.85)


def changing_volatility(noise: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """All pools at once turn wild and quiet again, every 50 days on average."""
    wild = (random.random((len(noise), 1)) < 0.02).cumsum(axis=0) % 2
    return reverting((0.03 + 0.15 * wild) * noise, 0.97)


def heavy_tails(noise: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return reverting(0.05 * random.standard_t(3, noise.shape), 0.9)


def mixed_scales(noise: np.ndarray, random: np.random.Generator) -> np.ndarray:
    pools = noise.shape[1]
    return random.uniform(-4, 2, pools) + 10.0 ** random.uniform(-2.5, -0.7, pools) * noise.cumsum(axis=0)


def common_factor(noise: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Most of what moves is the market, so that many pools count as few."""
    common = random.standard_normal((len(noise), 1)) * random.uniform(0.3, 1.5, noise.shape[1])
    return reverting(0.05 * noise + 0.06 * common, 0.98)


KINDS = (walk, mean_reverting, changing_volatility, heavy_tails, mixed_scales, common_factor)


@cache
def coverage(kind: int, point: str, seeds: int = 3) -> dict[int, float]:
    """Share of the outcomes inside the band of EWMA by horizon, pooled over panels, after half a year."""
    shares: dict[int, list[np.ndarray]] = {}
    for seed in range(seeds):
        random = np.random.default_rng([seed, kind])
        noise = random.standard_normal((365, 40))
        observed = 0.04 * np.exp(0.5 * random.standard_normal(40) + KINDS[kind](noise, random))
        if point == TVL:
            observed *= 1e9
        points = Ewma().levels(observed, 0)
        for horizon in HORIZONS:
            bands = conformal_bands(points, observed, point, horizon, (0, 150))
            shares.setdefault(horizon, []).append(covered(bands, outcome(observed, point, horizon)[150:]))
    return {horizon: float(np.nanmean(found)) for horizon, found in shares.items()}


@pytest.mark.parametrize("point", [APY_AT, APY, TVL])
@pytest.mark.parametrize("kind", range(len(KINDS)), ids=[kind.__name__ for kind in KINDS])
def test_four_of_five_outcomes_lie_inside(kind: int, point: str) -> None:
    found = coverage(kind, point)
    assert 0.75 <= np.mean(list(found.values())) <= 0.85
    assert 0.77 <= found[1] <= 0.83


@pytest.mark.parametrize("horizon", HORIZONS)
def test_four_of_five_outcomes_lie_inside_at_every_horizon(horizon: int) -> None:
    assert 0.75 <= np.mean([coverage(kind, APY_AT)[horizon] for kind in range(len(KINDS))]) <= 0.85


def test_a_history_of_two_months_is_enough_for_the_shorter_horizons() -> None:
    inside = []
    for seed in range(6):
        random = np.random.default_rng([seed, 77])
        observed = 0.05 * np.exp(walk(random.standard_normal((150, 40)), random))
        for horizon in (1, 7, 14):
            bands = conformal_bands(observed, observed, APY_AT, horizon, (0, 60))
            inside.append(np.nanmean(covered(bands, outcome(observed, APY_AT, horizon)[60:])))
    assert 0.75 <= np.mean(inside) <= 0.85


@pytest.mark.parametrize("horizon", HORIZONS)
def test_one_series_alone_is_enough(horizon: int) -> None:
    inside = []
    for seed in range(16):
        random = np.random.default_rng([seed, 5])
        observed = 5.0 * np.exp(reverting(0.2 * random.standard_normal((540, 1)), 0.95))
        points = Ewma().levels(observed, 0)
        bands = conformal_bands(points, observed, GAS, horizon, (0, 180))
        inside.append(np.nanmean(covered(bands, outcome(observed, GAS, horizon)[180:])))
    assert 0.75 <= np.mean(inside) <= 0.85


def test_quiet_and_wild_pools_are_both_covered() -> None:
    random = np.random.default_rng(11)
    size = np.where(np.arange(40) < 20, 4e-3, 4e-2)
    observed = 2.0 + size * random.standard_normal((400, 40)).cumsum(axis=0)
    bands = conformal_bands(observed, observed, APY_AT, 1, (0, 120))
    inside = covered(bands, outcome(observed, APY_AT, 1)[120:])
    assert 0.75 <= np.nanmean(inside[:, :20]) <= 0.85
    assert 0.75 <= np.nanmean(inside[:, 20:]) <= 0.85


def test_bands_widen_with_the_horizon() -> None:
    random = np.random.default_rng(3)
    observed = 0.5 * np.exp(0.02 * random.standard_normal((300, 30)).cumsum(axis=0))
    width = [
        np.median(np.subtract(*conformal_bands(observed, observed, APY_AT, horizon, (0, 200))[::-1]))
        for horizon in HORIZONS
    ]
    assert np.all(np.diff(width) > 0)
    np.testing.assert_allclose(np.array(width) / width[0], np.sqrt(HORIZONS), rtol=0.35)


def test_a_market_that_turns_wild_widens_the_band_at_once() -> None:
    random = np.random.default_rng(6)
    noise = 0.01 * random.standard_normal((200, 30))
    observed = 0.5 * np.exp(noise.cumsum(axis=0))
    noise[190:] *= 6.0
    wild = 0.5 * np.exp(noise.cumsum(axis=0))
    widths = [
        np.median(np.subtract(*conformal_bands(x, x, APY_AT, 14, (0, 199))[::-1]) / x[199]) for x in (observed, wild)
    ]
    assert widths[1] > 1.2 * widths[0]


# -- edges ------------------------------------------------------------------------------------------------------------


def ragged(n_days: int = 260, pools: int = 12) -> np.ndarray:
    """Values with gaps, a pool that dies, one that begins late, a constant one, and one that never is."""
    random = np.random.default_rng(8)
    observed = 0.05 * np.exp(0.1 * random.standard_normal((n_days, pools)).cumsum(axis=0))
    observed[random.random(observed.shape) < 0.05] = np.nan
    observed[200:, 0] = np.nan
    observed[:230, 1] = np.nan
    observed[:, 2] = 0.03
    observed[:, 3] = np.nan
    return observed


@pytest.mark.parametrize("point", [APY, APY_AT, TVL])
@pytest.mark.parametrize("horizon", [1, 30])
def test_every_point_has_a_band_around_it_and_nothing_else_has(point: str, horizon: int) -> None:
    observed = ragged() * (1e8 if point == TVL else 1.0)
    points = Persistence().levels(observed, 0)
    lower, upper = conformal_bands(points, observed, point, horizon, (0, 0))
    made = np.isfinite(points)
    np.testing.assert_array_equal(np.isfinite(lower), made)
    np.testing.assert_array_equal(np.isfinite(upper), made)
    assert (lower[made] <= points[made]).all()
    assert (points[made] <= upper[made]).all()
    assert (lower[made] >= 0.0).all()
    assert (upper[made] > lower[made]).all()


def test_only_a_negative_point_has_a_negative_bound() -> None:
    random = np.random.default_rng(8)
    observed = np.array([0.01, -0.03]) + 0.01 * random.standard_normal((120, 2))
    lower, upper = conformal_bands(observed, observed, APY_AT, 7, (0, 60))
    points = observed[60:]
    np.testing.assert_array_equal(lower[points < 0], points[points < 0])
    assert lower[points >= 0].min() == 0.0
    assert (upper >= points).all()


def test_a_market_that_never_moves_has_narrow_bands() -> None:
    observed = np.full((200, 4), 0.05)
    lower, upper = conformal_bands(observed, observed, APY, 7, (0, 0))
    assert (lower <= 0.05).all()
    assert (upper >= 0.05).all()
    assert (upper - lower < 0.002).all()
    observed[150:] = 0.06  # and when it moves at last, the error is finite and counts
    lower, upper = conformal_bands(observed, observed, APY, 7, (0, 0))
    assert np.isfinite(upper).all()
    assert (upper[-30:] - lower[-30:] > 0.002).all()


def test_pools_that_never_move_do_not_blow_up_the_bands_of_the_others() -> None:
    random = np.random.default_rng(13)
    observed = 0.05 * np.exp(0.05 * random.standard_normal((200, 10)).cumsum(axis=0))
    still = np.concatenate([observed, np.full((200, 30), 0.05)], axis=1)
    lower, upper = conformal_bands(still, still, APY_AT, 7, (0, 0))
    assert np.isfinite(lower).all()
    assert (upper < 2.0 * still + 0.01).all()


def test_a_tvl_stays_within_a_hundredfold_whatever_has_happened() -> None:
    random = np.random.default_rng(1)
    observed = 1e6 * np.exp(3.0 * random.standard_normal((150, 5)).cumsum(axis=0))
    observed[40:50, 0] = 0.0
    lower, upper = conformal_bands(observed, observed, TVL, 30, (0, 0))
    wide = np.maximum(observed, 1.0) * 100.0
    assert (upper <= wide * (1.0 + 1e-9)).all()
    assert (lower >= np.minimum(observed, np.maximum(observed, 1.0) / 100.0) * (1.0 - 1e-9)).all()
    assert np.isclose(upper, wide).any()


@pytest.mark.parametrize("n_days", [1, 2, 5, 31])
def test_short_histories_have_bands(n_days: int) -> None:
    observed = ragged()[:n_days]
    points = Persistence().levels(observed, 0)
    for horizon in HORIZONS:
        lower, upper = conformal_bands(points, observed, APY, horizon, (0, 0))
        np.testing.assert_array_equal(np.isfinite(lower) & np.isfinite(upper), np.isfinite(points))


def test_columns_without_values_and_the_order_of_pools_change_nothing() -> None:
    observed = ragged()
    points = Persistence().levels(observed, 0)
    lower, upper = conformal_bands(points, observed, APY_AT, 7, (0, 180))
    order = np.random.default_rng(5).permutation(observed.shape[1])
    empty = np.full((len(observed), 3), np.nan)
    wider, others = (np.concatenate([x[:, order], empty], axis=1) for x in (points, observed))
    again = conformal_bands(wider, others, APY_AT, 7, (0, 180))
    for one, other in zip((lower, upper), again, strict=True):
        np.testing.assert_array_equal(one[:, order], other[:, :-3])
        assert np.isnan(other[:, -3:]).all()


def test_the_unit_of_a_tvl_does_not_matter() -> None:
    observed = 1e7 * ragged()
    points = Ewma().levels(observed, 0)
    one = conformal_bands(points, observed, TVL, 7, (0, 200))
    other = conformal_bands(1024.0 * points, 1024.0 * observed, TVL, 7, (0, 200))
    np.testing.assert_allclose(np.array(other) / 1024.0, one, rtol=1e-9)


def test_errors_of_forecasts_from_stale_values_do_not_count() -> None:
    observed = 1e7 * ragged()
    observed[190:200, 4] = np.nan
    back_far_away = observed.copy()
    back_far_away[200, 4] *= 50.0
    bands = [conformal_bands(Persistence().levels(x, 0), x, TVL, 1, (0, 200))[1][0] for x in (observed, back_far_away)]
    others = np.arange(12) != 4
    np.testing.assert_array_equal(bands[0][others], bands[1][others])


# -- no look-ahead ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [120, 199])
def test_later_days_change_nothing(position: int) -> None:
    history = market()
    forecaster = Calibrated(Ewma())
    whole = forecast_days(forecaster, history, position, (1, 7, 30))
    spoilt = forecast_days(forecaster, scrambled_after(history, position), position, (1, 7, 30))
    alone = forecast_days(forecaster, history.up_to(position), position, (1, 7, 30))
    first_row = {horizon: {key: x[:1] for key, x in rows.items()} for horizon, rows in whole.items()}
    assert_same({horizon: {key: x[:1] for key, x in rows.items()} for horizon, rows in spoilt.items()}, first_row)
    assert_same(alone, first_row)


def test_a_window_says_what_its_days_say_alone() -> None:
    history, forecaster = market(), Calibrated(Persistence())
    together = forecast_days(forecaster, history, 205, (1, 14))
    for row in range(15):
        (first, second) = forecaster.fit(history.up_to(205 + row)).predict((1, 14))
        for forecast in (first, second):
            rows = together[forecast.horizon_days]
            for key, values in {**forecast.points, **forecast.quantiles}.items():
                np.testing.assert_array_equal(values, rows[key][row])


def test_what_lies_before_the_lookback_changes_nothing_nor_do_other_horizons() -> None:
    history = market(n_days=340)
    forecaster = Calibrated(Ewma(), longest_horizon_days=14)
    first = 338
    whole = forecast_days(forecaster, history, first, (1, 14))
    recent = history.between(first - forecaster.lookback_days, 339)
    assert len(recent.days) < len(history.days)
    assert_same(forecast_days(forecaster, recent, forecaster.lookback_days, (1, 14)), whole)
    alone = forecast_days(forecaster, history, first, (1,))
    assert_same({1: alone[1]}, {1: whole[1]})


# -- the wrapper ------------------------------------------------------------------------------------------------------


def test_a_calibrated_forecaster_keeps_its_points_and_adds_two_bounds_to_each() -> None:
    history = market()
    plain = forecast_days(Ewma(), history, 200, (1, 7))
    found = forecast_days(calibrated(Ewma()), history, 200, (1, 7))
    for horizon, rows in plain.items():
        assert set(found[horizon]) == {*rows, *((point, side) for point in rows for side in (LOWER, UPPER))}
        for point, values in rows.items():
            np.testing.assert_array_equal(found[horizon][point], values)
            lower, upper = found[horizon][(point, LOWER)], found[horizon][(point, UPPER)]
            made = np.isfinite(values)
            assert made[:, YOUNG].any()
            assert made[:, DIES].any()
            assert (lower[made] <= values[made]).all()
            assert (values[made] <= upper[made]).all()


def test_what_a_calibrated_forecaster_is() -> None:
    forecaster = calibrated(Ewma(), 14)
    assert (forecaster.name, forecaster.targets) == ("ewma", Ewma().targets)
    assert forecaster.lookback_days == Ewma().lookback_days + burn_days(14)
    assert calibrated(forecaster, 30) is forecaster


def test_quantiles_of_a_walk_are_those_of_the_wrapper() -> None:
    history, first = market(), 215
    wrapped = forecast_days(Calibrated(Persistence()), history, first, (7,))
    walked = forecast_days(Persistence(), history, 0, (7,))
    assert_same(with_quantiles(walked, history, 0, first), wrapped)


def test_gas_alone_can_be_calibrated() -> None:
    random = np.random.default_rng(2)
    gas = 5.0 * np.exp(reverting(0.2 * random.standard_normal((260, 1)), 0.9))
    days = np.datetime64("2024-01-01", "D") + np.arange(260)
    history = History(days, np.array(["gas"], dtype=object), {GAS: gas})
    found = forecast_days(Calibrated(Ewma()), history, 250, (1, 7))
    for rows in found.values():
        assert (rows[(GAS, LOWER)] > 0.0).all()
        assert (rows[(GAS, LOWER)] < rows[GAS]).all()
        assert (rows[GAS] < rows[(GAS, UPPER)]).all()
    gapped = replace(history, series={GAS: np.where(np.arange(260)[:, None] % 5 == 0, np.nan, gas)})
    assert np.isfinite(forecast_days(Calibrated(Ewma()), gapped, 250, (7,))[7][(GAS, UPPER)]).all()

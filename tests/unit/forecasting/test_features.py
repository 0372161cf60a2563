"""Features: what is known on a day, and nothing that is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.forecasting.features import FEATURE_DAYS, Features, features
from tests.unit.forecasting.small import YOUNG, market, scrambled_after

HISTORY = market()
DAY = 150


def column(known: Features, name: str) -> np.ndarray:
    """(n_days, n) one feature."""
    return known.values[..., known.names.index(name)]


def test_scrambling_everything_later_changes_no_feature() -> None:
    honest = features(HISTORY, 100)
    spoilt = features(scrambled_after(HISTORY, DAY), 100)
    upto = DAY - 100 + 1
    np.testing.assert_array_equal(honest.values[:upto], spoilt.values[:upto])
    np.testing.assert_array_equal(honest.smooth[:upto], spoilt.smooth[:upto])
    np.testing.assert_array_equal(honest.scale[:upto], spoilt.scale[:upto])
    assert not np.array_equal(honest.values[upto:], spoilt.values[upto:], equal_nan=True)


def test_features_of_a_day_do_not_depend_on_the_days_asked_for() -> None:
    whole = features(HISTORY, 80)
    for day in (100, 149, 219):
        alone = features(HISTORY.between(day - FEATURE_DAYS, day), FEATURE_DAYS)
        np.testing.assert_array_equal(whole.values[day - 80], alone.values[0])
        np.testing.assert_array_equal(whole.scale[day - 80], alone.scale[0])


def test_the_order_of_pools_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(HISTORY.ids))
    moved = replace(
        HISTORY,
        ids=HISTORY.ids[order],
        series={name: values[:, order] for name, values in HISTORY.series.items()},
        labels={name: values[order] for name, values in HISTORY.labels.items()},
    )
    np.testing.assert_array_equal(features(HISTORY, DAY).values[:, order], features(moved, DAY).values)


def test_a_pool_without_any_day_changes_nothing_for_the_others() -> None:
    def with_empty(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.full((len(values), 1), np.nan)], axis=1)

    wider = replace(
        HISTORY,
        ids=np.append(HISTORY.ids, "zz"),
        series={name: with_empty(values) for name, values in HISTORY.series.items()},
        labels={name: np.append(values, values[0]) for name, values in HISTORY.labels.items()},
    )
    np.testing.assert_array_equal(features(HISTORY, DAY).values, features(wider, DAY).values[:, :-1])


def test_medians_of_peers_are_of_the_day_before() -> None:
    spoilt = {**HISTORY.series, "apy": HISTORY.series["apy"].copy()}
    spoilt["apy"][DAY, 1:] = 5.0
    honest, other = features(HISTORY, DAY), features(replace(HISTORY, series=spoilt), DAY)
    for name in honest.names:
        if name.startswith("peers_"):
            assert column(honest, name)[0, 0] == column(other, name)[0, 0], name
            changed = column(honest, name)[1, 0] != column(other, name)[1, 0]
            assert changed or np.isnan(column(honest, name)[1, 0]) or "change" in name, name


def test_levels_are_in_units_of_the_pools_own_movement() -> None:
    twice = replace(HISTORY, series={**HISTORY.series, "apy": 2.0 * HISTORY.series["apy"]})
    one, two = features(HISTORY, DAY), features(twice, DAY)
    np.testing.assert_allclose(two.scale[one.known], 2.0 * one.scale[one.known], rtol=1e-12)
    for name in ("lag_1", "median_7", "ewma_0.3", "deviation_30", "autocorrelation_1"):
        np.testing.assert_allclose(column(one, name), column(two, name), rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_lag_and_the_scale_worked_by_hand() -> None:
    apy = np.full((80, 1), 0.04)
    apy[79] = 0.05
    history = replace(
        market(80),
        ids=np.array(["p"], dtype=object),
        series={"apy": apy, "tvl_usd": np.full((80, 1), 1e6)},
        labels={},
        market={},
    )
    known = features(history, 79)
    weights = 0.95 ** np.arange(60)
    scale = 0.01 / weights.sum()
    assert known.scale[0, 0] == pytest.approx(scale)
    assert column(known, "lag_1")[0, 0] == pytest.approx(-0.01 / scale, rel=1e-6)
    assert np.isnan(column(known, "off_peg")[0, 0])


def test_a_young_pool_is_known_with_the_days_it_has() -> None:
    known = features(HISTORY, len(HISTORY.days) - 1)
    assert known.known[0, YOUNG]
    assert known.seen_days[0, YOUNG] == 10
    assert np.isnan(column(known, "lag_14")[0, YOUNG])


def test_the_worse_token_of_a_pair_is_off_its_peg() -> None:
    prices = {"USDC": np.full(220, 0.97), "DAI": np.full(220, 1.01)}
    known = features(replace(HISTORY, market=prices), DAY)
    pair = HISTORY.labels["token"].tolist().index("DAI-USDC")
    assert column(known, "off_peg")[0, pair] == pytest.approx(-0.03, abs=1e-6)


def test_a_series_without_any_observation_is_like_one_that_is_absent() -> None:
    nothing = np.full(220, np.nan)
    bare = replace(
        HISTORY,
        series={name: HISTORY.series[name] for name in ("apy", "tvl_usd")},
        market={name: HISTORY.market[name] for name in ("gas_price_gwei", "btc_usd")},
    )
    named = replace(
        bare,
        series={**bare.series, "apy_base": np.full_like(HISTORY.series["apy"], np.nan)},
        market={**bare.market, "eth_usd": nothing, "USDC": nothing, "GHO": nothing},
    )
    one, other = features(bare, 80), features(named, 80)
    np.testing.assert_array_equal(one.values.view(np.uint32), other.values.view(np.uint32))
    for name in ("newest", "smooth", "scale", "seen_days", "known"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)

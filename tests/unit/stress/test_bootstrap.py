"""The block bootstrap: drawn days, and the rates that they bring."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.stress.bootstrap import Resample, ResampledSource
from tests.unit.stress.small import AAVE, FIRST, MARKET, MORPHO, HandMade, day, days

IDS = [AAVE, MORPHO]


def test_drawn_days_are_circular_blocks_of_the_range():
    drawn = Resample(days(0, 9), seed=5, block_days=4).drawn()
    assert len(drawn) == 10
    for begin in (0, 4, 8):
        block = drawn[begin : begin + 4]
        np.testing.assert_array_equal(block, (block[0] + np.arange(len(block))) % 10)


def test_equal_seeds_draw_equal_days_and_others_do_not():
    window = Window(MARKET.first_day, MARKET.last_day)
    first, again, other = (Resample(window, seed).drawn() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_every_day_is_drawn_about_as_often_as_any_other():
    counts = sum(np.bincount(Resample(days(0, 9), seed, 3).drawn(), minlength=10) for seed in range(600))
    assert counts.sum() == 6000
    assert 480 < counts.min() <= counts.max() < 720


def test_a_day_has_the_rates_of_its_drawn_day_and_keeps_the_rest():
    """The hand-made rate of a pool is 6 % on day 0 and one percentage point more each day."""
    resample = Resample(days(2, 9), seed=1, block_days=3)
    source, drawn = ResampledSource(HandMade(), resample), resample.drawn()
    for frame in (source.pool_history(days(0, 9), IDS).frame, source.pool_snapshots(days(0, 9)).frame):
        rows = frame[frame["pool_id"] == AAVE]
        expected = np.concatenate([[0.06, 0.07], 0.06 + 0.01 * (2 + drawn)])
        np.testing.assert_allclose(rows["apy"], expected, atol=1e-12)
        np.testing.assert_allclose(rows["apy_base"], expected - 0.01, atol=1e-12)
        assert (rows["apy_reward"] == 0.01).all()
        assert (rows["tvl_usd"] == 1e8).all()
        assert (frame.loc[frame["pool_id"] == MORPHO, "apy"] == 0.1).all()


class Gaps(HandMade):
    """A young pool without rows before day 6, and a gap in its rate on day 8."""

    def pool_history(self, window, pool_ids):
        fetched = super().pool_history(window, pool_ids)
        young = fetched.frame["pool_id"] == AAVE
        fetched.frame.loc[young & (fetched.frame["date"] == pd.Timestamp(day(8))), "apy"] = np.nan
        kept = ~(young & (fetched.frame["date"] < pd.Timestamp(day(6))))
        return type(fetched)(fetched.frame[kept].reset_index(drop=True))


def test_a_pool_without_a_rate_on_the_drawn_day_keeps_its_own_and_gaps_stay():
    resample = Resample(days(0, 9), seed=3, block_days=2)
    rows = ResampledSource(Gaps(), resample).pool_history(days(0, 9), IDS).frame.query(f"pool_id == '{AAVE}'")
    own, drawn = np.arange(6, 10), resample.drawn()[6:]
    source = np.where((drawn >= 6) & (drawn != 8), drawn, own)
    expected = np.where(own == 8, np.nan, 0.06 + 0.01 * source)
    np.testing.assert_allclose(rows["apy"], expected, atol=1e-12)
    assert (source != own).any()
    assert (drawn < 6).any()


def test_a_day_gives_the_same_rows_alone_and_inside_a_longer_window():
    resample = Resample(Window(MARKET.first_day.replace(month=2), MARKET.last_day), seed=2, block_days=5)
    everything = Window(MARKET.first_day, MARKET.last_day)
    ids = sorted(MARKET.pool_snapshots(everything).frame["pool_id"].unique())
    source = ResampledSource(MARKET, resample)
    whole = source.pool_snapshots(everything).frame, source.pool_history(everything, ids).frame
    for offset in (3, 31, 40, 58):
        moment = list(everything)[offset]
        single = Window(moment, moment)
        alone = source.pool_snapshots(single).frame, source.pool_history(single, ids).frame
        for inside, rows in zip(whole, alone, strict=True):
            expected = inside[inside["date"] == pd.Timestamp(moment)].reset_index(drop=True)
            pd.testing.assert_frame_equal(rows, expected, check_dtype=False)


def test_prices_gas_and_accounts_are_the_other_source_s():
    inner = HandMade()
    source = ResampledSource(inner, Resample(days(0, 9), seed=1, block_days=3))
    pd.testing.assert_frame_equal(source.gas_hourly(days(0, 9)).frame, inner.gas_hourly(days(0, 9)).frame)
    pd.testing.assert_frame_equal(source.token_ohlcv(days(0, 9), []).frame, inner.token_ohlcv(days(0, 9), []).frame)
    assert source.account_balances(days(0, 9), ["0x1"]).warnings == ("no accounts",)
    assert (source.first_day, source.last_day) == (FIRST, day(9))
    assert "seed 1" in source.name


@pytest.mark.parametrize(("block", "seed"), [(0, 1), (11, 1), (3, -1)])
def test_a_draw_that_cannot_be_is_refused(block, seed):
    with pytest.raises(ConfigurationError, match=r"blocks of|seed"):
        Resample(days(0, 9), seed=seed, block_days=block)

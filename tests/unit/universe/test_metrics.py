"""Domain, section 3: metrics of a pool by the day."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.calendar import Window
from defiyield_core.panel import Panel
from defiyield_core.universe.metrics import carried, pool_metrics, rolling_mean_std
from tests.unit.universe.frames import FIRST, column, day, panel_of


def metrics_of(*apy: float | None) -> pd.DataFrame:
    """One pool's metrics over its whole history, by day offset."""
    rows = pool_metrics(panel_of(column(*apy)), Window(FIRST, day(len(apy) - 1)))
    return rows.set_index((rows["date"] - pd.Timestamp(FIRST)).dt.days)


def test_mean_and_sample_deviation_of_seven_days_worked_by_hand() -> None:
    rows = metrics_of(0.99, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07)
    assert rows.loc[7, "apy_mean_7d"] == pytest.approx(0.04)
    assert rows.loc[7, "apy_std_7d"] == pytest.approx(0.01 * np.sqrt(28 / 6))
    assert rows.loc[7, "apy_mean_30d"] == pytest.approx((0.99 + 0.28) / 8)


def test_one_observation_has_no_mean_and_no_deviation() -> None:
    rows = metrics_of(0.05, None, 0.07)
    assert np.isnan(rows.loc[0, ["apy_mean_7d", "apy_std_7d"]].astype(float)).all()
    assert rows.loc[2, "apy_mean_7d"] == pytest.approx(0.06)


def test_a_change_needs_both_days() -> None:
    rows = metrics_of(0.05, 0.07, None, 0.06, 0.04)
    assert rows["apy_change_1d"].round(9).tolist()[1] == 0.02
    assert rows.loc[[0, 2, 3], "apy_change_1d"].isna().all()
    assert rows.loc[4, "apy_change_1d"] == pytest.approx(-0.02)


def test_a_gap_is_carried_for_three_days_and_marked() -> None:
    rows = metrics_of(0.05, None, None, None, None, 0.06)
    assert rows["apy_filled"].tolist()[:4] == [0.05] * 4
    assert np.isnan(rows.loc[4, "apy_filled"])
    assert rows["is_carried"].tolist() == [False, True, True, True, False, False]
    assert rows["apy"].isna().tolist() == [False, True, True, True, True, False]
    assert rows["age_days"].tolist() == [0, 1, 2, 3, 4, 0]


def test_a_pool_that_vanished_keeps_rows_for_thirty_days() -> None:
    rows = metrics_of(None, 0.05, *[None] * 40)
    assert rows.index.tolist() == list(range(1, 32))
    assert rows["age_days"].iloc[-1] == 30


def test_missing_share_counts_from_the_first_observation() -> None:
    rows = metrics_of(None, None, 0.05, None, 0.05, 0.05)
    assert rows["missing_share_30d"].tolist() == pytest.approx([0.0, 1 / 2, 1 / 3, 1 / 4])
    assert rows["history_days"].tolist() == [1, 1, 2, 3]


def test_missing_share_looks_at_thirty_days_only() -> None:
    rows = metrics_of(0.05, None, None, *[0.05] * 30)
    assert rows.loc[32, "missing_share_30d"] == 0.0
    assert rows.loc[31, "missing_share_30d"] == pytest.approx(1 / 30)


def test_an_absurd_apy_is_kept_and_flagged_also_while_carried() -> None:
    rows = metrics_of(0.05, 10.5, None, 10.0)
    assert rows["is_flagged"].tolist() == [False, True, True, False]
    assert rows.loc[1, "apy"] == 10.5


@given(st.lists(st.one_of(st.none(), st.floats(-0.5, 3)), min_size=1, max_size=45), st.sampled_from([7, 30]))
def test_rolling_statistics_equal_those_of_the_observed_days(values: list[float | None], days: int) -> None:
    mean, std = rolling_mean_std(column(*values), days, 0)
    for t in range(len(values)):
        seen = [value for value in values[max(0, t - days + 1) : t + 1] if value is not None]
        if len(seen) < 2:
            assert np.isnan(mean[t, 0]) and np.isnan(std[t, 0])
        else:
            assert mean[t, 0] == pytest.approx(np.mean(seen), abs=1e-12)
            assert std[t, 0] == pytest.approx(np.std(seen, ddof=1), abs=1e-9)


def test_a_day_alone_is_bit_identical_to_the_day_in_a_long_window(random_panel: Panel) -> None:
    last = FIRST + timedelta(days=len(random_panel.days) - 1)
    whole = pool_metrics(random_panel, Window(FIRST, last))
    for offset in (0, 1, 6, 29, 30, 55, 79):
        end = offset + 1
        cut = Panel(
            random_panel.days[:end],
            random_panel.ids,
            {name: values[:end] for name, values in random_panel.values.items()},
        )
        alone = pool_metrics(cut, Window(day(offset), day(offset)))
        same_day = whole[whole["date"] == pd.Timestamp(day(offset))].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, same_day, check_exact=True)


def test_carried_values_are_the_newest_before() -> None:
    filled, age = carried(column(1, None, 3, None), 1)
    assert filled[:, 0].tolist() == [1, 3, 3]
    assert age[:, 0].tolist() == [1, 0, 1]

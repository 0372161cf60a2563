"""Whose number counts, and when silence means absence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from defiyield_core.panel import days_between
from defiyield_core.universe.observations import absent_days, pool_observations, source_is_up
from tests.unit.universe.frames import FIRST, day, stamp


def chart(*rows: tuple[int, str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "date": pd.Series([stamp(d) for d, _, _ in rows], dtype="datetime64[ns]"),
            "pool_id": pd.Series([p for _, p, _ in rows], dtype=object),
            "apy": pd.Series([a for _, _, a in rows], dtype=float),
            "tvl_usd": 1e6,
        }
    )


def test_the_chart_wins_and_the_snapshot_of_the_day_stands_in() -> None:
    snapshots = chart((0, "a", 0.9), (1, "a", 0.2), (1, "b", 0.3)).assign(stablecoin=True)
    panel = pool_observations(chart((0, "a", 0.1)), snapshots, days_between(FIRST, day(1)))
    assert panel.ids.tolist() == ["a", "b"]
    np.testing.assert_array_equal(panel["apy"], [[0.1, np.nan], [0.2, 0.3]])


def test_a_snapshot_of_another_kind_of_pool_is_no_observation() -> None:
    snapshots = chart((0, "a", 0.9)).assign(stablecoin=False)
    panel = pool_observations(chart((0, "b", 0.1)), snapshots, days_between(FIRST, FIRST))
    assert panel.ids.tolist() == ["b"]


def test_a_day_without_any_pool_is_nobodys_absence() -> None:
    observed = np.ones((8, 4), dtype=bool)
    observed[3:, 0] = False
    observed[5] = False
    assert source_is_up(observed).tolist() == [True] * 5 + [False] + [True] * 2
    assert absent_days(observed)[:, 0].tolist() == [0, 0, 0, 1, 2, 2, 3, 4]


def test_a_source_that_lost_most_pools_at_once_was_not_up() -> None:
    observed = np.ones((5, 10), dtype=bool)
    observed[2, 3:] = False
    assert source_is_up(observed).tolist() == [True, True, False, True, True]
    assert absent_days(observed).max() == 0


def test_a_partial_outage_of_a_week_makes_no_pool_absent() -> None:
    observed = np.ones((20, 10), dtype=bool)
    observed[10:17, 2:] = False
    assert not source_is_up(observed)[10:17].any()
    assert absent_days(observed)[16].max() == 0


def test_a_pool_that_comes_back_is_not_absent() -> None:
    observed = np.ones((5, 3), dtype=bool)
    observed[1:3, 0] = False
    assert absent_days(observed)[:, 0].tolist() == [0, 1, 2, 0, 0]

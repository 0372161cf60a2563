"""Frames become dense arrays in an order of their own, and come back unchanged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.errors import DataError
from defiyield_core.panel import days_between, lagged, newest_observed, to_long, to_panel
from tests.unit.universe.frames import FIRST, column, day, stamp

DAYS = days_between(FIRST, day(3))


def test_ids_are_sorted_and_missing_days_are_nan() -> None:
    frame = pd.DataFrame({"date": [stamp(2), stamp(0)], "pool_id": ["b", "a"], "apy": [0.2, 0.1]})
    panel = to_panel(frame, ("apy",), id_column="pool_id", days=DAYS)
    assert panel.ids.tolist() == ["a", "b"]
    assert panel["apy"][0, 0] == 0.1 and panel["apy"][2, 1] == 0.2
    assert int(np.isnan(panel["apy"]).sum()) == 6


def test_rows_outside_the_days_or_ids_are_left_out() -> None:
    frame = pd.DataFrame({"date": [stamp(9), stamp(1), stamp(1)], "pool_id": ["a", "a", "z"], "apy": [1.0, 2, 3]})
    panel = to_panel(frame, ("apy",), id_column="pool_id", days=DAYS, ids=np.array(["a"], dtype=object))
    assert panel["apy"][:, 0].tolist()[1] == 2.0
    assert int((~np.isnan(panel["apy"])).sum()) == 1


def test_two_rows_of_one_day_are_refused_by_name() -> None:
    frame = pd.DataFrame({"date": [stamp(1), stamp(1)], "pool_id": ["a", "a"], "apy": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"pool_id a has two rows on 2025-01-02"):
        to_panel(frame, ("apy",), id_column="pool_id", days=DAYS)


@given(st.dictionaries(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", "c"])), st.floats(-1, 100), min_size=1))
def test_there_and_back_gives_the_same_rows(rows: dict[tuple[int, str], float]) -> None:
    frame = pd.DataFrame(
        {"date": [stamp(d) for d, _ in rows], "pool_id": [p for _, p in rows], "apy": list(rows.values())}
    )
    panel = to_panel(frame, ("apy",), id_column="pool_id", days=DAYS)
    back = to_long(panel.days, panel.ids, ~np.isnan(panel["apy"]), panel.values, id_column="pool_id")
    expected = frame.sort_values(["date", "pool_id"], ignore_index=True)
    pd.testing.assert_frame_equal(back, expected, check_dtype=False)


@given(st.integers(1, 8), st.integers(0, 10), st.data())
def test_a_lag_is_the_value_of_so_many_days_before(n_days: int, lag: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, n_days - 1))
    values = np.arange(n_days, dtype=float)[:, None]
    expected = [t - lag if t >= lag else np.nan for t in range(first, n_days)]
    np.testing.assert_array_equal(lagged(values, lag, first)[:, 0], expected)


def test_the_newest_observation_is_remembered_over_gaps() -> None:
    assert newest_observed(column(None, 1, None, None, 5))[:, 0].tolist() == [-1, 1, 1, 1, 4]

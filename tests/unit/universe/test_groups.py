"""Domain, section 4: tiers by stability, in percentage points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.parameters import parameters
from defiyield_core.universe.groups import classify

POINT = 0.01
RULES = parameters("default")


def tier(change: float, std_7d: float, std_30d: float, history: int = 100) -> tuple[int, str]:
    """Tier and reason of one pool whose measures are given in percentage points."""
    group, reason = classify(np.array([[change, std_7d, std_30d]]) * POINT, np.array([history]), RULES)
    return int(group[0]), str(reason[0])


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ((1, 1.5, 2), 1),
        ((-1, 1.5, 2), 1),
        ((1.01, 1.5, 2), 2),
        ((3, 4, 5), 2),
        ((-3, 4, 5), 2),
        ((3.1, 1, 1), 3),
        ((-3.1, 1, 1), 3),
        ((0, 4.1, 0), 3),
        ((0, 0, 5.1), 3),
        ((3.1, 4.1, 2.1), 3),
    ],
)
def test_thresholds_belong_to_the_calmer_tier(measures: tuple[float, float, float], expected: int) -> None:
    assert tier(*measures)[0] == expected


def test_a_difference_of_rates_on_the_threshold_is_not_over_it() -> None:
    assert 0.05 - 0.04 > 0.01
    group, _ = classify(np.array([[0.05 - 0.04, 0.0, 0.0]]), np.array([30]), RULES)
    assert group[0] == 1


def test_a_young_pool_is_tier_three_however_calm() -> None:
    assert tier(0, 0, 0, history=6) == (3, "history under 7 days")
    assert tier(0, 0, 0, history=7)[0] == 1


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_an_unknown_measure_is_tier_three(missing: int) -> None:
    measures = [0.0, 0.0, 0.0]
    measures[missing] = np.nan
    group, reason = tier(*measures)
    assert group == 3
    assert reason.endswith("unknown")


def test_the_reason_names_what_decided() -> None:
    assert tier(0, 0, 0)[1] == "within every threshold of group 1"
    assert tier(2, 0, 3)[1] == "apy_change_1d over 0.01 (group 1); apy_std_30d over 0.02 (group 1)"
    assert tier(4, 2, 0)[1] == "apy_change_1d over 0.03 (group 2)"


@given(st.floats(-20, 20), st.floats(0, 20), st.floats(0, 20))
def test_every_pool_has_a_tier_and_a_fall_counts_like_a_rise(change: float, std_7d: float, std_30d: float) -> None:
    group, _ = tier(change, std_7d, std_30d)
    assert group in (1, 2, 3)
    assert group == tier(-change, std_7d, std_30d)[0]

"""Arithmetic of units, with numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.units import (
    annualised,
    daily_growth,
    exact_sum,
    gas_leg_usd,
    growth_over,
    percent_to_fraction,
    to_bps,
)


def test_a_year_of_daily_growth_is_the_apy():
    assert (1 + daily_growth(0.05)) ** 365 == pytest.approx(1.05)
    assert growth_over(0.05, 365) == pytest.approx(0.05)
    assert growth_over(0.10, 14) == pytest.approx(1.1 ** (14 / 365) - 1)


def test_annualising_undoes_growth_and_refuses_a_total_loss():
    assert annualised(growth_over(0.07, 90), 90) == pytest.approx(0.07)
    assert math.isnan(annualised(-1.0, 30)) and math.isnan(annualised(0.1, 0))


def test_a_deposit_at_thirty_gwei_and_eth_at_3000_costs_nearly_twenty_dollars():
    assert gas_leg_usd(220_000, 30.0, 3000.0) == pytest.approx(19.80)


def test_percent_and_basis_points():
    assert percent_to_fraction(5.0) == 0.05
    assert to_bps(1.0, 10_000.0) == 1.0 and to_bps(1.0, 0.0) == 0.0


@given(st.lists(st.floats(-1e9, 1e9), max_size=30), st.randoms())
def test_the_exact_sum_does_not_depend_on_order_or_zeros(values, random):
    shuffled = [*values, 0.0, 0.0]
    random.shuffle(shuffled)
    assert exact_sum(np.array(values)) == exact_sum(np.array(shuffled))

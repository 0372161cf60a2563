"""Arithmetic of units: APY and growth, gas and dollars, percent and fractions.

Belongs here: every conversion between units, once. Does not belong here: anything that knows a pool.
All functions accept floats or numpy arrays and work element by element.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Number = TypeVar("Number", float, FloatArray)

DAYS_PER_YEAR = 365
GWEI_PER_ETH = 1e9
BPS_PER_UNIT = 1e4


def growth_over(apy: Number, days: float) -> Number:
    """Growth over `days` of an effective annual rate: `(1 + apy) ** (days / 365) - 1`, both fractions."""
    return (1.0 + apy) ** (days / DAYS_PER_YEAR) - 1.0


def daily_growth(apy: Number) -> Number:
    """Growth of one day: `(1 + apy) ** (1 / 365) - 1`."""
    return growth_over(apy, 1.0)


def annualised(total_growth: float, days: float) -> float:
    """Effective annual rate of a growth earned over `days`: `(1 + growth) ** (365 / days) - 1`."""
    if days <= 0 or total_growth <= -1.0:
        return float("nan")
    return float((1.0 + total_growth) ** (DAYS_PER_YEAR / days) - 1.0)


def percent_to_fraction(percent: Number) -> Number:
    """5 (percent) -> 0.05."""
    return percent / 100.0


def gas_leg_usd(gas_units: Number, gas_price_gwei: Number, eth_usd: Number) -> Number:
    """Cost in USD of one transaction: `gas_units * (base + priority fee) * 1e-9 * eth_usd`."""
    return gas_units * gas_price_gwei / GWEI_PER_ETH * eth_usd


def exact_sum(values: FloatArray) -> float:
    """The correctly rounded sum: the same for every order of the values and any number of zeros among them.

    Money is summed with this, so that a day's books do not depend on how many pools were loaded beside the ones held.
    """
    return math.fsum(values[values != 0].ravel().tolist())


def to_bps(amount_usd: float, of_usd: float) -> float:
    """`amount_usd` in basis points of `of_usd` (0 when that is 0)."""
    return amount_usd / of_usd * BPS_PER_UNIT if of_usd else 0.0

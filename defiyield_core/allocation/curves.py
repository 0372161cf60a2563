"""What a position earns as it grows: our own deposit dilutes a pool's rate.

Belongs here: growth in dollars as a function of the final position, and its slope. Does not belong here: how the best
position is found.

Three laws, `parameters.dilution` (domain.md, section 8). With g the forecast growth over the horizon at the position
that the observed rate includes, V the final position and T the pool's TVL:

- `off`: `f(V) = g V`.
- `pro_rata`: a fixed reward is shared by all, `f(V) = g T V / (O + V)`, O the TVL of the others.
- `rate_curve`: a lending pool pays `s(U) = U b(U)` with U = borrowed / supply and the borrow rate
  `b(U) = base_rate + slope1 min(U, kink) + slope2 max(U - kink, 0)`; `f(V) = g V s(U(V)) / s(U0)`. The observed rate
  gives the level, the curve only the shape (a reserve factor cancels out). Where the total supply is unknown, or we
  could become more than half of it, the pool is `pro_rata`.

A loss (g < 0) is not diluted. Each law is concave, but a lending pool above its kink: its curve consists of two
concave pieces that meet where U crosses the kink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from defiyield_core.parameters import Dilution
from defiyield_core.units import BoolArray, FloatArray

LEAST_OTHERS = 1e-3
"""Of a pool's TVL: the others own at least this much of it, or our first dollar would earn without limit."""


@dataclass(frozen=True)
class RateCurve:
    """A lending pool's supply and its borrow rate by utilisation (rates are annual fractions, `kink` a utilisation)."""

    total_supply_usd: float
    kink: float
    base_rate: float
    slope1: float
    slope2: float


@dataclass(frozen=True)
class Yields:
    """Growth in dollars over the horizon, by pool. Shapes: (n,) each.

    Attributes:
        growth: at the observed rate. tvl_usd: T. others_usd: TVL without our part of it.
        is_linear, has_curve: the law of the pool (`pro_rata` where neither).
        supply_usd: the others' supply; borrowed_usd: what is lent out; kink, base_rate, slope1, slope2: of the curve;
            observed: s(U0).
    """

    growth: FloatArray
    tvl_usd: FloatArray
    others_usd: FloatArray
    is_linear: BoolArray
    has_curve: BoolArray
    supply_usd: FloatArray
    borrowed_usd: FloatArray
    kink: FloatArray
    base_rate: FloatArray
    slope1: FloatArray
    slope2: FloatArray
    observed: FloatArray

    def usd(self, final_usd: FloatArray) -> FloatArray:
        """(n,) f(V): growth in dollars of final positions of `final_usd` (n,)."""
        if self.is_linear.all():
            return np.asarray(self.growth * final_usd)
        return np.asarray(self.growth * final_usd * self._factor(final_usd))

    def slope(self, final_usd: FloatArray) -> FloatArray:
        """(n,) f'(V): what the last dollar of each position adds (from the right where the curve has its kink)."""
        if self.is_linear.all():
            return self.growth.copy()
        total = np.maximum(self.others_usd + final_usd, 1e-9)
        shared = self.growth * self.tvl_usd * self.others_usd / total**2
        slope = np.where(self.is_linear, self.growth, shared)
        if self.has_curve.any():
            slope = np.where(self.has_curve, self._curve_slope(final_usd), slope)
        return np.asarray(slope)

    def kink_usd(self) -> FloatArray:
        """(n,) the position at which utilisation falls to the kink; 0 where it is below or there is no curve."""
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = self.borrowed_usd / self.kink - self.supply_usd
        return np.where(self.has_curve & (crossing > 0), np.nan_to_num(crossing), 0.0)

    def _factor(self, final_usd: FloatArray) -> FloatArray:
        total = self.others_usd + final_usd
        shared = np.divide(self.tvl_usd, total, out=np.zeros_like(total), where=total > 0)
        factor = np.where(self.is_linear, 1.0, shared)
        if self.has_curve.any():
            used = self._utilisation(final_usd)
            factor = np.where(self.has_curve, used * self._borrow_rate(used) / self.observed, factor)
        return np.asarray(factor)

    def _utilisation(self, final_usd: FloatArray) -> FloatArray:
        total = np.maximum(self.supply_usd + final_usd, 1e-9)
        return np.asarray(np.minimum(self.borrowed_usd / total, 1.0))

    def _borrow_rate(self, used: FloatArray) -> FloatArray:
        over = np.maximum(used - self.kink, 0.0)
        return np.asarray(self.base_rate + self.slope1 * np.minimum(used, self.kink) + self.slope2 * over)

    def _curve_slope(self, final_usd: FloatArray) -> FloatArray:
        used = self._utilisation(final_usd)
        rate = self._borrow_rate(used)
        steep = np.where(used > self.kink, self.slope2, self.slope1)
        falling = np.where(used < 1.0, -used / np.maximum(self.supply_usd + final_usd, 1e-9), 0.0)
        change = (rate + used * steep) * falling
        return np.asarray(self.growth * (used * rate + final_usd * change) / self.observed)


def linear_yields(growth: FloatArray) -> Yields:
    """Without dilution."""
    n = len(growth)
    zeros, ones = np.zeros(n), np.ones(n)
    none = np.zeros(n, dtype=bool)
    return Yields(growth, ones, ones, ~none, none, zeros, zeros, ones, zeros, zeros, zeros, ones)


def yields_for(
    dilution: Dilution,
    growth: FloatArray,
    tvl_usd: FloatArray,
    included_usd: FloatArray,
    largest_usd: FloatArray,
    curves: Mapping[int, RateCurve],
) -> tuple[Yields, tuple[int, ...]]:
    """The yields of n pools, and the pools whose curve was asked for and is not known or not usable.

    Args:
        dilution: `off`, `pro_rata` or `rate_curve`.
        included_usd: (n,) our own part of `tvl_usd` (and of a curve's total supply).
        largest_usd: (n,) largest position.
        curves: by pool number.
    """
    n = len(growth)
    if dilution == "off":
        return linear_yields(growth), ()
    fields = {name: np.zeros(n) for name in ("supply_usd", "borrowed_usd", "kink", "base_rate", "slope1", "slope2")} | {
        "observed": np.ones(n)
    }
    has_curve = np.zeros(n, dtype=bool)
    is_linear = growth <= 0
    unknown = []
    for pool in np.flatnonzero(~is_linear) if dilution == "rate_curve" else ():
        curve = curves.get(int(pool))
        usable = curve is not None and _fill(fields, int(pool), curve, tvl_usd, included_usd, largest_usd)
        has_curve[pool] = usable
        if not usable:
            unknown.append(int(pool))
    others = np.maximum(tvl_usd - included_usd, LEAST_OTHERS * tvl_usd)
    return Yields(growth, tvl_usd, others, is_linear, has_curve, **fields), tuple(unknown)


def _fill(
    fields: Mapping[str, FloatArray],
    pool: int,
    curve: RateCurve,
    tvl_usd: FloatArray,
    included_usd: FloatArray,
    largest_usd: FloatArray,
) -> bool:
    """Write a pool's curve into the arrays; False where it is not known well enough to be used."""
    total = curve.total_supply_usd
    borrowed, others = total - tvl_usd[pool], total - included_usd[pool]
    if not (0 < borrowed <= total) or largest_usd[pool] >= others:
        return False
    used = borrowed / total
    over = max(used - curve.kink, 0.0)
    observed = used * (curve.base_rate + curve.slope1 * min(used, curve.kink) + curve.slope2 * over)
    if observed <= 0:
        return False
    values = (others, borrowed, curve.kink, curve.base_rate, curve.slope1, curve.slope2, observed)
    for name, value in zip(fields, values, strict=True):
        fields[name][pool] = value
    return True

"""Own-deposit dilution for the cvxpy engine: the curves of diluted pools as concave pieces with tangents.

Belongs here: which pieces there are, and the tangents that lie above them. Does not belong here: the curves themselves
(`allocation.curves`), the programme that uses the tangents (`cvxpy_engine`).

With a the binary of the piece, V its position and V0 any point on it, growth `y <= f'(V0) V + (f(V0) - f'(V0) V0) a`:
zero where the piece is not used, and as tight as a linear row can be in between (the perspective of f).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from defiyield_core.allocation.curves import Yields
from defiyield_core.allocation.limits import Limits
from defiyield_core.units import FloatArray, IntArray

FIRST = (0.0, 0.05, 0.15, 0.4, 1.0)
"""Where the first tangents are, as shares of a piece's length."""
INSIDE = 1e-9
"""Share of a piece's length: how far from its ends a slope is taken, because two pieces meet at a kink."""


@dataclass(frozen=True)
class Pieces:
    """Concave pieces of the curves of diluted pools. Shapes: k pieces of d pools; positions in units of `unit_usd`.

    Attributes:
        pools: (d,) diluted pools. pool: (k,) the pool of each piece. low, high: (k,) its ends.
        curves: of the pieces. tangents: pairs of (k,) slope and (k,) intercept.
    """

    unit_usd: float
    pools: IntArray
    pool: IntArray
    low: FloatArray
    high: FloatArray
    curves: Yields
    tangents: tuple[tuple[FloatArray, FloatArray], ...] = ()

    def owner(self) -> FloatArray:
        """(d, k) 1 where the piece is the pool's."""
        return (self.pools[:, None] == self.pool[None, :]).astype(float)

    def growth(self, position: FloatArray, on: FloatArray) -> FloatArray:
        """(k,) true growth of positions on the pieces that are used."""
        return np.asarray(np.where(on > 0.5, self._value(position), 0.0))

    def with_tangents_at(self, position: FloatArray, on: FloatArray) -> Pieces:
        """The same with a tangent more at each used piece's position (at the low end of the others)."""
        at = np.clip(np.where(on > 0.5, position, self.low), self.low, self.high)
        margin = INSIDE * (self.high - self.low)
        slope = self.curves.slope(np.clip(at, self.low + margin, self.high - margin) * self.unit_usd)
        return replace(self, tangents=(*self.tangents, (slope, self._value(at) - slope * at)))

    def _value(self, position: FloatArray) -> FloatArray:
        return np.asarray(self.curves.usd(position * self.unit_usd) / self.unit_usd)


def pieces_of(limits: Limits, unit_usd: float) -> Pieces:
    """The pieces of every diluted pool up to its cap, with the first tangents: one, or two where the kink is inside."""
    pools = np.flatnonzero(~limits.yields.is_linear & (limits.cap_usd > 0))
    cap, kink = limits.cap_usd / unit_usd, limits.yields.kink_usd() / unit_usd
    owners: list[int] = []
    ends: list[tuple[float, float]] = []
    for pool in map(int, pools):
        inside = 0.0 < kink[pool] < cap[pool]
        parts = [(0.0, kink[pool]), (kink[pool], cap[pool])] if inside else [(0.0, cap[pool])]
        owners += [pool] * len(parts)
        ends += parts
    owner = np.array(owners, dtype=np.int64)
    low, high = np.array(ends, dtype=float).reshape(-1, 2).T
    curves = Yields(**{item.name: getattr(limits.yields, item.name)[owner] for item in fields(Yields)})
    pieces = Pieces(unit_usd, pools, owner, low, high, curves)
    if not len(owner):
        return pieces
    everywhere = np.ones(len(owner))
    for share in FIRST:
        pieces = pieces.with_tangents_at(low + share * (high - low), everywhere)
    return pieces.with_tangents_at(np.clip(limits.value_usd[owner] / unit_usd, low, high), everywhere)

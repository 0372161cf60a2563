"""Own-deposit dilution in a linear model: growth of a diluted pool, held down by tangents.

Belongs here: the columns of a diluted pool's growth and the cuts that make them true. Does not belong here: the curves
themselves (`allocation.curves`).

The growth of pool p is a column `y_p` in units of the model. For a concave piece of its curve f on [low, high] that is
active (a = 1), every tangent at V0 bounds it from above:

    y <= f'(V0) V + (f(V0) - f'(V0) V0) a

With a the binary that opens the position (the perspective of f) these rows are as tight as they can be. A pool whose
curve has its kink within reach has two concave pieces: its position is then split into two columns, of which only one
may be used.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from defiyield_core.allocation.curves import Yields
from defiyield_core.allocation.engines.highs_solver import Cut, Terms
from defiyield_core.allocation.engines.milp import Model
from defiyield_core.units import FloatArray

_SAMPLES = (0.0, 0.15, 0.4, 1.0)
"""First tangents, as shares of a piece's length."""
_INSIDE = 1e-9
"""Share of a piece's length: how far from its ends a slope is taken, where two pieces meet at a kink."""


@dataclass
class Tangents:
    """The diluted pools of a model. Lists run over concave pieces; positions are in units of the model."""

    unit_usd: float
    pools: list[int] = field(default_factory=list)
    growth: list[int] = field(default_factory=list)
    position: list[Terms] = field(default_factory=list)
    constant: list[float] = field(default_factory=list)
    active: list[int] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    _curves: Yields | None = None

    def freeze(self, yields: Yields) -> None:
        """Take the pieces' curves out of the pools' once all pieces are there."""
        self._curves = Yields(**{item.name: getattr(yields, item.name)[self.pools] for item in fields(Yields)})
        self._low, self._high = np.array(self.low), np.array(self.high)

    def excess(self, x: FloatArray) -> float:
        """By how much the growth columns are above the curves, in units."""
        return float(self._excess(x)[0].sum()) if self.pools else 0.0

    def violated(self, x: FloatArray, tolerance: float) -> list[Cut]:
        """Tangents at `x` of the pieces that claim too much; none where all together claim at most `tolerance`."""
        if not self.pools:
            return []
        excess, position = self._excess(x)
        if excess.sum() <= tolerance:
            return []
        return self._at(position, np.flatnonzero(excess > tolerance / (4 * len(self.pools))))

    def first(self) -> list[Cut]:
        """Tangents at a few points of each piece, and where its position is now."""
        everywhere = np.arange(len(self.pools))
        cuts: list[Cut] = []
        for share in _SAMPLES:
            cuts += self._at(self._low + share * (self._high - self._low), everywhere)
        return cuts + self._at(np.clip(np.array(self.constant), self._low, self._high), everywhere)

    def hold(self, x: FloatArray) -> None:
        """Write into `x` what the columns are when nothing moves."""
        if not self.pools:
            return
        growth = self._value(np.array(self.held))
        for piece, held in enumerate(self.held):
            x[self.growth[piece]] = growth[piece]
            if self.active[piece] >= 0 and held > 0:
                x[self.active[piece]] = 1.0
                x[[column for column, _ in self.position[piece]]] = held

    def _excess(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Claimed less true growth, and the position at which the piece stands (its perspective's argument)."""
        active = np.array([1.0 if column < 0 else x[column] for column in self.active])
        position = np.array(
            [
                constant + sum(x[column] * value for column, value in terms)
                for constant, terms in zip(self.constant, self.position, strict=True)
            ]
        )
        at = np.divide(position, active, out=np.zeros_like(position), where=active > 1e-9)
        at = np.clip(at, self._low, self._high)
        return x[self.growth] - active * self._value(at), at

    def _value(self, position: FloatArray) -> FloatArray:
        assert self._curves is not None
        return np.asarray(self._curves.usd(position * self.unit_usd) / self.unit_usd)

    def _at(self, position: FloatArray, pieces: np.ndarray) -> list[Cut]:
        assert self._curves is not None
        margin = _INSIDE * (self._high - self._low)
        slope = self._curves.slope(np.clip(position, self._low + margin, self._high - margin) * self.unit_usd)
        intercept = self._value(position) - slope * position
        cuts: list[Cut] = []
        for piece in map(int, pieces):
            terms = [(self.growth[piece], 1.0)]
            terms += [(column, -float(slope[piece]) * value) for column, value in self.position[piece]]
            constant = float(slope[piece]) * self.constant[piece]
            if self.active[piece] >= 0:
                terms.append((self.active[piece], -float(intercept[piece])))
            else:
                constant += float(intercept[piece])
            cuts.append((terms, -np.inf, constant))
        return cuts


def add_growth(model: Model) -> Tangents:
    """Columns for the growth of every diluted pool that may be traded, with the first tangents written as rows."""
    limits, tangents = model.limits, Tangents(model.unit_usd)
    if limits.yields.is_linear.all():
        return tangents
    kinks = limits.yields.kink_usd() / model.unit_usd
    traded = sorted((model.deposit.keys() | model.withdrawal.keys()) - set(np.flatnonzero(limits.yields.is_linear)))
    for pool in map(int, traded):
        value = float(limits.value_usd[pool]) / model.unit_usd
        most = value + (model.rows.upper[model.deposit[pool]] if pool in model.deposit else 0.0)
        least = 0.0 if pool in model.withdrawal else value
        if least < kinks[pool] < most:
            _add_two_pieces(model, tangents, pool, (least, float(kinks[pool]), most))
        else:
            active = model.deposit_used[pool] if value == 0 else -1
            _add_piece(model, tangents, pool, _moved(model, pool), value, active, (least, most), value)
    if tangents.pools:
        tangents.freeze(limits.yields)
        for terms, lower, upper in tangents.first():
            model.rows.row(terms, lower, upper)
    return tangents


def _moved(model: Model, pool: int) -> Terms:
    terms = [(model.deposit[pool], 1.0)] if pool in model.deposit else []
    return terms + ([(model.withdrawal[pool], -1.0)] if pool in model.withdrawal else [])


def _add_piece(
    model: Model,
    tangents: Tangents,
    pool: int,
    position: Terms,
    constant: float,
    active: int,
    ends: tuple[float, float],
    held: float,
) -> None:
    """A growth column over one concave piece; `held` is the position in it when nothing moves."""
    yields = model.limits.yields
    # Nothing grows by more than the steepest slope, and every slope is at most the one at an empty position.
    most = float(yields.slope(np.zeros(len(yields.growth)))[pool]) * ends[1] + 1.0
    tangents.pools.append(pool)
    tangents.growth.append(model.rows.column(1.0, most, switch=active))
    tangents.position.append(position)
    tangents.constant.append(constant)
    tangents.active.append(active)
    tangents.low.append(ends[0])
    tangents.high.append(ends[1])
    tangents.held.append(held)


def _add_two_pieces(model: Model, tangents: Tangents, pool: int, ends: tuple[float, float, float]) -> None:
    """Position = low + high, one of them 0: utilisation is above the kink, or it is not."""
    rows, value = model.rows, float(model.limits.value_usd[pool]) / model.unit_usd
    least, kink, most = ends
    opened = model.deposit_used[pool] if value == 0 else -1
    total: Terms = [(column, -factor) for column, factor in _moved(model, pool)]
    choice: Terms = []
    for low, high in ((least, kink), (kink, most)):
        active = rows.binary(0.0, switch=opened)
        position = rows.column(0.0, high, switch=active)
        rows.row([(position, 1.0), (active, -high)], upper=0.0)
        rows.row([(position, 1.0), (active, -low)], lower=0.0)
        held = value if (low < value <= high) or (value == low == least) else 0.0
        _add_piece(model, tangents, pool, [(position, 1.0)], 0.0, active, (low, high), held)
        total.append((position, 1.0))
        choice.append((active, 1.0))
    rows.row(total, value, value)
    rows.row([*choice, (opened, -1.0)] if opened >= 0 else choice, upper=0.0 if opened >= 0 else 1.0)

"""Rows of the model that a relaxation is given only where it breaks them: most never matter.

Belongs here: smallest movements and supply cuts, checked in arrays and written when needed. Does not belong here: rows
that every relaxation needs (`milp`).

- Smallest movement: `amount >= least * used`.
- Supply: a leg larger than what the wallet has of its token needs a withdrawal or a conversion that brings it in,
  `amount / k <= opening * used + withdrawn + (largest - opening) * conversions used`, and where the wallet has next to
  nothing, `used <= withdrawals used + conversions used`. Whole plans obey these by themselves; without them a
  relaxation pays only a fraction of a conversion's gas.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from defiyield_core.allocation.engines.highs_solver import INFINITY, Cut, Terms, merged
from defiyield_core.units import FloatArray, IntArray


@dataclass
class TokenSupply:
    """What can bring a token in: (column, share) of withdrawals, and the binaries of withdrawals and conversions."""

    withdrawn: Terms = field(default_factory=list)
    withdrawal_used: list[int] = field(default_factory=list)
    conversion_used: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Leg:
    """One token leg of a deposit: columns, its share of the amount, the wallet's opening and the leg's largest size."""

    amount: int
    used: int
    share: float
    token: int
    opening: float
    largest: float
    needs_supply: bool


class LazyRows:
    """The lazy rows of one model."""

    def __init__(
        self, least: list[tuple[int, int, float]], legs: list[Leg], supplies: list[TokenSupply], columns: int
    ) -> None:
        """`least`: (amount column, used column, smallest amount); `supplies` by token; `columns` of the model."""
        self._least, self._legs, self._supplies = least, legs, supplies
        self._least_amount, self._least_used = (_column(least, side) for side in (0, 1))
        self._smallest = np.array([smallest for _, _, smallest in least])
        self._amount = np.array([leg.amount for leg in legs], dtype=np.int64)
        self._used = np.array([leg.used for leg in legs], dtype=np.int64)
        self._share, self._opening, self._extra = (
            np.array([value(leg) for leg in legs], dtype=float)
            for value in (lambda leg: leg.share, lambda leg: leg.opening, lambda leg: leg.largest - leg.opening)
        )
        self._token = np.array([leg.token for leg in legs], dtype=np.int64)
        self._needs = np.array([leg.needs_supply for leg in legs], dtype=bool)
        self._brought_in = np.zeros((3, len(supplies), columns))
        for token, supply in enumerate(supplies):
            for column, share in supply.withdrawn:
                self._brought_in[0, token, column] = share
            self._brought_in[1, token, supply.withdrawal_used] = 1.0
            self._brought_in[2, token, supply.conversion_used] = 1.0

    def least_rows(self) -> list[Cut]:
        """Every smallest movement as a row."""
        return [self._least_row(number) for number in range(len(self._least))]

    def violated(self, x: FloatArray, tolerance: float) -> list[Cut]:
        """The rows that `x` breaks by more than `tolerance`, in units of the programme."""
        short = self._smallest * x[self._least_used] - x[self._least_amount]
        rows = [self._least_row(int(number)) for number in np.flatnonzero(short > tolerance)]
        if not self._legs:
            return rows
        withdrawn, sold, converted = (self._brought_in @ x[: self._brought_in.shape[2]])[:, self._token]
        used = x[self._used]
        beyond = x[self._amount] * self._share - self._opening * used - withdrawn - self._extra * converted
        rows += [self._supply_row(int(number)) for number in np.flatnonzero(beyond > tolerance)]
        lacking = self._needs & (used - sold - converted > tolerance)
        return rows + [self._bringing_row(int(number)) for number in np.flatnonzero(lacking)]

    def _least_row(self, number: int) -> Cut:
        amount, used, smallest = self._least[number]
        return [(amount, 1.0), (used, -smallest)], 0.0, INFINITY

    def _supply_row(self, number: int) -> Cut:
        leg = self._legs[number]
        supply = self._supplies[leg.token]
        terms: Terms = [(leg.amount, leg.share), (leg.used, -leg.opening)]
        terms += [(column, -share) for column, share in supply.withdrawn]
        terms += [(column, leg.opening - leg.largest) for column in supply.conversion_used]
        return merged(terms), -INFINITY, 0.0

    def _bringing_row(self, number: int) -> Cut:
        leg = self._legs[number]
        supply = self._supplies[leg.token]
        bringing = [(column, 1.0) for column in (*supply.withdrawal_used, *supply.conversion_used)]
        return [(leg.used, -1.0), *bringing], 0.0, INFINITY


def _column(rows: list[tuple[int, int, float]], side: int) -> IntArray:
    return np.array([row[side] for row in rows], dtype=np.int64)

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

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from defiyield_core.allocation.engines.highs_solver import INFINITY, Cut, Terms, merged
from defiyield_core.units import FloatArray

Least = tuple[int, int, float]
"""A movement: columns of its amount and of its binary, and its smallest amount."""
Leg = tuple[int, int, int, float, float, float, bool]
"""One token leg of a deposit: columns of the amount and of the binary, token, the leg's share of the amount, what the
wallet has for it, its largest size, and whether the wallet has next to nothing."""
Withdrawn = tuple[int, int, int, float]
"""One token leg of a withdrawal: columns of the amount and of the binary, token, share of the amount."""
Converted = tuple[int, int]
"""A conversion: column of its binary, and the token it brings in."""


class LazyRows:
    """The lazy rows of one model."""

    def __init__(
        self,
        least: Sequence[Least],
        legs: Sequence[Leg],
        withdrawn: Sequence[Withdrawn],
        converted: Sequence[Converted],
        shape: tuple[int, int],
    ) -> None:
        """`shape`: tokens and columns of the model."""
        self._least, self._legs, self._withdrawn, self._converted = least, legs, withdrawn, converted
        self._needy = [leg for leg in legs if leg[-1]]
        self._excess = np.vstack([_least_excess(least, shape[1]), *self._supply_excess(shape)])

    def _supply_excess(self, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
        """By how much the supply rows of legs, and of those that the wallet has nothing for, are broken: times x."""
        brought_in, sold, converted = np.zeros((3, *shape))
        amount, used, token, share = _columns(self._withdrawn, (int, int, int, float))
        brought_in[token, amount], sold[token, used] = share, 1.0
        used, token = _columns(self._converted, (int, int))
        converted[token, used] = 1.0
        kinds = (int, int, int, float, float, float, bool)
        amount, used, token, share, opening, largest, needs = _columns(self._legs, kinds)
        legs = np.arange(len(self._legs))
        beyond = -brought_in[token] - (largest - opening)[:, None] * converted[token]
        beyond[legs, amount], beyond[legs, used] = share, -opening
        lacking = -(sold + converted)[token]
        lacking[legs, used] = 1.0
        return beyond, lacking[needs]

    def least_rows(self) -> list[Cut]:
        """Every smallest movement as a row."""
        return [_least_row(movement) for movement in self._least]

    def violated(self, x: FloatArray, tolerance: float) -> list[Cut]:
        """The rows that `x` breaks by more than `tolerance`, in units of the programme."""
        broken = (self._excess @ x[: self._excess.shape[1]] > tolerance).nonzero()[0].tolist()
        return [self._row(number) for number in broken]

    def _row(self, number: int) -> Cut:
        if number < len(self._least):
            return _least_row(self._least[number])
        number -= len(self._least)
        if number < len(self._legs):
            return self._supply_row(self._legs[number])
        return self._bringing_row(self._needy[number - len(self._legs)])

    def _supply_row(self, leg: Leg) -> Cut:
        amount, used, token, share, opening, largest, _ = leg
        terms: Terms = [(amount, share), (used, -opening)]
        terms += [(column, -part) for column, _, of, part in self._withdrawn if of == token]
        terms += [(column, opening - largest) for column, target in self._converted if target == token]
        return merged(terms), -INFINITY, 0.0

    def _bringing_row(self, leg: Leg) -> Cut:
        token = leg[2]
        bringing = [(used, 1.0) for _, used, of, _ in self._withdrawn if of == token]
        bringing += [(used, 1.0) for used, target in self._converted if target == token]
        return [(leg[1], -1.0), *bringing], 0.0, INFINITY


def _least_row(movement: Least) -> Cut:
    amount, used, smallest = movement
    return [(amount, 1.0), (used, -smallest)], 0.0, INFINITY


def _least_excess(least: Sequence[Least], columns: int) -> FloatArray:
    """By how much the rows of smallest movements are broken, as a matrix to be multiplied by x."""
    amount, used, smallest = _columns(least, (int, int, float))
    excess, rows = np.zeros((len(least), columns)), np.arange(len(least))
    excess[rows, amount], excess[rows, used] = -1.0, smallest
    return excess


def _columns(rows: Sequence[tuple[Any, ...]], kinds: Iterable[type]) -> list[np.ndarray]:
    """The rows' entries as arrays, one for each of `kinds`."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(tuple(kinds))
    return [np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)]

"""HiGHS behind a small interface: a linear programme in arrays, solved again and again from where it stands.

Belongs here: everything that knows highspy. Does not belong here: what the columns mean (`milp`), the search over
binaries (`branch_and_bound`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import highspy
import numpy as np

from defiyield_core.units import BoolArray, FloatArray, IntArray

INFINITY = highspy.kHighsInf
Terms = list[tuple[int, float]]
Cut = tuple[Terms, float, float]
"""A row that is added later: terms, lower, upper."""
_Value = TypeVar("_Value")
_NOTHING = np.zeros(0)
TIGHT, LOOSE = 1e-9, 1e-7
"""Feasibility tolerances, in units of the programme: the usual one, and the one where rounding leaves no other."""
_INFEASIBLE = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible)


def merged(terms: Terms) -> Terms:
    """One entry a column: HiGHS refuses a row that names a column twice."""
    sums: dict[int, float] = {}
    for column, value in terms:
        sums[column] = sums.get(column, 0.0) + value
    return list(sums.items())


def _woven(even: Sequence[_Value], odd: Sequence[_Value]) -> list[_Value]:
    """The two in turn: even[0], odd[0], even[1], odd[1], ..."""
    both = [*even, *odd]
    both[::2], both[1::2] = even, odd
    return both


@dataclass
class Rows:
    """A maximisation problem written column by column and row by row."""

    cost: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    switch: list[int] = field(default_factory=list)
    is_binary: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    index: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)

    def column(self, cost: float, upper: float, lower: float = 0.0, switch: int = -1) -> int:
        """A continuous column; returns its number. `switch` is the binary without which it is 0."""
        self.cost.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.switch.append(switch)
        self.is_binary.append(0)
        return len(self.cost) - 1

    def binary(self, cost: float, lower: float = 0.0, switch: int = -1) -> int:
        """A column of 0 or 1; returns its number."""
        number = self.column(cost, 1.0, lower, switch)
        self.is_binary[number] = 1
        return number

    def switched(
        self,
        switch_cost: Sequence[float],
        cost: Sequence[float],
        most: Sequence[float],
        switch_lower: Sequence[float] | None = None,
    ) -> range:
        """Pairs of a binary and the amount up to `most` that it switches; numbers of the binaries.

        Each amount is the column after its binary.
        """
        count, first = len(most), len(self.cost)
        binaries = range(first, first + 2 * count, 2)
        self.cost += _woven(switch_cost, cost)
        self.lower += _woven(switch_lower if switch_lower is not None else [0.0] * count, [0.0] * count)
        self.upper += _woven([1.0] * count, most)
        self.switch += _woven([-1] * count, binaries)
        self.is_binary += [1, 0] * count
        return binaries

    def links(self, binaries: range, most: Sequence[float]) -> None:
        """`amount <= most * binary` of pairs made by `switched`."""
        self.index += _woven([used + 1 for used in binaries], binaries)
        self.value += _woven([1.0] * len(most), [-largest for largest in most])
        self.starts += range(self.starts[-1] + 2, len(self.index) + 1, 2)
        self.row_lower += [-INFINITY] * len(most)
        self.row_upper += [0.0] * len(most)

    def row(self, terms: Terms, lower: float = -INFINITY, upper: float = INFINITY) -> int:
        """`lower <= sum(value * column) <= upper`; returns its number."""
        self.index += [column for column, _ in terms]
        self.value += [value for _, value in terms]
        self.starts.append(len(self.index))
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        return len(self.row_lower) - 1

    def arrays(self) -> Programme:
        """The same as arrays."""
        return Programme(
            np.array(self.cost, dtype=float),
            np.array(self.lower, dtype=float),
            np.array(self.upper, dtype=float),
            np.array(self.is_binary, dtype=bool),
            np.array(self.switch, dtype=np.int64),
            np.array(self.starts, dtype=np.int32),
            np.array(self.index, dtype=np.int32),
            np.array(self.value, dtype=float),
            np.array(self.row_lower, dtype=float),
            np.array(self.row_upper, dtype=float),
            np.arange(len(self.cost)),
            np.arange(len(self.row_lower)),
        )


@dataclass(frozen=True)
class Programme:
    """`max cost @ x`, `row_lower <= A x <= row_upper`, `lower <= x <= upper`; A is row-wise in starts, index, value.

    Attributes:
        switch: per column the binary without which it is 0, or -1.
        columns, rows: the numbers that columns and rows had when they were written.
    """

    cost: FloatArray
    lower: FloatArray
    upper: FloatArray
    is_binary: BoolArray
    switch: IntArray
    starts: np.ndarray
    index: np.ndarray
    value: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    columns: IntArray
    rows: IntArray

    def activity(self, x: FloatArray) -> FloatArray:
        """(rows,) A @ x."""
        if not x.any():
            return np.zeros(len(self.row_lower))
        owner = np.repeat(np.arange(len(self.row_lower)), np.diff(self.starts))
        return np.bincount(owner, self.value * x[self.index], minlength=len(self.row_lower)).astype(float)

    def allows(self, x: FloatArray, tolerance: float = 1e-9) -> bool:
        """Whether x is within every bound."""
        rows = self.activity(x)
        return bool(
            (x >= self.lower - tolerance).all()
            and (x <= self.upper + tolerance).all()
            and (rows >= self.row_lower - tolerance).all()
            and (rows <= self.row_upper + tolerance).all()
        )

    def translated(self, cuts: Sequence[Cut]) -> list[Cut]:
        """Cuts in the numbering of the written programme, in this one's: columns that it lacks are 0."""
        if not cuts:
            return []
        place = self._place
        own = [([(place[c], v) for c, v in terms if c in place], low, high) for terms, low, high in cuts]
        return [cut for cut in own if cut[0]]

    @cached_property
    def _place(self) -> dict[int, int]:
        return {written: own for own, written in enumerate(self.columns.tolist())}

    def without(self, off: BoolArray) -> Programme:
        """The programme with these binaries at 0: less them, the columns they switch, and rows that are empty then."""
        off = off & (self.lower <= 0)
        kept = ~(off | ((self.switch >= 0) & off[self.switch]))
        place = np.cumsum(kept) - 1
        entries = kept[self.index]
        counts = np.diff(self.starts)
        owner = np.repeat(np.arange(len(counts)), counts)[entries]
        left = np.bincount(owner, minlength=len(counts))
        rows = (left > 0) | (self.row_lower > 0) | (self.row_upper < 0)
        return Programme(
            self.cost[kept],
            self.lower[kept],
            self.upper[kept],
            self.is_binary[kept],
            np.where(self.switch[kept] >= 0, place[self.switch[kept]], -1),
            np.concatenate([[0], np.cumsum(left[rows])]).astype(np.int32),
            place[self.index[entries]].astype(np.int32),
            self.value[entries],
            self.row_lower[rows],
            self.row_upper[rows],
            self.columns[kept],
            self.rows[rows],
        )


@dataclass(frozen=True)
class Point:
    """An optimal vertex: `dual` are reduced costs of the columns. Both are empty where nobody will look at them."""

    objective: float
    x: FloatArray
    dual: FloatArray


class NumericalError(Exception):
    """The linear solver ended in a state that proves nothing."""


_Solver: Any = highspy.Highs.__base__
"""The solver below highspy's Python class, whose constructor switches on callbacks: each run would call into Python."""


class Relaxation:
    """The programme with its binaries continuous, kept in the solver: each solve starts from the last basis."""

    def __init__(self, programme: Programme) -> None:
        self._highs = _Solver()
        self._highs.passOptions(_OPTIONS)
        self._empty = programme if not len(programme.cost) else None
        self._highs.passModel(
            len(programme.cost),
            len(programme.row_lower),
            len(programme.index),
            int(highspy.MatrixFormat.kRowwise),
            int(highspy.ObjSense.kMaximize),
            0.0,
            programme.cost,
            programme.lower,
            programme.upper,
            programme.row_lower,
            programme.row_upper,
            programme.starts,
            programme.index,
            programme.value,
            np.zeros(len(programme.cost), dtype=np.int32),
        )

    def bound(self, columns: IntArray, lower: FloatArray, upper: FloatArray) -> None:
        """Change the bounds of columns."""
        self._highs.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)

    def append(self, rows: Sequence[Cut]) -> None:
        """Add rows."""
        if not rows:
            return
        starts = np.cumsum([0, *(len(terms) for terms, _, _ in rows[:-1])], dtype=np.int32)
        index = np.array([column for terms, _, _ in rows for column, _ in terms], dtype=np.int32)
        value = np.array([value for terms, _, _ in rows for _, value in terms], dtype=float)
        lower, upper = (np.array([row[side] for row in rows], dtype=float) for side in (1, 2))
        self._highs.addRows(len(rows), lower, upper, len(index), starts, index, value)

    def solve(self, worthless: float = -np.inf) -> Point | None:
        """The optimum; None where nothing is feasible. Only the objective is read when it is at most `worthless`.

        Raises:
            NumericalError: any other state of the solver, also from a fresh start and with loose tolerances.
        """
        if self._empty is not None:
            nothing = Point(0.0, _NOTHING, _NOTHING)
            return nothing if self._empty.allows(nothing.x) else None
        for tolerance in (None, TIGHT, LOOSE):
            if tolerance is not None:
                self._restart(tolerance)
            self._highs.run()
            state = self._highs.getModelStatus()
            if state == highspy.HighsModelStatus.kOptimal:
                point = self._point(self._highs.getObjectiveValue(), worthless)
                if tolerance == LOOSE:
                    self._restart(TIGHT)
                return point
            if state in _INFEASIBLE:
                return None
        raise NumericalError(str(state))

    def row_prices(self) -> FloatArray:
        """Prices of the rows at the last optimum."""
        if self._empty is not None:
            return np.zeros(len(self._empty.row_lower))
        return np.array(self._highs.getSolution().row_dual)

    def _point(self, objective: float, worthless: float) -> Point:
        if objective <= worthless:
            return Point(objective, _NOTHING, _NOTHING)
        solution = self._highs.getSolution()
        return Point(objective, np.array(solution.col_value), np.array(solution.col_dual))

    def _restart(self, tolerance: float) -> None:
        """Forget the basis, and count as feasible what is within `tolerance`."""
        self._highs.clearSolver()
        for side in ("primal", "dual"):
            self._highs.setOptionValue(f"{side}_feasibility_tolerance", tolerance)


def _options() -> highspy.HighsOptions:
    options = highspy.HighsOptions()
    options.output_flag = False
    options.threads = 1
    options.random_seed = 0
    # The models are small and scaled: scaling again does nothing, and presolve would throw the last basis away.
    options.presolve = "off"
    options.simplex_scale_strategy = 0
    options.primal_feasibility_tolerance = TIGHT
    options.dual_feasibility_tolerance = TIGHT
    return options


_OPTIONS = _options()

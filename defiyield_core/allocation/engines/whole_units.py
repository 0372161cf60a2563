"""A linear programme over amounts and switches, in dollars, solved by CP-SAT in whole units of money.

Belongs here: rounding dollars to integers and what that is worth, everything that knows ortools. Does not belong here:
what the columns mean (`cp_sat`).

Columns are never negative, so there are two ways to round a row `a @ x <= b`:

- inward: coefficients up, the right side down. Whatever satisfies the integer row satisfies the row.
- outward: coefficients down, the right side up by what amounts lose when they are rounded down. Whatever satisfies the
  row satisfies the integer row once its amounts are rounded down.

The inward programme gives a plan, the outward one a bound that holds for every plan, rounded or not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from ortools.sat.python import cp_model

from defiyield_core.errors import AllocationError
from defiyield_core.units import FloatArray

Terms = list[tuple[int, float]]
Rounding = Literal["inward", "outward"]
LARGEST = 2**60
"""Sums of the objective stay under this: CP-SAT computes in 64 bits."""
EXACT_SCALE = 12
"""Halves, thirds and quarters of a unit are whole numbers at this scale."""
PRECISION, LEAST_PRECISION = 10**9, 10**6
"""Parts of one that the objective's coefficients keep, where 64 bits allow it, and at least."""
FLOAT_ERROR = 1e-15
Way = tuple[int, dict[str, Any]]
WAYS: tuple[Way, ...] = (
    (2**50, {"linearization_level": 2, "search_branching": cp_model.PSEUDO_COST_SEARCH}),
    (2**50, {"linearization_level": 2, "cp_model_presolve": False}),
    (2**46, {}),
    (2**46, {"linearization_level": 2, "cp_model_presolve": False}),
)
"""Largest sum of a row, and CP-SAT's options. Whichever is chosen, some books take it minutes that another way
proves in milliseconds: each is given a little time in turn, then more."""
FIRST_EFFORT, MORE_EFFORT = 0.05, 4.0
"""Of CP-SAT's deterministic time: it does not depend on the machine, so the same book is solved in the same way."""
MARGIN = 0.01
"""Of a unit, added to each fee: sums of floats must fit afterwards."""


@dataclass
class WholeUnits:
    """A maximisation problem in dollars. Amounts have a largest value in USD, switches are 0 or 1.

    A term of an amount is (column, dollars per dollar), of a switch (column, USD).
    """

    unit_usd: float
    most: list[int] = field(default_factory=list)
    is_amount: list[bool] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    rows: list[tuple[Terms, float, bool]] = field(default_factory=list)
    counts: list[tuple[list[tuple[int, int]], int]] = field(default_factory=list)

    def amount(self, cost: float, most_usd: float) -> int:
        """A column of whole units; returns its number."""
        return self._column(cost, self.units(most_usd), True)

    def switch(self, cost_usd: float, most: int = 1) -> int:
        """A column of 0 or 1; returns its number."""
        return self._column(cost_usd, most, False)

    def _column(self, cost: float, most: int, is_amount: bool) -> int:
        self.most.append(most)
        self.is_amount.append(is_amount)
        self.cost.append(cost)
        return len(self.cost) - 1

    def units(self, usd: float) -> int:
        """Whole units in an amount, rounded down."""
        return max(math.floor(usd / self.unit_usd), 0)

    def at_most(self, terms: Terms, most_usd: float, *, fees: bool = False) -> None:
        """`sum <= most_usd`; with `fees` what switches add is to be paid, and rounded up a little more."""
        self.rows.append((terms, most_usd, fees))

    def count(self, terms: list[tuple[int, int]], most: int) -> None:
        """`sum <= most` over switches, in numbers."""
        self.counts.append((terms, most))

    def in_units(self, terms: Terms) -> list[tuple[int, float]]:
        """The terms as units per unit of an amount, and units of a switch."""
        return [(column, value if self.is_amount[column] else value / self.unit_usd) for column, value in terms]

    def total(self, terms: Sequence[tuple[int, float]]) -> float:
        """The largest absolute sum that terms (in units) may reach."""
        return sum(abs(value) * self.most[column] for column, value in terms) + 1.0


@dataclass(frozen=True)
class Whole:
    """A solved programme.

    Attributes:
        x: the columns, dollars of amounts; empty unless `optimal`. bound_usd: no x has a higher objective.
        rounding_usd: by how much the objective at `x` may be under the one that the solver saw.
    """

    status: Literal["optimal", "infeasible", "timeout"]
    x: FloatArray
    bound_usd: float = float("nan")
    rounding_usd: float = 0.0


def solve_whole(programme: WholeUnits, rounding: Rounding, gap_usd: float, deadline: float) -> Whole:
    """Maximise over whole units, by one worker and always alike, until `deadline` (of `time.perf_counter`).

    Raises:
        AllocationError: amounts are too large to be counted in these units.
    """
    effort = FIRST_EFFORT
    while True:
        for way in WAYS:
            seconds = deadline - time.perf_counter()
            if seconds <= 0:
                return Whole("timeout", np.zeros(0))
            found = _attempt(programme, rounding, gap_usd, way, {"max_time_in_seconds": seconds, **_steady(effort)})
            if found.status != "timeout":
                return found
        effort *= MORE_EFFORT


def _steady(effort: float) -> dict[str, Any]:
    return {"num_workers": 1, "random_seed": 0, "relative_gap_limit": 0.0, "max_deterministic_time": effort}


def _attempt(programme: WholeUnits, rounding: Rounding, gap_usd: float, way: Way, options: dict[str, Any]) -> Whole:
    largest, own_options = way
    model = cp_model.CpModel()
    columns = [model.new_int_var(0, most, "") for most in programme.most]
    for terms, most_usd, fees in programme.rows:
        kept = MARGIN if fees and rounding == "inward" else 0.0
        weights, most = _whole_row(programme, terms, most_usd, rounding, kept, largest)
        model.add(cp_model.LinearExpr.weighted_sum([columns[column] for column, _ in terms], weights) <= most)
    for counted, most in programme.counts:
        total = cp_model.LinearExpr.weighted_sum([columns[c] for c, _ in counted], [value for _, value in counted])
        model.add(total <= most)
    scale, objective = _whole_objective(programme)
    model.maximize(cp_model.LinearExpr.weighted_sum(columns, objective))
    solver = cp_model.CpSolver()
    gap = {"absolute_gap_limit": gap_usd / programme.unit_usd * scale}
    for name, value in (options | own_options | gap).items():
        setattr(solver.parameters, name, value)
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return Whole("infeasible", np.zeros(0))
    if status != cp_model.OPTIMAL:
        return Whole("timeout", np.zeros(0))
    whole = np.array([solver.value(column) for column in columns], dtype=float)
    unit = np.where(programme.is_amount, programme.unit_usd, 1.0)
    best = solver.best_objective_bound
    bound = best + FLOAT_ERROR * abs(best) + (_lost(programme) * scale if rounding == "outward" else 0.0)
    claimed = float(whole.sum()) / scale + FLOAT_ERROR * abs(best) / scale
    return Whole("optimal", whole * unit, bound / scale * programme.unit_usd, claimed * programme.unit_usd)


def _whole_row(
    programme: WholeUnits, terms: Terms, most_usd: float, rounding: Rounding, kept: float, largest: int
) -> tuple[list[int], int]:
    """Weights and right side of a row as integers."""
    own = programme.in_units(terms)
    own = [(c, value if programme.is_amount[c] or value <= 0 else value + kept) for c, value in own]
    most = most_usd / programme.unit_usd
    amounts = [value for column, value in own if programme.is_amount[column]]
    scale = 1 if all(value % 1 == 0 for value in amounts) else EXACT_SCALE
    if any((value * scale) % 1 for value in amounts):
        scale = 2 ** int(math.log2(largest / (programme.total(own) + abs(most))))
    if rounding == "inward":
        return [math.ceil(value * scale) for _, value in own], math.floor(most * scale)
    lost = sum(-value for value in amounts if value < 0)
    return [math.floor(value * scale) for _, value in own], math.ceil((most + lost) * scale)


def _whole_objective(programme: WholeUnits) -> tuple[int, list[int]]:
    """Parts that a unit is cut into, and the weights, rounded up."""
    own = programme.in_units(list(enumerate(programme.cost)))
    scale = min(int(LARGEST / programme.total(own)), PRECISION)
    if scale < LEAST_PRECISION:
        raise AllocationError(f"cp_sat: growth and costs in units of ${programme.unit_usd:g} exceed 64 bits; use highs")
    return scale, [math.ceil(value * scale) for _, value in own]


def _lost(programme: WholeUnits) -> float:
    """Units that the objective may lose when amounts are rounded down."""
    return sum(max(cost, 0.0) for cost, is_amount in zip(programme.cost, programme.is_amount, strict=True) if is_amount)

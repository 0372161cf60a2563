"""HiGHS behind one function: arrays in, solution and proven bound out.

Belongs here: everything that knows highspy. Does not belong here: what the columns mean (`model`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import highspy
import numpy as np

from defiyield_core.units import FloatArray

INFINITY = highspy.kHighsInf
SolutionStatus = Literal["optimal", "infeasible", "timeout", "failed"]
_STATUS: dict[highspy.HighsModelStatus, SolutionStatus] = {
    highspy.HighsModelStatus.kOptimal: "optimal",
    highspy.HighsModelStatus.kInfeasible: "infeasible",
    highspy.HighsModelStatus.kUnboundedOrInfeasible: "infeasible",
    highspy.HighsModelStatus.kTimeLimit: "timeout",
}
# Measured on allocation problems: they solve at or near the root node, where these only cost time. Presolve and strong
# branching double the time of the days that need a tree; the model is scaled and small, so that neither is a safeguard.
_HEURISTICS_OFF = (
    "mip_heuristic_run_feasibility_jump",
    "mip_heuristic_run_rins",
    "mip_heuristic_run_rens",
    "mip_heuristic_run_root_reduced_cost",
)


@dataclass
class Rows:
    """A maximisation problem written column by column and row by row."""

    cost: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    is_binary: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    index: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)

    def column(self, cost: float, upper: float, lower: float = 0.0) -> int:
        """A continuous column; returns its number."""
        self.cost.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.is_binary.append(0)
        return len(self.cost) - 1

    def binary(self, cost: float, lower: float = 0.0) -> int:
        """A column of 0 or 1; returns its number."""
        number = self.column(cost, 1.0, lower)
        self.is_binary[number] = 1
        return number

    def row(self, terms: list[tuple[int, float]], lower: float = -INFINITY, upper: float = INFINITY) -> int:
        """`lower <= sum(value * column) <= upper`; returns its number."""
        for column, value in terms:
            self.index.append(column)
            self.value.append(value)
        self.starts.append(len(self.index))
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        return len(self.row_lower) - 1


@dataclass(frozen=True)
class Solution:
    """`x` is empty unless the status is optimal; `bound` is the proven upper bound of the objective."""

    status: SolutionStatus
    x: FloatArray
    objective: float
    bound: float


def maximise(
    rows: Rows,
    gap: float = 0.0,
    time_limit_seconds: float = INFINITY,
    fixed: FloatArray | None = None,
    cost: FloatArray | None = None,
) -> Solution:
    """Solve to an absolute gap. With `fixed`, binaries are held at its (rounded) values and the rest is an LP.

    `cost` replaces the objective of the rows.

    A status of `failed` is any other state of the solver (numerical trouble).
    """
    if not rows.cost:
        stands = all(low <= 1e-9 and high >= -1e-9 for low, high in zip(rows.row_lower, rows.row_upper, strict=True))
        return Solution("optimal" if stands else "infeasible", np.zeros(0), 0.0, 0.0)
    highs = _configured(gap, time_limit_seconds)
    _pass(highs, rows, fixed, np.array(rows.cost) if cost is None else cost)
    highs.run()
    state, info = highs.getModelStatus(), highs.getInfo()
    status = _STATUS.get(state, "failed")
    is_mip = fixed is None and any(rows.is_binary)
    bound = info.mip_dual_bound if is_mip else info.objective_function_value
    if status != "optimal":
        return Solution(status, np.zeros(0), float("nan"), bound if status == "timeout" else float("nan"))
    x = np.array(highs.getSolution().col_value)
    return Solution(status, x, info.objective_function_value, max(bound, info.objective_function_value))


def _pass(highs: highspy.Highs, rows: Rows, fixed: FloatArray | None, cost: FloatArray) -> None:
    """Hand the model over in one call."""
    lower, upper = np.array(rows.lower), np.array(rows.upper)
    integrality = np.array(rows.is_binary, dtype=np.int32)
    if fixed is not None:
        binary = integrality == 1
        lower[binary] = upper[binary] = np.round(fixed[binary])
        integrality = np.zeros_like(integrality)
    highs.passModel(
        len(rows.cost),
        len(rows.row_lower),
        len(rows.index),
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMaximize),
        0.0,
        cost,
        lower,
        upper,
        np.array(rows.row_lower),
        np.array(rows.row_upper),
        np.array(rows.starts, dtype=np.int32),
        np.array(rows.index, dtype=np.int32),
        np.array(rows.value),
        integrality,
    )


def _configured(gap: float, time_limit_seconds: float) -> highspy.Highs:
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("random_seed", 0)
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.setOptionValue("mip_abs_gap", gap)
    highs.setOptionValue("time_limit", float(time_limit_seconds))
    highs.setOptionValue("mip_feasibility_tolerance", 1e-10)  # a loose binary would let money move for nothing
    highs.setOptionValue("presolve", "off")
    highs.setOptionValue("mip_pscost_minreliable", 0)
    for option in _HEURISTICS_OFF:
        highs.setOptionValue(option, False)
    return highs

"""From a problem to a decision: where the money goes, what it costs, and the plan to get there.

`AllocationProblem -> solve(problem) -> AllocationDecision` is the only seam between data, solver, backtest and live.
Belongs here: the optimiser, its engines, the plan and the re-evaluation outside the solver. Does not belong here:
tables, days.
"""

from defiyield_core.allocation.engine import solve
from defiyield_core.allocation.execute import execute
from defiyield_core.allocation.hold import evaluate_hold, hold
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem, GasCosts, Transaction

__all__ = [
    "AllocationDecision",
    "AllocationProblem",
    "GasCosts",
    "Transaction",
    "evaluate_hold",
    "execute",
    "hold",
    "solve",
]

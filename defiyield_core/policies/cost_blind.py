"""The best allocation as if some costs were not there: what cost-blind rules aim at.

Belongs here: the same problem without a cost, its best positions, and what a rule does where there are none.
Does not belong here: when a rule goes there (see the policies), how it gets there (`allocation.targets`).
"""

from __future__ import annotations

from dataclasses import replace

from defiyield_core.allocation.engine import solve
from defiyield_core.allocation.limits import limits_of
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem, GasCosts
from defiyield_core.allocation.targets import move_to
from defiyield_core.units import FloatArray

_NO_GAS = GasCosts(0.0, 0.0, 0.0)


def without_gas(problem: AllocationProblem) -> AllocationProblem:
    """The problem with free gas; every cap, minimum and the conversion rate are kept."""
    return replace(problem, gas=_NO_GAS)


def without_costs(problem: AllocationProblem) -> AllocationProblem:
    """The problem with free gas and free conversions; every cap and minimum is kept."""
    return replace(problem, gas=_NO_GAS, parameters=problem.parameters.with_overrides({"conversion_rate": 0.0}))


def best_positions(problem: AllocationProblem) -> tuple[FloatArray | None, str]:
    """(n,) USD of the best allocation of a problem; None, and why, where there is none."""
    decision = solve(problem)
    if decision.status != "optimal":
        return None, f"{decision.status}: {decision.reason}"
    return decision.positions @ problem.token_prices, ""


def follow(problem: AllocationProblem, target_usd: FloatArray) -> AllocationDecision:
    """Move there at real costs, within the group caps."""
    return move_to(problem, target_usd, limits_of(problem).group_cap_usd)


def stay(problem: AllocationProblem, note: str = "") -> AllocationDecision:
    """Leave what must be left and move nothing else; the note says why."""
    decision = move_to(problem, problem.position_usd)
    return replace(decision, notes=(*decision.notes, note)) if note else decision

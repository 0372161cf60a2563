"""Doing nothing: its value and its decision.

Belongs here: the decision to hold, whatever the reason. Does not belong here: deciding (`engine`).
"""

from __future__ import annotations

from defiyield_core.allocation.limits import Limits, limits_of
from defiyield_core.allocation.plan import hold_rows
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem, Status
from defiyield_core.units import to_bps


def evaluate_hold(problem: AllocationProblem, limits: Limits | None = None) -> float:
    """Objective of doing nothing, USD: forecast growth of the positions over the horizon."""
    limits = limits or limits_of(problem)
    return float(limits.yields.usd(limits.value_usd).sum())


def hold(
    problem: AllocationProblem,
    status: Status = "held",
    reason: str = "",
    notes: tuple[str, ...] = (),
    bound_usd: float = float("nan"),
) -> AllocationDecision:
    """The decision to do nothing: one HOLD row for each position.

    Args:
        bound_usd: what is proven about the best plan; not a number when nothing is.
    """
    objective_usd = evaluate_hold(problem)
    return AllocationDecision(
        status=status,
        wallet=problem.wallet.copy(),
        positions=problem.positions.copy(),
        transactions=hold_rows(problem, set()),
        gas_usd=0.0,
        conversion_usd=0.0,
        objective_usd=objective_usd,
        bound_usd=bound_usd,
        gap_bps=to_bps(bound_usd - objective_usd, problem.aum_usd),
        hold_objective_usd=objective_usd,
        reason=reason,
        notes=notes,
    )

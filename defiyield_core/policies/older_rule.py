"""The rule of an older system: all the way to the costless optimum where that beats holding, else only idle cash."""

from __future__ import annotations

from dataclasses import dataclass, replace

from defiyield_core.allocation.engine import solve
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.policies.cost_blind import best_positions, follow, stay, without_costs
from defiyield_core.policies.port import EligiblePoolsPolicy


@dataclass(frozen=True)
class OlderRulePolicy(EligiblePoolsPolicy):
    """Two plans, the first of which is taken when it is worth it.

    1. The best allocation as if there were no costs is the target. The plan that goes all the way there, at real costs,
       is taken when its objective (forecast growth over the horizon less its costs) is above that of holding, where
       holding means to leave only what must be left.
    2. Otherwise only idle cash is placed (yesterday's yield, flows, what forced exits bring in): the exact problem in
       which nothing can be withdrawn but forced exits. Where idle cash cannot bring the number of positions up to
       `min_pools`, it is placed without that minimum.

    What must be left is left in either case.
    """

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """The costless optimum, or idle cash only."""
        holding = stay(problem)
        target_usd, why = best_positions(without_costs(problem))
        if target_usd is None:
            return _idle_only(problem, f"no target: the problem without costs is {why}")
        moved = follow(problem, target_usd)
        gain_usd = moved.objective_usd - holding.objective_usd
        if gain_usd > 0:
            return replace(moved, notes=(*moved.notes, f"reallocated: ${gain_usd:.2f} more than holding"))
        return _idle_only(problem, f"not reallocated: ${gain_usd:.2f} against holding")


def _idle_only(problem: AllocationProblem, note: str) -> AllocationDecision:
    frozen = replace(problem, withdrawable=problem.withdrawable & problem.must_exit)
    fewer = problem.parameters.with_overrides({"min_pools": 0})
    for asked in (frozen, replace(frozen, parameters=fewer)):
        decision = solve(asked)
        if decision.status == "optimal":
            return _unproven(decision, note)
    return stay(problem, f"{note}; idle cash stays: {decision.status}: {decision.reason}")


def _unproven(decision: AllocationDecision, note: str) -> AllocationDecision:
    """Without the bound and the prices: they are those of a narrower problem than the day's."""
    nothing = float("nan")
    return replace(decision, bound_usd=nothing, gap_bps=nothing, prices=None, proof="", notes=(*decision.notes, note))

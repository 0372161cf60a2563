"""The optimum that does not know of gas."""

from __future__ import annotations

from dataclasses import dataclass

from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.policies.cost_blind import best_positions, follow, stay, without_gas
from defiyield_core.policies.port import EligiblePoolsPolicy


@dataclass(frozen=True)
class GasBlindPolicy(EligiblePoolsPolicy):
    """Goes every day to the best allocation as if gas were free (conversion fees are known), and pays the gas.

    Where even that problem has no solution, only forced exits happen.
    """

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """The optimum without gas, reached at real costs."""
        target_usd, why = best_positions(without_gas(problem))
        if target_usd is None:
            return stay(problem, f"no target: the problem without gas is {why}")
        return follow(problem, target_usd)

"""The optimiser as a policy: solve the day's problem exactly."""

from __future__ import annotations

from dataclasses import dataclass

from defiyield_core.allocation.engine import solve
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.policies.port import EligiblePoolsPolicy


@dataclass(frozen=True)
class OptimiserPolicy(EligiblePoolsPolicy):
    """The exact allocation (`profit_optimization` included: the engine weighs it against the normal rules)."""

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """The best allocation at the end of the day."""
        return solve(problem)

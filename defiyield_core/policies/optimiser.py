"""The optimiser as a policy: solve the day's problem exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

from defiyield_core.allocation.engine import solve
from defiyield_core.history import MarketView
from defiyield_core.parameters import Parameters
from defiyield_core.policies.port import Decided, frame_problem
from defiyield_core.portfolio.state import PortfolioState


@dataclass(frozen=True)
class OptimiserPolicy:
    """The exact allocation.

    With `profit_optimization` the looser problem (one pool is enough, no cap per pool) is solved too, and adopted when
    it promises more than the normal decision by at least `profit_optimization_min_gain_usd`.
    """

    parameters: Parameters

    def decide(self, view: MarketView, state: PortfolioState) -> Decided:
        """The best allocation at the end of the day."""
        normal = self.parameters.with_overrides({"profit_optimization": False})
        framed = frame_problem(view, state, normal)
        decided = framed.decided(solve(framed.problem))
        if not self.parameters.profit_optimization:
            return decided
        loose_problem = replace(framed.problem, parameters=self.parameters)
        loose = solve(loose_problem)
        gain_usd = loose.objective_usd - decided.decision.objective_usd
        if loose.status != "optimal" or gain_usd <= self.parameters.profit_optimization_min_gain_usd:
            return decided
        note = f"profit optimisation adopted: {gain_usd:.2f} USD above the normal decision"
        return replace(decided, problem=loose_problem, decision=replace(loose, notes=(*loose.notes, note)))

"""The optimiser as a policy: solve the day's problem exactly."""

from __future__ import annotations

from dataclasses import dataclass

from defiyield_core.allocation.engine import solve
from defiyield_core.history import MarketView
from defiyield_core.parameters import Parameters
from defiyield_core.policies.port import Decided, frame_problem
from defiyield_core.portfolio.state import PortfolioState


@dataclass(frozen=True)
class OptimiserPolicy:
    """The exact allocation (`profit_optimization` included: the engine weighs it against the normal rules)."""

    parameters: Parameters

    def decide(self, view: MarketView, state: PortfolioState) -> Decided:
        """The best allocation at the end of the day."""
        framed = frame_problem(view, state, self.parameters)
        return framed.decided(solve(framed.problem))

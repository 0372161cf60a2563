"""What an engine is: it chooses what moves, and proves a bound.

Belongs here: the seam between `solve` and the engines. Does not belong here: rules (`limits`), plans (`plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from defiyield_core.allocation.flows import Flows
from defiyield_core.allocation.limits import Limits
from defiyield_core.allocation.plan import Movement
from defiyield_core.allocation.problem import AllocationProblem, Prices

ProposalStatus = Literal["optimal", "infeasible", "timeout"]


@dataclass(frozen=True)
class Proposal:
    """What an engine found. Its score is the objective less the charge on idle cash (`Limits.idle_charge`).

    Attributes:
        flows: the movements; None unless the status is `optimal`.
        bound_usd: proven upper bound of the score of any plan.
        rounding_usd: how much of the gap may be the engine's own rounding (whole cents) and is allowed on top.
        prices: dual prices, where the engine has them.
        reason: why the status is not `optimal`. proof: how the bound was proven.
        repaid: flows in which these tokens pay the fees of these rows, for plans whose cash is in fragments; None
            where there are none. An engine without it leaves such fees to be divided among several tokens.
    """

    status: ProposalStatus
    flows: Flows | None = None
    bound_usd: float = float("nan")
    rounding_usd: float = 0.0
    prices: Prices | None = None
    reason: str = ""
    proof: str = ""
    repaid: Callable[[Sequence[Movement], Sequence[int]], Flows | None] | None = None


class Engine(Protocol):
    """Finds the plan of the highest score, to within `gap_bps` of AUM."""

    def __call__(self, problem: AllocationProblem, limits: Limits) -> Proposal:
        """The best movements within the limits; AUM is above zero."""
        ...

"""Somebody else's decisions in our books: their target shares as a policy, at real prices, fees and gas.

Belongs here: that policy, and lending it to the registry for a run. Does not belong here: where the targets come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.allocation.targets import move_to
from defiyield_core.parameters import Parameters
from defiyield_core.policies.port import EligiblePoolsPolicy
from defiyield_core.policies.registry import POLICIES

NAME = "replay_of_targets"


@dataclass(frozen=True)
class ReplayPolicy(EligiblePoolsPolicy):
    """Moves every pool that was traded on the day to its target share of the book; the others stay as they are."""

    targets: Mapping[date, Mapping[str, float]]

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """The targets of the day as far as rules and cash allow."""
        target_usd = problem.position_usd.copy()
        places = {pool: place for place, pool in enumerate(problem.pool_ids)}
        for pool, share in self.targets.get(problem.as_of, {}).items():
            if pool in places:
                target_usd[places[pool]] = share * problem.aum_usd
        return move_to(problem, target_usd)


@contextmanager
def as_policy(targets: Mapping[date, Mapping[str, float]]) -> Iterator[str]:
    """The name under which the registry has the targets' policy, as long as it lasts."""

    def build(parameters: Parameters) -> ReplayPolicy:
        return ReplayPolicy(parameters, targets)

    POLICIES[NAME] = build
    try:
        yield NAME
    finally:
        del POLICIES[NAME]

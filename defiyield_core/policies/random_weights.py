"""Random portfolios: what somebody without any view on rates earns under the same limits and costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defiyield_core.allocation.limits import limits_of
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import Parameters
from defiyield_core.policies.cost_blind import follow, stay
from defiyield_core.policies.port import EligiblePoolsPolicy
from defiyield_core.policies.schedule import EPOCH, checked_days, is_due
from defiyield_core.policies.waterfall import filled

_SMALLEST_PART = 0.25


@dataclass(frozen=True)
class RandomWeightsPolicy(EligiblePoolsPolicy):
    """Fills pools in a random order, each to a random part (uniform, from a quarter to all) of what its caps allow.

    Drawn from `seed` and the day alone, so a run that resumes draws the same. A new draw is made every
    `rebalance_days` days (see `schedule`); in between only forced exits happen. Limits as in `WaterfallPolicy`.
    """

    seed: int
    rebalance_days: int

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """A draw on a rebalancing day or when nothing is held, else hold."""
        if not is_due(problem, self.rebalance_days):
            return stay(problem)
        random = np.random.default_rng([self.seed, (problem.as_of - EPOCH).days])
        order = random.permutation(len(problem.pool_ids))
        part = random.uniform(_SMALLEST_PART, 1.0, len(order))
        limits = limits_of(problem)
        return follow(problem, filled(problem, limits, limits.cap_usd * part, limits.group_cap_usd, order))


def random_weights(parameters: Parameters, *, seed: int = 1, rebalance_days: int = 30) -> RandomWeightsPolicy:
    """Build the policy.

    Raises:
        ConfigurationError: `seed` is negative or no whole number, or `rebalance_days` is below 1.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigurationError(f"policy random_weights: seed must be a whole number of at least 0 (got {seed!r})")
    return RandomWeightsPolicy(parameters, seed, checked_days("random_weights", rebalance_days))

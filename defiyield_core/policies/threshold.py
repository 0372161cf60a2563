"""A band around the present book: go to the costless optimum only when it promises enough more."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from defiyield_core.allocation.limits import limits_of
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import Parameters
from defiyield_core.policies.cost_blind import best_positions, follow, stay, without_costs
from defiyield_core.policies.port import EligiblePoolsPolicy
from defiyield_core.units import FloatArray, annualised


@dataclass(frozen=True)
class ThresholdPolicy(EligiblePoolsPolicy):
    """Goes to the best allocation as if there were no costs when one of three things asks for it, else holds.

    - Its forecast APY is more than `min_gain_apy` (a fraction) above that of the present book.
    - A position must be left.
    - It would place idle cash of more than `max_idle_share` of AUM.

    The forecast APY of a book is its forecast growth over the horizon as a share of AUM, annualised: idle cash counts
    with 0.
    """

    min_gain_apy: float
    max_idle_share: float

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """The costless optimum, or nothing but what must be."""
        target_usd, why = best_positions(without_costs(problem))
        if target_usd is None:
            return stay(problem, f"no target: the problem without costs is {why}")
        held_usd = problem.position_usd
        gain = forecast_apy(problem, target_usd) - forecast_apy(problem, held_usd)
        forced = bool((problem.must_exit & problem.withdrawable & (held_usd > 0)).any())
        placed_usd = float(target_usd.sum() - held_usd.sum())
        note = f"the target promises {1e4 * gain:.1f} bps more"
        if not (gain > self.min_gain_apy or forced or placed_usd > self.max_idle_share * problem.aum_usd):
            return stay(problem, f"not moved: {note}")
        decision = follow(problem, target_usd)
        return replace(decision, notes=(*decision.notes, f"moved: {note}"))


def forecast_apy(problem: AllocationProblem, position_usd: FloatArray) -> float:
    """Forecast APY of a book of these positions, a fraction: `(1 + growth over H / AUM) ** (365 / H) - 1`."""
    if problem.aum_usd <= 0:
        return 0.0
    growth = float(limits_of(problem).yields.usd(position_usd).sum()) / problem.aum_usd
    return annualised(growth, problem.parameters.horizon_days)


def threshold(parameters: Parameters, *, min_gain_apy: float = 0.01, max_idle_share: float = 0.05) -> ThresholdPolicy:
    """Build the policy.

    Raises:
        ConfigurationError: an option is not a finite number of at least 0.
    """
    for name, value in (("min_gain_apy", min_gain_apy), ("max_idle_share", max_idle_share)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
            raise ConfigurationError(f"policy threshold: {name} must be a number of at least 0 (got {value!r})")
    return ThresholdPolicy(parameters, float(min_gain_apy), float(max_idle_share))

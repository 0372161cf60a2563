"""Fill pools in the order of their forecasts: to their caps, or as far as the pool is large enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defiyield_core.allocation.limits import Limits, group_sums, limits_of, open_to_deposits
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.allocation.targets import move_to
from defiyield_core.parameters import Parameters
from defiyield_core.policies.cost_blind import follow, stay
from defiyield_core.policies.port import EligiblePoolsPolicy
from defiyield_core.policies.schedule import checked_days, is_due
from defiyield_core.units import FloatArray, IntArray


@dataclass(frozen=True)
class WaterfallPolicy(EligiblePoolsPolicy):
    """Fills the pool with the highest forecast APY to its caps (position, share of TVL, group), then the next.

    Every `rebalance_days` days (see `schedule`); in between only forced exits happen. A held pool that is closed to
    deposits keeps at most what it has. A forecast loss is not filled, costs play no part, and neither does `min_pools`.
    """

    rebalance_days: int

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """The filled pools on a rebalancing day or when nothing is held, else hold."""
        if not is_due(problem, self.rebalance_days):
            return stay(problem)
        limits = limits_of(problem)
        return follow(problem, filled(problem, limits, limits.cap_usd, limits.group_cap_usd))


@dataclass(frozen=True)
class BestApyPolicy(EligiblePoolsPolicy):
    """Everything in the pool with the highest forecast APY, up to the share of its TVL; the rest in the next best.

    The caps on positions and groups are ignored. Otherwise as `WaterfallPolicy`.
    """

    rebalance_days: int

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """The best pool on a rebalancing day or when nothing is held, else hold."""
        if not is_due(problem, self.rebalance_days):
            return stay(problem)
        limits = limits_of(problem)
        cap_usd = np.maximum(limits.pool_tvl_cap_usd, limits.value_usd)
        return move_to(problem, filled(problem, limits, cap_usd, np.full(3, np.inf)))


def filled(
    problem: AllocationProblem,
    limits: Limits,
    cap_usd: FloatArray,
    group_cap_usd: FloatArray,
    order: IntArray | None = None,
) -> FloatArray:
    """(n,) positions that fill the pools in the given order: that of their forecasts, the first of equals first.

    What may not be withdrawn keeps its place. A pool that has no room for a minimum transaction is passed over, and so
    are further pools once `max_pools` are filled.
    """
    held_usd = limits.value_usd
    target = np.where(problem.withdrawable, 0.0, held_usd)
    left = problem.aum_usd - float(target.sum())
    room = group_cap_usd - group_sums(problem.group, target)
    places = limits.allowed_pools - int((target > 0).sum())
    ceiling = np.where(open_to_deposits(problem), cap_usd, held_usd)
    ceiling[problem.must_exit | ~problem.withdrawable | (problem.apy < 0)] = 0.0
    smallest = np.where(held_usd > 0, np.minimum(held_usd, limits.min_transaction_usd), limits.min_transaction_usd)
    for pool in np.argsort(-problem.apy, kind="stable") if order is None else order:
        group = problem.group[pool] - 1
        usd = min(float(ceiling[pool]), float(room[group]), left)
        if places > 0 and usd > 0 and usd >= smallest[pool]:
            target[pool] = usd
            left -= usd
            room[group] -= usd
            places -= 1
    return target


def waterfall(parameters: Parameters, *, rebalance_days: int = 7) -> WaterfallPolicy:
    """Build the policy.

    Raises:
        ConfigurationError: `rebalance_days` is below 1.
    """
    return WaterfallPolicy(parameters, checked_days("waterfall", rebalance_days))


def best_apy(parameters: Parameters, *, rebalance_days: int = 7) -> BestApyPolicy:
    """Build the policy.

    Raises:
        ConfigurationError: `rebalance_days` is below 1.
    """
    return BestApyPolicy(parameters, checked_days("best_apy", rebalance_days))

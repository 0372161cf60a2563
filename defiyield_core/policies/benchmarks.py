"""Simple rules to compare the optimiser with: hold, one pool, equal weight.

They obey what a person following the rule would obey (eligibility, forced exits, costs) and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from defiyield_core.allocation.limits import open_to_deposits
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.allocation.targets import move_to
from defiyield_core.errors import AllocationError, ConfigurationError
from defiyield_core.history import MarketView
from defiyield_core.parameters import Parameters
from defiyield_core.policies.port import EligiblePoolsPolicy, Framed, frame_problem
from defiyield_core.policies.schedule import checked_days, is_due
from defiyield_core.portfolio.state import PortfolioState


@dataclass(frozen=True)
class HoldPolicy(EligiblePoolsPolicy):
    """Does nothing but leave what must be left."""

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """Yesterday's positions, less forced exits."""
        return move_to(problem, problem.position_usd)


@dataclass(frozen=True)
class HoldPoolPolicy:
    """Everything in one pool, eligible or not: the one of `pool_id`, or the largest of `protocol` in `token` alone.

    Idle cash is deposited when it is worth at least the smallest transaction.
    """

    parameters: Parameters
    protocol: str
    token: str
    pool_id: str = ""

    def frame(self, view: MarketView, state: PortfolioState) -> Framed:
        """The problem in which that pool alone is open: the one that is held, else the largest of today."""
        chosen = self._named(view) if self.pool_id else self._largest(view, state)
        return frame_problem(_opened(view, chosen), state, self.parameters.with_overrides({"pool_selection": "all"}))

    def _named(self, view: MarketView) -> int:
        """The pool by its id on a day with a rate of it, else none."""
        pool = view.pools.ids.index(self.pool_id) if self.pool_id in view.pools.ids else -1
        return pool if pool >= 0 and np.isfinite(view.tvl_usd[pool]) else -1

    def _largest(self, view: MarketView, state: PortfolioState) -> int:
        token = view.tokens.index(self.token) if self.token in view.tokens else -1
        matches = [
            pool
            for pool, protocol in enumerate(view.pools.protocols)
            if protocol == self.protocol
            and view.pools.chains[pool] == self.parameters.chain
            and view.pools.tokens[pool] == (token,)
            and np.isfinite(view.tvl_usd[pool])
        ]
        held = np.flatnonzero((state.positions > 0).any(axis=1))
        return int(held[0]) if len(held) else max(matches, key=lambda pool: view.tvl_usd[pool], default=-1)

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """All in on the first day the pool is there; afterwards nothing moves.

        Raises:
            AllocationError: the problem has more than one pool that is open to deposits.
        """
        if problem.depositable.sum() > 1:
            raise AllocationError(f"policy hold_pool: {int(problem.depositable.sum())} pools are open, expected one")
        return move_to(problem, np.where(problem.depositable, problem.aum_usd, 0.0))


def _opened(view: MarketView, pool: int) -> MarketView:
    """The view with exactly one pool open to deposits."""
    only = np.arange(len(view.pools.ids)) == pool
    return replace(view, depositable=only, must_exit=view.must_exit & ~only)


@dataclass(frozen=True)
class EqualWeightPolicy(EligiblePoolsPolicy):
    """The same money in every eligible pool (no caps, no forecasts), made equal again every `rebalance_days` days.

    A book too small for a minimum transaction in each goes into the largest pools only. In between only forced exits
    happen. See `schedule` for the rebalancing days.
    """

    rebalance_days: int

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """Equal weights on a rebalancing day or when nothing is held, else hold."""
        chosen = np.flatnonzero(open_to_deposits(problem))
        if not is_due(problem, self.rebalance_days) or not len(chosen):
            return move_to(problem, problem.position_usd)
        smallest_usd = problem.parameters.min_transaction_value
        if len(chosen) * smallest_usd > problem.aum_usd:
            largest_first = chosen[np.argsort(-problem.tvl_usd[chosen], kind="stable")]
            chosen = largest_first[: max(int(problem.aum_usd // smallest_usd), 1)]
        target_usd = np.zeros(len(problem.pool_ids))
        target_usd[chosen] = problem.aum_usd / len(chosen)
        return move_to(problem, target_usd)


def hold_pool(parameters: Parameters, *, protocol: str = "", token: str = "", pool_id: str = "") -> HoldPoolPolicy:
    """Build the policy from a protocol and a token, or from the id of a pool.

    Raises:
        ConfigurationError: one of them is missing, or both ways are used.
    """
    if bool(pool_id) == bool(protocol or token) or bool(protocol) != bool(token):
        raise ConfigurationError("policy hold_pool needs the options protocol and token, or pool_id alone")
    return HoldPoolPolicy(parameters, protocol, token.upper(), pool_id)


def equal_weight(parameters: Parameters, *, rebalance_days: int = 30) -> EqualWeightPolicy:
    """Build the policy.

    Raises:
        ConfigurationError: `rebalance_days` is below 1.
    """
    return EqualWeightPolicy(parameters, checked_days("equal_weight", rebalance_days))

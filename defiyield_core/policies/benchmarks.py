"""Simple rules to compare the optimiser with: hold, one pool, equal weight.

They obey what a person following the rule would obey (eligibility, forced exits, costs) and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from defiyield_core.allocation.targets import move_to
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.history import MarketView
from defiyield_core.parameters import Parameters
from defiyield_core.policies.port import Decided, frame_problem
from defiyield_core.portfolio.state import PortfolioState


@dataclass(frozen=True)
class HoldPolicy:
    """Does nothing but leave what must be left."""

    parameters: Parameters

    def decide(self, view: MarketView, state: PortfolioState) -> Decided:
        """Yesterday's positions, less forced exits."""
        framed = frame_problem(view, state, self.parameters)
        return framed.decided(move_to(framed.problem, framed.problem.position_usd))


@dataclass(frozen=True)
class HoldPoolPolicy:
    """Everything in one pool: the largest of `protocol` whose only token is `token`, eligible or not.

    Idle cash is deposited when it is worth at least the smallest transaction.
    """

    parameters: Parameters
    protocol: str
    token: str

    def decide(self, view: MarketView, state: PortfolioState) -> Decided:
        """All in on the first day the pool is there; afterwards nothing moves."""
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
        chosen = int(held[0]) if len(held) else max(matches, key=lambda pool: view.tvl_usd[pool], default=-1)
        framed = frame_problem(_opened(view, chosen), state, self.parameters.with_overrides({"pool_selection": "all"}))
        target = np.where(framed.pool_index == chosen, framed.problem.aum_usd, 0.0)
        return framed.decided(move_to(framed.problem, target))


def _opened(view: MarketView, pool: int) -> MarketView:
    """The view with exactly one pool open to deposits."""
    only = np.arange(len(view.pools.ids)) == pool
    return replace(view, depositable=only, must_exit=view.must_exit & ~only)


@dataclass(frozen=True)
class EqualWeightPolicy:
    """The same money in every eligible pool (no caps, no forecasts), made equal again every `rebalance_days` days.

    In between only forced exits happen. The rebalancing days are counted from a fixed epoch, so that a run that resumes
    rebalances on the same days.
    """

    parameters: Parameters
    rebalance_days: int

    def decide(self, view: MarketView, state: PortfolioState) -> Decided:
        """Equal weights on a rebalancing day or when nothing is held, else hold."""
        framed = frame_problem(view, state, self.parameters)
        problem = framed.problem
        since_epoch = len(Window(date(1970, 1, 1), view.day)) - 1
        due = since_epoch % self.rebalance_days == 0 or not state.positions.any()
        if not due or not problem.depositable.any():
            return framed.decided(move_to(problem, problem.position_usd))
        share = problem.aum_usd / problem.depositable.sum()
        return framed.decided(move_to(problem, np.where(problem.depositable, share, 0.0)))


def hold_pool(parameters: Parameters, *, protocol: str = "", token: str = "") -> HoldPoolPolicy:
    """Build the policy; both options are required.

    Raises:
        ConfigurationError: one of them is missing.
    """
    if not protocol or not token:
        raise ConfigurationError("policy hold_pool needs the options protocol and token")
    return HoldPoolPolicy(parameters, protocol, token.upper())


def equal_weight(parameters: Parameters, *, rebalance_days: int = 30) -> EqualWeightPolicy:
    """Build the policy.

    Raises:
        ConfigurationError: `rebalance_days` is below 1.
    """
    if rebalance_days < 1:
        raise ConfigurationError(f"policy equal_weight: rebalance_days must be at least 1 (got {rebalance_days})")
    return EqualWeightPolicy(parameters, rebalance_days)

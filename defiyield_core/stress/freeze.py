"""Frozen withdrawals: the seam where a decision learns that money cannot leave a pool.

Belongs here: a policy around another one that says `withdrawable: false` in the day's problem. Does not belong here:
what a solver makes of it (see `allocation`; every engine and policy keeps to the field, and `allocation.verify` refuses
a decision that does not).

No raw table says whether a pool pays out, so `AllocationProblem.withdrawable` is the first place that can. A source
that knew would fill a table, from it `MarketHistory` and `MarketView` a field of pools, and
`policies.port.frame_problem` would do what `FrozenWithdrawals.frame` does here. A freeze is known at the close of the
day on which it holds, not before: money that was put in the day before is caught.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.errors import ConfigurationError
from defiyield_core.history import MarketView
from defiyield_core.parameters import Parameters
from defiyield_core.policies.port import Framed, Policy
from defiyield_core.policies.registry import POLICIES, policy_for
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import PortfolioState
from defiyield_core.stress.events import PoolTarget, WithdrawalFreeze

POLICY = "frozen_withdrawals"


@dataclass(frozen=True)
class FrozenWithdrawals:
    """Another policy, in a world where some pools are shut on some days."""

    inner: Policy
    freezes: tuple[WithdrawalFreeze, ...]

    def frame(self, view: MarketView, state: PortfolioState) -> Framed:
        """The other policy's problem with `withdrawable` and `depositable` false for the pools that are shut today."""
        framed = self.inner.frame(view, state)
        problem = framed.problem
        shut = np.zeros(len(problem.pool_ids), dtype=bool)
        closed = shut.copy()
        labels = np.array(problem.pool_ids, dtype=object), np.array(problem.pool_protocols, dtype=object)
        for freeze in self.freezes:
            if freeze.overlaps(view.day, view.day):
                hit = freeze.target.hits(*labels)
                shut |= hit
                closed |= hit & (not freeze.deposits_open)
        if not shut.any():
            return framed
        changed = replace(problem, withdrawable=problem.withdrawable & ~shut, depositable=problem.depositable & ~closed)
        return replace(framed, problem=changed)

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """The other policy's decision; the problem says what is shut."""
        return self.inner.decide(problem)


def frozen_withdrawals(
    parameters: Parameters, *, policy: str, options: Mapping[str, Any], freezes: Sequence[Mapping[str, Any]]
) -> FrozenWithdrawals:
    """The policy from its options, which are JSON values (see `with_freezes`).

    Raises:
        ConfigurationError: no such policy, or options that do not fit.
    """
    try:
        events = tuple(_freeze(values) for values in freezes)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"policy {POLICY}: freezes are not understood: {error!r}") from error
    return FrozenWithdrawals(policy_for(policy, parameters, options), events)


def with_freezes(spec: PortfolioSpec, freezes: Sequence[WithdrawalFreeze]) -> PortfolioSpec:
    """The portfolio under its own policy, with these pools shut; itself when nothing is."""
    if not freezes:
        return spec
    POLICIES.setdefault(POLICY, frozen_withdrawals)
    options = {
        "policy": spec.policy,
        "options": dict(spec.policy_options),
        "freezes": [freeze.plain() for freeze in freezes],
    }
    return replace(spec, policy=POLICY, policy_options=options)


def _freeze(values: Mapping[str, Any]) -> WithdrawalFreeze:
    target = values["target"]
    return WithdrawalFreeze(
        day=date.fromisoformat(values["day"]),
        days=values["days"],
        target=PoolTarget(tuple(target["pools"]), tuple(target["protocols"])),
        deposits_open=bool(values["deposits_open"]),
    )

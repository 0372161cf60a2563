"""What a decision moves, in dollars: the common language of the model, the plan and the fees.

Belongs here: the amounts and the tidying of them. Does not belong here: token amounts and the order of execution
(`plan`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from defiyield_core.allocation.limits import Limits
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.units import FloatArray


@dataclass(frozen=True)
class Flows:
    """Gross movements in USD: deposits and withdrawals (n,), conversions by (from token, to token)."""

    deposits_usd: FloatArray
    withdrawals_usd: FloatArray
    conversions_usd: Mapping[tuple[int, int], float]


def balances_before_fees(problem: AllocationProblem, limits: Limits, flows: Flows) -> FloatArray:
    """(m,) USD left in the wallet after every movement, before gas and conversion fees."""
    balance = problem.wallet_usd + flows.withdrawals_usd @ limits.token_share
    for pool in np.flatnonzero(flows.deposits_usd):
        members = list(problem.pool_tokens[pool])
        balance[members] -= flows.deposits_usd[pool] / len(members)
    for (source, target), usd in flows.conversions_usd.items():
        balance[source] -= usd
        balance[target] += usd
    return balance


def tidied(limits: Limits, flows: Flows, dust_usd: float) -> Flows:
    """The same flows with full exits made exact, deposits within their room and dust dropped."""
    value = limits.value_usd
    withdrawals = np.where(flows.withdrawals_usd > dust_usd, flows.withdrawals_usd, 0.0)
    withdrawals = np.where((withdrawals > 0) & (withdrawals > value - dust_usd), value, withdrawals)
    withdrawals = np.where(limits.exits, value, withdrawals)
    deposits = np.where(flows.deposits_usd > dust_usd, np.minimum(flows.deposits_usd, limits.room_usd), 0.0)
    conversions = {pair: usd for pair, usd in flows.conversions_usd.items() if usd > dust_usd}
    return Flows(deposits, withdrawals, conversions)

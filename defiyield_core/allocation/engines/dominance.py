"""Deposits that some optimal plan does without, found before the model is written.

Belongs here: the argument and its arithmetic. Does not belong here: the model (`milp`).

Let p be a pool without a position, and D the pools without a position that have p's tokens and group, grow at least as
much and have at least as much room. If the rooms of D together hold as much as may be deposited into that group, some
optimal plan does not use p: where p holds an amount a, either a pool of D is unused (it can take all of a instead, at
the same gas), or all of D are used and have at least a to spare together (the group's deposits, a among them, do not
exceed their rooms), so that p's gas can be saved. This needs growth in proportion to the amount (no dilution) and no
rule about the number of positions.
"""

from __future__ import annotations

import numpy as np

from defiyield_core.allocation.limits import Limits, group_sums
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.units import BoolArray, FloatArray


def dominated(problem: AllocationProblem, limits: Limits, cash_usd: float) -> BoolArray:
    """(n,) pools whose deposit need not be modelled. `cash_usd` is all that could ever be deposited."""
    unneeded = np.zeros(len(problem.pool_ids), dtype=bool)
    fresh = limits.can_deposit & (limits.value_usd == 0) & limits.yields.is_linear
    kept_usd = np.where(limits.can_withdraw | limits.exits, 0.0, limits.value_usd)
    most_usd = np.minimum(limits.room_usd, cash_usd)
    depositable_usd = np.minimum(limits.group_cap_usd - group_sums(problem.group, kept_usd), cash_usd)
    groups, most = problem.group.tolist(), most_usd.tolist()
    buckets: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for pool in np.flatnonzero(fresh).tolist():
        buckets.setdefault((problem.pool_tokens[pool], groups[pool]), []).append(pool)
    for (_, group), members in buckets.items():
        at_stake_usd = float(depositable_usd[group - 1])
        rooms = [most[pool] for pool in members]
        if len(members) > 1 and sum(rooms) - min(rooms) >= at_stake_usd:
            pools = np.array(members)
            unneeded[pools] = _useless(limits.growth[pools], most_usd[pools], at_stake_usd)
    return unneeded


def _useless(growth: FloatArray, most: FloatArray, depositable_usd: float) -> BoolArray:
    """Which pools of one bucket have better ones that can take everything."""
    order = np.argsort(-growth, kind="stable")
    sorted_most = most[order]
    better = np.tri(len(order), k=-1, dtype=bool) & (sorted_most[None, :] >= sorted_most[:, None])
    useless = np.zeros(len(order), dtype=bool)
    useless[order] = better @ sorted_most >= depositable_usd
    return useless

"""The word that says, for each pool, what holds its position where it is.

Belongs here: reading the final state against the limits. Does not belong here: shadow prices.
"""

from __future__ import annotations

import numpy as np

from defiyield_core.allocation.limits import Limits, group_sums
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.units import FloatArray

TOLERANCE_SHARE = 1e-6
"""Of AUM: closer than this to a limit counts as at it."""


def binding_words(
    problem: AllocationProblem, limits: Limits, final_usd: FloatArray, idle_usd: float
) -> tuple[str, ...]:
    """One word or short phrase a pool. `final_usd` (n,) are the positions after the plan, `idle_usd` the wallet."""
    tolerance = TOLERANCE_SHARE * limits.aum_usd
    sums = group_sums(problem.group, final_usd)
    full_groups = sums >= limits.group_cap_usd - tolerance
    no_cash = idle_usd <= max(limits.min_transaction_usd, tolerance)
    return tuple(
        _held_word(problem, limits, pool, float(final_usd[pool]), full_groups, tolerance, no_cash)
        if final_usd[pool] > 0
        else _empty_word(problem, limits, pool, full_groups, tolerance, no_cash)
        for pool in range(len(problem.pool_ids))
    )


def _held_word(
    problem: AllocationProblem,
    limits: Limits,
    pool: int,
    final_usd: float,
    full_groups: np.ndarray,
    tolerance: float,
    no_cash: bool,
) -> str:
    before_usd = float(limits.value_usd[pool])
    untouched = abs(final_usd - before_usd) <= tolerance
    if problem.must_exit[pool]:
        return "must exit: not withdrawable"
    if untouched and before_usd > 0 and not problem.depositable[pool]:
        return "not depositable"
    if final_usd >= limits.cap_usd[pool] - tolerance:
        return _cap_word(limits, pool)
    if not untouched and final_usd <= max(limits.floor_usd[pool], limits.min_transaction_usd) + tolerance:
        return "minimum position"
    if full_groups[problem.group[pool] - 1]:
        return f"group {problem.group[pool]} cap"
    if untouched and before_usd > 0:
        return "held: a move costs more than it gains"
    if final_usd < before_usd:
        return "reduced: better used elsewhere"
    return "cash" if no_cash else "apy too low"


def _empty_word(
    problem: AllocationProblem,
    limits: Limits,
    pool: int,
    full_groups: np.ndarray,
    tolerance: float,
    no_cash: bool,
) -> str:
    if limits.exits[pool] or problem.must_exit[pool]:
        return "must exit"
    if limits.value_usd[pool] > 0:
        return "sold: better used elsewhere"
    if not limits.can_deposit[pool]:
        closed = not problem.depositable[pool] or limits.room_usd[pool] >= max(limits.min_transaction_usd, tolerance)
        return "not depositable" if closed else _cap_word(limits, pool)
    if full_groups[problem.group[pool] - 1]:
        return f"group {problem.group[pool]} cap"
    if limits.growth[pool] * limits.room_usd[pool] <= limits.deposit_gas_usd[pool]:
        return "apy too low"
    return "cash" if no_cash else "apy too low"


def _cap_word(limits: Limits, pool: int) -> str:
    tighter_is_tvl = limits.pool_tvl_cap_usd[pool] < limits.position_cap_usd
    return "pool TVL cap" if tighter_is_tvl else "position cap"

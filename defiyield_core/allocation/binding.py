"""The word that says, for each pool, what holds its position where it is, or why it got nothing.

Belongs here: reading the final state and the prices against the limits. Does not belong here: what a constraint costs
(`explain`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defiyield_core.allocation.limits import Limits, group_sums
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.units import BoolArray, FloatArray, IntArray

TOLERANCE_SHARE = 1e-6
"""Of AUM: closer than this to a limit counts as at it."""
RATE_TOLERANCE = 1e-7
"""Of growth over the horizon: rates closer than this are equal."""
NEARLY_FULL = 1e-3
"""Of a cap: a position that is not traded counts as at its cap where less room is left, too little to deposit."""
STUCK, MUST_EXIT, CLOSED, TVL_CAP, POSITION_CAP, MINIMUM = 0, 1, 2, 3, 4, 5
GROUP_CAP = 6
"""And the two numbers after it: one for each group."""
HELD, REDUCED, SOLD, NUMBER, CASH, DILUTION, TOO_LOW, TOO_COSTLY = 9, 10, 11, 12, 13, 14, 15, 16
WORDS = (
    "must exit: not withdrawable",
    "must exit",
    "not depositable",
    "pool TVL cap",
    "position cap",
    "minimum position",
    "group 1 cap",
    "group 2 cap",
    "group 3 cap",
    "held: a move costs more than it gains",
    "reduced: better used elsewhere",
    "sold: better used elsewhere",
    "number of positions",
    "cash",
    "dilution",
    "apy too low",
    "costs: a move costs more than it gains",
)
RULE = "rule of the policy"
"""In place of a constraint where nothing was optimised."""


@dataclass(frozen=True)
class Closing:
    """The final state of a decision in USD, with what its dollars are worth elsewhere.

    Attributes:
        final_usd: (n,) positions after the plan. idle_usd: all of the wallet after it.
        slope: (n,) growth over the horizon of each position's last dollar.
        elsewhere: (n,) price of the dollar in the pool's tokens; None where nothing is priced.
        group_price: (3,) price of room under the group caps; None where nothing is priced.
    """

    final_usd: FloatArray
    idle_usd: float
    slope: FloatArray
    elsewhere: FloatArray | None = None
    group_price: FloatArray | None = None


def words(codes: IntArray) -> tuple[str, ...]:
    """The words of codes."""
    return tuple(WORDS[code] for code in codes.tolist())


def binding_codes(problem: AllocationProblem, limits: Limits, closing: Closing) -> IntArray:
    """(n,) places in `WORDS`.

    A cap binds a position at it whose last dollar earns at least what it would elsewhere; a group cap where room under
    it has a price. Without prices, being at a cap is enough.
    """
    held, empty = _held(problem, limits, closing), _empty(problem, limits, closing)
    return np.where(closing.final_usd > 0, _first_of(held), _first_of(empty))


_Cases = list[tuple[BoolArray, IntArray | int]]


def _first_of(cases: _Cases) -> IntArray:
    """The code of the first case that holds; of the last where none does."""
    codes = np.broadcast_to(np.asarray(cases[-1][1]), cases[-1][0].shape)
    for case, code in reversed(cases[:-1]):
        codes = np.where(case, code, codes)
    return codes


def _held(problem: AllocationProblem, limits: Limits, closing: Closing) -> _Cases:
    """Pools with a final position, the first case that holds counts; the last is for what is left."""
    final_usd, before_usd, tolerance = closing.final_usd, limits.value_usd, TOLERANCE_SHARE * limits.aum_usd
    untouched = np.abs(final_usd - before_usd) <= tolerance
    at_minimum = np.abs(final_usd - limits.floor_usd) <= tolerance
    at_minimum |= (final_usd > before_usd) & (final_usd - before_usd <= limits.min_transaction_usd + tolerance)
    at_minimum &= ~untouched
    at_cap = final_usd >= limits.cap_usd - tolerance
    at_cap |= untouched & ~limits.can_deposit & (final_usd >= limits.cap_usd * (1.0 - NEARLY_FULL))
    full = _in_full_group(problem, limits, closing)
    worth_more = np.ones(len(final_usd), dtype=bool)
    kept_for_count = np.zeros(len(final_usd), dtype=bool)
    if closing.elsewhere is not None and closing.group_price is not None:
        group_price = closing.group_price[problem.group - 1]
        reduced = closing.slope - closing.elsewhere - group_price
        worth_more = reduced >= -RATE_TOLERANCE
        full &= group_price > RATE_TOLERANCE
        counted = limits.countable & (final_usd >= limits.floor_usd - tolerance) & (final_usd > 0)
        if counted.sum() <= limits.required_pools:
            gas = limits.withdrawal_gas_usd / np.maximum(final_usd, tolerance)
            kept_for_count = untouched & counted & limits.can_withdraw & (reduced < -gas - RATE_TOLERANCE)
    no_cash = closing.idle_usd <= max(limits.min_transaction_usd, tolerance)
    rest = CASH if no_cash else np.where(limits.yields.is_linear, TOO_LOW, DILUTION)
    return [
        (problem.must_exit, STUCK),
        (untouched & ~problem.depositable, CLOSED),
        (at_cap & worth_more, _cap(limits)),
        (at_minimum | kept_for_count, MINIMUM),
        (full, GROUP_CAP - 1 + problem.group),
        (untouched, HELD),
        (final_usd < before_usd, REDUCED),
        (~untouched, rest),
    ]


def _empty(problem: AllocationProblem, limits: Limits, closing: Closing) -> _Cases:
    """Pools without a final position."""
    tolerance = TOLERANCE_SHARE * limits.aum_usd
    smallest = max(limits.min_transaction_usd, tolerance)
    closed = ~problem.depositable | (limits.room_usd >= smallest)
    earns_nothing = limits.growth * limits.room_usd <= limits.deposit_gas_usd
    full = _in_full_group(problem, limits, closing)
    as_many_as_allowed = int((closing.final_usd > 0).sum()) >= limits.allowed_pools
    if closing.elsewhere is None:
        no_cash = closing.idle_usd <= smallest
        wanted, rest = np.ones(len(closed), dtype=bool), CASH if no_cash else TOO_LOW
    else:
        wanted, rest = closing.slope > closing.elsewhere + RATE_TOLERANCE, TOO_COSTLY
    return [
        (limits.exits | problem.must_exit, MUST_EXIT),
        (limits.value_usd > 0, SOLD),
        (~limits.can_deposit, np.where(closed, CLOSED, _cap(limits))),
        (full & wanted, GROUP_CAP - 1 + problem.group),
        (earns_nothing | ~wanted, TOO_LOW),
        (np.full(len(closed), as_many_as_allowed), NUMBER),
        (wanted, rest),
    ]


def _in_full_group(problem: AllocationProblem, limits: Limits, closing: Closing) -> BoolArray:
    sums = group_sums(problem.group, closing.final_usd)
    full = sums >= limits.group_cap_usd - TOLERANCE_SHARE * limits.aum_usd
    return np.asarray(full[problem.group - 1])


def _cap(limits: Limits) -> IntArray:
    """(n,) the tighter of the two caps."""
    return np.where(limits.pool_tvl_cap_usd < limits.position_cap_usd, TVL_CAP, POSITION_CAP)

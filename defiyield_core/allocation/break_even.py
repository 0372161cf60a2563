"""The rate from which a pool that got nothing, or could take more, would have been worth its costs.

Belongs here: swaps of one source of dollars into one pool, against the final state of a decision. Does not belong here:
the best plan (`engine`), words (`explain`).

A candidate is paid by one source: the idle cash of a token, or a position that may be withdrawn. With D dollars moved,

    rate(D) = (growth the source loses + conversion fees + gas, each dollar of gas at the price of fees + slack)
              / (what the pool would earn on D more dollars at a rate of 1)

and the break-even growth is the least rate over the sources and over D, from the smallest amount that the rules allow
up to the room, the source and the group cap. Pools that the plan moves anyway cost no more gas. Where no more
positions are allowed, the source is given up in full, and what the pool has no room for stays idle. A plan that draws
on several sources at once may pay a little earlier, so the rate is enough, and not always necessary. The slack is the
proven bound less the objective: a candidate that earns more than its break-even would disprove the bound.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from defiyield_core.allocation.binding import TOLERANCE_SHARE
from defiyield_core.allocation.curves import Yields
from defiyield_core.allocation.limits import Limits, group_sums
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.units import BoolArray, FloatArray, IntArray

_POINTS = 17
"""Amounts that are tried where rates fall with the amount, and again between the neighbours of the best."""
_ROUNDS = 3


@dataclass(frozen=True)
class _Sources:
    """k sources of dollars.

    Attributes:
        pool: (k,) the position, or -1 for the wallet. share: (k, m) tokens that a dollar of it consists of.
        usd: (k,) what it can give. gas_usd: (k,) for giving any. refund_usd: (k,) gas saved when it gives everything.
        least_usd: (k,) smallest amount. keeps_usd: (k,) what must stay in it, unless the pool takes its place.
    """

    pool: IntArray
    share: FloatArray
    usd: FloatArray
    gas_usd: FloatArray
    refund_usd: FloatArray
    least_usd: FloatArray
    keeps_usd: FloatArray


def break_even_growth(
    problem: AllocationProblem,
    limits: Limits,
    final_usd: FloatArray,
    wallet_usd: FloatArray,
    share: FloatArray,
    is_open: BoolArray,
    fee: float,
    slack_usd: float,
) -> FloatArray:
    """(n,) growth over the horizon; NaN where the pool is closed or full, or no source can pay for it.

    Args:
        final_usd: (n,) positions after the plan. wallet_usd: (m,) wallet after it.
        share: (n, m) tokens that a dollar deposited consists of. is_open: (n,) takes deposits.
        fee: price of a dollar of fees. slack_usd: proven bound less objective.
    """
    if not len(final_usd):
        return np.zeros(0)
    sources = _sources(problem, limits, final_usd, wallet_usd, share)
    touched = _touched(limits, final_usd)
    dust = TOLERANCE_SHARE * limits.aum_usd
    room = np.where(is_open, limits.cap_usd - final_usd, 0.0)
    least = np.where(touched, dust, max(limits.min_transaction_usd, dust))
    smallest = np.maximum(least[:, None], sources.least_usd[None])
    largest = _largest(problem, limits, final_usd, room, sources)
    whole = _given_up(limits, final_usd, sources)
    largest = np.where(whole & (limits.idle_charge > 0) & (largest < sources.usd * (1 - 1e-9)), 0.0, largest)
    lacking = share[:, None, :] - sources.share[None]
    rate = problem.parameters.conversion_rate * np.maximum(lacking, 0.0).sum(axis=2)
    swaps = np.maximum(np.count_nonzero(lacking > 1e-9, axis=2), np.count_nonzero(lacking < -1e-9, axis=2))
    gas = np.where(touched, 0.0, limits.deposit_gas_usd)[:, None] + sources.gas_usd[None]
    gas = gas + problem.gas.conversion_usd * swaps
    allowed = (largest >= smallest) & (largest > 0) & (sources.pool[None] != np.arange(len(final_usd))[:, None])
    swap = _Swap(limits.yields, final_usd, sources, whole, gas * fee + slack_usd, rate, fee)
    largest = np.where(allowed, largest, 1.0)
    smallest = np.where(allowed, np.minimum(smallest, largest), 1.0)
    growth = np.where(allowed, swap.least(smallest, largest), np.inf).min(axis=1, initial=np.inf)
    return np.where(np.isfinite(growth), growth, np.nan)


def _touched(limits: Limits, final_usd: FloatArray) -> BoolArray:
    return np.asarray(np.abs(final_usd - limits.value_usd) > TOLERANCE_SHARE * limits.aum_usd)


def _sources(
    problem: AllocationProblem, limits: Limits, final_usd: FloatArray, wallet_usd: FloatArray, share: FloatArray
) -> _Sources:
    dust = TOLERANCE_SHARE * limits.aum_usd
    idle = np.flatnonzero(wallet_usd > dust)
    pools = np.flatnonzero((final_usd > dust) & problem.withdrawable & ~problem.must_exit)
    added = final_usd[pools] - limits.value_usd[pools]
    fresh, touched = added > dust, np.abs(added) > dust
    usd = np.where(fresh, added, final_usd[pools])
    # What the plan deposits are equal dollars and need no withdrawal; what was held comes out as it is.
    is_new = limits.value_usd[pools] <= 0
    held = np.where(fresh[:, None], share[pools], limits.token_share[pools])
    counted = limits.countable & (final_usd >= limits.floor_usd - dust) & (final_usd > 0)
    needed = counted[pools] & (counted.sum() <= limits.required_pools)
    zeros = np.zeros(len(idle))
    return _Sources(
        pool=np.concatenate([np.full(len(idle), -1), pools]),
        share=np.concatenate([np.eye(len(wallet_usd))[idle], held]),
        usd=np.concatenate([wallet_usd[idle], usd]),
        gas_usd=np.concatenate([zeros, np.where(touched, 0.0, limits.withdrawal_gas_usd[pools])]),
        refund_usd=np.concatenate([zeros, np.where(fresh & is_new, limits.deposit_gas_usd[pools], 0.0)]),
        least_usd=np.concatenate([zeros, np.where(touched, 0.0, np.minimum(limits.min_transaction_usd, usd))]),
        keeps_usd=np.concatenate([zeros, np.where(needed, limits.floor_usd[pools], 0.0)]),
    )


def _largest(
    problem: AllocationProblem, limits: Limits, final_usd: FloatArray, room: FloatArray, sources: _Sources
) -> FloatArray:
    """(n, k) most that each pool can take from each source."""
    spare = limits.group_cap_usd - group_sums(problem.group, final_usd)
    own_group = np.where(sources.pool >= 0, problem.group[np.maximum(sources.pool, 0)], 0)
    within = np.where(own_group[None] == problem.group[:, None], sources.usd[None], 0.0)
    largest = np.minimum(np.minimum(room[:, None], sources.usd[None]), spare[problem.group - 1][:, None] + within)
    is_new = final_usd <= 0
    # A source that the number of positions needs gives less, unless the pool takes its place among them.
    stands_in = is_new[:, None] & limits.countable[:, None] & (largest >= limits.floor_usd[:, None])
    stock = np.where(sources.pool >= 0, final_usd[np.maximum(sources.pool, 0)], np.inf)
    largest = np.where(stands_in, largest, np.minimum(largest, stock[None] - sources.keeps_usd[None]))
    if int((final_usd > 0).sum()) >= limits.allowed_pools:
        stays = (sources.usd < stock * (1 - 1e-9)) | (~stands_in & (sources.keeps_usd > 0))
        largest = np.where(is_new[:, None] & stays, 0.0, largest)
    return largest


def _given_up(limits: Limits, final_usd: FloatArray, sources: _Sources) -> BoolArray:
    """(n, k) swaps that leave the source in full: a new position in the place of one, where no more are allowed.

    What the pool has no room for stays idle, so with `full_allocation` it must have room for all of it.
    """
    as_many_as_allowed = int((final_usd > 0).sum()) >= limits.allowed_pools
    return np.asarray(as_many_as_allowed & (final_usd <= 0)[:, None] & (sources.pool >= 0)[None])


def member_shares(problem: AllocationProblem) -> FloatArray:
    """(n, m) tokens that a dollar deposited consists of: equal parts."""
    shares = np.zeros((len(problem.pool_ids), len(problem.tokens)))
    sizes = [len(members) for members in problem.pool_tokens]
    rows = np.repeat(np.arange(len(sizes)), sizes)
    columns = np.array([token for members in problem.pool_tokens for token in members], dtype=np.int64)
    shares[rows, columns] = 1.0 / np.repeat(sizes, sizes) if sizes else 1.0
    return shares


@dataclass(frozen=True)
class _Swap:
    """What moving D dollars from each of k sources into each of n pools takes, as a growth of the pool."""

    yields: Yields
    final_usd: FloatArray
    sources: _Sources
    whole: BoolArray
    fees_usd: FloatArray
    rate: FloatArray
    fee: float

    def least(self, smallest: FloatArray, largest: FloatArray) -> FloatArray:
        """(n, k) the least rate over amounts between `smallest` and `largest` (n, k)."""
        if self.yields.is_linear.all():
            positions = np.where(self.sources.pool >= 0, self.yields.growth[np.maximum(self.sources.pool, 0)], 0.0)
            given = np.where(self.whole, self.sources.usd, largest)
            return self.rate + (positions * given + self._fixed(largest)) / largest
        low, high = np.log(smallest), np.log(largest)
        best = np.full(largest.shape, np.inf)
        for _ in range(_ROUNDS):
            points = low[None] + np.linspace(0.0, 1.0, _POINTS)[:, None, None] * (high - low)[None]
            rates = self._at(np.exp(points))
            at = rates.argmin(axis=0)
            best = np.minimum(best, rates.min(axis=0))
            low, high = (
                np.take_along_axis(points, np.clip(at + side, 0, _POINTS - 1)[None], axis=0)[0] for side in (-1, 1)
            )
        return best

    def _at(self, usd: FloatArray) -> FloatArray:
        """(points, n, k) rates of amounts of that shape."""
        pools = self.sources.pool >= 0
        given = self.sources.pool[pools]
        curves = Yields(**{item.name: getattr(self.yields, item.name)[given] for item in fields(Yields)})
        lost = np.zeros(usd.shape)
        stock = self.final_usd[given]
        taken = np.where(self.whole, self.sources.usd, usd)[..., pools]
        lost[..., pools] = curves.usd(stock) - curves.usd(np.maximum(stock - taken, 0.0))
        unit = replace(self.yields, growth=np.ones(len(self.final_usd)))
        taking = np.moveaxis(usd, 1, -1)
        earned = np.moveaxis(unit.usd(self.final_usd + taking) - unit.usd(self.final_usd), -1, 1)
        cost = lost + self.rate * usd + self._fixed(usd)
        return np.divide(cost, earned, out=np.full(usd.shape, np.inf), where=earned > 0)

    def _fixed(self, usd: FloatArray) -> FloatArray:
        empties = self.whole | (usd >= self.sources.usd * (1 - 1e-9))
        return self.fees_usd - np.where(empties, self.sources.refund_usd * self.fee, 0.0)

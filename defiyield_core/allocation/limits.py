"""The rules of domain.md, section 8, worked out in dollars for one problem: caps, floors, groups, counts, gas.

Belongs here: which pools may be traded, and between which amounts. Does not belong here: how the best amounts are
found (`model`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from defiyield_core.allocation.curves import Yields, yields_for
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.errors import AllocationError
from defiyield_core.units import BoolArray, FloatArray, IntArray, growth_over

GROUPS = (1, 2, 3)
DUST_SHARE = 1e-7
"""Of AUM: no deposit and no new position that counts is smaller than this, even where no minimum is asked for."""


IDLE_CHARGE = 0.99
"""With `full_allocation`, what a dollar of idle cash costs the optimiser: cash stays idle only where caps and minimums
force it, or where moving it would cost more than the cash itself (at 1 or more, burning cash on fees would pay)."""


@dataclass(frozen=True)
class Limits:
    """What one problem allows, in USD. Shapes: n pools, m tokens.

    Attributes:
        aum_usd: wallet and positions before costs.
        growth: (n,) forecast growth over the horizon, a fraction. yields: growth in dollars of any position.
        idle_charge: what a dollar left in the wallet costs the score (0 without `full_allocation`).
        value_usd: (n,) positions before the decision.
        token_share: (n, m) share of each token in a position's value (rows of zeros without a position).
        can_deposit: (n,) the pool may take a deposit of at least the minimum transaction.
        can_withdraw: (n,) a withdrawal is allowed but not forced. exits: (n,) withdrawn in full, whatever it costs.
        position_cap_usd, pool_tvl_cap_usd: the two caps as given; `cap_usd` (n,) is the tighter one, never under the
            position.
        room_usd: (n,) what a deposit may add.
        floor_usd: (n,) smallest position that counts towards the required number; a drifted position counts as it is.
        group_cap_usd: (3,) largest sum of positions in groups 1, 2, 3, never under what is held.
        countable: (n,) positions in this pool count. required_pools: how many must be held.
        allowed_pools: how many may be held, never fewer than are held and may not be left; n without a limit.
        deposit_gas_usd, withdrawal_gas_usd: (n,) gas of touching the pool, all token legs.
        forced_target: (m,) token into which all of this token must be converted, -1 for none.
        leg_payer: (n, m) token that pays the gas of a withdrawal leg because it must, -1 where any token may.
        notes: what had to be relaxed.
    """

    aum_usd: float
    growth: FloatArray
    yields: Yields
    idle_charge: float
    value_usd: FloatArray
    token_share: FloatArray
    can_deposit: BoolArray
    can_withdraw: BoolArray
    exits: BoolArray
    position_cap_usd: float
    pool_tvl_cap_usd: FloatArray
    cap_usd: FloatArray
    room_usd: FloatArray
    floor_usd: FloatArray
    group_cap_usd: FloatArray
    countable: BoolArray
    required_pools: int
    allowed_pools: int
    min_transaction_usd: float
    deposit_gas_usd: FloatArray
    withdrawal_gas_usd: FloatArray
    forced_target: IntArray
    leg_payer: IntArray
    notes: tuple[str, ...]

    @cached_property
    def forced_legs(self) -> IntArray:
        """(n, m) withdrawal legs of each pool whose gas each token must pay."""
        counts = np.zeros_like(self.leg_payer)
        pools, tokens = np.nonzero(self.leg_payer >= 0)
        np.add.at(counts, (pools, self.leg_payer[pools, tokens]), 1)
        return counts


_last: tuple[AllocationProblem, Limits] | None = None


def limits_of(problem: AllocationProblem) -> Limits:
    """Work out the limits of a validated problem. Those of the last one are kept: solving and explaining share them.

    Raises:
        AllocationError: a forced conversion ends in a token that may not be converted into.
    """
    global _last
    known = _last
    if known is None or known[0] is not problem:
        known = _last = (problem, _worked_out(problem))
    return known[1]


def _worked_out(problem: AllocationProblem) -> Limits:
    rules, aum_usd, value_usd = problem.parameters, problem.aum_usd, problem.position_usd
    held = value_usd > 0
    token_usd = problem.positions * problem.token_prices
    exits = problem.must_exit & problem.withdrawable & held
    position_cap_usd = rules.position_cap_share * aum_usd
    pool_tvl_cap_usd = rules.pool_tvl_share * problem.tvl_usd
    cap_usd = np.maximum(np.minimum(position_cap_usd, pool_tvl_cap_usd), value_usd)
    room_usd = cap_usd - value_usd
    is_open = open_to_deposits(problem)
    can_deposit = is_open & (room_usd >= max(rules.min_transaction_value, DUST_SHARE * aum_usd))
    minimum_usd = max(rules.min_position_usd(aum_usd), DUST_SHARE * aum_usd)
    # A pool too small for a minimum position cannot be asked for one; a book too small for it is infeasible.
    large_enough = pool_tvl_cap_usd >= max(minimum_usd, rules.min_transaction_value)
    countable = is_open & (held | large_enough)
    required, notes = _required_pools(problem, countable)
    forced_target, forced_notes = _forced_targets(problem, token_usd, exits)
    legs = problem.is_member.sum(axis=1).astype(float)
    growth = growth_over(problem.apy, rules.horizon_days)
    yields, unknown = yields_of(problem, growth, cap_usd)
    kept = int((held & ~exits).sum())
    return Limits(
        aum_usd=aum_usd,
        growth=growth,
        yields=yields,
        idle_charge=IDLE_CHARGE if rules.full_allocation else 0.0,
        value_usd=value_usd,
        token_share=np.divide(token_usd, value_usd[:, None], out=np.zeros_like(token_usd), where=held[:, None]),
        can_deposit=can_deposit,
        can_withdraw=problem.withdrawable & held & ~exits,
        exits=exits,
        position_cap_usd=position_cap_usd,
        pool_tvl_cap_usd=pool_tvl_cap_usd,
        cap_usd=cap_usd,
        room_usd=room_usd,
        floor_usd=np.where(held, np.minimum(minimum_usd, value_usd), minimum_usd),
        group_cap_usd=np.maximum(np.array(rules.group_caps) * aum_usd, group_sums(problem.group, value_usd)),
        countable=countable,
        required_pools=required,
        allowed_pools=max(rules.max_pools, kept) if rules.max_pools else len(held),
        min_transaction_usd=rules.min_transaction_value,
        deposit_gas_usd=legs * problem.gas.deposit_usd,
        withdrawal_gas_usd=legs * problem.gas.withdrawal_usd,
        forced_target=forced_target,
        leg_payer=_leg_payers(problem, token_usd, forced_target),
        notes=(*notes, *forced_notes, *unknown),
    )


def yields_of(problem: AllocationProblem, growth: FloatArray, largest_usd: FloatArray) -> tuple[Yields, list[str]]:
    """Growth of the problem's pools by position, and a note about pools whose rate curve is not known."""
    rules = problem.parameters
    included_usd = problem.position_usd if rules.tvl_includes_positions else np.zeros(len(growth))
    yields, unknown = yields_for(
        rules.dilution, growth, problem.tvl_usd, included_usd, largest_usd, problem.rate_curves
    )
    if not unknown:
        return yields, []
    return yields, [f"dilution: pro_rata in {len(unknown)} pools without a usable rate curve"]


def group_sums(group: IntArray, value_usd: FloatArray) -> FloatArray:
    """(3,) sum of the positions in groups 1, 2 and 3."""
    return np.array([value_usd[group == number].sum() for number in GROUPS])


def open_to_deposits(problem: AllocationProblem) -> BoolArray:
    """Depositable, not to be left, and every token may be held: approved, on the peg and not to be converted away."""
    usable = problem.convertible_into & (problem.forced_target < 0)
    is_closed = (problem.is_member & ~usable).any(axis=1)
    return np.asarray(problem.depositable & ~problem.must_exit & ~is_closed)


def _required_pools(problem: AllocationProblem, countable: BoolArray) -> tuple[int, list[str]]:
    asked, possible = problem.parameters.required_pools, int(countable.sum())
    if asked <= possible:
        return asked, []
    return possible, [f"min_pools is {asked}, but only {possible} pools can take a minimum position"]


def _forced_targets(problem: AllocationProblem, token_usd: FloatArray, exits: BoolArray) -> tuple[IntArray, list[str]]:
    """Forced conversions that can pay for themselves; a balance smaller than its own conversion gas stays."""
    targets, notes = problem.forced_target.copy(), []
    net_rate = 1.0 - problem.parameters.conversion_rate
    for token in np.flatnonzero(targets >= 0):
        target, name = int(targets[token]), problem.tokens[token]
        if target >= len(problem.tokens) or not problem.convertible_into[target] or target == token:
            raise AllocationError(
                f"forced_target: {name} is to be converted into a token that is not convertible_into;"
                " name another target, or -1 for none"
            )
        delivered = problem.wallet_usd[token] + token_usd[exits, token].sum()
        if delivered > 0 and delivered * net_rate <= problem.gas.conversion_usd:
            targets[token] = -1
            notes.append(f"{name} stays: ${delivered:.2f} is less than the cost of converting it")
    return targets, notes


def _leg_payers(problem: AllocationProblem, token_usd: FloatArray, forced_target: IntArray) -> IntArray:
    """(n, m) who must pay for a withdrawal leg: the wallet may have nothing else when a pool is left.

    A token that must be converted pays for its own leg where that brings in more than its gas, and the largest such
    token also pays for the pool's legs that bring in less than theirs, as far as it can.
    """
    payer = np.full(token_usd.shape, -1, dtype=np.int64)
    gas = problem.gas.withdrawal_usd
    forced = forced_target >= 0
    if gas <= 0 or not forced.any():
        return payer
    able = forced & (token_usd > gas)
    for pool in map(int, np.flatnonzero(able.any(axis=1))):
        payer[pool, able[pool]] = np.flatnonzero(able[pool])
        largest = int(np.argmax(np.where(able[pool], token_usd[pool], 0.0)))
        left = token_usd[pool, largest] - gas
        for token in problem.pool_tokens[pool]:
            if payer[pool, token] < 0 and token_usd[pool, token] <= gas and left > gas:
                payer[pool, token], left = largest, left - gas
    return payer

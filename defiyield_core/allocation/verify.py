"""The re-evaluation of a decision outside the solver. What it finds is an error, never a warning.

Belongs here: every promise of domain.md, section 8, checked on the rows of the plan. Does not belong here: the
solver's variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from defiyield_core.allocation.execute import execute
from defiyield_core.allocation.limits import GROUPS, Limits, group_sums, limits_of
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.errors import AllocationError
from defiyield_core.units import BPS_PER_UNIT, BoolArray, FloatArray, to_bps

TOLERANCE_SHARE = 1e-9
"""Of AUM."""


@dataclass(frozen=True)
class _Traded:
    """What the rows of a plan add up to, in USD and legs."""

    deposits_usd: FloatArray
    withdrawals_usd: FloatArray
    gas_usd: float
    conversion_usd: float


def verify(
    problem: AllocationProblem, decision: AllocationDecision, limits: Limits | None = None, rounding_usd: float = 0.0
) -> None:
    """Run the plan and hold its result against the decision and the rules.

    Args:
        limits: of the problem, where they are known already. rounding_usd: allowed on top of the gap.

    Raises:
        AllocationError: naming the first promise that does not hold, and by how much.
    """
    tolerance = TOLERANCE_SHARE * problem.aum_usd
    wallet, positions = execute(problem, decision.transactions)
    prices = problem.token_prices
    _all_close(wallet * prices, decision.wallet * prices, tolerance, "the plan's wallet")
    _all_close(positions * prices, decision.positions * prices, tolerance, "the plan's positions")
    final_usd = positions @ prices
    after_usd = float(final_usd.sum() + wallet @ prices)
    traded = _traded(problem, decision)
    costs_usd = traded.gas_usd + traded.conversion_usd
    _close(after_usd, problem.aum_usd - costs_usd, tolerance, "money after the plan against AUM less costs")
    _close(decision.gas_usd, traded.gas_usd, tolerance, "the claimed gas")
    _close(decision.conversion_usd, traded.conversion_usd, tolerance, "the claimed conversion fees")
    limits = limits or limits_of(problem)
    growth_usd = float(limits.yields.usd(final_usd).sum())
    _close(decision.objective_usd, growth_usd - costs_usd, tolerance, "the claimed objective")
    hold_usd = float(limits.yields.usd(problem.position_usd).sum())
    _close(decision.hold_objective_usd, hold_usd, tolerance, "the objective of holding")
    if decision.status != "optimal":
        _require(costs_usd == 0 and not traded.deposits_usd.any(), f"a decision that is {decision.status} must hold")
        return
    gap_usd = decision.bound_usd - decision.objective_usd
    _require(-tolerance <= gap_usd, f"the objective is ${-gap_usd:.6g} above its proven bound")
    _require(
        decision.gap_bps <= problem.parameters.gap_bps * (1 + 1e-6) + to_bps(rounding_usd, problem.aum_usd),
        f"the gap of {decision.gap_bps:.4g} bps is wider than {problem.parameters.gap_bps} bps",
    )
    _close(gap_usd / max(problem.aum_usd, 1e-300) * BPS_PER_UNIT, decision.gap_bps, 1e-5, "the claimed gap in bps")
    _check_trades(problem, limits, traded, tolerance)
    _check_conversions(problem, limits, decision, wallet * prices, tolerance)
    _check_positions(problem, limits, final_usd, tolerance)


def _traded(problem: AllocationProblem, decision: AllocationDecision) -> _Traded:
    """Sums of the rows; each pool's legs must move equal dollars in, a constant share out, and carry their gas."""
    pools = {pool: index for index, pool in enumerate(problem.pool_ids)}
    tokens = {token: index for index, token in enumerate(problem.tokens)}
    shape = (len(pools), len(tokens))
    moved = {"ALLOCATION": np.zeros(shape), "WITHDRAWAL": np.zeros(shape)}
    gas = {"ALLOCATION": np.zeros(shape), "WITHDRAWAL": np.zeros(shape)}
    swaps: dict[tuple[str, str], float] = {}
    conversion_usd = 0.0
    for row in decision.transactions:
        if row.type in moved:
            place = row.to_location if row.type == "ALLOCATION" else row.from_location
            where = pools[place], tokens[row.token]
            moved[row.type][where] += row.amount * problem.token_prices[where[1]]
            gas[row.type][where] += row.gas_cost_usd
        elif row.type == "CONVERSION":
            fee = problem.parameters.conversion_rate * row.amount * problem.token_prices[tokens[row.token]]
            _close(row.conversion_cost_usd, fee, 1e-9 * (1 + fee), f"the conversion fee of row {row.seq}")
            conversion_usd += row.conversion_cost_usd
            swaps[row.token, row.to_token] = swaps.get((row.token, row.to_token), 0.0) + row.gas_cost_usd
        else:
            _require(row.total_cost_usd == 0, f"HOLD row {row.seq} costs money")
    _check_legs(problem, moved, gas)
    for pair, paid in swaps.items():
        _close(paid, problem.gas.conversion_usd, 1e-9 * (1 + paid), f"gas of converting {pair[0]} to {pair[1]}")
    gas_usd = float(gas["ALLOCATION"].sum() + gas["WITHDRAWAL"].sum() + sum(swaps.values()))
    deposits, withdrawals = moved["ALLOCATION"].sum(axis=1), moved["WITHDRAWAL"].sum(axis=1)
    return _Traded(deposits, withdrawals, gas_usd, conversion_usd)


def _check_legs(problem: AllocationProblem, moved: dict[str, FloatArray], gas: dict[str, FloatArray]) -> None:
    tolerance = TOLERANCE_SHARE * problem.aum_usd
    per_leg = {"ALLOCATION": problem.gas.deposit_usd, "WITHDRAWAL": problem.gas.withdrawal_usd}
    for kind, legs in moved.items():
        for pool in np.flatnonzero(legs.any(axis=1)):
            members, name = list(problem.pool_tokens[pool]), problem.pool_ids[pool]
            total = legs[pool].sum()
            if kind == "ALLOCATION":
                share = np.full(len(members), 1.0 / len(members))
            else:
                held = problem.positions[pool] * problem.token_prices
                share = held[members] / held.sum()
            gas_usd, due = gas[kind][pool][members], np.full(len(members), per_leg[kind])
            _all_close(legs[pool][members], share * total, tolerance, f"the token legs of the {kind} of pool {name}")
            _all_close(gas_usd, due, 1e-9 * (1 + per_leg[kind]), f"gas of the {kind} of {name}")


def _check_trades(problem: AllocationProblem, limits: Limits, traded: _Traded, tolerance: float) -> None:
    deposits, withdrawals = traded.deposits_usd, traded.withdrawals_usd
    least = limits.min_transaction_usd - tolerance
    is_in, is_out = deposits > 0, withdrawals > 0
    partial = is_out & (withdrawals < limits.value_usd - tolerance)
    pools = problem.pool_ids
    _none(is_in & is_out, pools, "is deposited to and withdrawn from at once")
    _none(is_in & ~limits.can_deposit, pools, "takes no deposit")
    _none(is_in & (deposits < least), pools, "is deposited to with less than the minimum transaction")
    _none(is_out & ~problem.withdrawable, pools, "allows no withdrawal")
    _none(partial & (withdrawals < least), pools, "is withdrawn from in part with less than the minimum transaction")


def _check_conversions(
    problem: AllocationProblem, limits: Limits, decision: AllocationDecision, wallet_usd: FloatArray, tolerance: float
) -> None:
    tokens = {token: index for index, token in enumerate(problem.tokens)}
    for row in decision.transactions:
        if row.type == "CONVERSION":
            target, forced = tokens[row.to_token], int(limits.forced_target[tokens[row.token]])
            _require(bool(problem.convertible_into[target]), f"{row.to_token} may not be converted into")
            _require(forced in (-1, target), f"{row.token} may only be converted into {problem.tokens[forced]}")
    left = np.where(limits.forced_target >= 0, wallet_usd, 0.0)
    _require(float(left.sum()) <= tolerance, "a token that must be converted completely is left in the wallet")


def _check_positions(problem: AllocationProblem, limits: Limits, final_usd: FloatArray, tolerance: float) -> None:
    excess_usd = final_usd - limits.cap_usd
    _none(excess_usd > tolerance, problem.pool_ids, f"is up to ${excess_usd.max(initial=0.0):.6g} above its cap")
    _none(limits.exits & (final_usd > 0), problem.pool_ids, "must be left, and is not")
    sums = group_sums(problem.group, final_usd)
    for number in GROUPS:
        excess = sums[number - 1] - limits.group_cap_usd[number - 1]
        _require(excess <= tolerance, f"group {number} is ${excess:.6g} above its cap")
    counted = limits.countable & (final_usd > 0) & (final_usd >= limits.floor_usd - tolerance)
    _require(
        int(counted.sum()) >= limits.required_pools,
        f"{int(counted.sum())} positions count, {limits.required_pools} are required",
    )
    held = int((final_usd > 0).sum())
    _require(held <= limits.allowed_pools, f"{held} positions are held, {limits.allowed_pools} are allowed")


def _all_close(values: FloatArray, expected: FloatArray, tolerance: float, what: str) -> None:
    _close(float(np.abs(values - expected).max(initial=0.0)), 0.0, tolerance, what)


def _close(value: float, expected: float, tolerance: float, what: str) -> None:
    difference = abs(value - expected)
    if not difference <= tolerance:
        raise AllocationError(f"re-evaluation failed: {what} differs by {difference:.6g} (allowed: {tolerance:.3g})")


def _none(broken: BoolArray, pools: Sequence[str], what: str) -> None:
    if broken.any():
        raise AllocationError(f"re-evaluation failed: pool {pools[int(np.argmax(broken))]} {what}")


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise AllocationError(f"re-evaluation failed: {problem}")

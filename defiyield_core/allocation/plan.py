"""From flows to the ordered rows of a plan that can be executed one by one.

Belongs here: which rows there are and in which order. Does not belong here: who pays their fees (`fees`), what a row
does (`execute`), how much is moved (`model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from defiyield_core.allocation.execute import execute
from defiyield_core.allocation.flows import Flows, balances_before_fees
from defiyield_core.allocation.limits import Limits
from defiyield_core.allocation.problem import WALLET, AllocationProblem, Transaction, TransactionType

__all__ = ["Movement", "execute", "hold_rows", "movements", "write"]
Payment = tuple[int, float]
"""Token and USD."""


@dataclass(frozen=True)
class Movement:
    """One row before its fees are assigned. `pool` is -1 for a conversion; elsewhere `target` equals `token`.

    `takes_all` empties the balance that the row takes from, however the dollars were rounded.
    """

    type: TransactionType
    pool: int
    token: int
    target: int
    usd: float
    gas_usd: float
    conversion_usd: float
    takes_all: bool = False

    @property
    def fee_usd(self) -> float:
        """Gas and conversion fee."""
        return self.gas_usd + self.conversion_usd


def movements(problem: AllocationProblem, limits: Limits, flows: Flows) -> list[Movement]:
    """Withdrawals, conversions, allocations, in an order in which fees can be paid.

    Withdrawals that bring in spendable cash come first, the largest first; forced conversions come before the others,
    because the others may spend what they bring.
    """
    idle = balances_before_fees(problem, limits, flows)
    rows = _withdrawals(problem, limits, flows, idle)
    for source, target in _conversion_order(problem, limits, flows):
        usd = flows.conversions_usd[source, target]
        fee = usd * problem.parameters.conversion_rate
        forced = bool(limits.forced_target[source] >= 0)
        rows.append(Movement("CONVERSION", -1, source, target, usd, problem.gas.conversion_usd, fee, forced))
    order = np.argsort(-flows.deposits_usd, kind="stable")
    for pool in order[flows.deposits_usd[order] > 0]:
        members = problem.pool_tokens[pool]
        usd = float(flows.deposits_usd[pool]) / len(members)
        rows.extend(
            Movement("ALLOCATION", int(pool), token, token, usd, problem.gas.deposit_usd, 0.0) for token in members
        )
    return rows


def _conversion_order(problem: AllocationProblem, limits: Limits, flows: Flows) -> list[tuple[int, int]]:
    """Forced conversions first, then always one whose source already has the money (it may be another's proceeds)."""
    balance = problem.wallet_usd + flows.withdrawals_usd @ limits.token_share
    waiting = sorted(flows.conversions_usd, key=lambda pair: (limits.forced_target[pair[0]] < 0, pair))
    order: list[tuple[int, int]] = []
    while waiting:
        short = [flows.conversions_usd[pair] - balance[pair[0]] for pair in waiting]
        forced = limits.forced_target[waiting[0][0]] >= 0
        tolerance = 1e-9 * limits.aum_usd
        ready = next((number for number, usd in enumerate(short) if forced or usd <= tolerance), int(np.argmin(short)))
        source, target = waiting.pop(ready)
        balance[source] -= flows.conversions_usd[source, target]
        balance[target] += flows.conversions_usd[source, target]
        order.append((source, target))
    return order


def _withdrawals(problem: AllocationProblem, limits: Limits, flows: Flows, idle: np.ndarray) -> list[Movement]:
    gas = problem.gas.withdrawal_usd
    rows: list[Movement] = []
    for pool in map(int, np.flatnonzero(flows.withdrawals_usd)):
        usd = flows.withdrawals_usd[pool] * limits.token_share[pool]
        in_full = bool(flows.withdrawals_usd[pool] == limits.value_usd[pool])
        rows.extend(
            Movement("WITHDRAWAL", pool, token, token, float(usd[token]), gas, 0.0, in_full)
            for token in problem.pool_tokens[pool]
        )
    spendable = np.where(limits.forced_target >= 0, 0.0, idle)
    best: dict[int, tuple[float, float]] = {}
    for row in rows:
        key = (min(spendable[row.token], row.usd), row.usd)
        best[row.pool] = max(best.get(row.pool, key), key)
    return sorted(
        rows,
        key=lambda row: (
            tuple(-value for value in best[row.pool]),
            row.pool,
            limits.leg_payer[row.pool, row.token] not in (-1, row.token),  # its payer arrives first
            -min(spendable[row.token], row.usd),
            -row.usd,
        ),
    )


def write(
    problem: AllocationProblem, rows: Sequence[Movement], payments: Sequence[Sequence[Payment]]
) -> tuple[Transaction, ...]:
    """Token amounts for every row, never above the balance it is taken from. HOLD rows of untouched positions come
    last.

    A row whose fee is paid in several tokens is written once for each of them, in proportion.
    """
    wallet, positions = problem.wallet.copy(), problem.positions.copy()
    plan: list[Transaction] = []
    for row, payment in zip(rows, payments, strict=True):
        # What a row brings in can pay once all of it has arrived.
        last = -1 if row.type == "ALLOCATION" else row.target
        paid = [part for part in payment if part[0] != last] + [part for part in payment if part[0] == last]
        whole = min(row.usd / float(problem.token_prices[row.token]), _available(problem, row, paid, wallet, positions))
        parts = [(token, usd / row.fee_usd) for token, usd in paid] if row.fee_usd > 0 else [(-1, 1.0)]
        for part, (token, share) in enumerate(parts):
            amount = whole * share
            if row.takes_all and part == len(parts) - 1:
                amount = _available(problem, row, paid[part:], wallet, positions)
            plan.append(_transaction(problem, len(plan) + 1, row, amount, share, token))
            _apply(problem, plan[-1], row, token, wallet, positions)
    touched = {row.pool for row in rows}
    return (*plan, *hold_rows(problem, touched, first_seq=len(plan) + 1))


def _available(
    problem: AllocationProblem, row: Movement, paid: Sequence[Payment], wallet: np.ndarray, positions: np.ndarray
) -> float:
    """Tokens that the row may take: the fee that it pays itself in the same token stays behind."""
    if row.type == "WITHDRAWAL":
        return float(positions[row.pool, row.token])
    own_fee_usd = sum(usd for token, usd in paid if token == row.token)
    return max(float(wallet[row.token]) - own_fee_usd / float(problem.token_prices[row.token]), 0.0)


def _transaction(
    problem: AllocationProblem, seq: int, row: Movement, amount: float, share: float, payer: int
) -> Transaction:
    amount_usd = amount * float(problem.token_prices[row.token])
    conversion = problem.parameters.conversion_rate * amount_usd if row.type == "CONVERSION" else 0.0
    source = problem.pool_ids[row.pool] if row.type == "WITHDRAWAL" else WALLET
    target = problem.pool_ids[row.pool] if row.type == "ALLOCATION" else WALLET
    return Transaction(
        seq=seq,
        type=row.type,
        from_location=source,
        to_location=target,
        token=problem.tokens[row.token],
        to_token=problem.tokens[row.target],
        amount=amount,
        amount_usd=amount_usd,
        gas_cost_usd=row.gas_usd * share,
        conversion_cost_usd=conversion,
        fee_token=problem.tokens[payer] if payer >= 0 else None,
    )


def _apply(
    problem: AllocationProblem,
    written: Transaction,
    row: Movement,
    payer: int,
    wallet: np.ndarray,
    positions: np.ndarray,
) -> None:
    """The same arithmetic as `execute`, on the working balances."""
    if row.type == "WITHDRAWAL":
        positions[row.pool, row.token] = max(positions[row.pool, row.token] - written.amount, 0.0)
        wallet[row.token] += written.amount
    else:
        wallet[row.token] = max(wallet[row.token] - written.amount, 0.0)
    if row.type == "CONVERSION":
        wallet[row.target] += written.amount * problem.token_prices[row.token] / problem.token_prices[row.target]
    if payer >= 0:
        wallet[payer] = max(wallet[payer] - written.total_cost_usd / problem.token_prices[payer], 0.0)


def hold_rows(problem: AllocationProblem, touched: set[int], first_seq: int = 1) -> tuple[Transaction, ...]:
    """A HOLD row for each token of each position that is not touched; of the wallet's balances when there is no
    other row."""
    held = (problem.positions > 0).nonzero()
    amounts = zip(held[0].tolist(), held[1].tolist(), problem.positions[held].tolist(), strict=True)
    places = [(problem.pool_ids[pool], token, amount) for pool, token, amount in amounts if pool not in touched]
    if not places and not touched:
        places = [(WALLET, token, amount) for token, amount in enumerate(problem.wallet.tolist()) if amount]
    prices = problem.token_prices.tolist()
    return tuple(
        Transaction(
            seq=first_seq + offset,
            type="HOLD",
            from_location=place,
            to_location=place,
            token=problem.tokens[token],
            to_token=problem.tokens[token],
            amount=amount,
            amount_usd=amount * prices[token],
            gas_cost_usd=0.0,
            conversion_cost_usd=0.0,
            fee_token=None,
        )
        for offset, (place, token, amount) in enumerate(places)
    )

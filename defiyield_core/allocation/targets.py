"""Move to given target positions, by rule and not by optimisation: what the simple policies need.

Belongs here: `move_to` (withdraw, convert, deposit towards targets, costs paid out of the cash).
Does not belong here: choosing the targets (see `policies`), the best plan (see `engine`).
Shapes: n pools, m tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from defiyield_core.allocation.execute import execute
from defiyield_core.allocation.hold import evaluate_hold
from defiyield_core.allocation.limits import group_sums, limits_of, open_to_deposits
from defiyield_core.allocation.plan import hold_rows
from defiyield_core.allocation.problem import WALLET, AllocationDecision, AllocationProblem, Transaction
from defiyield_core.units import FloatArray

_BISECTIONS = 50
_ROUNDING_SHARE = 1e-15
"""Of AUM: a few times the rounding of one sum. Larger slack would be found and used by the bisection."""


def move_to(
    problem: AllocationProblem, target_usd: FloatArray, group_cap_usd: FloatArray | None = None
) -> AllocationDecision:
    """Trade towards the targets as far as rules and cash allow.

    A full exit is always made where its gas can be paid. Another move is left out when it is smaller than
    `min_transaction_value` or not larger than its own gas. Pools that must exit are left, tokens that must be converted
    are (unless no cash pays for it; a note says so). No deposit goes into a pool with a token that may not be converted
    into. Deposits are scaled down together until they and every cost fit the cash. A position is not reduced for a
    deposit that is left out.

    Args:
        target_usd: (n,) wanted value of each position.
        group_cap_usd: (3,) largest sum of the positions of each group. Targets that keep to it may not be reached
            exactly; deposits are then cut until the sums hold.

    Returns:
        A decision of status `optimal` without a bound (NaN), since nothing was optimised; `held` when nothing moves.
    """
    problem.validate()
    book = _Book(problem, problem.wallet_usd.copy())
    target_usd = np.where(problem.must_exit, 0.0, target_usd)
    wanted = _deposits(problem, target_usd)
    taken = _withdrawals(problem, target_usd, float(wanted.sum()))
    notes = _withdraw(book, taken)
    for token in np.flatnonzero(problem.forced_target >= 0):
        target, balance_usd = int(problem.forced_target[token]), float(book.cash_usd[token])
        if balance_usd > 0 and not book.convert(int(token), target, balance_usd, all_of_it=True):
            notes.append(f"{problem.tokens[token]} must be converted, but its ${balance_usd:.2f} do not pay the gas")
    if group_cap_usd is not None:
        wanted = _within_groups(problem, wanted, book.left_usd, group_cap_usd)
    _deposit(book, _affordable(book, wanted))
    return _decision(problem, book, tuple(notes))


def _smallest_usd(problem: AllocationProblem, gas_per_leg_usd: float) -> FloatArray:
    """(n,) a partial move below this is left out."""
    legs = problem.is_member.sum(axis=1)
    return np.maximum(problem.parameters.min_transaction_value, legs * gas_per_leg_usd)


def _deposits(problem: AllocationProblem, target_usd: FloatArray) -> FloatArray:
    """(n,) what the targets ask for and the rules allow."""
    missing = np.maximum(target_usd - problem.position_usd, 0.0)
    allowed = open_to_deposits(problem) & (missing >= _smallest_usd(problem, problem.gas.deposit_usd))
    return np.where(allowed, missing, 0.0)


def _withdrawals(problem: AllocationProblem, target_usd: FloatArray, deposits_usd: float) -> FloatArray:
    """(n,) what leaves each position. Reductions that would only become idle cash are cut, the smallest first."""
    held_usd = problem.position_usd
    out = np.where(problem.withdrawable, np.maximum(held_usd - target_usd, 0.0), 0.0)
    full = (held_usd > 0) & (out >= held_usd * (1 - 1e-12))
    floor = _smallest_usd(problem, problem.gas.withdrawal_usd)
    out = np.where(full, held_usd, np.where(out >= floor, out, 0.0))
    meant_idle = max(problem.aum_usd - float(target_usd.sum()), 0.0)
    excess = float(problem.wallet_usd.sum() + out.sum()) - deposits_usd - meant_idle
    for pool in sorted(np.flatnonzero((out > 0) & ~full).tolist(), key=lambda pool: out[pool]):
        if excess <= problem.aum_usd * 1e-12:
            break
        less = out[pool] - excess if out[pool] - excess >= floor[pool] else 0.0
        if less > 0 or out[pool] <= excess:
            excess -= out[pool] - less
            out[pool] = less
    return out


def _withdraw(book: _Book, taken_usd: FloatArray) -> list[str]:
    """The largest first, and again where another one has brought the gas meanwhile. Returns what could not be left."""
    problem, held_usd = book.problem, book.problem.position_usd
    waiting = sorted(np.flatnonzero(taken_usd > 0).tolist(), key=lambda pool: -taken_usd[pool])
    paid = True
    while waiting and paid:
        unpaid = [pool for pool in waiting if not book.withdraw(pool, taken_usd[pool] / held_usd[pool])]
        paid = len(unpaid) < len(waiting)
        waiting = unpaid
    return [
        f"{problem.pool_ids[pool]} must be left, but no cash pays the gas"
        for pool in sorted(waiting)
        if problem.must_exit[pool]
    ]


def _within_groups(
    problem: AllocationProblem, wanted: FloatArray, left_usd: FloatArray, group_cap_usd: FloatArray
) -> FloatArray:
    """The deposits, scaled down in each group that they would lift over its cap."""
    room = np.maximum(group_cap_usd - group_sums(problem.group, left_usd), 0.0)
    asked = group_sums(problem.group, wanted)
    share = np.divide(np.minimum(room, asked), asked, out=np.ones_like(asked), where=asked > 0)
    return np.asarray(wanted * share[problem.group - 1])


@dataclass
class _Book:
    """Cash by token in dollars, and the rows that moved it."""

    problem: AllocationProblem
    cash_usd: FloatArray
    rows: list[Transaction] = field(default_factory=list)

    def copy(self) -> _Book:
        return _Book(self.problem, self.cash_usd.copy(), list(self.rows))

    @property
    def left_usd(self) -> FloatArray:
        """(n,) the positions less what was withdrawn."""
        return np.asarray(execute(self.problem, self.rows)[1] @ self.problem.token_prices)

    @property
    def rounding_usd(self) -> float:
        """What counts as nothing."""
        return _ROUNDING_SHARE * self.problem.aum_usd

    def withdraw(self, pool: int, fraction: float) -> bool:
        """Each token of the position, pro rata, gas out of the largest balance; False when a leg cannot be paid."""
        problem, gas = self.problem, self.problem.gas.withdrawal_usd
        taken = fraction * problem.positions[pool]
        arriving = taken * problem.token_prices
        legs = sorted(np.flatnonzero(taken).tolist(), key=lambda token: -arriving[token])
        cash = self.cash_usd.copy()
        for token in legs:
            cash[token] += arriving[token]
            if cash.max() < gas:
                return False
            cash[np.argmax(cash)] -= gas
        for token in legs:
            self.cash_usd[token] += arriving[token]
            self._row("WITHDRAWAL", problem.pool_ids[pool], WALLET, token, token, arriving[token], gas)
            # The very amount: dollars and back may leave dust behind.
            self.rows[-1] = replace(self.rows[-1], amount=float(taken[token]))
        return True

    def convert(self, source: int, target: int, usd: float, *, all_of_it: bool = False) -> bool:
        """Swap `usd` of the source, fees paid in the source; with `all_of_it` the fees come out of `usd`."""
        rate, gas = self.problem.parameters.conversion_rate, self.problem.gas.conversion_usd
        if all_of_it:
            usd = (usd - gas) / (1 + rate)
        if usd <= 0 or self.cash_usd[source] < usd * (1 + rate) + gas - self.rounding_usd:
            return False
        self.cash_usd[source] -= usd
        self.cash_usd[target] += usd
        self._row("CONVERSION", WALLET, WALLET, source, target, usd, gas, usd * rate, fee_token=source)
        return True

    def deposit(self, pool: int, usd: float, fee_token: int) -> None:
        """Equal dollars of each token of the pool."""
        problem = self.problem
        for token in problem.pool_tokens[pool]:
            leg = usd / len(problem.pool_tokens[pool])
            self.cash_usd[token] -= leg
            self._row(
                "ALLOCATION",
                WALLET,
                problem.pool_ids[pool],
                token,
                token,
                leg,
                problem.gas.deposit_usd,
                fee_token=fee_token,
            )

    def _row(
        self,
        kind: str,
        origin: str,
        destination: str,
        token: int,
        to_token: int,
        usd: float,
        gas_usd: float,
        conversion_usd: float = 0.0,
        fee_token: int | None = None,
    ) -> None:
        payer = int(np.argmax(self.cash_usd)) if fee_token is None else fee_token
        self.cash_usd[payer] -= gas_usd + conversion_usd
        self.rows.append(
            Transaction(
                seq=len(self.rows) + 1,
                type=kind,  # type: ignore[arg-type]
                from_location=origin,
                to_location=destination,
                token=self.problem.tokens[token],
                to_token=self.problem.tokens[to_token],
                amount=float(usd / self.problem.token_prices[token]),
                amount_usd=float(usd),
                gas_cost_usd=gas_usd,
                conversion_cost_usd=conversion_usd,
                fee_token=self.problem.tokens[payer] if gas_usd + conversion_usd > 0 else None,
            )
        )


def _affordable(book: _Book, wanted: FloatArray) -> FloatArray:
    """The deposits at the largest common scale that the cash can pay for; those that become too small drop out."""
    floor = np.maximum(_smallest_usd(book.problem, book.problem.gas.deposit_usd), book.rounding_usd)
    wanted = np.where(wanted >= floor, wanted, 0.0)
    while wanted.any():
        low, high = 0.0, 1.0
        if not _deposit(book.copy(), wanted):
            for _ in range(_BISECTIONS):
                middle = (low + high) / 2
                low, high = (middle, high) if _deposit(book.copy(), wanted * middle) else (low, middle)
        else:
            low = 1.0
        scaled = wanted * low
        small = (wanted > 0) & (scaled < floor)
        if not small.any():
            return scaled
        # The smallest go first: what they free may lift the others over the floor.
        wanted = wanted.copy()
        wanted[np.flatnonzero(small)[np.argmin(wanted[small])]] = 0.0
    return wanted


def _deposit(book: _Book, deposits_usd: FloatArray) -> bool:
    """Convert what is missing and deposit; False when the cash does not suffice (the book is then spoilt)."""
    problem = book.problem
    pools = np.flatnonzero(deposits_usd > 0)
    if not len(pools):
        return True
    need = np.zeros(len(problem.tokens))
    legs = 0
    for pool in pools:
        members = list(problem.pool_tokens[pool])
        need[members] += deposits_usd[pool] / len(members)
        legs += len(members)
    payer = int(np.argmax(book.cash_usd - need))
    need[payer] += legs * problem.gas.deposit_usd
    for source, target, usd in _conversions(book, need):
        if not book.convert(source, target, usd):
            return False
    if (book.cash_usd < need - book.rounding_usd).any():
        return False
    for pool in pools:
        book.deposit(int(pool), float(deposits_usd[pool]), payer)
    return bool((book.cash_usd >= -book.rounding_usd).all())


def _conversions(book: _Book, need: FloatArray) -> Iterator[tuple[int, int, float]]:
    """Source, target and dollars: each shortage met from the largest surplus first."""
    rate, gas = book.problem.parameters.conversion_rate, book.problem.gas.conversion_usd
    nothing = book.rounding_usd
    for target in np.flatnonzero(need > book.cash_usd + nothing):
        while need[target] - book.cash_usd[target] > nothing:
            spare = book.cash_usd - need
            source = int(np.argmax(spare))
            usable = (spare[source] - gas) / (1 + rate)
            if usable <= nothing:
                break
            yield source, int(target), float(min(usable, need[target] - book.cash_usd[target]))


def _decision(problem: AllocationProblem, book: _Book, notes: tuple[str, ...]) -> AllocationDecision:
    pools = {pool: index for index, pool in enumerate(problem.pool_ids)}
    touched = {pools.get(place, -1) for row in book.rows for place in (row.from_location, row.to_location)}
    plan = (*book.rows, *hold_rows(problem, touched, len(book.rows) + 1))
    wallet, positions = execute(problem, plan)
    limits = limits_of(problem)
    gas = sum(row.gas_cost_usd for row in book.rows)
    conversion = sum(row.conversion_cost_usd for row in book.rows)
    return AllocationDecision(
        status="optimal" if book.rows else "held",
        wallet=wallet,
        positions=positions,
        transactions=plan,
        gas_usd=gas,
        conversion_usd=conversion,
        objective_usd=float(limits.yields.usd(positions @ problem.token_prices).sum()) - gas - conversion,
        bound_usd=float("nan"),
        gap_bps=float("nan"),
        hold_objective_usd=evaluate_hold(problem, limits),
        notes=notes,
    )

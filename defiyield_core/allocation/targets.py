"""Move to given target positions, by rule and not by optimisation: what the simple policies need.

Belongs here: `move_to` (withdraw, convert, deposit towards targets, costs paid out of the cash).
Does not belong here: choosing the targets (see `policies`), the best plan (see `engine`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from defiyield_core.allocation.execute import execute
from defiyield_core.allocation.plan import hold_rows
from defiyield_core.allocation.problem import WALLET, AllocationDecision, AllocationProblem, Transaction
from defiyield_core.units import BoolArray, FloatArray, growth_over

_BISECTIONS = 50
_ROUNDING_SHARE = 1e-15
"""Of AUM: a few times the rounding of one sum. Larger slack would be found and used by the bisection."""


def move_to(problem: AllocationProblem, target_usd: FloatArray) -> AllocationDecision:
    """Trade towards the targets as far as rules and cash allow.

    A move smaller than `min_transaction_value` is left out (but a full exit). Pools that must exit are left, tokens
    that must be converted are (unless no cash pays for it; a note says so). No deposit goes into a pool with a token
    that may not be converted into. Deposits are scaled down together until they and every cost fit the cash.

    Args:
        target_usd: (n,) wanted value of each position.

    Returns:
        A decision of status `optimal` without a bound (NaN), since nothing was optimised; `held` when nothing moves.
    """
    problem.validate()
    book = _Book(problem, problem.wallet_usd.copy())
    held_usd = problem.position_usd
    floor = problem.parameters.min_transaction_value
    notes: list[str] = []
    for pool in range(len(problem.pool_ids)):
        out = held_usd[pool] if problem.must_exit[pool] else held_usd[pool] - target_usd[pool]
        full = out >= held_usd[pool] * (1 - 1e-12)
        if problem.withdrawable[pool] and held_usd[pool] > 0 and out > 0 and (full or out >= floor):
            paid = book.withdraw(pool, 1.0 if full else out / held_usd[pool])
            if problem.must_exit[pool] and not paid:
                notes.append(f"{problem.pool_ids[pool]} must be left, but no cash pays the gas")
    for token in np.flatnonzero(problem.forced_target >= 0):
        book.convert(int(token), int(problem.forced_target[token]), float(book.cash_usd[token]), all_of_it=True)
    wanted = np.where(_open_to_deposits(problem), np.maximum(target_usd - held_usd, 0.0), 0.0)
    wanted[wanted < floor] = 0.0
    _deposit(book, _affordable(book, wanted, floor))
    return _decision(problem, book, tuple(notes))


def _open_to_deposits(problem: AllocationProblem) -> BoolArray:
    """(n,) depositable, not to be left, and no token of it is off limits."""
    usable = problem.convertible_into & (problem.forced_target < 0)
    tokens = np.array([all(usable[token] for token in members) for members in problem.pool_tokens], dtype=bool)
    return np.asarray(problem.depositable & ~problem.must_exit & tokens)


@dataclass
class _Book:
    """Cash by token in dollars, and the rows that moved it."""

    problem: AllocationProblem
    cash_usd: FloatArray
    rows: list[Transaction] = field(default_factory=list)

    def copy(self) -> _Book:
        return _Book(self.problem, self.cash_usd.copy(), list(self.rows))

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


def _affordable(book: _Book, wanted: FloatArray, floor: float) -> FloatArray:
    """The deposits at the largest common scale that the cash can pay for; those that fall under the floor drop out."""
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
    growth = growth_over(problem.apy, problem.parameters.horizon_days)
    gas = sum(row.gas_cost_usd for row in book.rows)
    conversion = sum(row.conversion_cost_usd for row in book.rows)
    return AllocationDecision(
        status="optimal" if book.rows else "held",
        wallet=wallet,
        positions=positions,
        transactions=plan,
        gas_usd=gas,
        conversion_usd=conversion,
        objective_usd=float((positions @ problem.token_prices) @ growth) - gas - conversion,
        bound_usd=float("nan"),
        gap_bps=float("nan"),
        hold_objective_usd=float(problem.position_usd @ growth),
        binding=tuple("rule of the policy" for _ in problem.pool_ids),
        notes=notes,
    )

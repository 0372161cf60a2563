"""The allocation problem in whole units of money, for OR-tools CP-SAT: another kind of solver, exact in its integers.

Belongs here: the columns and rows of domain.md, section 8, in dollars, and the way back to flows. Does not belong
here: how dollars become integers, and what that rounding is worth (`whole_units`).

Two programmes are solved: one rounded inward, whose plan is feasible in dollars, and one rounded outward, whose bound
holds for plans in any fraction of a unit. Dilution is not solved: its curves are not linear.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from defiyield_core.allocation.engines.port import Proposal
from defiyield_core.allocation.engines.whole_units import Terms, Whole, WholeUnits, solve_whole
from defiyield_core.allocation.flows import Flows, tidied
from defiyield_core.allocation.limits import GROUPS, Limits
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.errors import AllocationError
from defiyield_core.units import BPS_PER_UNIT, FloatArray

LEAST_UNITS = 1e8
"""In AUM: the unit is the largest power of ten of a dollar (a cent from $1M to $10M) that leaves so many of them."""
LEAST_MOVEMENT_SHARE = 1e-7
"""Of AUM; no deposit or partial withdrawal is smaller, even without a minimum transaction."""
FORCED_SLACK = 2
"""Units by which a conversion of everything may seem to fall short: it is made exact afterwards."""


def propose(problem: AllocationProblem, limits: Limits) -> Proposal:
    """The best movements in whole units; `rounding_usd` says by how much finer amounts could be better.

    Raises:
        AllocationError: dilution is asked for, or the rates need more than 64 bits.
    """
    if not limits.yields.is_linear.all():
        raise AllocationError("engine: cp_sat does not solve dilution; use highs or cvxpy")
    parameters = problem.parameters
    deadline = time.perf_counter() + parameters.time_limit_seconds
    book = _Book(problem, limits, _unit_usd(limits.aum_usd))
    book.write()
    gap_usd = parameters.gap_bps / 4 * limits.aum_usd / BPS_PER_UNIT
    outer = solve_whole(book.programme, "outward", gap_usd, deadline)
    inner = outer
    if outer.status == "optimal":
        inner = solve_whole(book.programme, "inward", gap_usd, deadline)
    if inner.status == "timeout":
        limit = f"{parameters.time_limit_seconds:g} s"
        return Proposal("timeout", reason=f"no proof within {limit}: raise time_limit_seconds or gap_bps")
    if inner.status == "infeasible":
        return Proposal("infeasible", reason=_why_infeasible(book, outer))
    moves_usd = book.unit_usd * (len(book.withdrawal) + len(book.conversion))
    rounding_usd = max(outer.bound_usd - inner.bound_usd, 0.0) + inner.rounding_usd + moves_usd
    flows = tidied(limits, book.flows(inner.x), book.unit_usd / 2)
    return Proposal("optimal", flows, outer.bound_usd + book.constant_usd, rounding_usd, proof="whole units, both ways")


def _unit_usd(aum_usd: float) -> float:
    return float(10.0 ** math.floor(math.log10(aum_usd / LEAST_UNITS)))


def _why_infeasible(book: _Book, outer: Whole) -> str:
    limits = book.limits
    if outer.status == "optimal":
        return f"no plan in whole units of ${book.unit_usd:g} exists, though a finer one may: use engine highs or cvxpy"
    if limits.required_pools == 0 and limits.allowed_pools >= len(book.problem.pool_ids):
        return "forced exits or conversions cannot pay their own costs out of the wallet"
    return (
        f"no plan has {limits.required_pools} positions that count and at most {limits.allowed_pools} at all within the"
        f" caps and the AUM of ${limits.aum_usd:,.2f}, or forced exits cannot pay: lower min_pools or raise max_pools"
    )


@dataclass
class _Book:
    """The programme and where each quantity is. Keys are pools, or (from token, to token).

    `opening` (m,) is the wallet with the proceeds of forced exits. With z_t what is left of token t after every
    movement and before fees, "fees are paid out of the wallet in whatever split is best" is `z_t >= 0` and
    `sum z_t >= fees`.
    """

    problem: AllocationProblem
    limits: Limits
    unit_usd: float
    deposit: dict[int, int] = field(default_factory=dict)
    deposited: dict[int, int] = field(default_factory=dict)
    withdrawal: dict[int, int] = field(default_factory=dict)
    withdrawn: dict[int, int] = field(default_factory=dict)
    conversion: dict[tuple[int, int], int] = field(default_factory=dict)
    converted: dict[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = self.limits
        self.programme = WholeUnits(self.unit_usd)
        self.exiting = np.where(limits.exits, limits.value_usd, 0.0)
        self.opening = self.problem.wallet_usd + self.exiting @ limits.token_share
        self.forced = limits.forced_target >= 0
        self.forced_legs = limits.forced_legs

    @property
    def constant_usd(self) -> float:
        """What the score has besides the programme's objective: growth of what is there, exits' gas, idle cash."""
        limits = self.limits
        kept_usd = limits.value_usd - self.exiting
        exit_gas = float(limits.withdrawal_gas_usd[limits.exits].sum())
        idle = float(self.opening.sum()) - exit_gas
        return float(limits.growth @ kept_usd) - exit_gas - limits.idle_charge * idle

    def write(self) -> None:
        """Every column and row."""
        self._withdrawals()
        self._deposits()
        self._conversions()
        for token in range(len(self.opening)):
            self._token(token)
        self._timing()
        self._budget()
        self._groups()
        self._at_least()
        self._at_most()

    def _withdrawals(self) -> None:
        """Zero, or at least the minimum and what legs that pay themselves cost; a full exit may be smaller."""
        limits, programme, gas = self.limits, self.programme, self.problem.gas.withdrawal_usd
        least_usd = max(limits.min_transaction_usd, LEAST_MOVEMENT_SHARE * limits.aum_usd)
        for pool in map(int, np.flatnonzero(limits.can_withdraw & (limits.value_usd >= self.unit_usd))):
            most_usd = programme.units(limits.value_usd[pool]) * self.unit_usd
            legs, share = self.forced_legs[pool], limits.token_share[pool]
            own = [gas * legs[t] / share[t] + self.unit_usd for t in np.flatnonzero(legs)]
            amount = programme.amount(-limits.growth[pool] - limits.idle_charge, most_usd + self.unit_usd / 2)
            used = programme.switch(-limits.withdrawal_gas_usd[pool] * (1 - limits.idle_charge))
            self._zero_or_between(amount, used, min(max([least_usd, *own]), most_usd), most_usd)
            self.withdrawal[pool], self.withdrawn[pool] = amount, used

    def _deposits(self) -> None:
        """Zero, or at least the minimum, and within the room under the caps; never with a withdrawal."""
        limits, programme = self.limits, self.programme
        least_usd = max(limits.min_transaction_usd, LEAST_MOVEMENT_SHARE * limits.aum_usd)
        for pool in map(int, np.flatnonzero(limits.can_deposit)):
            most_usd = min(limits.room_usd[pool], limits.aum_usd)
            amount = programme.amount(limits.growth[pool] + limits.idle_charge, most_usd)
            used = programme.switch(-limits.deposit_gas_usd[pool] * (1 - limits.idle_charge))
            self._zero_or_between(amount, used, least_usd, most_usd)
            if pool in self.withdrawn:
                programme.count([(used, 1), (self.withdrawn[pool], 1)], 1)
            self.deposit[pool], self.deposited[pool] = amount, used

    def _conversions(self) -> None:
        """Into tokens that may be held; a token that must be converted only into its target."""
        keep = 1 - self.limits.idle_charge
        gas, rate = self.problem.gas.conversion_usd, self.problem.parameters.conversion_rate
        for source, forced in enumerate(self.limits.forced_target):
            open_to = self.problem.convertible_into & ~self.forced
            targets = [int(forced)] if forced >= 0 else np.flatnonzero(open_to).tolist()
            for target in targets:
                if target != source:
                    amount = self.programme.amount(-rate * keep, self.limits.aum_usd)
                    used = self.programme.switch(-gas * keep)
                    self._zero_or_between(amount, used, 0.0, self.limits.aum_usd)
                    self.conversion[source, target], self.converted[source, target] = amount, used

    def _zero_or_between(self, amount: int, used: int, least_usd: float, most_usd: float) -> None:
        most = self.programme.most[amount] * self.unit_usd
        self.programme.at_most([(amount, 1.0), (used, -min(most, most_usd))], 0.0)
        if least_usd > 0:
            self.programme.at_most([(amount, -1.0), (used, least_usd)], 0.0)

    def _leaving(self, token: int) -> Terms:
        """What leaves the wallet in a token less what comes in, by columns."""
        terms: Terms = []
        for pool, column in self.withdrawal.items():
            if self.limits.token_share[pool, token] > 0:
                terms.append((column, -float(self.limits.token_share[pool, token])))
        for pool, column in self.deposit.items():
            members = self.problem.pool_tokens[pool]
            if token in members:
                terms.append((column, 1.0 / len(members)))
        for (source, target), column in self.conversion.items():
            if token in (source, target):
                terms.append((column, 1.0 if token == source else -1.0))
        return terms

    def _token(self, token: int) -> None:
        """`z_t >= 0`; a token that must be converted ends at zero, to within what rounding leaves."""
        terms, available = self._leaving(token), float(self.opening[token])
        if self.forced[token]:
            gas = self.problem.gas.withdrawal_usd
            available -= gas * int(self.forced_legs[self.limits.exits, token].sum())
            legs = self.forced_legs[:, token]
            terms += [(used, gas * int(legs[pool])) for pool, used in self.withdrawn.items() if legs[pool]]
            opposite = [(column, -value) for column, value in terms]
            self.programme.at_most(opposite, FORCED_SLACK * self.unit_usd - available)
        self.programme.at_most(terms, available, fees=True)

    def _timing(self) -> None:
        """Each fee is paid by cash that is there by then and stays.

        Gas of withdrawals comes before any conversion arrives, fees of conversions before any but the forced ones do:
        what is converted only to pay fees might as well have paid them where it was.
        """
        problem, limits, gas = self.problem, self.limits, self.problem.gas
        others = np.array([len(members) for members in problem.pool_tokens]) - self.forced_legs.sum(axis=1)
        due: Terms = [(used, gas.withdrawal_usd * int(others[pool])) for pool, used in self.withdrawn.items()]
        certain = gas.withdrawal_usd * float(others[limits.exits].sum())
        forced = {pair: column for pair, column in self.conversion.items() if self.forced[pair[0]]}
        if forced:
            self._paid_early(due, certain, {})
        due += [(used, gas.conversion_usd) for used in self.converted.values()]
        due += [(column, problem.parameters.conversion_rate) for column in self.conversion.values()]
        self._paid_early(due, certain, forced)

    def _paid_early(self, due: Terms, certain: float, arrived: Mapping[tuple[int, int], int]) -> None:
        """`due` and `certain` are paid by tokens that have the money before conversions other than `arrived`."""
        early: Terms = []
        for token in map(int, np.flatnonzero(~self.forced)):
            paid, opening = self.programme.amount(0.0, self.limits.aum_usd), float(self.opening[token])
            brought = [(c, -float(self.limits.token_share[p, token])) for p, c in self.withdrawal.items()]
            brought += [(c, -1.0) for (_, target), c in arrived.items() if target == token]
            self.programme.at_most([(paid, 1.0), *self._leaving(token)], opening)
            self.programme.at_most([(paid, 1.0), *[term for term in brought if term[1] < 0]], opening)
            early.append((paid, -1.0))
        self.programme.at_most([*early, *due], -certain, fees=True)

    def _budget(self) -> None:
        """Deposits and every fee are paid out of the wallet and the withdrawals."""
        problem, limits = self.problem, self.limits
        terms: Terms = [(column, 1.0) for column in self.deposit.values()]
        terms += [(column, -1.0) for column in self.withdrawal.values()]
        terms += [(used, float(limits.deposit_gas_usd[pool])) for pool, used in self.deposited.items()]
        terms += [(used, float(limits.withdrawal_gas_usd[pool])) for pool, used in self.withdrawn.items()]
        terms += [(used, problem.gas.conversion_usd) for used in self.converted.values()]
        terms += [(column, problem.parameters.conversion_rate) for column in self.conversion.values()]
        cash = float(self.opening.sum()) - float(limits.withdrawal_gas_usd[limits.exits].sum())
        self.programme.at_most(terms, cash, fees=True)

    def _groups(self) -> None:
        group, kept = self.problem.group, self.limits.value_usd - self.exiting
        for number in GROUPS:
            terms = [(column, 1.0) for pool, column in self.deposit.items() if group[pool] == number]
            terms += [(column, -1.0) for pool, column in self.withdrawal.items() if group[pool] == number]
            room = float(self.limits.group_cap_usd[number - 1] - kept[group == number].sum())
            self.programme.at_most(terms, max(room, 0.0))

    def _at_least(self) -> None:
        """At least the required number of positions that count."""
        limits, programme, terms = self.limits, self.programme, []
        for pool in map(int, np.flatnonzero(limits.countable)):
            value, floor = float(limits.value_usd[pool]), float(limits.floor_usd[pool])
            counts = programme.switch(0.0)
            moved = [(self.deposit[pool], -1.0)] if pool in self.deposit else []
            moved += [(self.withdrawal[pool], 1.0)] if pool in self.withdrawal else []
            if 0 < value <= floor:
                left = [(self.withdrawn[pool], 1)] if pool in self.withdrawn else []
                programme.count([(counts, 1), *left], 1)
            elif value > 0:
                programme.at_most([*moved, (counts, floor)], value)
            else:
                programme.at_most([*moved, (counts, floor)], 0.0)
            terms.append((counts, -1))
        programme.count(terms, -limits.required_pools)

    def _at_most(self) -> None:
        """At most the allowed number of positions: a new one takes a place, one sold in full frees it."""
        limits, programme = self.limits, self.programme
        kept = (limits.value_usd > 0) & ~limits.exits
        terms = [(used, 1) for pool, used in self.deposited.items() if not kept[pool]]
        for amount in self.withdrawal.values():
            left = programme.switch(0.0)
            programme.at_most([(amount, -1.0), (left, programme.most[amount] * self.unit_usd)], 0.0)
            terms.append((left, -1))
        programme.count(terms, limits.allowed_pools - int(kept.sum()))

    def flows(self, x: FloatArray) -> Flows:
        """The dollars that move: full exits and conversions of everything made exact."""
        limits = self.limits
        deposits, withdrawals = np.zeros(len(limits.value_usd)), self.exiting.copy()
        for pool, column in self.deposit.items():
            deposits[pool] = x[column]
        for pool, column in self.withdrawal.items():
            full = x[column] >= self.programme.most[column] * self.unit_usd - self.unit_usd / 2
            withdrawals[pool] = limits.value_usd[pool] if full else x[column]
        conversions = _without_cycles({pair: float(x[c]) for pair, c in self.conversion.items() if x[c] > 0})
        gas = self.problem.gas.withdrawal_usd
        for source, target in [pair for pair in self.conversion if self.forced[pair[0]]]:
            delivered = self.problem.wallet_usd[source] + withdrawals @ limits.token_share[:, source]
            legs = int(self.forced_legs[withdrawals > 0, source].sum())
            conversions[source, target] = max(float(delivered) - gas * legs, 0.0)
        return Flows(deposits, withdrawals, conversions)


def _without_cycles(conversions: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    """The same net conversions with none that comes round again: where they are free, the solver does not mind."""
    left = dict(conversions)
    while (cycle := _cycle(left)) is not None:
        least = min(left[pair] for pair in cycle)
        left = {pair: usd - least if pair in cycle else usd for pair, usd in left.items()}
        left = {pair: usd for pair, usd in left.items() if usd > 0}
    return left


def _cycle(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]] | None:
    """Pairs that lead from a token back to it, or None."""
    waiting = [[pair] for pair in pairs]
    while waiting:
        path = waiting.pop()
        if path[-1][1] == path[0][0]:
            return path
        seen = {source for source, _ in path}
        waiting += [[*path, pair] for pair in pairs if pair[0] == path[-1][1] and pair[1] not in seen - {path[0][0]}]
    return None

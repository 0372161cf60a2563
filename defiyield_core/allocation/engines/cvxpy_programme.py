"""The programme of the cvxpy engine: domain.md, section 8, line by line, in named variables.

Belongs here: variables, constraints in the order of the specification, the objective, and reading a solution. Does not
belong here: the order of solves (`cvxpy_engine`), the curves of dilution (`cvxpy_dilution`).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import cvxpy as cp
import numpy as np

from defiyield_core.allocation.engines.cvxpy_dilution import Pieces
from defiyield_core.allocation.engines.port import ProposalStatus
from defiyield_core.allocation.flows import Flows
from defiyield_core.allocation.limits import GROUPS, Limits
from defiyield_core.allocation.problem import AllocationProblem, Prices
from defiyield_core.errors import AllocationError
from defiyield_core.units import BPS_PER_UNIT, FloatArray

PAD = 1e-6
"""Basis points of AUM added to each fee and each minimum, so that the solver's rounding breaks no rule."""
DUST = 1e-6
"""Basis points of AUM: a movement under it is none, and a position under it is not sold."""
LEAST_MOVEMENT = 1e-3
"""Basis points of AUM; no deposit or partial withdrawal is smaller, even without a minimum transaction."""
LEAST_CONVERSION_COST = 1e-6
"""Of the amount, while amounts are made exact: no conversion is larger than it need be, even where it is free."""


@dataclass(frozen=True)
class Quantities:
    """What constraints of your own may speak of: cvxpy expressions in USD. n pools, m tokens.

    Attributes:
        problem: for the order of pools and tokens, prices and labels.
        deposit, withdrawal: (n,) what moves. position: (n,) what is in each pool afterwards.
        conversion: (m, m) from the row's token into the column's. wallet: (m,) what is left of each token.
    """

    problem: AllocationProblem
    deposit: Any
    withdrawal: Any
    position: Any
    conversion: Any
    wallet: Any

    def pool(self, pool_id: str) -> int:
        """The number of a pool."""
        return self.problem.pool_ids.index(pool_id)

    def token(self, token: str) -> int:
        """The number of a token."""
        return self.problem.tokens.index(token)


Extra = Callable[[Quantities], Sequence[Any]]
"""Takes the quantities, returns cvxpy constraints. It may bring variables of its own, also binary ones."""


@dataclass(frozen=True)
class Choices:
    """The binaries: cvxpy variables, or numbers once they are chosen.

    Attributes:
        deposit, withdrawal: (n,) used. conversion: (m, m) used. held: (n,) a position is left. counts: (n,) it counts
            towards the required number. piece: (k,) the piece of its curve that a diluted pool is on.
    """

    deposit: Any
    withdrawal: Any
    conversion: Any
    held: Any
    counts: Any
    piece: Any

    @classmethod
    def open(cls, problem: AllocationProblem, pieces: Pieces) -> Choices:
        n, m = len(problem.pool_ids), len(problem.tokens)
        shapes = ((n,), (n,), (m, m), (n,), (n,), (len(pieces.pool),))
        names = [item.name for item in fields(cls)]
        # cvxpy cannot read the values of a boolean variable without entries.
        return cls(
            *(
                cp.Variable(shape, boolean=0 not in shape, name=f"{name}_used")
                for name, shape in zip(names, shapes, strict=True)
            )
        )

    def rounded(self) -> Choices:
        return Choices(*(np.round(getattr(self, item.name).value) for item in fields(self)))


class Programme:
    """The problem of section 8 in basis points of AUM; linear when the choices are numbers. Shapes: n, m, k pieces."""

    def __init__(
        self, problem: AllocationProblem, limits: Limits, pieces: Pieces, choices: Choices, extra: Extra | None
    ) -> None:
        self.problem, self.limits, self.pieces, self.choices, self.extra = problem, limits, pieces, choices, extra
        self.unit_usd = limits.aum_usd / BPS_PER_UNIT
        n, m, k = len(problem.pool_ids), len(problem.tokens), len(pieces.pool)
        self.value = limits.value_usd / self.unit_usd
        self.deposit: Any = cp.Variable(n, nonneg=True, name="deposit")
        self.withdrawal: Any = cp.Variable(n, nonneg=True, name="withdrawal")
        self.conversion: Any = cp.Variable((m, m), nonneg=True, name="conversion")
        self.wallet: Any = cp.Variable(m, nonneg=True, name="final_wallet")
        self.withdrawal_gas_paid: Any = cp.Variable(m, nonneg=True, name="withdrawal_gas_paid")
        self.later_fees_paid: Any = cp.Variable(m, nonneg=True, name="later_fees_paid")
        self.piece_position: Any = cp.Variable(k, nonneg=True, name="piece_position")
        self.piece_growth: Any = cp.Variable(k, name="piece_growth")
        self.position = self.value + self.deposit - self.withdrawal
        self.is_mixed = not isinstance(choices.deposit, np.ndarray)
        self._write(extra)

    def _write(self, extra: Extra | None) -> None:
        self.balance, self.payments = self._balance(), self._payments()
        self.groups = self._groups()
        constraints = [
            self.balance,
            *self.payments,
            *self._conversions(),
            *self._caps(),
            *self.groups,
            *self._counts(),
            *self._movements(),
            *self._dilution(),
            *([] if extra is None else extra(self._quantities())),
        ]
        tidy = 0.0 if self.is_mixed else LEAST_CONVERSION_COST * cp.sum(self.conversion)
        self.programme: Any = cp.Problem(cp.Maximize(self._objective() - tidy), constraints)

    def _objective(self) -> Any:
        """Growth less gas, conversion fees and the charge on idle cash."""
        limits, unit = self.limits, self.unit_usd
        straight = np.where(limits.yields.is_linear, limits.growth, 0.0)
        growth = straight @ self.position + cp.sum(self.piece_growth)
        gas = (
            limits.deposit_gas_usd / unit @ self.choices.deposit
            + limits.withdrawal_gas_usd / unit @ self.choices.withdrawal
            + self.problem.gas.conversion_usd / unit * cp.sum(self.choices.conversion)
        )
        fees = self.problem.parameters.conversion_rate * cp.sum(self.conversion)
        return growth - gas - fees - limits.idle_charge * cp.sum(self.wallet)

    def _balance(self) -> Any:
        """Per token: wallet + withdrawn + converted in = final wallet + deposited + converted out + fees paid in it."""
        deposited = self._token_parts().T @ self.deposit
        fees = self.withdrawal_gas_paid + self.later_fees_paid
        return (
            self.problem.wallet_usd / self.unit_usd + self._withdrawn() + cp.sum(self.conversion, axis=0)
            == self.wallet + deposited + cp.sum(self.conversion, axis=1) + fees
        )

    def _payments(self) -> list[Any]:
        """Fees are paid out of the wallet in whatever split is best, each when it falls due.

        The gas of withdrawals falls due before conversions arrive. A token that must be converted completely pays
        nothing but the gas of the legs that bring it in, and those it must pay.
        """
        problem, limits, unit, choices = self.problem, self.limits, self.unit_usd, self.choices
        forced, itself = limits.forced_target >= 0, limits.forced_legs
        leg_gas = problem.gas.withdrawal_usd / unit
        legs = np.array([len(members) for members in problem.pool_tokens], dtype=float)
        withdrawal_gas = leg_gas * itself.sum(axis=1) + _padded(leg_gas) * (legs - itself.sum(axis=1))
        later = _padded(limits.deposit_gas_usd / unit) @ choices.deposit
        later += _padded(problem.gas.conversion_usd / unit) * cp.sum(choices.conversion)
        later += problem.parameters.conversion_rate * cp.sum(self.conversion)
        opening = problem.wallet_usd / unit
        return [
            cp.sum(self.later_fees_paid) == later,
            cp.sum(self.withdrawal_gas_paid) == withdrawal_gas @ choices.withdrawal,
            self.withdrawal_gas_paid[forced] == leg_gas * itself.T[forced] @ choices.withdrawal,
            self.withdrawal_gas_paid[~forced] <= opening[~forced] + self._withdrawn()[~forced],
            self.later_fees_paid[forced] == 0,
        ]

    def _conversions(self) -> list[Any]:
        """Only into tokens that may be held; a token that must be converted goes into its target, all of it."""
        forced, m = self.limits.forced_target, len(self.problem.tokens)
        allowed = np.tile(self.problem.convertible_into & (forced < 0), (m, 1)) & ~np.eye(m, dtype=bool)
        for token in np.flatnonzero(forced >= 0):
            allowed[token] = np.arange(m) == forced[token]
        supply = self.problem.wallet_usd / self.unit_usd + self.limits.token_share.T @ self.value
        return [
            self.conversion <= cp.multiply((supply.sum() + PAD) * allowed, self.choices.conversion),
            self.wallet[forced >= 0] == 0,
        ]

    def _caps(self) -> list[Any]:
        """V_p within the position cap and the TVL cap, which never lie under the position there is."""
        return [self.position <= self.limits.cap_usd / self.unit_usd]

    def _groups(self) -> list[Any]:
        """Sums of groups 1, 2 and 3."""
        member = np.array([self.problem.group == number for number in GROUPS], dtype=float)
        # As sums of what moves: what is held need not cancel out against a cap that it exceeds.
        room = self.limits.group_cap_usd / self.unit_usd - member @ self.value
        return [member @ (self.deposit - self.withdrawal) <= np.maximum(room, 0.0)]

    def _counts(self) -> list[Any]:
        """At least `required_pools` that count, at most `allowed_pools` that are held."""
        limits, choices = self.limits, self.choices
        cap, floor = limits.cap_usd / self.unit_usd, limits.floor_usd / self.unit_usd
        padded = np.where(self.value > 0, np.minimum(floor + PAD, self.value), np.minimum(floor + PAD, cap))
        rows = [
            self.position >= cp.multiply(np.maximum(floor, padded), choices.counts),
            self.position <= cp.multiply(cap, choices.held),
            cp.sum(choices.held) <= limits.allowed_pools,
        ]
        if self.is_mixed:
            rows += [choices.counts <= limits.countable.astype(float), cp.sum(choices.counts) >= limits.required_pools]
        return rows

    def _movements(self) -> list[Any]:
        """A movement is zero or at least the minimum transaction; a full exit may be smaller; a forced one is full."""
        limits, choices, unit = self.limits, self.choices, self.unit_usd
        least = max(limits.min_transaction_usd / unit + PAD, LEAST_MOVEMENT)
        room = np.where(limits.can_deposit, limits.room_usd / unit, 0.0)
        room = np.minimum(room, BPS_PER_UNIT)
        sellable = np.where((limits.can_withdraw & (self.value > DUST)) | limits.exits, self.value, 0.0)
        # A leg that pays its own gas must be large enough for it.
        legs = limits.forced_legs
        share = np.divide(limits.token_share, legs, out=np.full(legs.shape, np.inf), where=legs > 0).min(
            axis=1, initial=np.inf
        )
        smallest = np.maximum(least, self.problem.gas.withdrawal_usd / unit / share + PAD)
        rows = [
            self.deposit <= cp.multiply(room, choices.deposit),
            self.deposit >= cp.multiply(np.minimum(least, room), choices.deposit),
            self.withdrawal <= cp.multiply(sellable, choices.withdrawal),
            self.withdrawal >= cp.multiply(np.minimum(smallest, sellable), choices.withdrawal),
            self.withdrawal[limits.exits] == self.value[limits.exits],
        ]
        if self.is_mixed:
            idle = (room > 0).astype(float), (sellable > 0).astype(float)
            rows += [
                choices.deposit + choices.withdrawal <= 1,
                choices.deposit <= idle[0],
                choices.withdrawal <= idle[1],
                choices.withdrawal[limits.exits] == 1,
            ]
        return rows

    def _dilution(self) -> list[Any]:
        """Each diluted position is on one concave piece of its curve, and its growth is under every tangent."""
        pieces, on = self.pieces, self.choices.piece
        pools, owner = pieces.pools, pieces.owner()
        rows = [
            owner @ self.piece_position == self.position[pools],
            self.piece_position >= cp.multiply(pieces.low, on),
            self.piece_position <= cp.multiply(pieces.high, on),
        ]
        for slope, intercept in pieces.tangents:
            rows.append(self.piece_growth <= cp.multiply(slope, self.piece_position) + cp.multiply(intercept, on))
        if self.is_mixed:
            rows += [
                owner @ on <= 1,
                (owner @ on)[self.value[pools] == 0] <= self.choices.deposit[pools[self.value[pools] == 0]],
            ]
        return rows

    def _withdrawn(self) -> Any:
        return self.limits.token_share.T @ self.withdrawal

    def _token_parts(self) -> FloatArray:
        """(n, m) a deposit puts equal dollars in each token of the pool."""
        parts = np.zeros(self.limits.token_share.shape)
        for pool, members in enumerate(self.problem.pool_tokens):
            parts[pool, list(members)] = 1.0 / len(members)
        return parts

    def _quantities(self) -> Quantities:
        amounts = (self.deposit, self.withdrawal, self.position, self.conversion, self.wallet)
        return Quantities(self.problem, *(self.unit_usd * amount for amount in amounts))

    def solve(self, deadline: float, gap: float) -> ProposalStatus:
        """Maximise, to an absolute gap in basis points of AUM."""
        seconds = max(deadline - time.perf_counter(), 1e-3)
        # cvxpy hands every option on to HiGHS.
        options = {"threads": 1, "random_seed": 0, "time_limit": seconds, "primal_feasibility_tolerance": 1e-9}
        if self.is_mixed:
            options |= {"mip_rel_gap": 0.0, "mip_abs_gap": gap, "mip_feasibility_tolerance": 1e-8}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.programme.solve(solver=cp.HIGHS, **options)
        except (cp.error.SolverError, cp.error.DCPError) as error:
            raise AllocationError(f"cvxpy could not solve the problem: {error}") from error
        status = self.programme.status
        if status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
            return "optimal"
        return "timeout" if status == cp.USER_LIMIT else "infeasible"

    @property
    def bound(self) -> float:
        """Proven upper bound of the score, in units."""
        found: Any = self.programme.solver_stats.extra_stats
        return float(self.programme.value + found.objective_function_value - found.mip_dual_bound)

    @property
    def overstated(self) -> float:
        """By how much the growth that the tangents allow is above the curves, in units."""
        true = self.pieces.growth(self.piece_position.value, self.choices.piece)
        return float(self.piece_growth.value.sum() - true.sum())

    @property
    def score(self) -> float:
        """The true score of the amounts, in units."""
        return float(self._objective().value) - self.overstated

    def flows(self) -> Flows:
        """The dollars that move."""
        usd = self.conversion.value * self.unit_usd
        return Flows(
            self.deposit.value * self.unit_usd,
            self.withdrawal.value * self.unit_usd,
            {(int(i), int(j)): float(usd[i, j]) for i, j in np.argwhere(self.choices.conversion > 0)},
        )

    def prices(self) -> Prices | None:
        """Dual prices for the choices made; None where a constraint of `extra` has whole numbers of its own."""
        if self.balance.dual_value is None:
            return None
        cash, fee = -self.balance.dual_value, self.payments[0].dual_value
        return Prices(np.atleast_1d(cash), np.atleast_1d(self.groups[0].dual_value), 1.0 - float(fee))


def _padded(fee: Any) -> Any:
    """A little more than the fee, in units; nothing where it is nothing."""
    return fee + PAD * (np.asarray(fee) > 0)

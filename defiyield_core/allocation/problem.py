"""The two frozen dataclasses that the optimiser stands between, and the refusal of malformed problems.

Shapes: n pools, m tokens. Amounts are in token units, `*_usd` in dollars, rates are fractions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Literal

import numpy as np

from defiyield_core.allocation.curves import RateCurve
from defiyield_core.errors import AllocationError
from defiyield_core.parameters import Parameters
from defiyield_core.units import BoolArray, FloatArray, IntArray

Status = Literal["optimal", "infeasible", "timeout", "held"]
TransactionType = Literal["WITHDRAWAL", "CONVERSION", "ALLOCATION", "HOLD"]
WALLET = "wallet"


@dataclass(frozen=True)
class GasCosts:
    """USD of one token leg of each kind (a deposit into a pool of two tokens is two legs)."""

    deposit_usd: float
    withdrawal_usd: float
    conversion_usd: float


@dataclass(frozen=True)
class AllocationProblem:
    """Everything a decision may know.

    Attributes:
        tokens: m canonical tokens; all of them are approved, or held inside positions.
        token_prices: (m,) USD.
        wallet: (m,) token amounts.
        convertible_into: (m,) bool, tokens that conversions may end in and deposits may use (approved and on the peg).
        forced_target: (m,) index of the token into which every wallet unit of this token must be converted, -1 for
            none.
        pool_ids, pool_symbols, pool_protocols: n labels.
        pool_tokens: n tuples of token indices, the T(p) of the domain; a deposit puts equal dollars in each.
        apy: (n,) forecast mean APY over the horizon. tvl_usd: (n,) TVL that caps the position. group: (n,) 1, 2 or 3.
        depositable, withdrawable, must_exit: (n,) bool.
        positions: (n, m) token amounts.
        gas: USD per leg.
        rate_curves: of lending pools whose total supply is known, by pool number (for `dilution: rate_curve`).
    """

    as_of: date
    tokens: tuple[str, ...]
    token_prices: FloatArray
    wallet: FloatArray
    convertible_into: BoolArray
    forced_target: IntArray
    pool_ids: tuple[str, ...]
    pool_symbols: tuple[str, ...]
    pool_protocols: tuple[str, ...]
    pool_tokens: tuple[tuple[int, ...], ...]
    apy: FloatArray
    tvl_usd: FloatArray
    group: IntArray
    depositable: BoolArray
    withdrawable: BoolArray
    must_exit: BoolArray
    positions: FloatArray
    gas: GasCosts
    parameters: Parameters
    rate_curves: Mapping[int, RateCurve] = field(default_factory=dict)

    @cached_property
    def position_usd(self) -> FloatArray:
        """(n,) value of each position."""
        return _fixed(np.asarray(self.positions @ self.token_prices, dtype=float))

    @cached_property
    def wallet_usd(self) -> FloatArray:
        """(m,) value of each wallet balance."""
        return _fixed(self.wallet * self.token_prices)

    @cached_property
    def aum_usd(self) -> float:
        """Wallet and positions before costs."""
        return float(self.wallet_usd.sum() + self.position_usd.sum())

    def validate(self) -> None:
        """Refuse what no solver should see.

        Raises:
            AllocationError: naming the field, the entry and what was expected.
        """
        n, m = len(self.pool_ids), len(self.tokens)
        for name, values in (("pool_ids", self.pool_ids), ("tokens", self.tokens)):
            if len(set(values)) < len(values):
                repeated = sorted({value for value in values if values.count(value) > 1})
                raise AllocationError(f"{name}: {repeated} are listed twice")
        for name, shape in (
            ("token_prices", (m,)),
            ("wallet", (m,)),
            ("convertible_into", (m,)),
            ("forced_target", (m,)),
            ("apy", (n,)),
            ("tvl_usd", (n,)),
            ("group", (n,)),
            ("depositable", (n,)),
            ("withdrawable", (n,)),
            ("must_exit", (n,)),
            ("positions", (n, m)),
        ):
            if getattr(self, name).shape != shape:
                raise AllocationError(f"{name}: shape {getattr(self, name).shape} where {shape} was expected")
        for name in ("token_prices", "wallet", "apy", "tvl_usd", "positions"):
            values = getattr(self, name)
            if not np.isfinite(values).all():
                raise AllocationError(f"{name}: {int((~np.isfinite(values)).sum())} values are not finite")
            if name == "apy":
                if (values < -1).any():
                    raise AllocationError("apy: below -1")
            elif (values < 0).any():
                raise AllocationError(f"{name}: negative values")
        if m and (self.token_prices <= 0).any():
            without = [t for t, p in zip(self.tokens, self.token_prices, strict=True) if p <= 0]
            raise AllocationError(f"token_prices: no price for {without}")
        if not ((self.group == 1) | (self.group == 2) | (self.group == 3)).all():
            raise AllocationError("group: must be 1, 2 or 3")
        if (
            min(self.gas.deposit_usd, self.gas.withdrawal_usd, self.gas.conversion_usd) < 0
            or not np.isfinite([self.gas.deposit_usd, self.gas.withdrawal_usd, self.gas.conversion_usd]).all()
        ):
            raise AllocationError("gas: costs must be finite and not negative")
        self._validate_pool_tokens()

    @cached_property
    def is_member(self) -> BoolArray:
        """(n, m) the token is one of the pool's."""
        member = np.zeros((len(self.pool_ids), len(self.tokens)), dtype=bool)
        pools = np.repeat(np.arange(len(self.pool_tokens)), [len(members) for members in self.pool_tokens])
        member[pools, [token for members in self.pool_tokens for token in members]] = True
        return member

    def _validate_pool_tokens(self) -> None:
        for pool, members in zip(self.pool_ids, self.pool_tokens, strict=True):
            if not members or (len(members) > 1 and len(set(members)) != len(members)):
                raise AllocationError(f"pool_tokens: pool {pool} must have distinct tokens")
            if min(members) < 0 or max(members) >= len(self.tokens):
                raise AllocationError(f"pool_tokens: pool {pool} names a token not in the problem")
        outside = ((self.positions > 0) & ~self.is_member).any(axis=1)
        if outside.any():
            raise AllocationError(f"positions: pool {self.pool_ids[np.argmax(outside)]} holds a token not its own")


def _fixed(values: FloatArray) -> FloatArray:
    """The array, which nobody may write into: it is handed out more than once."""
    values.flags.writeable = False
    return values


@dataclass(frozen=True)
class Transaction:
    """One row of the plan. `amount` and `amount_usd` are gross; costs are paid in `fee_token` out of the wallet."""

    seq: int
    type: TransactionType
    from_location: str
    to_location: str
    token: str
    to_token: str
    amount: float
    amount_usd: float
    gas_cost_usd: float
    conversion_cost_usd: float
    fee_token: str | None

    @property
    def total_cost_usd(self) -> float:
        """Gas and conversion fee."""
        return self.gas_cost_usd + self.conversion_cost_usd


@dataclass(frozen=True)
class Prices:
    """What one more dollar would add to the objective at the optimum: the dual prices of the proof.

    Attributes:
        cash: (m,) a dollar more of each token in the wallet. group: (3,) a dollar more room under each group cap.
        fee: a dollar more of fees costs this (1 and what the cash would have earned).
    """

    cash: FloatArray
    group: FloatArray
    fee: float


@dataclass(frozen=True)
class AllocationDecision:
    """What to do, what it costs, and the proof.

    Attributes:
        wallet: (m,) final token amounts. positions: (n, m) final token amounts.
        objective_usd: growth over the horizon less gas and conversion fees, recomputed from the plan.
        bound_usd: proven upper bound. gap_bps: their difference in basis points of AUM.
        hold_objective_usd: the objective of doing nothing.
        reason: why the status is not optimal; empty otherwise.
        prices: dual prices of an optimal decision; None where nothing was optimised.
        proof: how the bound was proven: `certificate` where one linear programme settles that nothing should move.
    """

    status: Status
    wallet: FloatArray
    positions: FloatArray
    transactions: tuple[Transaction, ...]
    gas_usd: float
    conversion_usd: float
    objective_usd: float
    bound_usd: float
    gap_bps: float
    hold_objective_usd: float
    reason: str = ""
    notes: tuple[str, ...] = ()
    prices: Prices | None = field(default=None, compare=False)
    proof: str = field(default="", compare=False)
    solve_seconds: float = field(default=0.0, compare=False)

    @property
    def costs_usd(self) -> float:
        """Gas and conversion fees."""
        return self.gas_usd + self.conversion_usd

    @property
    def gain_over_hold_usd(self) -> float:
        """What the decision promises above doing nothing, over the horizon and net of costs."""
        return self.objective_usd - self.hold_objective_usd

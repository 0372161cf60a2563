"""The loop over steps: hold as long as that is proven to be best, else decide, execute and book.

Belongs here: the order of work, one decided step. Does not belong here: the bound (`gate`), the money of steps without
a movement (`holding`), the optimiser (`allocation`).

Steps that hold need no loop: a stretch of them is accrued, checked and certified in arrays. A step at which old prices
prove nothing gets fresh ones (`pricing`), then a few branches (`branch`); the optimiser decides what these do not, like
a day of `portfolio.day`. A stretch is computed ahead, but each of its steps sees only what its own view would show.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from defiyield_core.allocation.engine import solve
from defiyield_core.allocation.problem import AllocationDecision
from defiyield_core.errors import ConfigurationError, LedgerError
from defiyield_core.hourly.branch import is_proven
from defiyield_core.hourly.gate import GatePrices, Moves, can_prove, completed, gains_usd, moves_of
from defiyield_core.hourly.holding import Book, Holding, hold_on
from defiyield_core.hourly.market import StepMarket, narrowed
from defiyield_core.hourly.prepared import PreparedMarket, prepare
from defiyield_core.hourly.pricing import Pricer
from defiyield_core.hourly.programme import Solver
from defiyield_core.hourly.records import PROOFS, STATUSES, Records
from defiyield_core.policies.port import Framed, frame_problem
from defiyield_core.portfolio.day import identity_tolerance_usd
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import PortfolioState, starting_state
from defiyield_core.units import FloatArray, IntArray

HOPELESS = 100.0
"""Multiples of the allowed gap: a bound above them is nearly always a move, and the whole problem is solved at once."""
LONGEST_STRETCH, SHORTEST_STRETCH = 24, 8
_OK, _NO_POOLS, _DATA_MISSING = (STATUSES.index(name) for name in ("ok", "no_pools", "data_missing"))
_STATUS = {"optimal": "ok", "held": "ok", "infeasible": "solver_infeasible", "timeout": "timeout"}
_NOT_DECIDED, _GATE, _PRICES, _BRANCHES, _SOLVER = range(len(PROOFS))


@dataclass(frozen=True)
class StepRun:
    """A finished run.

    Attributes:
        frame: a row a step (see `Records.frame`). positions: at the end of each day. transactions: with their moment.
        seconds: of the loop, records included.
    """

    frame: pd.DataFrame
    positions: pd.DataFrame
    transactions: pd.DataFrame
    seconds: float

    @property
    def steps_per_second(self) -> float:
        """Speed of the loop."""
        return len(self.frame) / self.seconds if self.seconds > 0 else float("inf")

    @cached_property
    def shares(self) -> dict[str, float]:
        """Share of the decided steps by how they were decided (`records.PROOFS`)."""
        decided = self.frame.loc[self.frame["proof"] != "", "proof"]
        return {proof: float((decided == proof).mean()) if len(decided) else 0.0 for proof in PROOFS[1:]}

    @property
    def gated_share(self) -> float:
        """Share of the decided steps that were proven to hold without the optimiser's engine."""
        return sum(self.shares[proof] for proof in ("certificate", "prices", "branches"))


def run_steps(market: StepMarket, spec: PortfolioSpec, *, gate: bool = True) -> StepRun:
    """Run a portfolio of the optimiser over all steps from its starting wallet.

    Args:
        gate: False solves every step.

    Raises:
        ConfigurationError: another policy, a mode other than `carry`, or external flows.
        LedgerError: an identity failed.
    """
    _refuse_what_has_no_steps(spec)
    begun = time.perf_counter()
    prepared = prepare(narrowed(market, spec.wallet), spec.parameters)
    loop = _Loop(prepared, spec, gate and can_prove(prepared))
    loop.run()
    records = loop.records
    return StepRun(
        frame=records.frame(spec.name),
        positions=records.positions_frame(),
        transactions=records.transactions_frame(),
        seconds=time.perf_counter() - begun,
    )


def _refuse_what_has_no_steps(spec: PortfolioSpec) -> None:
    if spec.policy != "optimiser":
        raise ConfigurationError(f"portfolio {spec.name}: steps of an hour run the optimiser, not '{spec.policy}'")
    if spec.flows or spec.addresses or spec.mode != "carry":
        raise ConfigurationError(
            f"portfolio {spec.name}: steps of an hour know neither external flows, addresses nor modes other than carry"
        )


class _Loop:
    """One run; `book` is the close of the step before `step`."""

    def __init__(self, prepared: PreparedMarket, spec: PortfolioSpec, gate: bool) -> None:
        market = prepared.market
        start = starting_state(market.day(0) - timedelta(days=1), spec.wallet, market.rows)
        self.prepared, self.gate = prepared, gate
        self.records = Records(market)
        self.book = Book(start.wallet, start.positions, start.price_usd)
        self.prices: GatePrices | None = None
        self.solver = Solver()
        self.pricer = Pricer(self.solver)
        self.step = 0

    def run(self) -> None:
        """All steps."""
        length = SHORTEST_STRETCH
        while self.step < len(self.prepared.market):
            count = min(length, len(self.prepared.market) - self.step)
            moved = self._stretch(hold_on(self.book, self.prepared, self.step, count))
            length = SHORTEST_STRETCH if moved else min(2 * length, LONGEST_STRETCH)

    def _stretch(self, holding: Holding) -> bool:
        """Book the steps of a holding up to one that moves; whether there was one."""
        moves = moves_of(holding, self.prepared) if self.gate else None
        span = slice(holding.first, holding.first + len(holding))
        undecided = ~self.prepared.decidable[span]
        offset = 0
        while offset < len(holding):
            excess = np.full(len(holding), np.inf)
            if moves is not None and self.prices is not None:
                excess = gains_usd(moves, completed(self.prices, self.prepared)).excess_usd
            proven = np.zeros(len(holding), dtype=bool) if moves is None else excess <= moves.allowed_usd
            fails = np.flatnonzero(~(proven | undecided)[offset:])
            end = offset + int(fails[0]) if len(fails) else len(holding)
            if end > offset:
                proof = np.where(undecided, _NOT_DECIDED, _GATE)
                self._book(holding, offset, end, proof[offset:end], np.where(undecided, 0.0, excess)[offset:end])
            if end < len(holding):
                alone = None if moves is None else moves.only(end)
                if self._decide(holding.only(end) if alone is None else alone.holding, alone):
                    return True
            offset = end + 1
        self.book = holding.book_after(len(holding) - 1, self.prepared.market.rows.price_usd[span.stop - 1])
        return False

    def _book(self, holding: Holding, start: int, end: int, proof: IntArray, gap_usd: FloatArray) -> None:
        """Steps `start` to `end` of a holding, at which nothing moves."""
        span = slice(holding.first + start, holding.first + end)
        status = np.where(self.prepared.has_pools[span], _OK, _NO_POOLS)
        status = np.where(self.prepared.decidable[span], status, _DATA_MISSING)
        self.records.held(holding, start, end, status, proof, gap_usd)
        self.step = span.stop

    def _decide(self, holding: Holding, moves: Moves | None) -> bool:
        """The only step of a holding, which old prices do not settle; whether something was moved."""
        priced = None if moves is None else self.pricer.price(moves)
        if moves is None or priced is None:
            return self._optimise(holding)
        self.prices, allowed_usd = priced.prices, float(moves.allowed_usd[0])
        if priced.excess_usd <= allowed_usd:
            return self._hold(holding, _PRICES, priced.excess_usd)
        if priced.excess_usd <= HOPELESS * allowed_usd and is_proven(self.solver, moves, priced):
            return self._hold(holding, _BRANCHES, allowed_usd)
        return self._optimise(holding)

    def _hold(self, holding: Holding, proof: int, gap_usd: float) -> bool:
        self._book(holding, 0, 1, np.array([proof]), np.array([gap_usd]))
        return False

    def _optimise(self, holding: Holding) -> bool:
        """Solve, execute and book the step."""
        market, step = self.prepared.market, holding.first
        opened = holding.book_after(0, market.rows.price_usd[step])
        framed = frame_problem(market.view(step), state_of(opened, market, step), self.prepared.parameters)
        decision = solve(framed.problem)
        self.book = executed(opened, framed, decision)
        self._assert_paid(opened, self.book, decision)
        gap_usd = decision.bound_usd - decision.objective_usd
        self._book(holding, 0, 1, np.array([_SOLVER]), np.array([gap_usd]))
        self.records.moved(step, self.book, decision, _STATUS[decision.status])
        return bool(decision.costs_usd > 0 or (self.book.positions != opened.positions).any())

    def _assert_paid(self, opened: Book, book: Book, decision: AllocationDecision) -> None:
        before, after = opened.aum_usd, book.aum_usd
        gap = before - decision.gas_usd - decision.conversion_usd - after
        if not abs(gap) <= identity_tolerance_usd(before):
            raise LedgerError(f"step {self.step}: {before:.6f} USD less costs is not {after:.6f} USD ({gap:+.2e})")
        if (book.wallet < 0).any() or (book.positions < 0).any():
            raise LedgerError(f"step {self.step}: the close holds a negative amount")


def state_of(book: Book, market: StepMarket, step: int) -> PortfolioState:
    """The book as policies see it at a step."""
    held = np.asarray(book.positions.any(axis=1))
    return PortfolioState(
        day=market.day(step),
        wallet=book.wallet,
        positions=book.positions,
        price_usd=book.price_usd,
        absent_days=np.where(held, market.rows.absent_days[step], 0),
        forecast_apy=np.full(len(held), np.nan),
    )


def executed(book: Book, framed: Framed, decision: AllocationDecision) -> Book:
    """The book after the plan; what is outside the problem stays as it is."""
    tokens, pools = framed.token_index, framed.pool_index
    wallet, positions = book.wallet.copy(), book.positions.copy()
    wallet[tokens] += decision.wallet - framed.problem.wallet
    positions[np.ix_(pools, tokens)] = decision.positions
    return Book(wallet, positions, book.price_usd)

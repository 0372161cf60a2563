"""What the loop keeps of every step: arrays made once, a frame at the end.

Belongs here: the columns and their types. Does not belong here: the numbers (`holding`, `loop`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from defiyield_core.allocation.problem import AllocationDecision
from defiyield_core.hourly.holding import Book, Holding
from defiyield_core.hourly.market import StepMarket

STATUSES = ("ok", "no_pools", "data_missing", "solver_infeasible", "timeout")
PROOFS = ("", "certificate", "prices", "branches", "solver")
"""How a step was decided: not at all; held, proven by the certificate with old prices, with the prices of one small
linear programme, or by branching on the moves that these leave; by the optimiser."""
_MONEY = (
    "aum_open_usd",
    "accrual_usd",
    "forecast_accrual_usd",
    "revaluation_usd",
    "flows_usd",
    "gas_usd",
    "conversion_usd",
    "aum_close_usd",
    "idle_usd",
    "turnover_usd",
    "gap_usd",
)
_COUNTS = ("n_positions", "n_transactions", "token_changes", "no_data_pools", "status", "proof")
_POSITION_COLUMNS = ("date", "pool_id", "token", "amount", "value_usd")
_TRANSACTION_COLUMNS = (
    "date",
    "seq",
    "type",
    "from_location",
    "to_location",
    "token",
    "to_token",
    "amount",
    "amount_usd",
    "gas_cost_usd",
    "conversion_cost_usd",
    "fee_token",
)


@dataclass
class Records:
    """Columns of T rows, filled step by step; positions at the end of each day, transactions when there are any."""

    market: StepMarket
    money: dict[str, np.ndarray] = field(init=False)
    counts: dict[str, np.ndarray] = field(init=False)
    positions: dict[int, list[tuple[object, ...]]] = field(default_factory=dict)
    transactions: list[tuple[object, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        steps = len(self.market)
        self.money = {name: np.zeros(steps) for name in _MONEY}
        self.counts = {name: np.zeros(steps, dtype=np.int64) for name in _COUNTS}

    def held(
        self, holding: Holding, start: int, end: int, status: np.ndarray, proof: np.ndarray, gap_usd: np.ndarray
    ) -> None:
        """Steps `start` to `end` of a holding, at which nothing moves. `status` and `proof` are numbers of names."""
        to, take = slice(holding.first + start, holding.first + end), slice(start, end)
        money, counts = self.money, self.counts
        money["aum_open_usd"][to] = holding.aum_open_usd[take]
        money["accrual_usd"][to] = holding.accrual_usd[take]
        money["forecast_accrual_usd"][to] = holding.forecast_accrual_usd[take]
        money["revaluation_usd"][to] = holding.revaluation_usd[take]
        money["aum_close_usd"][to] = holding.aum_usd[take]
        money["idle_usd"][to] = holding.token_usd[take].sum(axis=1)
        money["gap_usd"][to] = gap_usd
        counts["n_positions"][to] = len(holding.held)
        counts["no_data_pools"][to] = holding.no_data[take]
        counts["status"][to], counts["proof"][to] = status, proof
        for step in range(to.start, to.stop):
            if self.market.is_last_of_day(step):
                self._close_day(step, holding.book_after(step - holding.first, self.market.rows.price_usd[step]))

    def moved(self, step: int, book: Book, decision: AllocationDecision, status: str) -> None:
        """What the decision of a step did, on top of the step's holding (`held`)."""
        money, counts, rows = self.money, self.counts, decision.transactions
        if status != "ok":
            counts["status"][step] = STATUSES.index(status)
        money["gas_usd"][step], money["conversion_usd"][step] = decision.gas_usd, decision.conversion_usd
        money["aum_close_usd"][step] = book.aum_usd
        money["idle_usd"][step] = float(book.wallet @ book.price_usd)
        trades = [row for row in rows if row.type in ("WITHDRAWAL", "ALLOCATION")]
        swaps = [row for row in rows if row.type == "CONVERSION"]
        money["turnover_usd"][step] = sum(row.amount_usd for row in trades)
        counts["n_transactions"][step], counts["token_changes"][step] = len(trades) + len(swaps), len(swaps)
        counts["n_positions"][step] = int(book.positions.any(axis=1).sum())
        if self.market.is_last_of_day(step):
            self._close_day(step, book)
        moment = self.market.moments[step]
        self.transactions += [
            (moment, *(getattr(row, name) for name in _TRANSACTION_COLUMNS[1:])) for row in rows if row.type != "HOLD"
        ]

    def _close_day(self, step: int, book: Book) -> None:
        """The positions at the end of a day, in place of what it had."""
        day, rows = self.market.rows.days[step], self.market.rows
        held: list[tuple[object, ...]] = []
        for pool, token in zip(*np.nonzero(book.positions), strict=True):
            amount = float(book.positions[pool, token])
            value = amount * float(book.price_usd[token])
            held.append((day, rows.pools.ids[pool], rows.tokens[token], amount, value))
        self.positions[step // self.market.steps_per_day] = held

    def frame(self, portfolio: str) -> pd.DataFrame:
        """A row a step, in the columns of `portfolio_daily` where they have a meaning, and `proof` and `gap_usd`."""
        columns: dict[str, object] = {"portfolio": portfolio, "date": self.market.moments, **self.money, **self.counts}
        columns["status"] = np.array(STATUSES, dtype=object)[self.counts["status"]]
        columns["proof"] = np.array(PROOFS, dtype=object)[self.counts["proof"]]
        return pd.DataFrame(columns)

    def positions_frame(self) -> pd.DataFrame:
        """A row for every day, pool and token held at its end."""
        rows = [row for day in self.positions.values() for row in day]
        return pd.DataFrame(rows, columns=list(_POSITION_COLUMNS))

    def transactions_frame(self) -> pd.DataFrame:
        """A row for every movement, stamped with the beginning of its step."""
        return pd.DataFrame(self.transactions, columns=list(_TRANSACTION_COLUMNS))

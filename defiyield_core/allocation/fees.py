"""Which wallet token pays the costs of which row.

Belongs here: the choice of `fee_token`, such that running the rows one by one never overdraws. Does not belong here:
amounts.

A token can pay at row r what it will never be short of later: the smallest balance it has from r to the end of the
plan, less what it has been chosen to pay before. Only the total of the fees is fixed by the model, so any such
choice is as good as another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from defiyield_core.allocation.limits import Limits
from defiyield_core.allocation.plan import Movement, Payment
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.units import FloatArray

Payments = list[list[Payment]]


class FeeBook:
    """The balances (USD) along a plan, and the payments chosen so far."""

    def __init__(self, problem: AllocationProblem, limits: Limits, rows: Sequence[Movement]) -> None:
        self._rows = rows
        self._payer = [_must_pay(limits, row) for row in rows]
        moves = np.zeros((len(rows), len(problem.tokens)))
        for number, row in enumerate(rows):
            moves[number, row.token] += row.usd if row.type == "WITHDRAWAL" else -row.usd
            if row.type == "CONVERSION":
                moves[number, row.target] += row.usd
            if self._payer[number] >= 0:
                moves[number, self._payer[number]] -= row.fee_usd
        self._opening = problem.wallet_usd
        self._balance = self._opening + np.cumsum(moves, axis=0)
        self._spare = np.minimum.accumulate(self._balance[::-1], axis=0)[::-1]
        self._barred = limits.forced_target >= 0

    def whole(self, prefer: Literal["largest", "tightest"]) -> Payments | None:
        """Every fee in one token each, from the token with the most to spare or the one that just covers it."""
        paid = np.zeros(self._balance.shape[1])
        payments: Payments = []
        for number, row in enumerate(self._rows):
            if row.fee_usd <= 0 or self._payer[number] >= 0:
                payments.append([(self._payer[number], row.fee_usd)] if row.fee_usd > 0 else [])
                continue
            spare = self._left(self._spare[number], paid)
            fits = spare >= row.fee_usd
            if not fits.any():
                return None
            token = int(np.argmax(spare) if prefer == "largest" else np.argmin(np.where(fits, spare, np.inf)))
            paid[token] += row.fee_usd
            payments.append([(token, row.fee_usd)])
        return payments

    def payers(self) -> list[int] | None:
        """A payer for each row, though its cash is used otherwise so far: the model must then be solved again for them.

        -1 marks a row that costs nothing or pays itself. None when no token ever had enough for a row.
        """
        paid = np.zeros(self._balance.shape[1])
        peak = np.maximum.accumulate(np.vstack([self._opening, self._balance]), axis=0)[1:]
        payers: list[int] = []
        for number, row in enumerate(self._rows):
            if row.fee_usd <= 0 or self._payer[number] >= 0:
                payers.append(-1)
                continue
            spare = self._left(self._spare[number], paid)
            if spare.max() < row.fee_usd:
                spare = self._left(peak[number], paid)
            if spare.max() < row.fee_usd:
                return None
            payers.append(int(np.argmax(spare)))
            paid[payers[-1]] += row.fee_usd
        return payers

    def given(self, payers: Sequence[int]) -> Payments | None:
        """The payments of chosen payers, or None where one of them cannot pay."""
        paid = np.zeros(self._balance.shape[1])
        payments: Payments = []
        for number, (row, token) in enumerate(zip(self._rows, payers, strict=True)):
            if token < 0:
                payments.append([(self._payer[number], row.fee_usd)] if row.fee_usd > 0 else [])
                continue
            paid[token] += row.fee_usd
            if paid[token] > self._spare[number, token]:
                return None
            payments.append([(token, row.fee_usd)])
        return payments

    def divided(self) -> Payments | None:
        """Fees in as many tokens as it takes; None when at some row all spare cash together is not enough."""
        paid = np.zeros(self._balance.shape[1])
        payments: Payments = []
        for number, row in enumerate(self._rows):
            if row.fee_usd <= 0 or self._payer[number] >= 0:
                payments.append([(self._payer[number], row.fee_usd)] if row.fee_usd > 0 else [])
                continue
            spare = self._left(self._spare[number], paid)
            due, parts = row.fee_usd, []
            for token in np.argsort(-spare, kind="stable"):
                part = min(due, float(spare[token]))
                if part <= 0:
                    break
                parts.append((int(token), part))
                paid[token] += part
                due -= part
            if due > 1e-9 * row.fee_usd:
                return None
            payments.append(parts)
        return payments

    def _left(self, balance: FloatArray, paid: FloatArray) -> FloatArray:
        return np.asarray(np.where(self._barred, 0.0, balance - paid))


def _must_pay(limits: Limits, row: Movement) -> int:
    """The token that has to pay for a withdrawal leg, before it is converted; -1 where any may."""
    return int(limits.leg_payer[row.pool, row.token]) if row.type == "WITHDRAWAL" and row.gas_usd > 0 else -1

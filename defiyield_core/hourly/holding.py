"""What becomes of a portfolio that does nothing for a while: accrual, revaluation and the identities, step by step.

Belongs here: the money of steps without a movement, in arrays over steps. Does not belong here: whether to move
(`gate`), movements (`loop`). The rules are those of `portfolio.day`, with a step in place of a day.
Shapes: B steps, H held pools, P pools, K tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from defiyield_core.errors import LedgerError
from defiyield_core.hourly.prepared import PreparedMarket
from defiyield_core.parameters import Parameters
from defiyield_core.portfolio.day import diluted, identity_tolerance_usd
from defiyield_core.units import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Book:
    """A close: wallet (K,) and positions (P, K) in tokens, and the (K,) prices they were valued at."""

    wallet: FloatArray
    positions: FloatArray
    price_usd: FloatArray

    @property
    def aum_usd(self) -> float:
        """Wallet and positions at these prices."""
        return float((self.wallet + self.positions.sum(axis=0)) @ self.price_usd)


@dataclass(frozen=True)
class Holding:
    """Steps `first` .. `first + B - 1` if nothing is moved at any of them.

    Attributes:
        held: (H,) pools with a position. factor: (B, H) growth of their token amounts since the book.
        value_usd: (B, H) positions at the close. token_usd: (B, K) wallet at the close.
        book: the close before the first of the steps that were held; `factor` counts from it.
        aum_open_usd, accrual_usd, forecast_accrual_usd, revaluation_usd, aum_usd: (B,).
        no_data: (B,) held pools without a row.
    """

    book: Book
    first: int
    held: IntArray
    factor: FloatArray
    value_usd: FloatArray
    token_usd: FloatArray
    aum_open_usd: FloatArray
    accrual_usd: FloatArray
    forecast_accrual_usd: FloatArray
    revaluation_usd: FloatArray
    aum_usd: FloatArray
    no_data: IntArray

    def __len__(self) -> int:
        return len(self.aum_usd)

    @cached_property
    def supplied(self) -> BoolArray:
        """(K,) tokens that the wallet or a position has."""
        return np.asarray((self.book.wallet > 0) | self.book.positions.any(axis=0))

    def only(self, offset: int) -> Holding:
        """The step `first + offset` alone."""
        row = slice(offset, offset + 1)
        names = [item.name for item in fields(self) if item.name not in ("book", "first", "held")]
        values: dict[str, Any] = {name: getattr(self, name)[row] for name in names}
        return replace(self, first=self.first + offset, **values)

    def book_after(self, offset: int, price_usd: FloatArray) -> Book:
        """The close of step `first + offset`, at that step's prices."""
        positions = self.book.positions.copy()
        positions[self.held] *= self.factor[offset][:, None]
        return Book(self.book.wallet, positions, price_usd)


def hold_on(book: Book, prepared: PreparedMarket, first: int, count: int) -> Holding:
    """Hold the book for `count` steps from `first` on.

    Raises:
        LedgerError: `open + accrual + revaluation = close` does not hold to 1e-6 USD at some step.
    """
    span = slice(first, first + count)
    held = np.flatnonzero(book.positions.any(axis=1))
    amounts = book.positions[held]
    price = prepared.market.rows.price_usd[span]
    price_before = np.concatenate([book.price_usd[None], price[:-1]])
    lost = np.asarray(prepared.gone_now[span, held] * prepared.parameters.gone_haircut, dtype=float)
    unit_before, unit = price_before @ amounts.T, price @ amounts.T
    growth = prepared.growth[span, held]
    known = prepared.forecast_step[np.maximum(np.arange(first, first + count) - 1, 0)]
    expected = prepared.expected[known[:, None], held]
    if _dilutes(prepared.parameters):
        growth, expected = _diluted(prepared, span, held, unit_before, lost, expected)
    factor = np.asarray(np.cumprod((1.0 + growth) * (1.0 - lost), axis=0), dtype=float)
    factor_before = np.concatenate([np.ones((1, len(held))), factor[:-1]])
    value_before, grown = factor_before * unit_before, factor_before * (1.0 + growth)
    accrual = (value_before * growth).sum(axis=1)
    moved = (grown * (unit - unit_before)).sum(axis=1) + (price - price_before) @ book.wallet
    value, token_usd = factor * unit, price * book.wallet
    aum = value.sum(axis=1) + token_usd.sum(axis=1)
    holding = Holding(
        book=book,
        first=first,
        held=held,
        factor=factor,
        value_usd=value,
        token_usd=token_usd,
        aum_open_usd=np.concatenate([[book.aum_usd], aum[:-1]]),
        accrual_usd=accrual,
        forecast_accrual_usd=(value_before * expected).sum(axis=1),
        revaluation_usd=moved - (grown * lost * unit).sum(axis=1),
        aum_usd=aum,
        no_data=(~prepared.has_row[span, held]).sum(axis=1),
    )
    _assert_identity(holding)
    return holding


def _assert_identity(holding: Holding) -> None:
    gap = holding.aum_open_usd + holding.accrual_usd + holding.revaluation_usd - holding.aum_usd
    broken = ~(np.abs(gap) <= identity_tolerance_usd(holding.aum_open_usd))
    if broken.any():
        step = int(np.argmax(broken))
        raise LedgerError(f"step {holding.first + step}: open + accrual + revaluation - close is {gap[step]:+.2e} USD")


def _dilutes(parameters: Parameters) -> bool:
    law = parameters.dilution if parameters.accrual_dilution == "as_decided" else parameters.accrual_dilution
    return law != "off" and not parameters.tvl_includes_positions


def _diluted(
    prepared: PreparedMarket,
    span: slice,
    held: IntArray,
    unit_before: FloatArray,
    lost: FloatArray,
    expected: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """(B, H) the steps' growth and what was expected of it, our own money taking part: it depends on the growth
    before."""
    growth, expected = prepared.growth[span, held].copy(), expected.copy()
    tvl_usd = prepared.market.rows.filled_tvl_usd[span, held]
    factor = np.ones(len(held))
    for step in range(len(growth)):
        value_usd = factor * unit_before[step]
        growth[step] = diluted(growth[step], value_usd, tvl_usd[step], prepared.parameters)
        expected[step] = diluted(expected[step], value_usd, tvl_usd[step], prepared.parameters)
        factor = factor * (1.0 + growth[step]) * (1.0 - lost[step])
    return growth, expected


def is_usual(holding: Holding, prepared: PreparedMarket) -> BoolArray:
    """(B,) nothing must be left or converted away: no held pool is to be left, no position holds a token that is not
    approved or off its peg, and of such tokens the wallet has at most the dust that `policies.port` lets lie."""
    span = slice(holding.first, holding.first + len(holding))
    unsafe = ~prepared.is_safe[span]
    leaves = prepared.must_leave[span, holding.held].any(axis=1)
    exposed = (unsafe & holding.book.positions.any(axis=0)).any(axis=1)
    dust_usd = np.maximum(prepared.conversion_usd[span], prepared.parameters.min_transaction_value)
    stuck = (np.where(unsafe, holding.token_usd, 0.0) > dust_usd[:, None]).any(axis=1)
    return np.asarray(~(leaves | exposed | stuck))

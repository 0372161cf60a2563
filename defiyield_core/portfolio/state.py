"""What a portfolio carries from one day into the next.

Belongs here: the frozen state, aligned with a market's pools and tokens, and its rows. Does not belong here: how it
changes.
Shapes: P pools, K tokens of the `MarketHistory` it was aligned with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core.errors import DataError
from defiyield_core.history import MarketHistory
from defiyield_core.units import FloatArray, IntArray, exact_sum

WALLET = "wallet"


@dataclass(frozen=True)
class PortfolioState:
    """The close of `day`.

    Attributes:
        wallet: (K,) token amounts. positions: (P, K) token amounts.
        price_usd: (K,) prices at which the close was valued.
        absent_days: (P,) days in a row on which a held pool had no row while its source was up.
        forecast_apy: (P,) forecast the positions were last valued with, NaN where there was none.
    """

    day: date
    wallet: FloatArray
    positions: FloatArray
    price_usd: FloatArray
    absent_days: IntArray
    forecast_apy: FloatArray

    @property
    def position_usd(self) -> FloatArray:
        """(P,) value of each position at the close's prices."""
        return np.asarray((self.positions * self.price_usd).sum(axis=1), dtype=float)

    @property
    def wallet_usd(self) -> float:
        """Value of the wallet at the close's prices."""
        return exact_sum(self.wallet * self.price_usd)

    @property
    def aum_usd(self) -> float:
        """Positions and wallet at the close's prices."""
        return exact_sum(self.position_usd) + self.wallet_usd


def starting_state(day: date, wallet: Mapping[str, float], market: MarketHistory) -> PortfolioState:
    """A portfolio of cash, valued at the prices of the window's first day (its first decision is taken at them).

    Tokens that are not approved then stay outside: they are no part of the portfolio.
    """
    amounts = np.zeros(len(market.tokens))
    for token, amount in wallet.items():
        index = market.tokens.index(token) if token in market.tokens else -1
        if index >= 0 and market.approved[0, index]:
            amounts[index] += amount
    pools = len(market.pools.ids)
    return PortfolioState(
        day=day,
        wallet=amounts,
        positions=np.zeros((pools, len(market.tokens))),
        price_usd=market.price_usd[0].copy(),
        absent_days=np.zeros(pools, dtype=np.int64),
        forecast_apy=np.full(pools, np.nan),
    )


def state_rows(portfolio: str, state: PortfolioState, market: MarketHistory) -> list[tuple[object, ...]]:
    """Rows of `portfolio_state`, in the order of its columns.

    An empty portfolio has one row of amount 0, so that it goes on being empty and does not begin again.
    """
    rows: list[tuple[object, ...]] = []
    in_wallet = np.flatnonzero(state.wallet)
    for token in in_wallet if len(in_wallet) or state.positions.any() else [0]:
        price = float(state.price_usd[token])
        rows.append((portfolio, state.day, WALLET, market.tokens[token], float(state.wallet[token]), price, 0, np.nan))
    for pool, token in zip(*np.nonzero(state.positions), strict=True):
        rows.append(
            (
                portfolio,
                state.day,
                market.pools.ids[pool],
                market.tokens[token],
                float(state.positions[pool, token]),
                float(state.price_usd[token]),
                int(state.absent_days[pool]),
                float(state.forecast_apy[pool]),
            )
        )
    return rows


def state_from_rows(rows: pd.DataFrame, market: MarketHistory) -> PortfolioState:
    """The state in rows of one portfolio and day.

    Raises:
        DataError: a row names a pool or token that the market does not know.
    """
    pool_of = {pool: index for index, pool in enumerate(market.pools.ids)}
    token_of = {token: index for index, token in enumerate(market.tokens)}
    state = PortfolioState(
        day=rows["date"].iloc[0].date(),
        wallet=np.zeros(len(token_of)),
        positions=np.zeros((len(pool_of), len(token_of))),
        price_usd=np.zeros(len(token_of)),
        absent_days=np.zeros(len(pool_of), dtype=np.int64),
        forecast_apy=np.full(len(pool_of), np.nan),
    )
    for row in rows.itertuples():
        if row.token not in token_of or (row.location != WALLET and row.location not in pool_of):
            raise DataError(
                f"portfolio_state {row.date.date()}: {row.location}/{row.token} is not in the market's tables"
            )
        token = token_of[row.token]
        state.price_usd[token] = row.price_usd
        if row.location == WALLET:
            state.wallet[token] = row.amount
            continue
        pool = pool_of[row.location]
        state.positions[pool, token] = row.amount
        state.absent_days[pool] = row.absent_days
        state.forecast_apy[pool] = row.forecast_apy
    return state

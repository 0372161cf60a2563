"""What a portfolio decides from: what it holds, or cash.

Belongs here: turning a day that was opened into one that begins with cash. Does not belong here: the day itself (see
`day`).

- `carry`: positions carry over; the real thing.
- `independent`: every day is decided alone, from the same amounts of cash: the starting wallet.
- `compounded`: every day is decided from cash in the tokens of the starting wallet, worth what the portfolio is worth.

In the last two, yesterday's positions turn into cash before the decision, for nothing; what they earned over the day is
booked before that, and the change of amounts is booked as an external flow (for `compounded` its sum is 0). So both say
what the decisions of single days are worth, and pay the gas of a full entry each day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from defiyield_core.history import MarketHistory
from defiyield_core.portfolio.day import OpenedDay
from defiyield_core.units import FloatArray, exact_sum


def from_cash(opened: OpenedDay, market: MarketHistory, wallet: Mapping[str, float], mode: str) -> OpenedDay | None:
    """The same day with cash instead of positions, as the mode wants it; `carry` changes nothing.

    Args:
        wallet: the starting wallet, in tokens. Those that are not approved or have no price on the day stay outside.

    Returns:
        None where `compounded` has no token of the starting wallet to hold its money in on the day.
    """
    if mode == "carry":
        return opened
    state = opened.state
    cash = _amounts(market, wallet, market.index_of(state.day))
    if mode == "compounded":
        worth_usd = exact_sum(cash * state.price_usd)
        if worth_usd <= 0:
            return None
        cash = cash * (state.aum_usd / worth_usd)
    moved = cash - state.wallet - state.positions.sum(axis=0)
    return replace(
        opened,
        state=replace(
            state,
            wallet=cash,
            positions=np.zeros_like(state.positions),
            absent_days=np.zeros_like(state.absent_days),
            forecast_apy=np.full_like(state.forecast_apy, np.nan),
        ),
        flows_usd=opened.flows_usd + moved * state.price_usd,
    )


def _amounts(market: MarketHistory, wallet: Mapping[str, float], t: int) -> FloatArray:
    amounts = np.zeros(len(market.tokens))
    for token, amount in wallet.items():
        index = market.tokens.index(token)
        if market.approved[t, index] and market.price_usd[t, index] > 0:
            amounts[index] += amount
    return amounts

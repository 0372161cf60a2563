"""A market as other libraries take it: daily returns and limits of a fixed list of assets, in frames.

Belongs here: turning a `MarketHistory` into such frames. Does not belong here: any other library.
Shapes: T days, n assets (the pools that were ever open to deposits).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from defiyield_core.history import MarketHistory
from defiyield_core.parameters import GAS_UNITS, Parameters
from defiyield_core.units import GWEI_PER_ETH, FloatArray, IntArray, daily_growth

CASH = "cash"
_GROUPS = (1, 2, 3)


@dataclass(frozen=True)
class AssetFrames:
    """What was known on each day (row), by asset; and what came of it.

    Attributes:
        returns: (T, n + 1) return from the close of the day to the next one's, the wallet's token last as `CASH`.
            As the books accrue: a pool's rate of the next day and the prices of its tokens. The last row is not used.
        forecast: (T, n) growth that a day is expected to bring; 0 without a forecast.
        cap_usd: (T, n) the pool's own cap: the share of its TVL.
        exit_usd: (T, n) 0 for a pool that must be left. room_usd: (T, n) 0 for one that is closed to deposits. Else
            more than the book.
        buying, selling: (T, n) cost of a dollar bought or sold: conversion from the wallet's token, and gas spread over
            the largest position that is allowed.
        foreign: (T, n) share of a new position that is not the wallet's token.
        groups: for each risk group (T, n) 1 for its members.
    """

    returns: pd.DataFrame
    forecast: pd.DataFrame
    cap_usd: pd.DataFrame
    exit_usd: pd.DataFrame
    room_usd: pd.DataFrame
    buying: pd.DataFrame
    selling: pd.DataFrame
    foreign: pd.DataFrame
    groups: tuple[pd.DataFrame, ...]


def asset_frames(market: MarketHistory, parameters: Parameters, token: str, aum_usd: float) -> AssetFrames:
    """The market of a book that begins with `aum_usd` in `token`."""
    chosen = np.flatnonzero(market.depositable.any(axis=0))
    index = pd.DatetimeIndex(market.days.astype("datetime64[ns]"))
    names = [market.pools.ids[pool] for pool in chosen]

    def frame(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=index, columns=names)

    tvl_usd = np.where(np.isfinite(market.forecast_tvl_usd), market.forecast_tvl_usd, market.filled_tvl_usd)
    pool_cap = parameters.pool_tvl_share * np.nan_to_num(tvl_usd[:, chosen])
    members = np.stack([_members(market, int(pool)) for pool in chosen])
    foreign = 1.0 - members[:, market.tokens.index(token)]
    largest = np.minimum(pool_cap, parameters.position_cap_share * aum_usd)
    buying, selling = _costs(market, parameters, chosen, foreign, largest)
    unlimited = 10.0 * aum_usd
    growth = _growth(market, chosen)
    price = _price_return(market)
    returns = (1.0 + growth) * (1.0 + members @ price.T).T - 1.0
    cash = price[:, market.tokens.index(token)]
    return AssetFrames(
        returns=frame(returns).assign(**{CASH: cash}),
        forecast=frame(daily_growth(np.nan_to_num(market.forecast_apy[:, chosen]))),
        cap_usd=frame(pool_cap),
        exit_usd=frame(np.where(market.must_exit[:, chosen], 0.0, unlimited)),
        room_usd=frame(np.where(market.depositable[:, chosen], unlimited, 0.0)),
        buying=frame(buying),
        selling=frame(selling),
        foreign=frame(np.tile(foreign, (len(index), 1))),
        groups=tuple(frame((market.group[:, chosen] == group).astype(float)) for group in _GROUPS),
    )


def _members(market: MarketHistory, pool: int) -> FloatArray:
    """(K,) share of each token in a new position of the pool."""
    share = np.zeros(len(market.tokens))
    for member in market.pools.tokens[pool]:
        share[member] = 1.0 / len(market.pools.tokens[pool])
    return share


def _growth(market: MarketHistory, chosen: IntArray) -> FloatArray:
    """(T, n) what a position accrues on the next day: nothing where the rate is missing or flagged."""
    observed = market.observed_apy[:, chosen]
    earns = np.isfinite(observed) & ~market.flagged[:, chosen]
    growth = np.where(earns, daily_growth(np.nan_to_num(observed)), 0.0)
    return _next_day(growth)


def _price_return(market: MarketHistory) -> FloatArray:
    """(T, K) change of each token's price until the next day; none where a price is missing."""
    price = market.price_usd
    known = (price[1:] > 0) & (price[:-1] > 0)
    change = np.divide(price[1:], price[:-1], out=np.ones_like(price[1:]), where=known) - 1.0
    return np.vstack([change, np.zeros((1, price.shape[1]))])


def _next_day(values: FloatArray) -> FloatArray:
    return np.vstack([values[1:], np.zeros((1, values.shape[1]))])


def _costs(
    market: MarketHistory, parameters: Parameters, chosen: IntArray, foreign: FloatArray, largest_usd: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(T, n) cost per dollar bought and sold.

    A fixed charge has no place in a convex programme. The nearest below it is its convex envelope on [0, cap]: the
    charge over the cap for every dollar, true for the largest position and too little for every smaller one.
    """
    units = GAS_UNITS[parameters.gas]
    gwei, eth_usd = np.nan_to_num(market.gas_price_gwei), np.nan_to_num(market.eth_usd)
    per_unit = (gwei * eth_usd / GWEI_PER_ETH)[:, None]
    legs = np.array([len(market.pools.tokens[pool]) for pool in chosen], dtype=float)
    spread = np.maximum(largest_usd, parameters.min_transaction_value)
    buying_gas = per_unit * (units["deposit"] * legs + units["conversion"] * legs * foreign) / spread
    selling_gas = per_unit * units["withdrawal"] * legs / spread
    return parameters.conversion_rate * foreign + buying_gas, selling_gas

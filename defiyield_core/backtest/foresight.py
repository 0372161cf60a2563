"""Perfect foresight: a market whose forecasts are what came, to bound what any forecast could earn.

Belongs here: putting other forecasts into a loaded market. Does not belong here: running it (see `forecast_value`).

Only a loop that holds the whole `MarketHistory` can do this, and it makes a new one: a view of the ordinary history
never shows a later day. Who may be deposited into, risk groups, prices, gas and observations stay as they are, so that
runs on the two markets differ by the forecasts alone.
Shapes: T days, P pools.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from defiyield_core.errors import DataError
from defiyield_core.history import MarketHistory
from defiyield_core.units import DAYS_PER_YEAR, FloatArray, daily_growth
from defiyield_core.universe.eligibility import GONE_DAYS


@dataclass(frozen=True)
class Expected:
    """What is expected of pools at the end of each day, both (T, P), NaN where nothing is.

    Attributes:
        apy: mean over the horizon, a fraction. tvl_usd: at its end.
    """

    apy: FloatArray
    tvl_usd: FloatArray


def with_forecasts(market: MarketHistory, expected: Expected) -> MarketHistory:
    """The same market with other forecasts.

    Raises:
        DataError: the arrays are not of the market's days and pools.
    """
    shape = market.forecast_apy.shape
    for name, values in (("apy", expected.apy), ("tvl_usd", expected.tvl_usd)):
        if values.shape != shape:
            raise DataError(f"forecasts of {name} are {values.shape}, the market has {shape} days and pools")
    return replace(market, forecast_apy=expected.apy.copy(), forecast_tvl_usd=expected.tvl_usd.copy())


def with_foresight(market: MarketHistory, horizon_days: int) -> MarketHistory:
    """The market whose forecasts are what each pool is going to pay and hold (see `coming`)."""
    return with_forecasts(market, coming(market, horizon_days))


def coming(market: MarketHistory, horizon_days: int) -> Expected:
    """What comes over the next days, in the market's own arrays.

    APY of day t is the constant rate that accrues what the books will over t+1 .. t+h: `(1 + mean of g_d) ** 365 - 1`
    with `g_d = (1 + apy_d) ** (1/365) - 1` of the observed rate of day d, 0 where it is missing or flagged.
    TVL is the last observation at t+h, 0 for a pool that is gone by then.
    Near the end of the market the days that are left stand for the horizon; on its last day, and for a TVL that is
    unknown without the pool being gone, the ordinary forecast stays.

    Raises:
        ValueError: a horizon below one day.
    """
    if horizon_days < 1:
        raise ValueError(f"a horizon of {horizon_days} days: at least 1 is needed")
    days = len(market.days)
    position = np.arange(days)
    end = np.minimum(position + horizon_days, days - 1)
    growth = paid_growth(market)
    total = np.zeros_like(growth)
    for ahead in range(1, min(horizon_days, days - 1) + 1):
        total[:-ahead] += growth[ahead:]
    mean = total / np.maximum(end - position, 1)[:, None]
    apy = (1.0 + mean) ** DAYS_PER_YEAR - 1.0
    gone = market.absent_days[end] >= GONE_DAYS
    tvl = np.where(gone, 0.0, market.filled_tvl_usd[end])
    tvl = np.where(np.isfinite(tvl), tvl, market.forecast_tvl_usd)
    apy[-1], tvl[-1] = market.forecast_apy[-1], market.forecast_tvl_usd[-1]
    return Expected(apy, tvl)


def paid_growth(market: MarketHistory) -> FloatArray:
    """(T, P) growth of a position on each day as the books accrue it (see `portfolio.day.open_day`), undiluted."""
    pays = np.isfinite(market.observed_apy) & ~market.flagged
    return np.where(pays, daily_growth(np.nan_to_num(market.observed_apy)), 0.0)

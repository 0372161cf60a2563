"""What held a portfolio back: costs, idle money, dilution; and how concentrated it was.

Belongs here: turning rows of the books into dollars and rates of drag. Does not belong here: returns (see `returns`).

A drag is a rate: `mean over days of usd / base * 365`, base as in `daily.base_usd`, not compounded. Rates of this kind
add up: accrual + revaluation - gas - conversion is the mean net return times 365.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.calendar import as_day
from defiyield_core.errors import DataError
from defiyield_core.reporting.daily import by_day, over_base, values
from defiyield_core.units import DAYS_PER_YEAR, FloatArray

_TVL_COLUMNS = ("date", "pool_id", "tvl_usd_filled")


def yearly_rate(daily: pd.DataFrame, amounts_usd: FloatArray, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """`mean(usd / base) * periods_per_year`, a fraction a year; NaN where an amount is."""
    return float(over_base(daily, amounts_usd).mean() * periods_per_year)


def idle_cost_usd(daily: pd.DataFrame) -> FloatArray:
    """(n,) what the money that was idle would have earned at the rate of the money that was not.

    On day t `idle(t-1) * accrual(t) / (aum_open(t) - idle(t-1))`: idle at the close before, the rate of the positions
    on the day. On a day with nothing in pools the rate is that of the whole run, accrual over invested dollars. The
    first row counts as 0: its rows do not say what was idle before it, and a portfolio that begins is all cash.
    Negative where the pools lost. NaN from the second day on when nothing was ever invested: there is no rate.
    """
    rows = by_day(daily)
    idle = np.concatenate(([0.0], values(rows, "idle_usd")[:-1]))
    opening, accrual = values(rows, "aum_open_usd"), values(rows, "accrual_usd")
    invested = np.where(opening - idle > _least_usd(opening), opening - idle, 0.0)
    invested[0] = 0.0
    whole = float(accrual[1:].sum() / invested.sum()) if invested.sum() > 0 else math.nan
    rate = np.divide(accrual, invested, out=np.full(len(rows), whole), where=invested > 0)
    return np.where(idle > 0, idle * rate, 0.0)


def books_dilute(parameters: Mapping[str, Any]) -> bool:
    """Whether accrual was booked less what our own deposit takes off the rate, by the parameters of a decision.

    Args:
        parameters: the JSON of `allocation_parameters.parameters`, read.
    """
    law = parameters["accrual_dilution"]
    law = parameters["dilution"] if law == "as_decided" else law
    return bool(law != "off" and not parameters["tvl_includes_positions"])


def dilution_cost_usd(accrual: pd.DataFrame, positions: pd.DataFrame, tvl: pd.DataFrame) -> pd.Series:
    """Accrual that our own deposits cost, by day, for books that dilute (`books_dilute`).

    The books accrue `g T / (T + V)` on a position of V dollars in a pool of T, so that what was booked falls short of
    `g` by `accrual * V / T`: V at the close before, T the pool's TVL of the day as the books took it. A loss is not
    diluted; a pool without a TVL is booked at its full rate. A pool of TVL 0 earned nothing: what it would have earned
    cannot be told from the rows and is left out.

    Args:
        accrual: columns date, pool_id and usd, the accrual of pools by day (`Attribution.by` of its accrual).
        positions: rows of `asset_allocations`, those of the day before the first one too where there are any.
        tvl: rows of `pool_daily_metrics`: date, pool_id, tvl_usd_filled.

    Returns:
        Dollars by date, positive; days without accrual are missing.

    Raises:
        DataError: `tvl` lacks a column.
    """
    missing = [name for name in _TVL_COLUMNS if name not in tvl.columns]
    if missing:
        raise DataError(f"pool_daily_metrics: columns {missing} are missing, the cost of dilution needs them")
    held = positions.groupby(["date", "pool_id"], as_index=False)["value_usd"].sum()
    held["date"] += pd.Timedelta(days=1)
    joined = accrual.merge(held, on=["date", "pool_id"], how="left").merge(
        tvl[list(_TVL_COLUMNS)], on=["date", "pool_id"], how="left"
    )
    own, gained, size = values(joined, "value_usd"), values(joined, "usd"), values(joined, "tvl_usd_filled")
    counted = (gained > 0) & (size > 0) & (own > 0)
    cost = np.divide(gained * own, size, out=np.zeros(len(joined)), where=counted)
    return joined.assign(cost_usd=cost).groupby("date")["cost_usd"].sum()


def dilution_drag(
    daily: pd.DataFrame,
    accrual: pd.DataFrame,
    positions: pd.DataFrame,
    tvl: pd.DataFrame,
    parameters: Mapping[str, Any],
    periods_per_year: float = DAYS_PER_YEAR,
) -> float:
    """What dilution took off a portfolio's rate, a drag as above; 0 for books that do not dilute.

    Args:
        daily: rows of `portfolio_daily`. accrual, positions, tvl: see `dilution_cost_usd`.
        parameters: see `books_dilute`; the same on all days.
    """
    rows = by_day(daily)
    if not books_dilute(parameters):
        return 0.0
    cost = dilution_cost_usd(accrual, positions, tvl).reindex(pd.DatetimeIndex(rows["date"]), fill_value=0.0)
    return yearly_rate(rows, cost.to_numpy(dtype=float), periods_per_year)


@dataclass(frozen=True)
class Concentration:
    """Herfindahl-Hirschman index of what is in pools: the sum of squared shares, 1 / number when they are equal.

    Attributes:
        hhi: by day, 0 to 1; NaN on a day with nothing in pools.
        mean, highest: over the days with positions; NaN without any. highest_day: the first of them.
        effective: mean over the same days of `1 / hhi`: as many equal parts are as concentrated.
    """

    hhi: pd.Series
    mean: float
    highest: float
    highest_day: date | None
    effective: float


def concentration(
    daily: pd.DataFrame, positions: pd.DataFrame, owner: Mapping[str, str] | None = None
) -> Concentration:
    """How concentrated the closing positions were, day by day. Idle money is not in it.

    Args:
        positions: rows of `asset_allocations` of the portfolio.
        owner: by pool id, what to add up before squaring (its protocol, its chain); a pool that it lacks is `unknown`.
            None: pools.
    """
    days = by_day(daily)["date"]
    whose = positions["pool_id"] if owner is None else positions["pool_id"].map(owner).fillna("unknown")
    held = positions.assign(whose=whose).groupby(["date", "whose"])["value_usd"].sum().unstack(fill_value=0.0)
    amounts = held.reindex(days).fillna(0.0).to_numpy(dtype=float)
    total = amounts.sum(axis=1, keepdims=True)
    shares = np.divide(amounts, total, out=np.full(amounts.shape, np.nan), where=total > 0)
    index = np.where(total[:, 0] > 0, (shares**2).sum(axis=1), np.nan)
    series = pd.Series(index, index=pd.DatetimeIndex(days), name="hhi")
    known = series.dropna()
    if known.empty:
        return Concentration(series, math.nan, math.nan, None, math.nan)
    peak = int(np.argmax(known.to_numpy()))
    return Concentration(
        hhi=series,
        mean=float(known.mean()),
        highest=float(known.iloc[peak]),
        highest_day=as_day(known.index[peak]),
        effective=float((1.0 / known).mean()),
    )


def _least_usd(opening: FloatArray) -> FloatArray:
    """Invested dollars below this are rounding of a portfolio that is all cash: no rate may be taken from them."""
    return np.maximum(1e-9 * opening, 1e-6)

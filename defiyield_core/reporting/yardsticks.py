"""A run held against what its forecasts promised and against a run that knew what was coming. Pure functions.

Belongs here: forecast error in dollars, regret, capture. Does not belong here: making the other run (see
`backtest.foresight`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core.calendar import as_day
from defiyield_core.errors import DataError
from defiyield_core.reporting.daily import by_day, daily_returns, gains_usd, values
from defiyield_core.reporting.returns import cagr
from defiyield_core.units import DAYS_PER_YEAR

LEAST_REACH = 1e-4
"""Where foresight is worth less than a basis point a year over the reference, there is nothing to capture."""
_EQUAL_SHARE = 1e-9
"""Of the opening value: how far the money of two runs may be apart and be called the same."""


@dataclass(frozen=True)
class ForecastError:
    """Accrual less what the forecasts of the day before promised, on the days with money at work.

    Attributes:
        days: rows with an accrual or a promise other than 0; below, NaN when there is none.
        total_usd: sum. bias_usd: mean, positive when the pools paid more than promised.
        mean_absolute_usd, root_mean_square_usd: a day.
        share_of_accrual: total of the absolute errors over that of the absolute accruals; NaN without accrual.
    """

    days: int
    total_usd: float
    bias_usd: float
    mean_absolute_usd: float
    root_mean_square_usd: float
    share_of_accrual: float


def forecast_error(daily: pd.DataFrame) -> ForecastError:
    """The error in dollars of the forecasts that a portfolio's rows were decided on."""
    rows = by_day(daily)
    accrual, promised = values(rows, "accrual_usd"), values(rows, "forecast_accrual_usd")
    at_work = (accrual != 0) | (promised != 0)
    error, paid = (accrual - promised)[at_work], float(np.abs(accrual).sum())
    if not len(error):
        return ForecastError(0, 0.0, math.nan, math.nan, math.nan, math.nan)
    return ForecastError(
        days=len(error),
        total_usd=float(error.sum()),
        bias_usd=float(error.mean()),
        mean_absolute_usd=float(np.abs(error).mean()),
        root_mean_square_usd=float(np.sqrt(np.mean(error**2))),
        share_of_accrual=float(np.abs(error).sum()) / paid if paid > 0 else math.nan,
    )


@dataclass(frozen=True)
class Regret:
    """What a run left on the table against one with perfect foresight, on the same days with the same money.

    Foresight knows the horizon and no more, so it is a bound in practice, not in theory: a regret may be negative.

    Attributes:
        usd: gain of foresight less the own gain, net of all costs and without flows.
        usd_by_day: the same by day; its sum is `usd`. worst_day: the first day of the largest regret.
        apy: net APY of foresight less the own one; NaN after a total loss.
        capture: `(own - reference) / (foresight - reference)` of net APYs; NaN where the reach, its denominator, is
            below a basis point. The reference is the run given as such, or doing nothing (0).
    """

    usd: float
    usd_by_day: pd.Series
    worst_day: date
    apy: float
    capture: float


def regret(
    own: pd.DataFrame,
    foresight: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    periods_per_year: float = DAYS_PER_YEAR,
) -> Regret:
    """Regret and capture of a run.

    Args:
        own, foresight, reference: rows of `portfolio_daily` of one run each; the reference is what a gain counts from
            (persistence, say).

    Raises:
        DataError: the runs have other days, another opening value or other flows.
    """
    mine, best = by_day(own), by_day(foresight)
    _same_money(mine, best, "foresight")
    base = 0.0
    if reference is not None:
        third = by_day(reference)
        _same_money(mine, third, "reference")
        base = cagr(daily_returns(third), periods_per_year)
    own_apy, best_apy = (cagr(daily_returns(rows), periods_per_year) for rows in (mine, best))
    lost = pd.Series(gains_usd(best) - gains_usd(mine), index=pd.DatetimeIndex(mine["date"]), name="regret_usd")
    return Regret(
        usd=float(lost.sum()),
        usd_by_day=lost,
        worst_day=as_day(lost.index[int(np.argmax(lost.to_numpy()))]),
        apy=best_apy - own_apy,
        capture=capture(own_apy, base, best_apy),
    )


def capture(own_apy: float, reference_apy: float, best_apy: float) -> float:
    """`(own - reference) / (best - reference)`; NaN where the denominator is below `LEAST_REACH` or a rate is NaN."""
    reach = best_apy - reference_apy
    return (own_apy - reference_apy) / reach if reach >= LEAST_REACH else math.nan


def _same_money(mine: pd.DataFrame, other: pd.DataFrame, what: str) -> None:
    if len(mine) != len(other) or (mine["date"] != other["date"]).any():
        raise DataError(f"{what}: its days are not those of the run; cut both to the days they share")
    opening = values(mine, "aum_open_usd")[0]
    allowed = _EQUAL_SHARE * max(opening, 1.0)
    apart = abs(values(other, "aum_open_usd")[0] - opening)
    flows = np.abs(values(other, "flows_usd") - values(mine, "flows_usd")).max()
    if not (apart <= allowed and flows <= allowed):
        raise DataError(f"{what}: it opens {apart:,.2f} USD apart and its flows differ by {flows:,.2f} USD a day")

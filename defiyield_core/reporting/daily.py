"""The rows of `portfolio_daily` of one portfolio, checked, and the series that every report takes from them.

Belongs here: refusing rows that are no single history; returns, index, rates and bases by row. Does not belong here:
figures of a whole run (see `metrics`).
External flows are no return: a day's net return is `(aum_close - flows - aum_open) / aum_open`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from defiyield_core.calendar import as_day
from defiyield_core.errors import DataError
from defiyield_core.reporting.returns import falls, growth_index
from defiyield_core.units import DAYS_PER_YEAR, FloatArray

REQUIRED = (
    "portfolio",
    "date",
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
    "status",
)


def by_day(daily: pd.DataFrame) -> pd.DataFrame:
    """The rows in order of days, checked to be one portfolio's, each day once.

    Raises:
        DataError: no rows, several portfolios, a repeated day, or a missing column.
    """
    missing = [name for name in REQUIRED if name not in daily.columns]
    if missing:
        raise DataError(f"portfolio_daily: columns {missing} are missing, performance needs them")
    if daily.empty:
        raise DataError("portfolio_daily: no rows, so there is no performance to report; run the days first")
    names = sorted(set(daily["portfolio"]))
    if len(names) > 1:
        raise DataError(f"portfolio_daily: rows of {names} together; pass one portfolio at a time")
    ordered = daily.sort_values("date", ignore_index=True)
    if ordered["date"].duplicated().any():
        twice = as_day(ordered.loc[ordered["date"].duplicated(), "date"].iloc[0])
        raise DataError(f"portfolio_daily: {names[0]} has more than one row on {twice}")
    return ordered


def values(daily: pd.DataFrame, column: str) -> FloatArray:
    """(n,) a column as floats."""
    return np.asarray(daily[column], dtype=float)


def gains_usd(daily: pd.DataFrame) -> FloatArray:
    """(n,) what each day gained: `aum_close - flows - aum_open`."""
    return values(daily, "aum_close_usd") - values(daily, "flows_usd") - values(daily, "aum_open_usd")


def base_usd(daily: pd.DataFrame) -> FloatArray:
    """(n,) what a day's gain is measured against: its opening value, or what a day that opens empty receives."""
    opening = values(daily, "aum_open_usd")
    return np.where(opening > 0, opening, np.maximum(values(daily, "flows_usd"), 0.0))


def over_base(daily: pd.DataFrame, amounts_usd: FloatArray) -> FloatArray:
    """(n,) amounts of the days as fractions of `base_usd`; 0 on a day without a base."""
    base = base_usd(daily)
    return np.divide(amounts_usd, base, out=np.zeros(len(daily)), where=base > 0)


def daily_returns(daily: pd.DataFrame) -> FloatArray:
    """(n,) net returns of the days, as fractions of the opening value.

    A day that opens with nothing and receives money is measured against what it received; a day without either is 0.
    """
    return over_base(daily, gains_usd(daily))


def return_index(daily: pd.DataFrame) -> FloatArray:
    """(n,) growth of one dollar to the close of each day, flows excluded."""
    return growth_index(daily_returns(daily))


def drawdown(index: FloatArray) -> FloatArray:
    """(n,) fall of the index below its running peak, at most 0; the peak starts at the 1 invested."""
    return falls(index)


def forecast_apy(daily: pd.DataFrame) -> FloatArray:
    """(n,) annualised rate that the forecasts promised for each day; NaN where the day opened with nothing."""
    return _annualised_daily(daily, "forecast_accrual_usd")


def realised_apy(daily: pd.DataFrame) -> FloatArray:
    """(n,) annualised rate that each day's accrual came to; NaN where the day opened with nothing."""
    return _annualised_daily(daily, "accrual_usd")


def over_opening(daily: pd.DataFrame, column: str) -> FloatArray:
    """(n,) a column as fractions of the opening value; NaN where the day opened with nothing."""
    opening = values(daily, "aum_open_usd")
    shares = np.divide(values(daily, column), opening, out=np.full(len(daily), np.nan), where=opening > 0)
    return np.asarray(shares, dtype=float)


def _annualised_daily(daily: pd.DataFrame, column: str) -> FloatArray:
    growth = np.maximum(1.0 + over_opening(daily, column), 0.0)
    return np.asarray(growth**DAYS_PER_YEAR - 1.0, dtype=float)

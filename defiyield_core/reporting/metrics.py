"""Performance figures of one portfolio, from its `portfolio_daily` rows. Pure functions.

Belongs here: returns, drawdown, costs, turnover. Does not belong here: comparing decisions or drawing anything.
External flows are no return: a day's net return is `(aum_close - flows - aum_open) / aum_open`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.calendar import as_day
from defiyield_core.errors import DataError
from defiyield_core.units import DAYS_PER_YEAR, FloatArray, annualised, to_bps

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


@dataclass(frozen=True)
class PerformanceMetrics:
    """What a portfolio did over a range of days. Shares, rates and returns are fractions.

    Attributes:
        days: rows, both ends included.
        net_apy: `(1 + total_return) ** (365 / days) - 1`; NaN when everything was lost.
        total_return: growth of the return index, flows excluded and every cost deducted.
        gross_apy: the same of accrual alone, over opening values: what the pools paid.
        fees_bps_of_nav: gas and conversion over the mean closing value, in basis points (over the range, not a year).
        mean_idle_share: mean over days of idle over closing value.
        max_drawdown: largest fall of the return index below its running peak, as a fraction at most 1 (0: none).
        max_drawdown_day: day of that lowest point; None without a fall.
        turnover: deposits and withdrawals over the mean closing value (1 = the book once).
        volatility: sample standard deviation of daily net returns times the root of 365; NaN below 2 days.
        status_counts: days by status, the most frequent first.
    """

    portfolio: str
    first_day: date
    last_day: date
    days: int
    nav_open_usd: float
    nav_close_usd: float
    net_apy: float
    total_return: float
    gross_apy: float
    accrual_usd: float
    forecast_accrual_usd: float
    revaluation_usd: float
    flows_usd: float
    gas_usd: float
    conversion_usd: float
    fees_bps_of_nav: float
    mean_idle_share: float
    max_drawdown: float
    max_drawdown_day: date | None
    turnover_usd: float
    turnover: float
    volatility: float
    status_counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def fees_usd(self) -> float:
        """Gas and conversion fees."""
        return self.gas_usd + self.conversion_usd

    @property
    def days_not_ok(self) -> int:
        """Days on which the portfolio held because something failed."""
        return self.days - self.status_counts.get("ok", 0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ISO days, and null for what is not a number."""
        plain = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}
        return {**plain, "fees_usd": _plain(self.fees_usd), "days_not_ok": self.days_not_ok}


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


def daily_returns(daily: pd.DataFrame) -> FloatArray:
    """(n,) net returns of the days, as fractions of the opening value.

    A day that opens with nothing and receives money is measured against what it received; a day without either is 0.
    """
    opening = daily["aum_open_usd"].to_numpy(dtype=float)
    flows = daily["flows_usd"].to_numpy(dtype=float)
    gain = daily["aum_close_usd"].to_numpy(dtype=float) - flows - opening
    base = np.where(opening > 0, opening, np.maximum(flows, 0.0))
    return np.divide(gain, base, out=np.zeros_like(gain), where=base > 0)


def return_index(daily: pd.DataFrame) -> FloatArray:
    """(n,) growth of one dollar to the close of each day, flows excluded."""
    return np.asarray(np.cumprod(1.0 + daily_returns(daily)), dtype=float)


def drawdown(index: FloatArray) -> FloatArray:
    """(n,) fall of the index below its running peak, at most 0; the peak starts at the 1 invested."""
    peak = np.maximum(np.maximum.accumulate(index), 1.0)
    return np.asarray(index / peak - 1.0, dtype=float)


def forecast_apy(daily: pd.DataFrame) -> FloatArray:
    """(n,) annualised rate that the forecasts promised for each day; NaN where the day opened with nothing."""
    return _annualised_daily(daily, "forecast_accrual_usd")


def realised_apy(daily: pd.DataFrame) -> FloatArray:
    """(n,) annualised rate that each day's accrual came to; NaN where the day opened with nothing."""
    return _annualised_daily(daily, "accrual_usd")


def performance(daily: pd.DataFrame) -> PerformanceMetrics:
    """The figures of one portfolio's days.

    Raises:
        DataError: see `by_day`.
    """
    rows = by_day(daily)
    days = len(rows)
    index = return_index(rows)
    falls = drawdown(index)
    lowest = int(np.argmin(falls))
    closing = rows["aum_close_usd"].to_numpy(dtype=float)
    mean_nav = float(closing.mean())
    fees = _total(rows, "gas_usd") + _total(rows, "conversion_usd")
    total_return = float(index[-1] - 1.0)
    accrual = _over_opening(rows, "accrual_usd")
    idle = rows["idle_usd"].to_numpy(dtype=float)
    counts = rows["status"].value_counts()
    returns = daily_returns(rows)
    return PerformanceMetrics(
        portfolio=str(rows["portfolio"].iloc[0]),
        first_day=as_day(rows["date"].iloc[0]),
        last_day=as_day(rows["date"].iloc[-1]),
        days=days,
        nav_open_usd=float(rows["aum_open_usd"].iloc[0]),
        nav_close_usd=float(closing[-1]),
        net_apy=annualised(total_return, days),
        total_return=total_return,
        gross_apy=annualised(float(np.prod(1.0 + np.nan_to_num(accrual)) - 1.0), days),
        accrual_usd=_total(rows, "accrual_usd"),
        forecast_accrual_usd=_total(rows, "forecast_accrual_usd"),
        revaluation_usd=_total(rows, "revaluation_usd"),
        flows_usd=_total(rows, "flows_usd"),
        gas_usd=_total(rows, "gas_usd"),
        conversion_usd=_total(rows, "conversion_usd"),
        fees_bps_of_nav=to_bps(fees, mean_nav) if mean_nav else float("nan"),
        mean_idle_share=float(np.divide(idle, closing, out=np.zeros(days), where=closing > 0).mean()),
        max_drawdown=float(-falls[lowest]) if falls[lowest] < 0 else 0.0,
        max_drawdown_day=as_day(rows["date"].iloc[lowest]) if falls[lowest] < 0 else None,
        turnover_usd=_total(rows, "turnover_usd"),
        turnover=_total(rows, "turnover_usd") / mean_nav if mean_nav else float("nan"),
        volatility=float(returns.std(ddof=1) * math.sqrt(DAYS_PER_YEAR)) if days > 1 else float("nan"),
        status_counts={str(status): int(number) for status, number in counts.items()},
    )


def _total(rows: pd.DataFrame, column: str) -> float:
    return float(rows[column].to_numpy(dtype=float).sum())


def _over_opening(rows: pd.DataFrame, column: str) -> FloatArray:
    opening = rows["aum_open_usd"].to_numpy(dtype=float)
    values = rows[column].to_numpy(dtype=float)
    return np.divide(values, opening, out=np.full(len(rows), np.nan), where=opening > 0)


def _annualised_daily(rows: pd.DataFrame, column: str) -> FloatArray:
    growth = np.maximum(1.0 + _over_opening(rows, column), 0.0)
    return np.asarray(growth**DAYS_PER_YEAR - 1.0, dtype=float)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return dict(value)
    return value

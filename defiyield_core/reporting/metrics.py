"""Performance figures of one portfolio, from its `portfolio_daily` rows. Pure functions.

Belongs here: the figures of a whole run that these rows alone tell. Does not belong here: statistics of arrays (see
`returns`), what needs positions or a second run (see `drags`, `yardsticks`, `attribution`), drawing anything.
A year has 365 days. External flows are no return: a day's net return is `(aum_close - flows - aum_open) / aum_open`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.calendar import as_day
from defiyield_core.reporting.daily import (
    REQUIRED,
    by_day,
    daily_returns,
    drawdown,
    forecast_apy,
    over_opening,
    realised_apy,
    return_index,
    values,
)
from defiyield_core.reporting.drags import idle_cost_usd, yearly_rate
from defiyield_core.reporting.returns import (
    best_and_worst,
    calmar,
    deepest_fall,
    expected_shortfall,
    hit_rate,
    longest_under_water,
    sharpe,
    sortino,
    total_return,
    value_at_risk,
    volatility,
)
from defiyield_core.reporting.yardsticks import forecast_error
from defiyield_core.units import DAYS_PER_YEAR, FloatArray, annualised, to_bps

__all__ = [
    "REQUIRED",
    "PerformanceMetrics",
    "by_day",
    "daily_returns",
    "drawdown",
    "forecast_apy",
    "performance",
    "realised_apy",
    "return_index",
]

STRETCH_DAYS = 30


@dataclass(frozen=True)
class PerformanceMetrics:
    """What a portfolio did over a range of days. Shares, rates and returns are fractions.

    NaN (null in JSON) where a figure is not defined; never infinite. Formulas of the ratios are in `returns`.

    Attributes:
        days: days, both ends included.
        net_apy: `(1 + total_return) ** (365 / days) - 1`, the CAGR; NaN when everything was lost.
        total_return: growth of the return index, flows excluded and every cost deducted.
        gross_apy: the same of accrual alone, over opening values: what the pools paid.
        fees_bps_of_nav: gas and conversion over the mean closing value, in basis points (over the range, not a year).
        mean_idle_share: mean over days of idle over closing value.
        max_drawdown: largest fall of the return index below its running peak, as a fraction at most 1 (0: none).
        max_drawdown_day: day of that lowest point; None without a fall.
        max_drawdown_peak_day: day at whose close the peak before it stood (the day before the first for the money
            invested); max_drawdown_recovery_day: day that closed at the peak again, None when it did not.
        max_drawdown_days: days that closed below that peak. longest_drawdown_days: the most in a row of any fall.
        turnover: deposits and withdrawals over the mean closing value (1 = the book once); turnover_per_year: that
            times 365 / days.
        volatility: sample standard deviation of daily net returns times the root of 365; NaN below 2 days.
        sharpe, sortino: mean excess return over its deviation, over its shortfall; a year's. NaN without either.
        calmar: net_apy over max_drawdown; NaN without a fall.
        var_95, cvar_95: loss of a day that 5 % of the days exceed, and the mean loss of those; negative for a gain.
        hit_rate: share of days with a net return above 0.
        best_30_days, worst_30_days: net return of 30 days in a row, and `_last_day`; NaN and None below 30 days.
        gas_drag, conversion_drag, idle_drag: what gas, conversions and idle money cost, a year's rate (see `drags`).
        idle_cost_usd: what the idle money would have earned in the pools; NaN when nothing was ever in one.
        forecast_bias_usd, forecast_mean_absolute_error_usd: accrual less its forecast, a day with money at work (see
            `yardsticks`).
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
    max_drawdown_peak_day: date | None
    max_drawdown_recovery_day: date | None
    max_drawdown_days: float
    longest_drawdown_days: float
    turnover_usd: float
    turnover: float
    turnover_per_year: float
    volatility: float
    sharpe: float
    sortino: float
    calmar: float
    var_95: float
    cvar_95: float
    hit_rate: float
    best_30_days: float
    best_30_days_last_day: date | None
    worst_30_days: float
    worst_30_days_last_day: date | None
    gas_drag: float
    conversion_drag: float
    idle_drag: float
    idle_cost_usd: float
    forecast_bias_usd: float
    forecast_mean_absolute_error_usd: float
    status_counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def cagr(self) -> float:
        """The net APY by its other name."""
        return self.net_apy

    @property
    def fees_usd(self) -> float:
        """Gas and conversion fees."""
        return self.gas_usd + self.conversion_usd

    @property
    def days_not_ok(self) -> int:
        """Days (rows) on which the portfolio held because something failed."""
        return sum(number for status, number in self.status_counts.items() if status != "ok")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ISO days, and null for what is not a number."""
        plain = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}
        return {**plain, "fees_usd": _plain(self.fees_usd), "days_not_ok": self.days_not_ok}


def performance(
    daily: pd.DataFrame, periods_per_year: int = DAYS_PER_YEAR, risk_free_apy: float = 0.0
) -> PerformanceMetrics:
    """The figures of one portfolio's rows.

    Args:
        periods_per_year: rows of a year: 365 for days, 8760 for hours. Lengths come out in days all the same, and every
            figure "of a day" (VaR, hit rate, forecast error) is one of a row.
        risk_free_apy: effective annual rate that Sharpe and Sortino subtract.

    Raises:
        DataError: see `by_day`.
    """
    rows = by_day(daily)
    returns = daily_returns(rows)
    days = len(rows) * DAYS_PER_YEAR / periods_per_year
    counts = rows["status"].value_counts()
    return PerformanceMetrics(
        portfolio=str(rows["portfolio"].iloc[0]),
        first_day=as_day(rows["date"].iloc[0]),
        last_day=as_day(rows["date"].iloc[-1]),
        days=math.ceil(days),
        volatility=volatility(returns, periods_per_year),
        sharpe=sharpe(returns, periods_per_year, risk_free_apy),
        sortino=sortino(returns, periods_per_year, risk_free_apy),
        calmar=calmar(returns, periods_per_year),
        var_95=value_at_risk(returns),
        cvar_95=expected_shortfall(returns),
        hit_rate=hit_rate(returns),
        status_counts={str(status): int(number) for status, number in counts.items()},
        **_money(rows, days),
        **_drags(rows, periods_per_year),
        **_deepest(rows, returns, periods_per_year),
        **_stretches(rows, returns, periods_per_year),
    )


def _money(rows: pd.DataFrame, days: float) -> dict[str, Any]:
    closing, idle = values(rows, "aum_close_usd"), values(rows, "idle_usd")
    mean_nav = float(closing.mean())
    growth = total_return(daily_returns(rows))
    accrual = over_opening(rows, "accrual_usd")
    names = ("accrual", "forecast_accrual", "revaluation", "flows", "gas", "conversion", "turnover")
    sums = {f"{name}_usd": float(values(rows, f"{name}_usd").sum()) for name in names}
    turnover = sums["turnover_usd"] / mean_nav if mean_nav else math.nan
    return {
        **sums,
        "nav_open_usd": float(values(rows, "aum_open_usd")[0]),
        "nav_close_usd": float(closing[-1]),
        "net_apy": annualised(growth, days),
        "total_return": growth,
        "gross_apy": annualised(float(np.prod(1.0 + np.nan_to_num(accrual)) - 1.0), days),
        "fees_bps_of_nav": to_bps(sums["gas_usd"] + sums["conversion_usd"], mean_nav) if mean_nav else math.nan,
        "mean_idle_share": float(np.divide(idle, closing, out=np.zeros(len(rows)), where=closing > 0).mean()),
        "turnover": turnover,
        "turnover_per_year": turnover * DAYS_PER_YEAR / days,
    }


def _drags(rows: pd.DataFrame, periods_per_year: int) -> dict[str, Any]:
    idle, error = idle_cost_usd(rows), forecast_error(rows)
    return {
        "gas_drag": yearly_rate(rows, values(rows, "gas_usd"), periods_per_year),
        "conversion_drag": yearly_rate(rows, values(rows, "conversion_usd"), periods_per_year),
        "idle_drag": yearly_rate(rows, idle, periods_per_year),
        "idle_cost_usd": float(idle.sum()),
        "forecast_bias_usd": error.bias_usd,
        "forecast_mean_absolute_error_usd": error.mean_absolute_usd,
    }


def _deepest(rows: pd.DataFrame, returns: FloatArray, periods_per_year: int) -> dict[str, Any]:
    fall, to_days = deepest_fall(returns), DAYS_PER_YEAR / periods_per_year
    before = as_day(rows["date"].iloc[0] - timedelta(days=to_days))

    def day(row: int | None) -> date | None:
        return None if row is None else before if row < 0 else as_day(rows["date"].iloc[row])

    return {
        "max_drawdown": fall.depth if fall else 0.0,
        "max_drawdown_day": day(fall.trough) if fall else None,
        "max_drawdown_peak_day": day(fall.peak) if fall else None,
        "max_drawdown_recovery_day": day(fall.recovery) if fall else None,
        "max_drawdown_days": fall.under_water * to_days if fall else 0.0,
        "longest_drawdown_days": longest_under_water(returns) * to_days,
    }


def _stretches(rows: pd.DataFrame, returns: FloatArray, periods_per_year: int) -> dict[str, Any]:
    both = best_and_worst(returns, round(STRETCH_DAYS * periods_per_year / DAYS_PER_YEAR))
    named = zip(("best_30_days", "worst_30_days"), both or (None, None), strict=True)
    figures: dict[str, Any] = {}
    for name, stretch in named:
        figures[name] = stretch.growth if stretch else math.nan
        figures[f"{name}_last_day"] = as_day(rows["date"].iloc[stretch.last]) if stretch else None
    return figures


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return dict(value)
    return value

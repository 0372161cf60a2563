"""Risk and return: every figure of a run with what it says in plain words."""

from __future__ import annotations

from datetime import date

from defiyield_core.reporting.analysis import Analysis
from defiyield_core.reporting.drags import Concentration
from defiyield_core.reporting.figures import count, is_unknown, percent
from defiyield_core.reporting.markup import Html, element, join
from defiyield_core.reporting.metrics import PerformanceMetrics
from defiyield_core.reporting.sheet.parts import inline, measures, note, nowrap


def risk_and_return(found: Analysis) -> Html:
    """Two lists side by side: what was earned, and how it moved."""
    return join(
        (
            element("h2", "Risk and return"),
            note("Of daily net returns; a year has 365 days and the riskless rate is taken as 0."),
            element("div", measures("Return", _returns(found)), measures("Risk", _risks(found)), class_="pair"),
        )
    )


def _returns(found: Analysis) -> list[tuple[str, str, str]]:
    own = found.own
    return [
        ("Total return", percent(own.total_return, signed=True), "growth of a dollar, net of all costs, without flows"),
        ("Net APY (CAGR)", percent(own.net_apy), "the same as a yearly rate"),
        ("Gross APY", percent(own.gross_apy), "what the pools paid on NAV, before costs and prices"),
        ("Sharpe", _ratio(own.sharpe), "return over its deviation; high where yield hardly moves"),
        ("Sortino", _ratio(own.sortino), "return over the deviation of losses alone"),
        ("Calmar", _ratio(own.calmar), "net APY over the largest drawdown"),
        ("Days with a gain", percent(own.hit_rate, digits=1), "share of days that ended above their opening value"),
        ("Best 30 days", percent(own.best_30_days, signed=True), _stretch(own.best_30_days_last_day)),
        ("Worst 30 days", percent(own.worst_30_days, signed=True), _stretch(own.worst_30_days_last_day)),
        ("Turnover a year", f"{own.turnover_per_year:.1f}x", "deposits and withdrawals over mean NAV"),
    ]


def _risks(found: Analysis) -> list[tuple[str, str, str]]:
    own, pools, protocols = found.own, found.pools, found.protocols
    return [
        ("Volatility", percent(own.volatility), "deviation of daily returns as a yearly rate"),
        ("Largest drawdown", percent(own.max_drawdown, digits=3), _fall(own)),
        ("Its length", count(round(own.max_drawdown_days), "day"), "closes below the peak before it"),
        ("Longest below a peak", count(round(own.longest_drawdown_days), "day"), "of any drawdown, deep or not"),
        ("Value at risk 95%", percent(own.var_95, digits=3), f"one day in twenty was worse{_gained(own.var_95)}"),
        ("CVaR 95%", percent(own.cvar_95, digits=3), f"mean loss of those days{_gained(own.cvar_95)}"),
        ("Concentration, pools", _hhi(pools), _parts(pools, "pool")),
        ("Concentration, protocols", _hhi(protocols), _parts(protocols, "protocol")),
        ("Most concentrated", _number(pools.highest), _peak(pools)),
        ("Days not ok", f"{own.days_not_ok:,}", "the portfolio held because something failed"),
    ]


def _ratio(value: float) -> str:
    return "n/a" if is_unknown(value) else f"{value:,.1f}"


def _number(value: float) -> str:
    return "n/a" if is_unknown(value) else f"{value:.2f}"


def _stretch(last: date | None) -> str:
    return f"in a row, the last on {last}" if last is not None else "fewer than 30 days so far"


def _fall(own: PerformanceMetrics) -> str:
    if own.max_drawdown_day is None:
        return "never below an earlier close"
    end = own.max_drawdown_recovery_day
    after = inline("recovered on ", nowrap(end)) if end is not None else "not recovered yet"
    return inline("from ", nowrap(own.max_drawdown_peak_day), " to ", nowrap(own.max_drawdown_day), ", ", after)


def _gained(loss: float) -> str:
    return "; negative: even they gained" if loss < 0 else ""


def _hhi(found: Concentration) -> str:
    return _number(found.mean)


def _parts(found: Concentration, noun: str) -> str:
    if is_unknown(found.effective):
        return "nothing was held"
    return f"mean HHI (1: a single {noun}), as spread as {found.effective:.1f} equal parts"


def _peak(found: Concentration) -> str:
    return inline("highest HHI of pools, on ", nowrap(found.highest_day)) if found.highest_day else "nothing was held"

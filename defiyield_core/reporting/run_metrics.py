"""All figures of a run as flat JSON values.

Belongs here: names of figures and their plain values. Does not belong here: computing them (see `analysis`).
"""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from defiyield_core.reporting.analysis import Analysis, analyse
from defiyield_core.reporting.attribution import Attribution
from defiyield_core.reporting.inputs import FORESIGHT, ReportInputs

ATTRIBUTED = ("cause", "protocol", "token", "chain", "pool_id")


def run_metrics(report: ReportInputs, analysis: Analysis | None = None) -> dict[str, Any]:
    """Every figure of the reported portfolio: numbers, ISO days, text, null for what is not defined.

    The figures of `PerformanceMetrics` under their names, and with the same units (fractions, USD, days):

    - `dilution_drag`, `dilution_cost_usd`; `hhi_mean`, `hhi_highest`, `hhi_highest_day`, `effective_pools`,
      `protocol_hhi_mean`, `effective_protocols`;
    - `forecast_error_total_usd` and, a day with money at work, `_root_mean_square_usd`; `_share_of_accrual`, `_days`;
    - `regret_usd`, `regret_apy`, `regret_worst_day`, `foresight_net_apy`, `capture`, `capture_reference` against a run
      with perfect foresight, on the days that all compared portfolios share;
    - `attribution_total_cents`, `attribution_by_CAUSE...POOL_ID_cents`: whole cents by name, each adding up to that
      total; null, with `attribution_gap` saying why, where it cannot be proved.

    Args:
        analysis: of the same report, where it is at hand.
    """
    found = analysis or analyse(report)
    error = found.error
    figures = {
        **found.own.as_dict(),
        "dilution_drag": found.dilution_drag,
        "dilution_cost_usd": found.dilution_usd,
        "hhi_mean": found.pools.mean,
        "hhi_highest": found.pools.highest,
        "hhi_highest_day": found.pools.highest_day,
        "effective_pools": found.pools.effective,
        "protocol_hhi_mean": found.protocols.mean,
        "effective_protocols": found.protocols.effective,
        "forecast_error_days": error.days,
        "forecast_error_total_usd": error.total_usd,
        "forecast_error_root_mean_square_usd": error.root_mean_square_usd,
        "forecast_error_share_of_accrual": error.share_of_accrual,
        **_regret(found),
        **_attributed(found.attribution),
        "attribution_gap": found.attribution_gap,
    }
    return {name: _plain(value) for name, value in figures.items()}


def _regret(found: Analysis) -> dict[str, Any]:
    names = ("regret_usd", "regret_apy", "regret_worst_day", "foresight_net_apy", "capture", "capture_reference")
    against = found.regret
    if against is None:
        return dict.fromkeys(names)
    best = next(item.net_apy for item in found.figures if item.portfolio == FORESIGHT)
    shown = (against.usd, against.apy, against.worst_day, best, against.capture, found.reference or None)
    return dict(zip(names, shown, strict=True))


def _attributed(found: Attribution | None) -> dict[str, Any]:
    if found is None:
        return {"attribution_total_cents": None, **{f"attribution_by_{name}_cents": None for name in ATTRIBUTED}}
    sums = {name: found.in_cents(name) for name in ATTRIBUTED}
    return {
        "attribution_total_cents": round(found.total_usd * 100.0),
        **{
            f"attribution_by_{name}_cents": dict(zip(frame[name], frame["cents"].tolist(), strict=True))
            for name, frame in sums.items()
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value

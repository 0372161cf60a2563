"""Days worth explaining: the worst ones with what caused them, and every day that did not end `ok`.

Belongs here: choosing days and putting their cause into words. Does not belong here: how they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core.calendar import as_day
from defiyield_core.reporting.figures import count, usd
from defiyield_core.reporting.metrics import by_day, daily_returns

_WORTH_NAMING = 0.1
"""A cause below this share of all losses of the day is not named."""


@dataclass(frozen=True)
class DayNote:
    """One day: its net return (fraction), gain in USD without external flows, and why."""

    day: date
    net_return: float
    gain_usd: float
    reason: str


def worst_days(daily: pd.DataFrame, *, at_most: int = 8) -> tuple[DayNote, ...]:
    """The days that lost most, the worst first; days without a loss are never among them."""
    rows = by_day(daily)
    returns = daily_returns(rows)
    order = [int(i) for i in np.argsort(returns, kind="stable")[:at_most] if returns[i] < 0]
    return tuple(_note(rows.iloc[i], float(returns[i])) for i in order)


def days_not_ok(daily: pd.DataFrame) -> tuple[DayNote, ...]:
    """Days with a status other than `ok`, the latest first."""
    rows = by_day(daily)
    returns = daily_returns(rows)
    order = np.flatnonzero((rows["status"] != "ok").to_numpy())[::-1]
    return tuple(
        DayNote(
            day=as_day(rows["date"].iloc[i]),
            net_return=float(returns[i]),
            gain_usd=_gain(rows.iloc[i]),
            reason=_outcome(rows.iloc[i]),
        )
        for i in order
    )


def _note(row: pd.Series, net_return: float) -> DayNote:
    return DayNote(as_day(row["date"]), net_return, _gain(row), _cause(row))


def _gain(row: pd.Series) -> float:
    return float(row["aum_close_usd"] - row["flows_usd"] - row["aum_open_usd"])


def _cause(row: pd.Series) -> str:
    gas, conversion = float(row["gas_usd"]), float(row["conversion_usd"])
    losses = {
        f"prices {usd(float(row['revaluation_usd']))}": -float(row["revaluation_usd"]),
        f"costs {usd(gas + conversion)} (gas {usd(gas)}, conversion {usd(conversion)})": gas + conversion,
        f"pools lost {usd(-float(row['accrual_usd']))}": -float(row["accrual_usd"]),
    }
    total = sum(loss for loss in losses.values() if loss > 0)
    named = [text for text, loss in sorted(losses.items(), key=lambda item: -item[1]) if loss > _WORTH_NAMING * total]
    if row["status"] != "ok":
        named.append(_outcome(row))
    silent = int(row.get("no_data_pools", 0))
    if silent:
        named.append(f"{count(silent, 'held pool')} without data")
    return "; ".join(named) or "no single cause"


def _outcome(row: pd.Series) -> str:
    reason = str(row.get("reason") or "").strip()
    return f"{row['status']}: {reason}" if reason else f"{row['status']}, no reason recorded"

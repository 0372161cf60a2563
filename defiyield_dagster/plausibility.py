"""Rules of thumb that tell a person to look: data that is old, fell away or jumped.

Everything here is a warning and stops nothing: markets do jump. What must never be stored is in
`defiyield_core.contracts.checks`.
Belongs here: pure functions from stored rows to findings. Does not belong here: Dagster, wording of messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window, as_day
from defiyield_core.pipeline.step import StepContext

LOOK_BACK_DAYS = 7
MAX_DROP = 0.30
"""A day with fewer rows than this share below the median of the week before is reported."""
MAX_TOTAL_TVL_CHANGE = 0.30
MAX_POOL_TVL_CHANGE = 0.50
MAX_APY_CHANGE = 0.05
"""Five percentage points from one day to the next."""
MAX_JUMPING_SHARE = 0.25
"""One pool that jumps is its own affair (groups and forecasts see it); a quarter of them at once is a source gone
wrong."""
MIN_POOL_TVL_USD = 100_000.0
MAX_IDLE_SHARE = 0.50


@dataclass(frozen=True)
class Finding:
    """Something to look at; `day` is None where it is about no single day."""

    day: date | None
    text: str

    def __str__(self) -> str:
        return f"{self.day}: {self.text}" if self.day is not None else self.text


@dataclass(frozen=True)
class Rule:
    """What a plausibility check says it does, and the function that does it."""

    doc: str
    evaluate: Callable[[StepContext, Window], Sequence[Finding]]


def missing_days(days: Sequence[date], window: Window, what: str) -> list[Finding]:
    """Days of the window without any row: the source was down, or its newest row is old."""
    stored = set(days)
    newest = max((day for day in stored if day <= window.end), default=None)
    found = []
    for day in window:
        if day in stored:
            continue
        stale = newest is not None and day > newest
        tail = f"; the newest is of {newest}, {(day - newest).days} days before" if stale and newest else ""
        found.append(Finding(day, f"{what} has no rows{tail}"))
    return found


def count_drops(counts: Mapping[date, int], window: Window, what: str) -> list[Finding]:
    """Days whose count is more than `MAX_DROP` below the median of the stored days among the 7 before."""
    found = []
    for day in window:
        if day not in counts:
            continue
        week = (day - timedelta(days=lag) for lag in range(1, LOOK_BACK_DAYS + 1))
        before = [counts[past] for past in week if past in counts]
        if not before:
            continue
        usual = float(np.median(before))
        if counts[day] < (1.0 - MAX_DROP) * usual:
            found.append(Finding(day, f"{what}: {counts[day]} after a median of {usual:g} in the week before"))
    return found


def jumps(metrics: pd.DataFrame, window: Window) -> list[Finding]:
    """Days on which the TVL of all pools jumps, or too many pools jump in TVL or APY at once.

    Args:
        metrics: rows of `pool_daily_metrics` from the day before the window on.
    """
    size = metrics.assign(before=metrics["tvl_usd"] - metrics["tvl_change_1d_usd"])
    known = size[size["before"].notna() & (size["before"] >= MIN_POOL_TVL_USD)]
    known = known[known["date"] >= pd.Timestamp(window.start)]
    found = []
    for moment, rows in known.groupby("date", sort=True):
        day = as_day(moment)
        total, before = float(rows["tvl_usd"].sum()), float(rows["before"].sum())
        if abs(total / before - 1.0) > MAX_TOTAL_TVL_CHANGE:
            found.append(Finding(day, f"TVL of all pools went from {before:,.0f} to {total:,.0f} USD"))
        for column, limit, what in (
            (rows["tvl_change_1d_usd"] / rows["before"], MAX_POOL_TVL_CHANGE, "in TVL by more than half"),
            (rows["apy_change_1d"], MAX_APY_CHANGE, "in APY by more than 5 points"),
        ):
            jumping = int((column.abs() > limit).sum())
            if jumping > MAX_JUMPING_SHARE * len(rows):
                found.append(Finding(day, f"{jumping} of {len(rows)} pools jumped {what}"))
    return found


def outcome_findings(daily: pd.DataFrame) -> list[Finding]:
    """Days of a portfolio that ended with anything but ok, held pools without a row, or more idle than half."""
    found = []
    for row in daily.itertuples():
        day = as_day(row.date)
        if row.status != "ok":
            found.append(Finding(day, f"{row.status}: {row.reason}; the portfolio held"))
        if row.no_data_pools:
            found.append(Finding(day, f"{row.no_data_pools} held pools have no row"))
        if row.aum_close_usd and row.idle_usd > MAX_IDLE_SHARE * row.aum_close_usd:
            found.append(Finding(day, f"{row.idle_usd / row.aum_close_usd:.0%} of the money lies idle"))
    return found


def steady(table: str, core: StepContext, window: Window, where: str = "") -> list[Finding]:
    """Missing days, and sudden drops in the rows of a table (only those with the flag `where`, if one is given)."""
    wider = Window(window.start - timedelta(days=LOOK_BACK_DAYS), window.end)
    rows = core.warehouse.read(table, wider, columns=("date", where) if where else ("date",))
    counts = {as_day(moment): int(count) for moment, count in rows["date"].value_counts().items()}
    if where:
        kept = rows[rows[where]]["date"].value_counts()
        counts = {day: int(kept.get(pd.Timestamp(day), 0)) for day in counts}
    what = f"{where} rows of {table}" if where else f"rows of {table}"
    return [*missing_days(list(counts), window, table), *count_drops(counts, window, what)]


def _present(table: str) -> Callable[[StepContext, Window], Sequence[Finding]]:
    return lambda core, window: missing_days(core.warehouse.days(table), window, table)


def _present_and_steady(table: str, where: str = "") -> Callable[[StepContext, Window], Sequence[Finding]]:
    return lambda core, window: steady(table, core, window, where)


def _metrics(core: StepContext, window: Window) -> Sequence[Finding]:
    columns = ("date", "tvl_usd", "tvl_change_1d_usd", "apy_change_1d")
    return jumps(core.warehouse.read("pool_daily_metrics", window, columns=columns), window)


_STEADY = f"A day without rows, or with over {MAX_DROP:.0%} fewer than the median of the week before."
_PRESENT = "Days without rows: the source was down or is behind."
PLAUSIBILITY: dict[str, Rule] = {
    "raw_pools": Rule(_STEADY, _present_and_steady("raw_defillama_pools")),
    "raw_pool_history": Rule(_STEADY, _present_and_steady("raw_defillama_pool_history")),
    "raw_token_ohlcv": Rule(_PRESENT, _present("raw_coinmarketcap_ohlcv")),
    "raw_gas_hourly": Rule(_PRESENT, _present("raw_ethgastracker_hourly_gas_data")),
    "pool_daily_metrics": Rule(
        "Jumps of the TVL of all pools, or of many pools' TVL or APY at once, from one day to the next.", _metrics
    ),
    "eligible_pools": Rule(
        "A sudden drop in the pools that are open to deposits.", _present_and_steady("eligible_pools", "depositable")
    ),
}
"""By step. Adding a rule is one entry. Those of forecasts are in `forecast_rules`."""

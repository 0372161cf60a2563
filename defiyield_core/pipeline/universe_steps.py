"""The process phase: from raw rows to lists, pools, metrics, tiers, prices, gas and the icebox.

Belongs here: what each step reads, how far back, and what it writes. Does not belong here: formulas (see `universe`).
Whatever needs history is computed from the raw rows up to the window's end, never from stored results, so a window
gives the same rows alone or inside a longer one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from defiyield_core.calendar import DayArray, Window
from defiyield_core.contracts import table
from defiyield_core.panel import Panel, days_between
from defiyield_core.parameters import Parameters, parameters
from defiyield_core.pipeline.step import Step, StepContext, StepResult
from defiyield_core.universe.gas import daily_gas, hourly_gas
from defiyield_core.universe.groups import pool_groups
from defiyield_core.universe.icebox import icebox_rows
from defiyield_core.universe.lists import LIST_KINDS, seed_writes
from defiyield_core.universe.metrics import ROW_DAYS, pool_metrics
from defiyield_core.universe.observations import pool_observations
from defiyield_core.universe.pools import SNAPSHOT_COLUMNS, approved_names, first_seen, stablecoin_pools
from defiyield_core.universe.prices import token_candles
from defiyield_core.warehouse.port import TableWrite

BEGINNING = date(1970, 1, 1)
_SNAPSHOT_OBSERVATION = ("date", "pool_id", "apy", "tvl_usd", "stablecoin")
_CHART_OBSERVATION = ("date", "pool_id", "apy", "tvl_usd")


def shared_parameters() -> Parameters:
    """Thresholds of the tables that all portfolios share (tiers, icebox): those of preset `default`."""
    return parameters("default")


def since(window: Window, days_before: int | None) -> Window:
    """The window with as many days before it; None for all of them."""
    if days_before is None:
        return Window(BEGINNING, window.end)
    return Window(max(window.start - timedelta(days=days_before), BEGINNING), window.end)


def read_observations(context: StepContext, window: Window, days_before: int | None) -> Panel:
    """APY and TVL of pools over the window and the days before it (None: since the first stored day)."""
    span = since(window, days_before)
    history = context.warehouse.read("raw_defillama_pool_history", span, columns=_CHART_OBSERVATION)
    snapshots = context.warehouse.read(
        "raw_defillama_pools", span, scope={"stablecoin": True}, columns=_SNAPSHOT_OBSERVATION
    )
    first = window.start if days_before is None else span.start
    for frame in (history, snapshots):
        if days_before is None and len(frame):
            first = min(first, frame["date"].min().date())
    return pool_observations(history, snapshots, days_between(first, window.end))


def read_candles(context: StepContext, window: Window) -> pd.DataFrame:
    """Candles in USD from the first stored day to the end of the window."""
    return token_candles(context.warehouse.read("raw_coinmarketcap_ohlcv", since(window, None)))


def read_gas(context: StepContext, window: Window, days_before: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hourly and daily gas of the window and the days before it."""
    hourly = hourly_gas(context.warehouse.read("raw_ethgastracker_hourly_gas_data", since(window, days_before)))
    return hourly, daily_gas(hourly)


def written(name: str, frame: pd.DataFrame, window: Window, *more: TableWrite) -> StepResult:
    """The result of a step with one main table: its rows, and a warning for days without any."""
    without = missing_days(frame, window.days())
    warnings: tuple[str, ...] = ()
    if without:
        shown = ", ".join(str(day) for day in without[:3]) + (" and more" if len(without) > 3 else "")
        warnings = (f"{name}: no rows for {len(without)} of {len(window)} days ({shown})",)
    numbers = {"rows": float(len(frame)), "days_without_rows": float(len(without))}
    return StepResult((TableWrite(name, frame, window), *more), numbers, warnings, frame.tail(5))


def missing_days(frame: pd.DataFrame, days: DayArray) -> list[np.datetime64]:
    """Days of the window on which the frame has no row."""
    return list(np.setdiff1d(days, frame["date"].to_numpy(dtype="datetime64[D]")))


def _token_lists(context: StepContext, window: Window) -> StepResult:
    writes = seed_writes(context.warehouse)
    seeded = {write.table for write in writes}
    numbers = {spec.table: float(len(context.warehouse.read(spec.table))) for spec in LIST_KINDS.values()}
    numbers.update({write.table: float(len(write.frame)) for write in writes})
    said = (f"empty lists were filled from the shipped ones: {', '.join(sorted(seeded))}",) if seeded else ()
    return StepResult(writes, numbers, said)


def _pools(context: StepContext, window: Window) -> StepResult:
    warehouse, everything = context.warehouse, since(window, None)
    seen = [
        warehouse.read(name, everything, columns=("date", "pool_id"))
        for name in ("raw_defillama_pools", "raw_defillama_pool_history")
    ]
    snapshots = warehouse.read("raw_defillama_pools", since(window, ROW_DAYS), columns=SNAPSHOT_COLUMNS)
    names = approved_names(warehouse.read("approved_tokens"))
    return written("pools", stablecoin_pools(snapshots, first_seen(seen), window, names), window)


def _pool_daily_metrics(context: StepContext, window: Window) -> StepResult:
    observed = read_observations(context, window, None)
    return written("pool_daily_metrics", pool_metrics(observed, window), window)


def _pool_groups(context: StepContext, window: Window) -> StepResult:
    metrics = context.warehouse.read("pool_daily_metrics", window)
    groups = pool_groups(metrics, shared_parameters())
    result = written("pool_groups", groups, window)
    counts = {f"rows_in_group_{tier}": float((groups["pool_group"] == tier).sum()) for tier in (1, 2, 3)}
    return StepResult(result.writes, {**result.numbers, **counts}, result.warnings, result.preview)


def _token_daily(context: StepContext, window: Window) -> StepResult:
    raw = context.warehouse.read("raw_coinmarketcap_ohlcv", window)
    return written("token_daily", token_candles(raw), window)


def _gas_fees(context: StepContext, window: Window) -> StepResult:
    hourly, daily = read_gas(context, window, 0)
    return written("gas_fees_daily", daily, window, TableWrite("gas_fees_hourly", hourly, window))


def _icebox_tokens(context: StepContext, window: Window) -> StepResult:
    approved = context.warehouse.read("approved_tokens")
    rows = icebox_rows(read_candles(context, window), approved, shared_parameters(), window)
    changes = rows[rows["status"] != "held"]
    numbers = {
        "rows": float(len(rows)),
        "entered": float((rows["status"] == "entered").sum()),
        "left": float((rows["status"] == "left").sum()),
        "tokens": float(rows["token"].nunique()),
    }
    return StepResult((TableWrite("icebox_tokens", rows, window),), numbers, (), changes.tail(5))


def _step(
    name: str,
    doc: str,
    compute: Callable[[StepContext, Window], StepResult],
    upstream: Sequence[str] = (),
    writes: Sequence[str] = (),
) -> Step:
    tables = tuple(writes) or (table(name).name,)
    return Step(name, "process", "universe", doc, tuple(upstream), tables, compute)


UNIVERSE_STEPS: tuple[Step, ...] = (
    Step(
        "token_lists",
        "ingest",  # before the raw tables: the lists say which tokens need prices
        "universe",
        "The approved tokens, blacklisted tokens and approved protocols; filled from the shipped lists when empty.",
        (),
        tuple(spec.table for spec in LIST_KINDS.values()),
        _token_lists,
    ),
    _step(
        "pools",
        "Stablecoin pools as they stood on the day, with their tokens by canonical name.",
        _pools,
        ["raw_pools", "raw_pool_history", "token_lists"],
    ),
    _step(
        "pool_daily_metrics",
        "APY and TVL of the day with rolling statistics, gaps carried for at most 3 days, absurd values flagged.",
        _pool_daily_metrics,
        ["raw_pools", "raw_pool_history"],
    ),
    _step(
        "pool_groups",
        "Risk tier of every pool by the stability of its APY.",
        _pool_groups,
        ["pool_daily_metrics"],
    ),
    _step(
        "token_daily",
        "Daily candles in USD.",
        _token_daily,
        ["raw_token_ohlcv"],
    ),
    _step(
        "gas_fees",
        "Gas price by the hour and by the day.",
        _gas_fees,
        ["raw_gas_hourly"],
        ["gas_fees_hourly", "gas_fees_daily"],
    ),
    _step(
        "icebox_tokens",
        "Tokens off their peg: who is in the icebox, since when and why.",
        _icebox_tokens,
        ["raw_token_ohlcv", "token_lists"],
    ),
)

"""The end of the forecast phase: what came of the stored forecasts, and how good they were.

Belongs here: what is read, how far back, and what is written. Does not belong here: what matures when (see
`forecasting.matured`), figures (see `forecasting.matured_card`).
Forecasts are read as they were stored at the time and never made again here; outcomes of a day are taken from
observations up to that day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window, as_day
from defiyield_core.forecasting.matured import (
    GAS_TARGET,
    POOL_TARGETS,
    Matured,
    days_before,
    gas_scores,
    pool_scores,
)
from defiyield_core.forecasting.port import GAS_ID, horizon_of
from defiyield_core.forecasting.registry import DEFAULT
from defiyield_core.panel import Panel, days_between, to_panel
from defiyield_core.pipeline.step import Step, StepContext, StepResult
from defiyield_core.pipeline.universe_steps import read_gas, read_observations, since
from defiyield_core.universe.metrics import FLAG_APY
from defiyield_core.warehouse.port import TableWrite

PART_DAYS = 28
"""Days of scores that are read at once."""
TARGETS = tuple(sorted(target.name for target in (*POOL_TARGETS, GAS_TARGET)))
LONGEST_HORIZON_DAYS = 30
"""Stored forecasts of up to so many days are scored whoever wanted them, longer ones while a portfolio uses them."""


def longest_horizon(context: StepContext) -> int:
    """The longest horizon whose forecasts are scored."""
    return max([LONGEST_HORIZON_DAYS, *(horizon_of(chosen) for chosen in context.parameters_in_use())])


def due_window(window: Window, longest_horizon_days: int) -> Window:
    """Days whose forecasts may mature in the window."""
    return Window(since(window, longest_horizon_days).start, window.end)


def observed_pools(context: StepContext, window: Window, before: int) -> Panel:
    """APY and TVL over the window and the days before it; a flagged APY is missing."""
    found = read_observations(context, window, before)
    apy = found["apy"]
    return Panel(found.days, found.ids, {**found.values, "apy": np.where(apy > FLAG_APY, np.nan, apy)})


def observed_gas(context: StepContext, window: Window, before: int) -> Panel:
    """The daily gas price over the window and the days before it, of one id."""
    _, daily = read_gas(context, window, before)
    span = since(window, before)
    daily = daily.assign(gas_price_gwei=daily["base_fee_gwei"] + daily["priority_fee_gwei"], series=GAS_ID)
    ids = np.array([GAS_ID], dtype=object)
    return to_panel(daily, ("gas_price_gwei",), id_column="series", days=days_between(span.start, span.end), ids=ids)


def _forecast_scores(context: StepContext, window: Window) -> StepResult:
    longest = longest_horizon(context)
    before, due = days_before(longest), due_window(window, longest)
    read = context.warehouse.read
    parts = (
        pool_scores(read("pool_forecasts", due), observed_pools(context, window, before), window),
        gas_scores(read("gas_forecasts", due), observed_gas(context, window, before), window),
    )
    rows = pd.concat([part.rows for part in parts if len(part.rows)] or [parts[0].rows], ignore_index=True)
    numbers = {"rows": float(len(rows)), **_due(rows, parts)}
    warnings: tuple[str, ...] = ()
    if numbers["due"] and not len(rows):
        warnings = (f"forecast_scores: {numbers['due']:.0f} forecasts matured, and no outcome was observed",)
    return StepResult((TableWrite("forecast_scores", rows, window),), numbers, warnings, rows.tail(5))


def _due(rows: pd.DataFrame, parts: tuple[Matured, ...]) -> dict[str, float]:
    due = float(sum(sum(part.due.values()) for part in parts))
    return {"due": due, "outcome_not_observed": due - len(rows)}


def _forecast_scorecard(context: StepContext, window: Window) -> StepResult:
    from defiyield_core.forecasting.matured_card import CARD_DAYS, READ, card_rows  # scipy.stats takes half a second

    span = Window(window.start - timedelta(days=CARD_DAYS - 1), window.end)
    read, stored = context.warehouse.read, [day for day in context.warehouse.days("forecast_scores") if day in span]

    def parts(target: str) -> Iterator[pd.DataFrame]:
        # All rows of half a year at once would be gigabytes with thousands of pools.
        for days in Window(stored[0], stored[-1]).chunks(PART_DAYS) if stored else ():
            yield read("forecast_scores", days, scope={"target": target}, columns=READ)

    rows = pd.concat([card_rows(parts(target), window) for target in TARGETS], ignore_index=True)
    numbers = {"rows": float(len(rows))}
    newest = rows[rows["date"] == rows["date"].max()]
    for card in newest[(newest["model"] == DEFAULT) & (newest["target"] == "apy")].itertuples():
        if as_day(card.date) == window.end and np.isfinite(card.relative_mae):
            numbers[f"relative_mae_{card.horizon_days}d"] = float(card.relative_mae)
    return StepResult((TableWrite("forecast_scorecard", rows, window),), numbers, (), newest.head(30))


SCORE_STEPS: tuple[Step, ...] = (
    Step(
        "forecast_scores",
        "forecast",
        "forecasts",
        "Every stored forecast that matured on the day, beside what came.",
        ("pool_forecasts", "gas_forecasts", "raw_pools", "raw_pool_history", "raw_gas_hourly"),
        ("forecast_scores",),
        _forecast_scores,
        version="2",
    ),
    Step(
        "forecast_scorecard",
        "forecast",
        "forecasts",
        "How good every model was over the 182 days of outcomes up to the day, against persistence.",
        ("forecast_scores",),
        ("forecast_scorecard",),
        _forecast_scorecard,
    ),
)

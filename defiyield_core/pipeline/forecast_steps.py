"""The forecast phase: forecasts of pools and gas, and the pools that may be used given them.

Belongs here: which models and horizons are needed, what is read, and how the facts for `universe.eligibility` are put
together. Does not belong here: models (see `forecasting`), rules (see `universe.eligibility`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.forecasting.gas_hours import LOOKBACK_DAYS as HOURS_LOOKBACK_DAYS
from defiyield_core.forecasting.gas_hours import gas_hour_rows
from defiyield_core.forecasting.global_model import fingerprint
from defiyield_core.forecasting.intervals import calibrated
from defiyield_core.forecasting.kept import kept_rows
from defiyield_core.forecasting.matured import OPEN_DAYS
from defiyield_core.forecasting.port import GAS, Forecaster, History, horizon_of
from defiyield_core.forecasting.registry import ALWAYS, find_forecaster, prune_models, with_store
from defiyield_core.forecasting.tables import (
    gas_forecast_rows,
    history_days,
    is_trained,
    model_rows,
    pool_forecast_rows,
)
from defiyield_core.panel import days_between, to_panel
from defiyield_core.parameters import Parameters
from defiyield_core.pipeline.forecast_inputs import pool_history
from defiyield_core.pipeline.step import Step, StepContext, StepResult
from defiyield_core.pipeline.universe_steps import read_candles, read_gas, read_observations, since, written
from defiyield_core.universe.eligibility import Verdicts, judge
from defiyield_core.universe.facts import distinct_tokens, pool_days, token_days, with_forecasts
from defiyield_core.universe.metrics import CARRY_DAYS, ROW_DAYS
from defiyield_core.universe.observations import REFERENCE_DAYS
from defiyield_core.warehouse.port import TableWrite

_ABSENCE_DAYS = ROW_DAYS + REFERENCE_DAYS + 1
"""Days before a window that decide how long a pool has been absent in it."""
HORIZONS_DAYS = (1, 7, 14, 30)
"""Horizons that are always forecast, besides those of the portfolios."""
MODELS_KEPT = 3000
"""Trained models of an engine that stay on disk: some eight years of weekly refits of the standard horizons."""
_JUDGED = ("date", "pool_id", "horizon_days", "apy", "tvl_usd", "observed_age_days")


@dataclass(frozen=True)
class Needed:
    """What is forecast: by which models, over which horizons."""

    forecasters: tuple[Forecaster, ...]
    horizons: tuple[int, ...]

    @property
    def history_days(self) -> int:
        """Days before a window that the forecasts need."""
        return history_days(self.forecasters)


def needed_forecasts(context: StepContext) -> Needed:
    """Models and horizons of all portfolios and, unless the run is a lean one, the standard ones with their bounds."""
    chosen = context.parameters_in_use()
    names, horizons = {p.forecaster for p in chosen}, {horizon_of(p) for p in chosen}
    if context.yardsticks:
        names, horizons = names | set(ALWAYS), horizons | set(HORIZONS_DAYS)
    bounded = context.yardsticks or any(p.forecast_apy == "risk_adjusted" for p in chosen)
    return _needed(context, names, horizons, bounded)


def _needed(context: StepContext, names: set[str], horizons: set[int], bounded: bool) -> Needed:
    found = [with_store(find_forecaster(name), context.settings.model_store) for name in sorted(names)]
    return Needed(
        tuple(calibrated(one, max(horizons)) for one in found) if bounded else tuple(found), tuple(sorted(horizons))
    )


def _kept(
    context: StepContext,
    name: str,
    window: Window,
    needed: Needed,
    history: History,
    compute: Callable[[], pd.DataFrame],
) -> pd.DataFrame:
    """The rows, kept for the next lean run over the same history. A full run is of new days: it computes."""
    if context.yardsticks:
        return compute()
    models = [(one.name, type(one).__name__) for one in needed.forecasters]
    decided_by = [
        str(window),
        models,
        needed.horizons,
        fingerprint(history),
        str(history.labelled.sum(axis=0).tolist()),
    ]
    return kept_rows(context.settings.forecast_store, name, decided_by, compute)


def _forecast_models(context: StepContext, window: Window) -> StepResult:
    needed = needed_forecasts(context)
    history = pool_history(context, window, needed.history_days)
    first = int((np.datetime64(window.start, "D") - history.days[0]).astype(np.int64))

    def compute() -> pd.DataFrame:
        return model_rows(history, first, needed.forecasters, needed.horizons)

    frame = _kept(context, "forecast_models", window, needed, history, compute)
    frame = with_frozen(context, "forecast_models", frame, window)
    prune_models(context.settings.model_store, MODELS_KEPT)
    result = written("forecast_models", frame, window)
    trained = any(is_trained(one) for one in needed.forecasters)
    return result if trained else replace(result, warnings=())  # nobody asks for a model: days without one are right


def _pool_forecasts(context: StepContext, window: Window) -> StepResult:
    needed = needed_forecasts(context)
    observed = read_observations(context, window, needed.history_days)
    history = pool_history(context, window, needed.history_days, observed)

    def compute() -> pd.DataFrame:
        return pool_forecast_rows(observed, window, needed.forecasters, needed.horizons, history)

    seen = replace(history, series={**history.series, "observed": observed["apy"]})
    rows = _kept(context, "pool_forecasts", window, needed, seen, compute)
    rows = with_frozen(context, "pool_forecasts", rows, window)
    return written("pool_forecasts", rows, window)


def _gas_forecasts(context: StepContext, window: Window) -> StepResult:
    needed = needed_forecasts(context)
    names = {one.name for one in needed.forecasters if GAS in one.targets} | set(ALWAYS)
    needed = _needed(context, names, {1, *needed.horizons}, context.yardsticks)
    days_before = max(needed.history_days, HOURS_LOOKBACK_DAYS)
    span = since(window, days_before)
    hourly, daily = read_gas(context, window, days_before)
    days = days_between(span.start, span.end)
    daily = daily.assign(gas_price_gwei=daily["base_fee_gwei"] + daily["priority_fee_gwei"], series="gas")
    panel = to_panel(
        daily,
        ("gas_price_gwei", "eth_usd"),
        id_column="series",
        days=days,
        ids=np.array(["gas"], dtype=object),
    )
    series = {name: values[:, 0] for name, values in panel.values.items()}
    rows = gas_forecast_rows(series, days, window, needed.forecasters, needed.horizons)
    rows = with_frozen(context, "gas_forecasts", rows, window)
    if not context.yardsticks:  # no decision reads the hours
        return written("gas_forecasts", rows, window)
    hours = with_frozen(context, "gas_hour_forecasts", gas_hour_rows(hourly, window), window)
    return written("gas_forecasts", rows, window, TableWrite("gas_hour_forecasts", hours, window))


def with_frozen(context: StepContext, name: str, rows: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The rows to store: on a live source what was forecast before yesterday stays as it is.

    A live day may be forecast again on the day after it. From then on its forecasts are frozen, so that scores are of
    what was said at the time; a replayed source has no such moment, and its rows follow from data and code. A row that
    is missing on a frozen day is added; its `made_at` tells that it is late, and it is not scored.
    """
    if context.source.last_day is not None:
        return rows
    if "made_at" in table(name).column_names:
        rows = rows.assign(made_at=pd.Timestamp(context.now()))
    last_frozen = context.now().date() - timedelta(days=OPEN_DAYS)
    if window.start > last_frozen:
        return rows
    stored = context.warehouse.read(name, Window(window.start, min(window.end, last_frozen)))
    if not len(stored):
        return rows
    key = list(table(name).key)
    fresh = rows[~pd.MultiIndex.from_frame(rows[key]).isin(pd.MultiIndex.from_frame(stored[key]))]
    return pd.concat([stored, fresh], ignore_index=True) if len(fresh) else stored


def rulesets(context: StepContext) -> dict[str, Parameters]:
    """The distinct eligibility rules of the portfolios, by id."""
    return dict(sorted({p.ruleset: p for p in context.parameters_in_use()}.items()))


def _eligible_pools(context: StepContext, window: Window) -> StepResult:
    read = context.warehouse.read
    pools = read("pools", window, columns=("date", "pool_id", "chain", "protocol", "tokens"))
    observed = read_observations(context, window, _ABSENCE_DAYS)
    tokens = distinct_tokens(pools)
    known = token_days(
        tokens,
        window,
        approved=read("approved_tokens"),
        blacklisted=read("blacklisted_tokens"),
        icebox=read("icebox_tokens", window, columns=("date", "token", "status")),
        candles=read_candles(context, window),
        market_cap_age_days=CARRY_DAYS,
    )
    facts = pool_days(pools, tokens, window, observed, read("approved_protocols"))
    parts, numbers = [], {}
    for name, rules in rulesets(context).items():
        forecasts = read("pool_forecasts", window, scope={"model": rules.forecaster}, columns=_JUDGED)
        forecasts = forecasts[forecasts["horizon_days"] == horizon_of(rules)]
        verdicts = judge(with_forecasts(facts, pools, window, observed, forecasts), known, rules)
        parts.append(_judged(pools, name, verdicts))
        numbers[f"depositable_per_day_{name}"] = float(verdicts.depositable.sum()) / len(window)
    result = written("eligible_pools", pd.concat(parts, ignore_index=True), window)
    return StepResult(result.writes, {**result.numbers, **numbers}, result.warnings, result.preview)


def _judged(pools: pd.DataFrame, ruleset: str, verdicts: Verdicts) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "date": pools["date"],
            "ruleset": np.full(len(pools), ruleset, dtype=object),
            "pool_id": pools["pool_id"],
            "depositable": verdicts.depositable,
            "must_exit": verdicts.must_exit,
            "reasons": verdicts.reasons,
            "notes": verdicts.notes,
        }
    )


_POOL_INPUTS = ("token_lists", "raw_pools", "raw_pool_history", "raw_token_ohlcv", "raw_gas_hourly")
FORECAST_STEPS: tuple[Step, ...] = (
    Step(
        "forecast_models",
        "forecast",
        "forecasts",
        "The trained models that the day's forecasts come from; those that are not in the store are trained.",
        _POOL_INPUTS,
        ("forecast_models",),
        _forecast_models,
        version="2",
    ),
    Step(
        "pool_forecasts",
        "forecast",
        "forecasts",
        "APY and TVL that every forecaster in use expects of each pool, by horizon, with bounds of 80 %.",
        ("forecast_models", *_POOL_INPUTS),
        ("pool_forecasts",),
        _pool_forecasts,
        version="3",
    ),
    Step(
        "gas_forecasts",
        "forecast",
        "forecasts",
        "Gas price that every forecaster in use expects, by horizon, and by the hour of the next day.",
        ("raw_gas_hourly",),
        ("gas_forecasts", "gas_hour_forecasts"),
        _gas_forecasts,
        version="2",
    ),
    Step(
        "eligible_pools",
        "forecast",
        "universe",
        "Every pool of the day judged under every ruleset in use, with every reason against it.",
        (
            "token_lists",
            "pools",
            "icebox_tokens",
            "pool_forecasts",
            "raw_pools",
            "raw_pool_history",
            "raw_token_ohlcv",
        ),
        ("eligible_pools",),
        _eligible_pools,
    ),
)

"""The forecast phase: forecasts of pools and gas, and the pools that may be used given them.

Belongs here: which models and horizons are needed, what is read, and how the facts for `universe.eligibility` are put
together. Does not belong here: models (see `forecasting`), rules (see `universe.eligibility`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.forecasting.port import Forecaster, horizon_of
from defiyield_core.forecasting.registry import ALWAYS, find_forecaster
from defiyield_core.forecasting.tables import gas_forecast_rows, history_days, pool_forecast_rows
from defiyield_core.panel import days_between, to_panel
from defiyield_core.parameters import Parameters
from defiyield_core.pipeline.step import Step, StepContext, StepResult
from defiyield_core.pipeline.universe_steps import read_candles, read_gas, read_observations, since, written
from defiyield_core.universe.eligibility import Verdicts, judge
from defiyield_core.universe.facts import distinct_tokens, pool_days, token_days, with_forecasts
from defiyield_core.universe.metrics import CARRY_DAYS, ROW_DAYS
from defiyield_core.universe.observations import REFERENCE_DAYS

_ABSENCE_DAYS = ROW_DAYS + REFERENCE_DAYS + 1
"""Days before a window that decide how long a pool has been absent in it."""


def needed_forecasts(context: StepContext) -> tuple[list[Forecaster], list[int]]:
    """Forecasters and horizons of all portfolios, with the baselines and one day always among them."""
    chosen = context.parameters_in_use()
    names = sorted({*ALWAYS, *(p.forecaster for p in chosen)})
    return [find_forecaster(name) for name in names], sorted({1, *(horizon_of(p) for p in chosen)})


def _pool_forecasts(context: StepContext, window: Window) -> StepResult:
    forecasters, horizons = needed_forecasts(context)
    observed = read_observations(context, window, history_days(forecasters))
    return written("pool_forecasts", pool_forecast_rows(observed, window, forecasters, horizons), window)


def _gas_forecasts(context: StepContext, window: Window) -> StepResult:
    forecasters, horizons = needed_forecasts(context)
    span = since(window, history_days(forecasters))
    _, daily = read_gas(context, window, history_days(forecasters))
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
    return written("gas_forecasts", gas_forecast_rows(series, days, window, forecasters, horizons), window)


def rulesets(context: StepContext) -> dict[str, Parameters]:
    """The distinct eligibility rules of the portfolios, by id."""
    return dict(sorted({p.ruleset: p for p in context.parameters_in_use()}.items()))


def _eligible_pools(context: StepContext, window: Window) -> StepResult:
    read = context.warehouse.read
    pools = read("pools", window, columns=("date", "pool_id", "chain", "protocol", "tokens"))
    forecasts = read("pool_forecasts", window)
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
        mine = (forecasts["model"] == rules.forecaster) & (forecasts["horizon_days"] == horizon_of(rules))
        verdicts = judge(with_forecasts(facts, pools, window, observed, forecasts[mine]), known, rules)
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


FORECAST_STEPS: tuple[Step, ...] = (
    Step(
        "pool_forecasts",
        "forecast",
        "forecasts",
        "APY and TVL that every forecaster in use expects of each pool, by horizon.",
        ("raw_pools", "raw_pool_history"),
        ("pool_forecasts",),
        _pool_forecasts,
    ),
    Step(
        "gas_forecasts",
        "forecast",
        "forecasts",
        "Gas price that every forecaster in use expects, by horizon.",
        ("raw_gas_hourly",),
        ("gas_forecasts",),
        _gas_forecasts,
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

"""What an evaluation reads: a source's days in memory, through the same steps as the pipeline.

Belongs here: from tables to a `History`, and which pools a portfolio might have used. Does not belong here: scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.forecasting.baselines import Persistence
from defiyield_core.forecasting.evaluation.metrics import median_of_known
from defiyield_core.forecasting.port import APY, TVL, History, horizon_of
from defiyield_core.forecasting.tables import pool_forecast_rows
from defiyield_core.panel import days_between, to_panel
from defiyield_core.parameters import Parameters
from defiyield_core.pipeline.forecast_inputs import pool_history
from defiyield_core.pipeline.registry import STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.pipeline.universe_steps import read_candles, read_gas, read_observations, shared_parameters
from defiyield_core.settings import Settings
from defiyield_core.sources.port import Source
from defiyield_core.units import BoolArray
from defiyield_core.universe.eligibility import judge
from defiyield_core.universe.facts import distinct_tokens, pool_days, token_days, with_forecasts
from defiyield_core.universe.lists import seed_lists
from defiyield_core.universe.metrics import CARRY_DAYS
from defiyield_core.warehouse.opening import open_warehouse

_NOT_NEEDED = frozenset({"pool_daily_metrics", "pool_groups", "raw_account_balances", "raw_account_transactions"})


@dataclass(frozen=True)
class Loaded:
    """A source's days in memory.

    Attributes:
        history: of all stablecoin pools from the source's first day to the last one wanted.
        gas_hourly: rows of `gas_fees_hourly`.
    """

    context: StepContext
    window: Window
    history: History
    gas_hourly: pd.DataFrame


def load(settings: Settings, source: Source, window: Window) -> Loaded:
    """Ingest and process every day of the source up to the window's end into memory."""
    context = StepContext(open_warehouse("memory:"), source, settings)
    seed_lists(context.warehouse)
    everything = Window(min(source.first_day, window.start), window.end)
    for step in STEPS:
        if step.phase in ("ingest", "process") and step.name not in _NOT_NEEDED:
            execute(step, context, everything)
    return Loaded(context, window, pool_history(context, everything, 0), read_gas(context, everything, 0)[0])


def pool_facts(history: History) -> pd.DataFrame:
    """A row per pool with any observation: pool_id, symbol, protocol, chain, observed_days, median_tvl_usd."""
    apy, tvl = history.series[APY], history.series[TVL]
    observed = np.isfinite(apy).sum(axis=0)
    blank = np.full(len(history.ids), "", dtype=object)
    facts = pd.DataFrame(
        {
            "pool_id": history.ids,
            **{name: history.labels.get(name, blank) for name in ("symbol", "protocol", "chain")},
            "observed_days": observed.astype(np.int64),
            "median_tvl_usd": [median_of_known(values) for values in tvl.T],
        }
    )
    return facts[observed > 0].reset_index(drop=True)


def eligible_days(loaded: Loaded, window: Window, rules: Parameters | None = None) -> BoolArray:
    """(n_days, n) where new deposits would have been allowed, under the default preset unless told otherwise.

    Judged on the newest APY and TVL (forecasts of persistence), so that the set is the same for every model.
    """
    chosen = rules or shared_parameters()
    context, ids = loaded.context, loaded.history.ids
    read = context.warehouse.read
    pools = read("pools", window, columns=("date", "pool_id", "chain", "protocol", "tokens"))
    observed = read_observations(context, window, (window.start - loaded.history.days[0].astype(object)).days)
    horizon = horizon_of(chosen)
    forecasts = pool_forecast_rows(observed, window, [Persistence()], [horizon])
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
    verdicts = judge(with_forecasts(facts, pools, window, observed, forecasts), known, chosen)
    rows = pools[verdicts.depositable].assign(allowed=1.0)
    days = days_between(window.start, window.end)
    return np.isfinite(to_panel(rows, ("allowed",), id_column="pool_id", days=days, ids=ids)["allowed"])

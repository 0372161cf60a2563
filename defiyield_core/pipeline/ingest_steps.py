"""The ingest phase: one step per raw table, asking the source for a window and keeping what is already stored.

Belongs here: which window to ask for, which pools and tokens, and the rule that nothing stored is lost.
Does not belong here: HTTP, parsing (see `sources`), judging rows (see `universe_steps`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.pipeline.step import Step, StepContext, StepResult
from defiyield_core.portfolio.spec import load_portfolios
from defiyield_core.sources.port import Fetched
from defiyield_core.universe.lists import list_entries
from defiyield_core.warehouse.port import TableWrite

LIVE_TVL_FLOOR_USD = 100_000.0
"""Smaller pools are not asked for one by one in live mode: no portfolio may use them, and every one is a request."""


def window_with_history(context: StepContext, name: str, window: Window) -> Window:
    """The window, begun earlier where the days before it are not stored yet (from the source's first day on)."""
    first = context.source.first_day
    if window.start <= first:
        return window
    stored = context.warehouse.days(name)
    before = [day for day in stored if day < window.start]
    begin = max(first, before[-1] + timedelta(days=1)) if before else first
    return Window(min(begin, window.start), window.end)


def _write(context: StepContext, name: str, window: Window, fetched: Fetched) -> StepResult:
    """Rows fetched replace the window; stored rows that a partial or empty answer does not cover stay."""
    stored = context.warehouse.read(name, window)
    kept_stored = 0
    frame = fetched.frame
    if len(stored):
        key = list(table(name).key)
        if fetched.complete:
            lost = stored[~stored["date"].isin(frame["date"].unique())]
        else:
            fresh = pd.MultiIndex.from_frame(frame[key])
            lost = stored[~pd.MultiIndex.from_frame(stored[key]).isin(fresh)]
        kept_stored = len(lost)
        if kept_stored:
            frame = pd.concat([frame, lost], ignore_index=True)
    numbers = {
        "rows": float(len(fetched.frame)),
        "rows_kept_from_before": float(kept_stored),
        **{f"refused_{reason}": float(count) for reason, count in fetched.refused.items()},
    }
    refused = sum(fetched.refused.values())
    warnings = list(fetched.warnings)
    if refused:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(fetched.refused.items()))
        warnings.append(f"{name}: {refused} rows were refused ({reasons})")
    if not len(fetched.frame) and not kept_stored:
        warnings.append(f"{name}: the source has nothing for {window}")
    return StepResult((TableWrite(name, frame, window),), numbers, tuple(warnings), frame.tail(5))


def _raw_pools(context: StepContext, window: Window) -> StepResult:
    asked = window_with_history(context, "raw_defillama_pools", window)
    return _write(context, "raw_defillama_pools", asked, context.source.pool_snapshots(asked))


def candidate_pools(context: StepContext, window: Window) -> list[str]:
    """Ids of the stablecoin pools seen in the snapshots so far; live mode asks only for those a portfolio could use."""
    seen = context.warehouse.read(
        "raw_defillama_pools",
        Window(min(context.source.first_day, window.start), window.end),
        columns=("date", "pool_id", "chain", "project", "tvl_usd", "stablecoin"),
    )
    pools = seen[seen["stablecoin"]]
    if context.source.last_day is None and len(pools):
        chains = {parameters.chain for parameters in context.parameters_in_use()}
        protocols = set(list_entries(context.warehouse, "protocols")["protocol"])
        newest = pools.drop_duplicates("pool_id", keep="last")
        usable = newest["chain"].isin(chains) & newest["project"].isin(protocols)
        pools = newest[usable & (newest["tvl_usd"] >= LIVE_TVL_FLOOR_USD)]
    return sorted(pools["pool_id"].unique())


def _raw_pool_history(context: StepContext, window: Window) -> StepResult:
    asked = window_with_history(context, "raw_defillama_pool_history", window)
    pools = candidate_pools(context, asked)
    return _write(context, "raw_defillama_pool_history", asked, context.source.pool_history(asked, pools))


def candidate_tokens(context: StepContext, window: Window) -> list[str]:
    """Symbols that need a price: approved and blacklisted tokens, and what portfolios start with."""
    approved = list_entries(context.warehouse, "tokens")
    tokens = {*approved["token"], *approved["wraps"].dropna()}
    tokens |= set(list_entries(context.warehouse, "blacklist")["token"])
    for spec in load_portfolios(context.settings.portfolios).values():
        tokens |= set(spec.wallet)
    return sorted(tokens)


def _raw_token_ohlcv(context: StepContext, window: Window) -> StepResult:
    asked = window_with_history(context, "raw_coinmarketcap_ohlcv", window)
    fetched = context.source.token_ohlcv(asked, candidate_tokens(context, asked))
    return _write(context, "raw_coinmarketcap_ohlcv", asked, fetched)


def _raw_gas_hourly(context: StepContext, window: Window) -> StepResult:
    asked = window_with_history(context, "raw_ethgastracker_hourly_gas_data", window)
    return _write(context, "raw_ethgastracker_hourly_gas_data", asked, context.source.gas_hourly(asked))


def _accounts(name: str, ask: Callable[[StepContext, Window, list[str]], Fetched]) -> Callable[..., StepResult]:
    def compute(context: StepContext, window: Window) -> StepResult:
        addresses = sorted(
            {address for spec in load_portfolios(context.settings.portfolios).values() for address in spec.addresses}
        )
        if not addresses:
            return StepResult((), {"rows": 0.0}, ())
        return _write(context, name, window, ask(context, window, addresses))

    return compute


def _step(name: str, writes: str, doc: str, compute: Callable[..., StepResult], *upstream: str) -> Step:
    return Step(name, "ingest", "raw", doc, upstream, (writes,), compute)


INGEST_STEPS: tuple[Step, ...] = (
    _step(
        "raw_pools",
        "raw_defillama_pools",
        "DefiLlama's snapshot of every pool at the end of the day.",
        _raw_pools,
    ),
    _step(
        "raw_pool_history",
        "raw_defillama_pool_history",
        "DefiLlama's chart of every stablecoin pool: APY and TVL by the day.",
        _raw_pool_history,
        "raw_pools",
        "token_lists",
    ),
    _step(
        "raw_token_ohlcv",
        "raw_coinmarketcap_ohlcv",
        "Daily candles of the tokens that portfolios may hold, and of ETH and BTC.",
        _raw_token_ohlcv,
        "token_lists",
    ),
    _step(
        "raw_gas_hourly",
        "raw_ethgastracker_hourly_gas_data",
        "Ethereum's gas price by the hour, with the price of ETH.",
        _raw_gas_hourly,
    ),
    _step(
        "raw_account_balances",
        "raw_etherscan_account_balances",
        "Balances of the addresses of live portfolios.",
        _accounts("raw_etherscan_account_balances", lambda c, w, a: c.source.account_balances(w, a)),
    ),
    _step(
        "raw_account_transactions",
        "raw_etherscan_account_transactions",
        "Transactions and token transfers of the addresses of live portfolios.",
        _accounts("raw_etherscan_account_transactions", lambda c, w, a: c.source.account_transactions(w, a)),
    ),
)

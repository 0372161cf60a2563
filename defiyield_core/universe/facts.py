"""The facts that eligibility judges, gathered from rows into the arrays of `eligibility`.

Belongs here: lining up lists, prices, icebox, observations and forecasts with the pools of a window.
Does not belong here: rules (see `eligibility`), reading tables (see `pipeline`).
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.errors import DataError
from defiyield_core.panel import ObjectArray, Panel, day_numbers, days_between, newest_observed, to_panel
from defiyield_core.units import BoolArray, IntArray
from defiyield_core.universe.eligibility import PoolDays, TokenDays
from defiyield_core.universe.metrics import FLAG_APY, carried
from defiyield_core.universe.observations import absent_days

_LAST_MICROSECOND = np.timedelta64(1, "D") - np.timedelta64(1, "us")


def on_list(entries: pd.DataFrame, column: str, names: ObjectArray, window: Window) -> BoolArray:
    """(n_days, n) whether each name is on a list at the end of each day.

    Args:
        entries: rows of a list table; `column` holds the names.
    """
    moments = window.days().astype("datetime64[us]") + _LAST_MICROSECOND
    added = entries["added_at"].to_numpy(dtype="datetime64[us]")[:, None] <= moments
    removed = entries["removed_at"].to_numpy(dtype="datetime64[us]")[:, None] <= moments
    listed = np.zeros((len(moments), len(names)), dtype=bool)
    for position, stands in zip(pd.Index(names).get_indexer(entries[column]), added & ~removed, strict=True):
        if position >= 0:
            listed[:, position] |= stands
    return listed


def distinct_tokens(pools: pd.DataFrame) -> ObjectArray:
    """Every token of any of the pools, ascending."""
    lists = [json.loads(text) for text in pools["tokens"].unique()]
    return np.array(sorted({token for tokens in lists for token in tokens}), dtype=object)


def token_days(
    tokens: ObjectArray,
    window: Window,
    *,
    approved: pd.DataFrame,
    blacklisted: pd.DataFrame,
    icebox: pd.DataFrame,
    candles: pd.DataFrame,
    market_cap_age_days: int,
) -> TokenDays:
    """What is known of `tokens` on each day of the window.

    Args:
        approved, blacklisted: rows of the list tables. icebox: rows of `icebox_tokens` of the window.
        candles: rows of `token_daily` from the first stored day on.
        market_cap_age_days: a market cap is used for this long.
    """
    first = min(window.start, candles["date"].min().date()) if len(candles) else window.start
    days = days_between(first, window.end)
    panel = to_panel(candles, ("close_usd", "market_cap_usd"), id_column="token", days=days, ids=tokens)
    at = panel.index_of(window.start)
    cap = panel["market_cap_usd"]
    newest = newest_observed(cap)
    age = np.arange(len(days))[:, None] - newest
    newest_cap = np.take_along_axis(cap, np.maximum(newest, 0), axis=0)
    usable = (newest >= 0) & (age <= market_cap_age_days)
    return TokenDays(
        tokens=tokens,
        approved=on_list(approved, "token", tokens, window),
        blacklisted=on_list(blacklisted, "token", tokens, window),
        iceboxed=iceboxed_days(tokens, window, approved, icebox),
        priced=(newest_observed(panel["close_usd"]) >= 0)[at:],
        market_cap_usd=np.where(usable, newest_cap, np.nan)[at:],
    )


def iceboxed_days(tokens: ObjectArray, window: Window, approved: pd.DataFrame, icebox: pd.DataFrame) -> BoolArray:
    """(n_days, n) in the icebox, itself or (by an entry that stands on the day) the token it wraps."""
    wrappers = approved[approved["wraps"].notna()]
    names = np.array(sorted({*tokens, *wrappers["wraps"]}), dtype=object)
    held = icebox[icebox["status"] != "left"].assign(inside=1.0)
    frozen = ~np.isnan(to_panel(held, ("inside",), id_column="token", days=window.days(), ids=names)["inside"])
    own = frozen[:, pd.Index(names).get_indexer(tokens)]
    for position in range(len(wrappers)):
        entry = wrappers.iloc[[position]]
        stands = on_list(entry, "token", tokens, window)
        own |= stands & frozen[:, [int(pd.Index(names).get_loc(entry["wraps"].iloc[0]))]]
    return own


def pool_days(
    pools: pd.DataFrame, tokens: ObjectArray, window: Window, observed: Panel, protocols: pd.DataFrame
) -> PoolDays:
    """The facts about rows of `pools` that hold under every ruleset; forecasts are still unknown.

    Args:
        observed: panel of `apy` that begins far enough before the window to tell how long a pool has been absent.
        protocols: rows of `approved_protocols`.

    Raises:
        DataError: a pool of the table `pools` is in no raw row.
    """
    day, column = _positions(pools, window, observed)
    codes, found = pd.factorize(pools["protocol"])
    approved = on_list(protocols, "protocol", np.asarray(found, dtype=object), window)
    at = observed.index_of(window.start)
    filled, _ = carried(observed["apy"], at)
    unknown = np.full(len(pools), np.nan)
    return PoolDays(
        day=day,
        tokens=_token_positions(pools["tokens"], tokens),
        chain=pools["chain"].to_numpy(dtype=object),
        protocol_approved=approved[day, codes],
        absent_days=absent_days(~np.isnan(observed["apy"]))[at:][day, column],
        flagged=np.nan_to_num(filled[day, column]) > FLAG_APY,
        forecast_apy=unknown,
        forecast_tvl_usd=unknown,
        forecast_age_days=unknown,
        pair_ratio=unknown,
    )


def with_forecasts(
    facts: PoolDays, pools: pd.DataFrame, window: Window, observed: Panel, forecasts: pd.DataFrame
) -> PoolDays:
    """The facts with the forecasts of one model and horizon (rows of `pool_forecasts`)."""
    day, column = _positions(pools, window, observed)
    names = ("apy", "tvl_usd", "observed_age_days")
    point = to_panel(forecasts, names, id_column="pool_id", days=window.days(), ids=observed.ids)
    return replace(
        facts,
        forecast_apy=point["apy"][day, column],
        forecast_tvl_usd=point["tvl_usd"][day, column],
        forecast_age_days=point["observed_age_days"][day, column],
    )


def _positions(pools: pd.DataFrame, window: Window, observed: Panel) -> tuple[IntArray, IntArray]:
    """Position of each row on the window's days and among the observed pools."""
    day = day_numbers(pools["date"]) - window.days()[0].astype(np.int64)
    column = pd.Index(observed.ids).get_indexer(pools["pool_id"])
    if (column < 0).any():
        missing = pools["pool_id"][column < 0].iloc[0]
        raise DataError(
            f"pools: {missing} is in no raw row of the 30 days before; compute the step 'pools' again for {window}"
        )
    return day, column.astype(np.int64)


def _token_positions(texts: pd.Series, tokens: ObjectArray) -> IntArray:
    """(n, k) positions of each pool's tokens, -1 after its last."""
    codes, distinct = pd.factorize(texts)
    lists = [json.loads(text) for text in distinct]
    widest = max((len(names) for names in lists), default=1)
    index = pd.Index(tokens)
    table = np.full((max(len(lists), 1), widest), -1, dtype=np.int64)
    for row, names in enumerate(lists):
        table[row, : len(names)] = index.get_indexer(names)
    return table[codes]

"""Stablecoin pools as they stood on a day.

Belongs here: which pools there are, their tokens by canonical name, since when they have been seen.
Does not belong here: their APY through time (see `metrics`), whether they may be used (see `eligibility`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.panel import day_numbers, days_between, newest_observed, to_long
from defiyield_core.sources.tokens import pool_tokens
from defiyield_core.universe.metrics import ROW_DAYS

UNNAMED_TOKEN = "UNKNOWN"  # noqa: S105
"""Token of a pool that names none: on no list, so the pool is never eligible."""
SNAPSHOT_COLUMNS = (
    "date",
    "pool_id",
    "chain",
    "project",
    "symbol",
    "pool_meta",
    "tvl_usd",
    "stablecoin",
    "underlying_tokens",
)


def stablecoin_pools(
    snapshots: pd.DataFrame, first_seen: pd.Series, window: Window, names: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Rows of `pools` for the window: every pool as its newest snapshot of the last 30 days described it.

    A pool that has left the snapshots keeps its row for 30 days, so that a position in it can be judged.

    Args:
        snapshots: rows of `raw_defillama_pools` (`SNAPSHOT_COLUMNS`), from 30 days before the window on.
        first_seen: first day of each pool, by pool id.
        names: token by `chain:address` (lower case) for contracts that were approved after the shipped list was made.
    """
    stable = snapshots[snapshots["stablecoin"].to_numpy(dtype=bool)].reset_index(drop=True)
    codes, found = pd.factorize(stable["pool_id"], sort=True)
    ids = np.asarray(found, dtype=object)
    days = days_between(window.start, window.end)
    begin = days[0].astype(np.int64) - ROW_DAYS
    row_of = np.full((ROW_DAYS + len(days), len(ids)), np.nan)
    at_day = day_numbers(stable["date"]) - begin
    inside = (at_day >= 0) & (at_day < len(row_of))
    row_of[at_day[inside], codes[inside]] = np.flatnonzero(inside)
    newest = newest_observed(row_of)[ROW_DAYS:]
    row = np.take_along_axis(row_of, np.maximum(newest, 0), axis=0)
    age = np.arange(ROW_DAYS, len(row_of))[:, None] - newest
    chosen = to_long(days, ids, (newest >= 0) & (age <= ROW_DAYS), {"row": np.nan_to_num(row)}, id_column="pool_id")
    source = chosen["row"].to_numpy().astype(np.int64)
    taken = {name: stable[name].to_numpy()[source] for name in ("chain", "symbol", "pool_meta", "tvl_usd")}
    return pd.DataFrame(
        {
            "date": chosen["date"],
            "pool_id": chosen["pool_id"],
            "protocol": stable["project"].to_numpy()[source],
            **taken,
            "tokens": token_lists(stable, names or {})[source],
            "first_day": first_seen.reindex(chosen["pool_id"]).to_numpy(),
        }
    )


def first_seen(frames: Sequence[pd.DataFrame]) -> pd.Series:
    """First `date` of each `pool_id` in any of the frames."""
    both = pd.concat([frame[["date", "pool_id"]] for frame in frames], ignore_index=True)
    codes, ids = pd.factorize(both["pool_id"])
    first = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(first, codes, both["date"].to_numpy(dtype="datetime64[ns]").view(np.int64))
    return pd.Series(first.view("datetime64[ns]"), index=ids)


def approved_names(approved: pd.DataFrame) -> dict[str, str]:
    """Token by `chain:address`, lower case, of the rows of `approved_tokens` that have an address."""
    known = approved[approved["address"].notna() & approved["chain"].notna()]
    return {
        f"{chain}:{address}".lower(): token
        for chain, address, token in zip(known["chain"], known["address"], known["token"], strict=True)
    }


def token_lists(snapshots: pd.DataFrame, names: Mapping[str, str]) -> np.ndarray:
    """The JSON list of tokens of each row; worked out once per distinct description.

    Args:
        snapshots: has `underlying_tokens`, `symbol` and `chain`. names: see `stablecoin_pools`.
    """
    parts = [snapshots[name].fillna("").to_numpy() for name in ("underlying_tokens", "symbol", "chain")]
    described = pd.MultiIndex.from_arrays(parts)
    if not len(described):
        return np.empty(0, dtype=object)
    codes, distinct = pd.factorize(described)
    texts = []
    for underlying, symbol, chain in distinct:
        tokens = pool_tokens(underlying or None, symbol, chain) or (UNNAMED_TOKEN,)
        named = dict.fromkeys(names.get(token, token) for token in tokens)
        texts.append(json.dumps(list(named), ensure_ascii=False))
    return np.array(texts, dtype=object)[codes]

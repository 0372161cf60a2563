"""ethgastracker.com: gas prices as rows of the raw table.

Belongs here: the shapes of `/api/gas/average` (hourly, gwei) and `/api/gas/latest` (one block, wei).
Does not belong here: HTTP (see `http`), what a transaction costs (see `units`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from defiyield_core.calendar import Window
from defiyield_core.sources.payload import Entries, as_list, as_object, days_of, only_last
from defiyield_core.sources.port import Fetched
from defiyield_core.units import GWEI_PER_ETH, FloatArray

URL = "https://www.ethgastracker.com"
WEI_PER_GWEI = 1e18 / GWEI_PER_ETH


def parse_average(payload: object, *, window: Window, seen_at: datetime, source: str) -> Fetched:
    """Rows of `raw_ethgastracker_hourly_gas_data` from an `/average` answer, whose prices are in gwei.

    `valid_at` is the start of the hour; the tip is `max(median - baseFee, 0)`, median being the median price
    that the hour's transactions paid. Hours outside the window are left out. Refused, counted by reason: wrong
    types, missing or negative prices, hours later than `seen_at`, a second row of an hour.

    Raises:
        SourceError: the payload is no list of hours.
    """
    answer = as_object(as_object(payload, "ethgastracker").get("data"), "ethgastracker, field data,")
    entries = Entries(as_list(answer.get("data"), "ethgastracker, field data.data,"))
    moments = entries.stamps("period")
    base = entries.numbers("baseFee", required=True)
    median = entries.numbers("median", required=True)
    return _rows(entries, moments, base, np.maximum(median - base, 0.0), window, seen_at, source)


def parse_latest(payload: object, *, window: Window, seen_at: datetime, source: str) -> Fetched:
    """At most one row of `raw_ethgastracker_hourly_gas_data` from a `/latest` answer, whose fees are in WEI.

    `valid_at` is the block's moment; the tip is that of the `normal` oracle. Refusals as in `parse_average`.

    Raises:
        SourceError: the payload is no block.
    """
    block = as_object(as_object(payload, "ethgastracker").get("data"), "ethgastracker, field data,")
    entries = Entries([{**block, "tip": _normal_tip(block)}])
    moments = entries.epochs("timestamp")
    base = entries.numbers("baseFee", required=True) / WEI_PER_GWEI
    tip = entries.numbers("tip", required=True) / WEI_PER_GWEI
    return _rows(entries, moments, base, tip, window, seen_at, source)


def _normal_tip(block: dict[str, Any]) -> object:
    oracle = block.get("oracle")
    normal = oracle.get("normal") if isinstance(oracle, dict) else None
    return normal.get("priorityFee") if isinstance(normal, dict) else None


def _rows(
    entries: Entries,
    moments: np.ndarray[Any, np.dtype[np.datetime64]],
    base: FloatArray,
    tip: FloatArray,
    window: Window,
    seen_at: datetime,
    source: str,
) -> Fetched:
    entries.inside(moments, window)
    eth_usd = entries.numbers("ethPrice", required=True)
    entries.refuse(base < 0, "baseFee is negative")
    entries.refuse(tip < 0, "priority fee is negative")
    entries.refuse(eth_usd <= 0, "ethPrice is not above 0")
    entries.refuse(moments > np.datetime64(seen_at, "ns"), "later than the moment it was seen")
    entries.refuse(only_last_of_moment(moments, entries), "second row of an hour")
    return entries.rows(
        "raw_ethgastracker_hourly_gas_data",
        {
            "date": days_of(moments),
            "base_fee_gwei": base,
            "priority_fee_gwei": tip,
            "eth_usd": eth_usd,
            "valid_at": moments,
            "seen_at": np.datetime64(seen_at, "ns"),
            "source": source,
        },
    )


def only_last_of_moment(moments: np.ndarray[Any, np.dtype[np.datetime64]], entries: Entries) -> np.ndarray[Any, Any]:
    """Mask of kept entries whose moment appears again further down."""
    return only_last(moments, entries.kept, moments)

"""DefiLlama: its payloads as rows of the raw tables.

Belongs here: the addresses and shapes of the yields API (`/pools`, `/chart/{pool}`) and the coins API
(`/chart/{coins}`). Does not belong here: HTTP (see `http`), judging a pool. Percent becomes a fraction here and
nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.errors import SourceError
from defiyield_core.sources.payload import (
    Entries,
    as_list,
    as_object,
    clean,
    close_of,
    days_of,
    not_after,
    only_last,
)
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.tokens import canonical_token
from defiyield_core.units import FloatArray, percent_to_fraction

YIELDS_URL = "https://yields.llama.fi"
COINS_URL = "https://coins.llama.fi"
MIN_PRICE_CONFIDENCE = 0.5
"""Prices that DefiLlama itself trusts less than this are refused."""


def parse_pools(payload: object, *, day: date, seen_at: datetime, source: str) -> Fetched:
    """Rows of `raw_defillama_pools` from a `/pools` answer that describes the end of `day`.

    `valid_at` is the end of the day, or `seen_at` where that is earlier. Percent -> fraction; null stays null.
    Refused, counted by reason: entries with a wrong type in a field that identifies or values the pool, TVL
    missing or negative, APY not finite or below -1, a pool id seen before (the first stays). A descriptive
    field of a wrong type becomes null.

    Raises:
        SourceError: the payload is no pool list at all.
    """
    return parse_snapshots({day: payload}, seen_at={day: seen_at}, source=source)


def parse_snapshots(payloads: Mapping[date, object], *, seen_at: Mapping[date, datetime], source: str) -> Fetched:
    """Rows of `raw_defillama_pools` from the `/pools` answers of several days, in one pass (see `parse_pools`).

    Raises:
        SourceError: an answer is no pool list at all.
    """
    lists = {day: _data(payload, "DefiLlama /pools") for day, payload in payloads.items()}
    sizes = [sum(isinstance(item, dict) for item in items) for items in lists.values()]
    entries = Entries([item for items in lists.values() for item in items])
    which = np.repeat(np.arange(len(lists)), np.array(sizes, dtype=np.int64))
    pool_ids = entries.texts("pool", required=True)
    columns: dict[str, object] = {
        "date": _stamps(lists)[which],
        "pool_id": pool_ids,
        "chain": entries.texts("chain", required=True),
        "project": entries.texts("project", required=True),
        "symbol": entries.texts("symbol", required=True),
        "pool_meta": entries.texts("poolMeta"),
        "tvl_usd": entries.numbers("tvlUsd", required=True),
        "apy": _apy(entries, "apy"),
        "apy_base": _apy(entries, "apyBase"),
        "apy_reward": _apy(entries, "apyReward"),
        "apy_mean_30d": percent_to_fraction(entries.numbers("apyMean30d", strict=False)),
        "volume_usd_1d": entries.numbers("volumeUsd1d", strict=False),
        "stablecoin": entries.flags("stablecoin"),
        "il_risk": entries.texts("ilRisk"),
        "exposure": entries.texts("exposure"),
        "outlier": entries.flags("outlier"),
        "observations": entries.numbers("count", strict=False),
        "sigma": entries.numbers("sigma", strict=False),
        "underlying_tokens": _json_lists(entries, "underlyingTokens"),
        "reward_tokens": _json_lists(entries, "rewardTokens"),
        **_predictions(entries),
        "valid_at": _stamps(close_of(day, seen_at[day]) for day in lists)[which],
        "seen_at": _stamps(seen_at[day] for day in lists)[which],
        "source": source,
    }
    _refuse_impossible(entries, columns)
    entries.refuse(_repeated(which, pool_ids, entries.kept), "duplicate pool")
    return entries.rows("raw_defillama_pools", columns)


def parse_chart(payload: object, *, pool_id: str, window: Window, seen_at: datetime, source: str) -> Fetched:
    """Rows of `raw_defillama_pool_history` from the `/chart/{pool}` answer of one pool (see `parse_charts`)."""
    return parse_charts({pool_id: payload}, window=window, seen_at=seen_at, source=source)


def parse_charts(payloads: Mapping[str, object], *, window: Window, seen_at: datetime, source: str) -> Fetched:
    """Rows of `raw_defillama_pool_history` from `/chart/{pool}` answers by pool id.

    Rows outside the window are left out. Of several rows in one UTC day the latest stays. Refused, counted by
    reason: rows without a moment, wrong types, APY not finite or below -1, negative TVL, superseded rows.
    `valid_at` is the row's moment.

    Raises:
        SourceError: an answer is no chart at all; the message names the pool.
    """
    lists = {pool: _data(payload, f"DefiLlama /chart/{pool}") for pool, payload in payloads.items()}
    pool_ids = np.empty(sum(map(len, lists.values())), dtype=object)
    start = 0
    for pool, items in lists.items():
        pool_ids[start : start + len(items)] = pool
        start += len(items)
    everything = [item for items in lists.values() for item in items]
    entries = Entries(everything)
    if len(entries.objects) < len(everything):
        pool_ids = pool_ids[[isinstance(item, dict) for item in everything]]
    moments = entries.stamps("timestamp")
    entries.inside(moments, window)
    columns: dict[str, object] = {
        "date": days_of(moments),
        "pool_id": pool_ids,
        "tvl_usd": entries.numbers("tvlUsd"),
        "apy": _apy(entries, "apy"),
        "apy_base": _apy(entries, "apyBase"),
        "apy_reward": _apy(entries, "apyReward"),
        "valid_at": not_after(moments, seen_at),
        "seen_at": np.datetime64(seen_at, "ns"),
        "source": source,
    }
    _refuse_impossible(entries, columns)
    entries.refuse(only_last(moments, entries.kept, pool_ids), "superseded by a later row of its day")
    return entries.rows("raw_defillama_pool_history", columns)


def chart_problem(payload: object) -> str | None:
    """Why a `/chart/{pool}` answer cannot be parsed; None when it can."""
    try:
        _data(payload, "DefiLlama /chart")
    except SourceError as error:
        return str(error)
    return None


def parse_coin_prices(
    payload: object,
    *,
    window: Window,
    seen_at: datetime,
    source: str,
    tokens: Mapping[str, str] | None = None,
) -> Fetched:
    """Rows of `raw_coinmarketcap_ohlcv`, close only, from a coins API `/chart/{coins}` answer.

    The last price of a UTC day is its close. Refused, counted by reason: prices that are no positive number, or
    of a confidence under `MIN_PRICE_CONFIDENCE`.

    Args:
        tokens: canonical token by coin id (`ethereum:0x...`); other ids are named by `canonical_token`.

    Raises:
        SourceError: the payload is no price chart at all.
    """
    names = {coin.lower(): token for coin, token in (tokens or {}).items()}
    entries, symbol_column = _price_points(payload, names)
    moments = entries.epochs("timestamp")
    entries.inside(moments, window)
    close = entries.numbers("price", required=True)
    entries.refuse(close <= 0, "price is not above 0")
    confidence = entries.numbers("confidence", strict=False)
    entries.refuse(confidence < MIN_PRICE_CONFIDENCE, f"confidence under {MIN_PRICE_CONFIDENCE}")
    entries.refuse(only_last(moments, entries.kept, symbol_column), "superseded by a later row of its day")
    return entries.rows(
        "raw_coinmarketcap_ohlcv",
        {
            "date": days_of(moments),
            "symbol": symbol_column,
            "quote_currency": "USD",
            "close": close,
            "valid_at": not_after(moments, seen_at),
            "seen_at": np.datetime64(seen_at, "ns"),
            "source": source,
        },
    )


def _price_points(payload: object, names: Mapping[str, str]) -> tuple[Entries, npt.NDArray[np.object_]]:
    """Every price of an answer with its coin's confidence, and the token of each."""
    coins = as_object(as_object(payload, "DefiLlama coins").get("coins"), "DefiLlama coins, field coins,")
    symbols: list[str] = []
    points: list[dict[str, Any]] = []
    not_objects = 0
    for coin, series in coins.items():
        if not isinstance(series, dict) or not isinstance(series.get("prices"), list):
            not_objects += 1
            continue
        token = names.get(coin.lower()) or canonical_token(coin, coin.partition(":")[0])
        rows = [point for point in series["prices"] if isinstance(point, dict)]
        not_objects += len(series["prices"]) - len(rows)
        points += [{"confidence": series.get("confidence"), **point} for point in rows]
        symbols += [token] * len(rows)
    entries = Entries(points)
    if not_objects:
        entries.refused["not an object"] = not_objects
    return entries, np.array(symbols, dtype=object)


def _data(payload: object, what: str) -> list[Any]:
    answer = as_object(payload, what)
    if answer.get("status") not in (None, "success"):
        raise SourceError(f"{what} reported '{clean(answer.get('message', answer['status']))}'; try again later")
    return as_list(answer.get("data"), f"{what}, field data,")


def _apy(entries: Entries, key: str) -> FloatArray:
    return percent_to_fraction(entries.numbers(key))


def _refuse_impossible(entries: Entries, columns: Mapping[str, Any]) -> None:
    entries.refuse(columns["tvl_usd"] < 0, "tvlUsd is negative")
    entries.refuse(columns["apy"] < -1.0, "apy is below -1")


def _stamps(moments: Iterable[date]) -> npt.NDArray[np.datetime64]:
    return np.array(list(moments), dtype="datetime64[ns]")


def _repeated(
    snapshot: npt.NDArray[np.int_], pool_ids: npt.NDArray[np.object_], kept: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Mask of kept entries whose pool was in the same snapshot before."""
    mask = np.zeros(len(pool_ids), dtype=bool)
    places = np.flatnonzero(kept)
    mask[places] = pd.DataFrame({"snapshot": snapshot[places], "pool": pool_ids[places]}).duplicated().to_numpy()
    return mask


def _json_lists(entries: Entries, key: str) -> npt.NDArray[np.object_]:
    """Lists as JSON text, as they came; anything else is null."""
    texts: dict[int, str] = {}  # by identity: a replayed pool has one list for all its days
    found = [_json_list(value, texts) if isinstance(value, list) else None for value in entries.values(key)]
    column = np.empty(len(found), dtype=object)
    column[:] = found
    return column


def _json_list(value: list[Any], texts: dict[int, str]) -> str:
    text = texts.get(id(value))
    if text is None:
        text = texts[id(value)] = json.dumps(value)
    return text


def _predictions(entries: Entries) -> dict[str, object]:
    found = [value if isinstance(value, dict) else {} for value in entries.values("predictions")]
    inner = Entries(found)
    return {
        "predicted_class": inner.texts("predictedClass"),
        "predicted_probability": inner.numbers("predictedProbability", strict=False),
    }

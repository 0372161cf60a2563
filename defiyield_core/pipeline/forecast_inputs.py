"""What forecasters get to see of the pools: from tables to a `History`.

Belongs here: what is read, and how far back. Does not belong here: forecasts (see `forecasting`).
"""

from __future__ import annotations

import json

import numpy as np

from defiyield_core.calendar import DayArray, Window
from defiyield_core.forecasting.port import APY, TVL, History
from defiyield_core.panel import ObjectArray, Panel, to_panel
from defiyield_core.pipeline.step import StepContext
from defiyield_core.pipeline.universe_steps import read_candles, read_gas, read_observations, since
from defiyield_core.units import FloatArray
from defiyield_core.universe.metrics import FLAG_APY
from defiyield_core.universe.pools import approved_names, token_lists

_PARTS = ("apy_base", "apy_reward")
_LABELS = {"protocol": "project", "chain": "chain", "symbol": "symbol"}
_DESCRIPTION = ("date", "pool_id", "project", "chain", "symbol", "underlying_tokens")


def pool_history(context: StepContext, window: Window, days_before: int, observations: Panel | None = None) -> History:
    """All series, labels and market prices that forecasters may use, over the window and the days before it.

    From raw rows only, which reach back before any window. An APY above 10 is missing.

    Args:
        observations: what `read_observations` gave for the same days, if it was read already.
    """
    observed = observations or read_observations(context, window, days_before)
    span = since(window, days_before)
    chart = context.warehouse.read("raw_defillama_pool_history", span, columns=("date", "pool_id", *_PARTS))
    parts = to_panel(chart, _PARTS, id_column="pool_id", days=observed.days, ids=observed.ids)
    apy = observed["apy"]
    sane = np.where(apy > FLAG_APY, np.nan, apy)
    series = {APY: sane, TVL: observed["tvl_usd"], **{name: parts[name] for name in _PARTS}}
    labels, known_from = _labels(context, window, observed.ids)
    market = _market(context, window, days_before, observed.days)
    return History(observed.days, observed.ids, series, labels, market, known_from)


def _labels(context: StepContext, window: Window, ids: ObjectArray) -> tuple[dict[str, ObjectArray], DayArray]:
    """(n,) protocol, chain, symbol and token (`USDC`, or `DAI-USDC` in alphabetical order) of each pool as its first
    snapshot showed it, and the day of that.

    Charts reach back before the first snapshot of a pool; a day before it knows no labels, or the days of one run would
    know what the same days run one by one did not. Without any snapshot: empty text and NaT.
    """
    span = since(window, None)
    rows = context.warehouse.read("raw_defillama_pools", span, scope={"stablecoin": True}, columns=_DESCRIPTION)
    first = rows.drop_duplicates("pool_id").set_index("pool_id").reindex(ids)
    tokens = [
        "-".join(sorted(json.loads(text))) if isinstance(symbol, str) else ""
        for text, symbol in zip(
            token_lists(first, approved_names(context.warehouse.read("approved_tokens"))), first["symbol"], strict=True
        )
    ]
    named = {label: first[column].fillna("").to_numpy(dtype=object) for label, column in _LABELS.items()}
    known_from = first["date"].to_numpy(dtype="datetime64[D]")
    return {**named, "token": np.array(tokens, dtype=object)}, known_from


def _market(context: StepContext, window: Window, days_before: int, days: DayArray) -> dict[str, FloatArray]:
    """(n_days,) gas price, ETH, BTC, and closes of tokens by symbol."""
    candles = read_candles(context, window)
    closes = to_panel(candles, ("close_usd",), id_column="token", days=days)
    market = {str(token): closes["close_usd"][:, place] for place, token in enumerate(closes.ids)}
    bitcoin = market.pop("BTC", np.full(len(days), np.nan))
    ether = market.pop("ETH", np.full(len(days), np.nan))
    _, daily = read_gas(context, window, days_before)
    daily = daily.assign(gas_price_gwei=daily["base_fee_gwei"] + daily["priority_fee_gwei"], series="gas")
    names, axis = ("gas_price_gwei", "eth_usd"), np.array(["gas"], dtype=object)
    gas = to_panel(daily, names, id_column="series", days=days, ids=axis)
    ether = np.where(np.isnan(ether), gas["eth_usd"][:, 0], ether)
    return {"gas_price_gwei": gas["gas_price_gwei"][:, 0], "eth_usd": ether, "btc_usd": bitcoin, **market}

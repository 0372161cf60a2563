"""A source with events injected: another source's answers, changed from the day of each event on.

Belongs here: what each event does to rows of each raw table. Does not belong here: what events there are (see
`events`), frozen withdrawals, which no table can express (see `freeze`).

A row is changed by its own day alone, so an event changes nothing before its day, and a window gives the same rows
alone or inside a longer one. Seen-at stamps and the order of rows stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.sources.port import Fetched, Source
from defiyield_core.sources.through import ThroughSource
from defiyield_core.stress.events import (
    CANDLES,
    GAS,
    HISTORY,
    SNAPSHOTS,
    ApyCollapse,
    Event,
    GasSpike,
    MissingData,
    PoolTarget,
    TokenDepeg,
    TvlFall,
)
from defiyield_core.units import BoolArray

_RATES = ("apy", "apy_base", "apy_reward")
_PRICES = ("open", "high", "low", "close")
_E = TypeVar("_E", bound=Event)


class StressedSource(ThroughSource):
    """The source port over another source, with events. Without events it answers as the other one does.

    Args:
        inner: the market; it may itself be wrapped.
        events: in any order; those that overlap act together (two falls of 80 % leave 4 %).
    """

    def __init__(self, inner: Source, events: Iterable[Event]) -> None:
        super().__init__(inner)
        self._events = tuple(events)
        self._protocols: tuple[Window, dict[str, str]] | None = None

    @property
    def name(self) -> str:
        """The other source's name and a digest of the events."""
        if not self._events:
            return self._inner.name
        text = json.dumps([event.plain() for event in self._events], sort_keys=True)
        return f"{self._inner.name} with events {hashlib.sha256(text.encode()).hexdigest()[:10]}"

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools`."""
        fetched = self._inner.pool_snapshots(window)
        frame = fetched.frame
        self._protocols = window, dict(zip(frame["pool_id"], frame["project"], strict=True))
        return self._with_pool_events(fetched, window, SNAPSHOTS)

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history`. A pool belongs to the protocol that its snapshots name."""
        return self._with_pool_events(self._inner.pool_history(window, pool_ids), window, HISTORY)

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        """Rows of `raw_coinmarketcap_ohlcv`. A token without a candle cannot lose its peg: a warning says so."""
        fetched = self._inner.token_ohlcv(window, tokens)
        depegs = self._during(TokenDepeg, window)
        if depegs:
            frame = fetched.frame.copy()
            unknown = [name for event in depegs for name in _depeg(frame, event)]
            said = tuple(f"stress: {name} has no candle in {window}: its depeg changes nothing" for name in unknown)
            fetched = replace(fetched, frame=frame, warnings=(*fetched.warnings, *said))
        return self._without_missing(fetched, window, CANDLES, lambda event: _of_tokens(fetched.frame, event.tokens))

    def gas_hourly(self, window: Window) -> Fetched:
        """Rows of `raw_ethgastracker_hourly_gas_data`."""
        fetched = self._inner.gas_hourly(window)
        spikes = self._during(GasSpike, window)
        if spikes:
            frame = fetched.frame.copy()
            for event in spikes:
                factor = np.where(event.holds(frame["date"]), event.factor, 1.0)
                for name in ("base_fee_gwei", "priority_fee_gwei"):
                    frame[name] = frame[name].to_numpy(dtype=float) * factor
            fetched = replace(fetched, frame=frame)
        return self._without_missing(fetched, window, GAS, lambda event: np.ones(len(fetched.frame), dtype=bool))

    def _during(self, kind: type[_E], window: Window) -> list[_E]:
        return [one for one in self._events if isinstance(one, kind) and one.overlaps(window.start, window.end)]

    def _with_pool_events(self, fetched: Fetched, window: Window, table: str) -> Fetched:
        """The rows after falls of TVL and APY, less the missing ones."""
        falls, collapses = self._during(TvlFall, window), self._during(ApyCollapse, window)
        if falls or collapses:
            frame = fetched.frame.copy()
            for fall in falls:
                _lower(frame, ("tvl_usd",), fall.share, fall.holds(frame["date"]) & self._hits(fall, frame, window))
            for collapse in collapses:
                hit = collapse.holds(frame["date"]) & self._hits(collapse, frame, window)
                _lower(frame, _RATES, collapse.share, hit)
            fetched = replace(fetched, frame=frame)
        return self._without_missing(fetched, window, table, lambda event: self._hits(event, fetched.frame, window))

    def _without_missing(
        self, fetched: Fetched, window: Window, table: str, meant: Callable[[MissingData], BoolArray]
    ) -> Fetched:
        events = [event for event in self._during(MissingData, window) if table in event.touches]
        if not events:
            return fetched
        missing = np.zeros(len(fetched.frame), dtype=bool)
        for event in events:
            missing |= event.holds(fetched.frame["date"]) & meant(event)
        outages = tuple(
            f"stress: {table} has no rows from {event.day} on for {event.days or 'all'} days"
            for event in events
            if event.is_outage
        )
        return replace(
            fetched,
            frame=fetched.frame[~missing].reset_index(drop=True),
            warnings=(*fetched.warnings, *outages),
            complete=fetched.complete and not outages,
        )

    def _hits(self, event: TvlFall | ApyCollapse | MissingData, frame: pd.DataFrame, window: Window) -> BoolArray:
        target: PoolTarget = event.target
        if not target.protocols:
            return target.hits(frame["pool_id"], np.full(len(frame), "", dtype=object))
        if "project" in frame:
            return target.hits(frame["pool_id"], frame["project"])
        return target.hits(frame["pool_id"], frame["pool_id"].map(self._protocols_in(window)))

    def _protocols_in(self, window: Window) -> dict[str, str]:
        """Protocols by pool, of the snapshots of a window; an ingest asks for those just before the charts."""
        if self._protocols is None or self._protocols[0] != window:
            self.pool_snapshots(window)
        return self._protocols[1] if self._protocols else {}


def _lower(frame: pd.DataFrame, columns: Sequence[str], share: float, hit: BoolArray) -> None:
    """Take a share away from the columns where it hits; what is missing stays missing."""
    kept = np.where(hit, 1.0 - share, 1.0)
    for name in columns:
        frame[name] = frame[name].to_numpy(dtype=float) * kept


def _of_tokens(frame: pd.DataFrame, tokens: Sequence[str]) -> BoolArray:
    if not tokens:
        return np.ones(len(frame), dtype=bool)
    return np.asarray(frame["symbol"].isin([token.upper() for token in tokens]).to_numpy(dtype=bool))


def _depeg(frame: pd.DataFrame, event: TokenDepeg) -> list[str]:
    """Change the candles in place; the tokens that have none.

    Quotes in USDT of other tokens rise as USDT falls: their prices in dollars are none of its business.
    """
    tokens = {token.upper() for token in event.tokens}
    symbol = frame["symbol"].to_numpy(dtype=object)
    holds, own = event.holds(frame["date"]), _of_tokens(frame, event.tokens)
    kept = 1.0 - event.depth
    first = np.asarray(frame["date"].to_numpy().astype("datetime64[D]") == np.datetime64(event.day, "D"))
    in_tether = np.asarray(frame["quote_currency"].to_numpy(dtype=object) == "USDT") & (symbol != "USDT")
    in_falling_tether = holds & in_tether & ("USDT" in tokens)
    for name in (*_PRICES, "market_cap_usd"):
        hit = holds & own & ~(first if name in ("open", "high") else np.zeros_like(first))
        factor = np.where(hit, kept, 1.0)
        if name in _PRICES:
            factor = np.where(in_falling_tether, factor / kept, factor)
        frame[name] = frame[name].to_numpy(dtype=float) * factor
    return sorted(tokens - set(symbol[own]))

"""Markets with two sides: what decisions are shown, and what the books accrue.

Belongs here: composing them out of loaded markets, finding the pools that died. Does not belong here: loading (see
`runner`), spoiling raw rows (see `sources`).

Only what is known of pools is ever exchanged. Prices, gas and the lists of tokens are the true ones on both sides.
Shapes: T days, P pools.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.history import MarketHistory, MarketView
from defiyield_core.units import BoolArray, FloatArray
from defiyield_core.universe.eligibility import GONE_DAYS

SHOWN: dict[str, Any] = {
    "observed_apy": np.nan,
    "filled_apy": np.nan,
    "filled_tvl_usd": np.nan,
    "group": 3,
    "depositable": False,
    "must_exit": False,
    "reasons": "no row on this day",
    "forecast_apy": np.nan,
    "forecast_tvl_usd": np.nan,
}
"""What views show of pools, (T, P) each, and what stands for a pool that a market does not know."""
FALLEN_SHARE = 0.1
"""A pool has fallen when this share of its highest TVL or less is left."""
_SMOOTH_DAYS = 7


@dataclass(frozen=True)
class SplitMarket(MarketHistory):
    """A market whose books are its own arrays and whose views are another market's.

    Attributes:
        seen: the market that decisions see; the same days, pools and tokens.
    """

    seen: MarketHistory

    def as_of(self, day: date) -> MarketView:
        """The other market's view."""
        return self.seen.as_of(day)

    def fingerprint(self) -> str:
        """Hash of both sides."""
        own = MarketHistory(**_arrays(self)).fingerprint()
        return hashlib.sha256(f"{own} {self.seen.fingerprint()}".encode()).hexdigest()[:16]


def split(books: MarketHistory, seen: MarketHistory) -> SplitMarket:
    """Decisions on one market, accrual on another of the same days, pools and tokens."""
    return SplitMarket(**_arrays(books), seen=seen)


def _arrays(market: MarketHistory) -> dict[str, Any]:
    return {field.name: getattr(market, field.name) for field in fields(MarketHistory)}


def pool_side(other: MarketHistory, names: dict[str, Any], onto: MarketHistory) -> dict[str, Any]:
    """Arrays of another market on the days and pools of this one, by name.

    Args:
        names: fields with what stands for a day or pool that the other market does not have.
    """
    column = pd.Index(other.pools.ids).get_indexer(list(onto.pools.ids))
    row = (onto.days - other.days[0]).astype(int)
    known = np.ix_((row >= 0) & (row < len(other.days)), column >= 0)
    taken = np.ix_(row[(row >= 0) & (row < len(other.days))], column[column >= 0])
    placed = {}
    for name, missing in names.items():
        values = getattr(other, name)
        grid = np.full((len(onto.days), len(onto.pools.ids)), missing, dtype=values.dtype)
        grid[known] = values[taken]
        placed[name] = grid
    return placed


def shown(true: MarketHistory, other: MarketHistory) -> SplitMarket:
    """The true market whose decisions see the pools of another one."""
    return split(true, replace(true, **pool_side(other, SHOWN, true)))


def stale(true: MarketHistory, longer: MarketHistory, days: int) -> SplitMarket:
    """The true market whose decisions see every pool as it was some days before.

    Args:
        longer: the same market, loaded from at least `days` earlier on; before its first day that day stands in.
    """
    aged = pool_side(longer, SHOWN, replace(longer, pools=true.pools))
    row = np.maximum((true.days - longer.days[0]).astype(int) - days, 0)
    return split(true, replace(true, **{name: values[row] for name, values in aged.items()}))


def paying(true: MarketHistory, other: MarketHistory) -> SplitMarket:
    """The true market, whose books accrue the rates of another one; decisions see the true one."""
    rates = pool_side(other, {"observed_apy": np.nan, "flagged": False}, true)
    return split(replace(true, **rates), true)


def without_pools(market: MarketHistory, left_out: BoolArray) -> MarketHistory:
    """The market with some pools (P,) never open to deposits. Forecasts of the others stay as they were."""
    return replace(market, depositable=market.depositable & ~left_out)


@dataclass(frozen=True)
class Dying:
    """Pools that died within a market's days, arrays (P,).

    Attributes:
        stopped: had rows, and at the end had been without one for `GONE_DAYS` days or more.
        fallen: at the end, 10 % or less of the highest TVL was left (medians of 7 days, so that one wrong row makes no
            death).
    """

    stopped: BoolArray
    fallen: BoolArray

    @property
    def any(self) -> BoolArray:
        """Either."""
        return self.stopped | self.fallen


def dying_pools(market: MarketHistory) -> Dying:
    """The pools that died by the last day of the market. Hindsight: no decision may use it."""
    had_rows = np.isfinite(market.observed_apy).any(axis=0)
    return Dying(
        stopped=np.asarray(had_rows & (market.absent_days[-1] >= GONE_DAYS)),
        fallen=_fallen(market.filled_tvl_usd),
    )


def _fallen(tvl_usd: FloatArray) -> BoolArray:
    """(P,) by the TVL of each day (T, P)."""
    smooth = pd.DataFrame(tvl_usd).rolling(_SMOOTH_DAYS, min_periods=1).median()
    last, highest = smooth.ffill().iloc[-1].to_numpy(), smooth.max().to_numpy()
    return np.asarray(np.isfinite(last) & (last <= FALLEN_SHARE * highest) & (highest > 0))

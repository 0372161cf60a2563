"""What the undisturbed portfolio held, to aim events at what would hurt.

Belongs here: holdings by pool, protocol and token on each day. Does not belong here: which events there are (see
`cases`). Aiming uses what was held at the close before the event: no decision sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from defiyield_core.portfolio.state import WALLET
from defiyield_core.stress.branch import Undisturbed
from defiyield_core.stress.events import CANDLES

LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Exposure:
    """Values held in USD, one frame of (days x names) each, 0 where nothing was held.

    Attributes:
        pools, protocols: in pools. tokens: in pools and in the wallet; only tokens with candles, for others have no
            price that could fall.
        wrappers: by token, the priced tokens that wrap it and lose their price with it.
        labels: by pool, a name for people: protocol, symbol and the begin of its id.
    """

    pools: pd.DataFrame
    protocols: pd.DataFrame
    tokens: pd.DataFrame
    wrappers: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, str]

    def largest(self, kind: str, day: date, rank: int = 0) -> str:
        """The name of the holding of that rank (0 is the largest) at the close before `day`; empty when there is none.

        Less than 1 % of all that was held is not worth an event: where fewer holdings are larger, the smallest of those
        is meant. Where nothing was held, the largest by its mean over all days.

        Args:
            kind: `pools`, `protocols` or `tokens`.
        """
        held: pd.DataFrame = getattr(self, kind)
        eve = pd.Timestamp(day - timedelta(days=1))
        row = held.loc[eve] if eve in held.index else pd.Series(dtype=float)
        row = row[row > LEAST_SHARE * row.sum()]
        if row.empty:
            row, rank = held.mean(), 0
        if row.empty:
            return ""
        ordered = sorted(row.items(), key=lambda item: (-item[1], str(item[0])))
        return str(ordered[min(rank, len(ordered) - 1)][0])

    def with_wrappers(self, token: str) -> tuple[str, ...]:
        """The token and what wraps it."""
        return (token, *self.wrappers.get(token, ()))


def exposure_of(base: Undisturbed) -> Exposure:
    """The holdings of the undisturbed run."""
    state = base.frames["portfolio_state"]
    rows = state[state["portfolio"] == base.spec.name]
    rows = rows.assign(value_usd=rows["amount"] * rows["price_usd"])
    priced = set(base.frames[CANDLES]["symbol"])
    in_pools = rows[rows["location"] != WALLET]
    pools = base.frames["pools"].drop_duplicates("pool_id").set_index("pool_id")
    approved = base.frames["approved_tokens"].dropna(subset=["wraps"])
    wraps = approved.groupby("wraps")["token"].unique()
    return Exposure(
        pools=_held(in_pools, in_pools["location"]),
        protocols=_held(in_pools, in_pools["location"].map(pools["protocol"])),
        tokens=_held(rows[rows["token"].isin(priced)], rows["token"]),
        wrappers={str(token): tuple(sorted(set(names) & priced)) for token, names in wraps.items()},
        labels={
            str(row.Index): f"{row.protocol} {row.symbol} {str(row.Index)[:8]}"
            for row in pools.loc[in_pools["location"].unique()].itertuples()
        },
    )


def _held(rows: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """(days x names) sums of the rows' values."""
    return rows.pivot_table(
        index="date",
        columns=names.reindex(rows.index).rename("name"),
        values="value_usd",
        aggfunc="sum",
        fill_value=0.0,
    )

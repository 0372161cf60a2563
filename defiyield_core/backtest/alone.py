"""One portfolio on one market, without a warehouse: the money tables as frames.

Belongs here: the loop and the frames of what it booked. Does not belong here: a backtest with its reports (see
`session`), many runs (see `sweep`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.history import MarketHistory
from defiyield_core.portfolio.books import QUOTED_LISTS, Books
from defiyield_core.portfolio.loop import OnDay, run_days
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import starting_state
from defiyield_core.warehouse.frames import check_write
from defiyield_core.warehouse.port import Warehouse


@dataclass(frozen=True)
class MoneyFrames:
    """What a run booked: rows of `portfolio_daily`, `asset_allocations` and `allocation_transactions`.

    Attributes:
        seconds: the whole run. decide_seconds: deciding and executing alone.
    """

    daily: pd.DataFrame
    positions: pd.DataFrame
    transactions: pd.DataFrame
    seconds: float
    decide_seconds: float


def lists_of(warehouse: Warehouse) -> dict[str, pd.DataFrame]:
    """The lists that books quote."""
    return {name: warehouse.read(name) for name in QUOTED_LISTS}


def run_alone(
    market: MarketHistory,
    spec: PortfolioSpec,
    lists: Mapping[str, pd.DataFrame],
    *,
    last: date | None = None,
    on_day: OnDay | None = None,
) -> MoneyFrames:
    """Run the portfolio from its wallet, over the market's days up to `last`; nothing is stored.

    Args:
        lists: see `lists_of`.
    """
    begun = time.perf_counter()
    first: date = market.days[0].astype(object)
    window = Window(first, last or market.days[-1].astype(object))
    books = Books(spec, market, lists)
    state = starting_state(first - timedelta(days=1), spec.wallet, market)
    end = run_days(market, spec, state, window, books, on_day=on_day)
    wanted = ("portfolio_daily", "asset_allocations", "allocation_transactions")
    frames = {write.table: check_write(write).frame for write in books.writes(window) if write.table in wanted}
    return MoneyFrames(
        daily=frames["portfolio_daily"],
        positions=frames["asset_allocations"],
        transactions=frames["allocation_transactions"],
        seconds=time.perf_counter() - begun,
        decide_seconds=end.decide_seconds,
    )

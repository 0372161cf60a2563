"""The loop over days: one portfolio on one market, day after day, into its books.

Belongs here: the order of a day's steps, going on from a journal, the clock around decisions. Does not belong here: one
day's money (see `day`), rows (see `books`), warehouses (see `runner`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from defiyield_core.calendar import Window
from defiyield_core.history import MarketHistory
from defiyield_core.policies.port import Policy
from defiyield_core.policies.registry import policy_for
from defiyield_core.portfolio.books import Books
from defiyield_core.portfolio.day import ClosedDay, close_day, held_day, open_day
from defiyield_core.portfolio.journal import Journal
from defiyield_core.portfolio.modes import from_cash
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import PortfolioState

OnDay = Callable[[date, Mapping[str, object]], None]


@dataclass(frozen=True)
class LoopEnd:
    """Where the loop ended.

    Attributes:
        state: the close of the last day. decide_seconds: spent on closing days (deciding and executing).
        restored_days: days that a journal already had.
    """

    state: PortfolioState
    decide_seconds: float
    restored_days: int = 0


def run_days(
    market: MarketHistory,
    spec: PortfolioSpec,
    state: PortfolioState,
    window: Window,
    books: Books,
    *,
    on_day: OnDay | None = None,
    journal: Journal | None = None,
) -> LoopEnd:
    """Advance the state over the window and book every day.

    Args:
        state: the close of the day before the window. journal: days that it has are taken from it; every other is
            written into it as soon as it is booked.
    """
    restored = journal.restore(books, market) if journal is not None else None
    if restored is not None:
        state = restored
    done = (state.day - window.start).days + 1 if restored is not None else 0
    policy = policy_for(spec.policy, spec.parameters, spec.policy_options)
    seconds = 0.0
    for day in list(window)[done:]:
        begun = time.perf_counter()
        closed = one_day(state, market, day, spec, policy)
        seconds += time.perf_counter() - begun
        state = closed.state
        row = books.add(closed)
        if journal is not None:
            journal.append(day, books)
        if on_day is not None:
            on_day(day, row)
    return LoopEnd(state, seconds, done)


def one_day(state: PortfolioState, market: MarketHistory, day: date, spec: PortfolioSpec, policy: Policy) -> ClosedDay:
    """Open, decide and close a day as the portfolio's mode wants it.

    A day that does not end ok leaves things as they are: in the modes that decide from cash, yesterday's positions.
    """
    opened = open_day(state, market, day, spec.parameters, spec.flows.get(day, {}))
    if spec.mode == "carry":
        return close_day(opened, market, policy, spec.parameters)
    cash = from_cash(opened, market, spec.wallet, spec.mode)
    if cash is None:
        return held_day(opened, market, "data_missing", "no token of the starting wallet is approved and has a price")
    closed = close_day(cash, market, policy, spec.parameters)
    return closed if closed.status == "ok" else held_day(opened, market, closed.status, closed.reason)

"""A portfolio over a window of days: the same loop for the daily run, the backfill and the backtest.

Belongs here: loading the market and the state, the chunks, the watermark. Does not belong here: the loop (see `loop`),
one day's money (see `day`), rows (see `books`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from defiyield_core.calendar import Window, end_of
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.history import MarketHistory, load_market
from defiyield_core.pipeline.step import StepContext
from defiyield_core.portfolio.books import QUOTED_LISTS, Books, decision_ids
from defiyield_core.portfolio.journal import Journal
from defiyield_core.portfolio.loop import LoopEnd, OnDay, run_days
from defiyield_core.portfolio.observed import observed_wallet, wallet_differences
from defiyield_core.portfolio.spec import MINIMUM_WARMUP_DAYS, WARMUP_DAYS, PortfolioSpec
from defiyield_core.portfolio.state import WALLET, starting_state, state_from_rows, state_rows
from defiyield_core.universe.lists import as_of
from defiyield_core.warehouse.port import TableWrite, Warehouse

CHUNK_DAYS = 90
"""Days that are committed together: a killed run loses at most these."""


@dataclass(frozen=True)
class PortfolioRun:
    """What a run did.

    Attributes:
        window: days asked for. computed: days that were computed (fewer when resuming; None when all were there).
        daily: rows of `portfolio_daily` over the window.
        fingerprint: of the market data the computed days were decided on.
    """

    portfolio: str
    window: Window
    computed: Window | None
    daily: pd.DataFrame
    fingerprint: str
    warnings: tuple[str, ...] = ()


def first_decision_day(spec: PortfolioSpec, data_begin: date) -> date:
    """The portfolio's first day: its own, or the first one the data allow.

    Raises:
        ConfigurationError: its own lies before 30 days of data.
    """
    if spec.first_day is None:
        return data_begin + timedelta(days=WARMUP_DAYS)
    check_warmup(spec.first_day, data_begin, f"portfolio {spec.name}: first_day")
    return spec.first_day


def check_warmup(start: date, data_begin: date, what: str) -> None:
    """Refuse a start with less than 30 days of data before it."""
    earliest = data_begin + timedelta(days=MINIMUM_WARMUP_DAYS)
    if start < earliest:
        raise ConfigurationError(
            f"{what} {start} is too early: the data begin on {data_begin} and a first decision needs "
            f"{MINIMUM_WARMUP_DAYS} days of them; start on {earliest} or later"
        )


def run_portfolio(
    context: StepContext,
    spec: PortfolioSpec,
    window: Window,
    *,
    chunk_days: int = CHUNK_DAYS,
    resume: bool = False,
    on_day: OnDay | None = None,
) -> PortfolioRun:
    """Advance the portfolio over the window and write its tables, each chunk in one transaction.

    Without a stored close of the day before the window the portfolio starts on the window's first day from its wallet;
    a live portfolio from the balances observed on that day. Later balances are compared with the books, and differences
    are told in `warnings`.
    With `resume` the days up to the watermark are kept.

    Raises:
        LedgerError: an identity failed; nothing of the chunk is written.
    """
    warehouse = context.warehouse
    todo = _remaining(warehouse, spec, window) if resume else window
    markets = [_run_chunk(warehouse, spec, chunk, on_day) for chunk in (todo.chunks(chunk_days) if todo else ())]
    fingerprint = hashlib.sha256("".join(seen for seen, _ in markets).encode()).hexdigest()[:16] if markets else ""
    left_out = markets[0][1] if markets else ()
    daily = warehouse.read("portfolio_daily", window, scope={"portfolio": spec.name})
    approved = as_of(warehouse.read("approved_tokens"), end_of(window.end))
    differences = wallet_differences(warehouse, spec.name, spec.addresses, approved, window.end)
    return PortfolioRun(spec.name, window, todo, daily, fingerprint, (*left_out, *differences))


def _remaining(warehouse: Warehouse, spec: PortfolioSpec, window: Window) -> Window | None:
    """The window after the unbroken run of days at its start that were completed under the same decision id.

    The id holds the portfolio's policy and parameters and the version of the code: days that were decided otherwise are
    computed again.
    """
    rows = warehouse.read("completed_days", window, scope={"subject": spec.name})
    completed = {day.date(): run_id for day, run_id in zip(rows["date"], rows["run_id"], strict=True)}
    named = decision_ids(spec)
    for day in window:
        if completed.get(day) != named(day):
            return Window(day, window.end)
    return None


def begun_part(spec: PortfolioSpec, data_begin: date, asked: Window) -> Window | None:
    """The part of the window on which the portfolio exists; None when it has not begun by its end."""
    first = asked.start if spec.first_day is None else first_decision_day(spec, data_begin)
    return Window(max(first, asked.start), asked.end) if first <= asked.end else None


def _run_chunk(
    warehouse: Warehouse, spec: PortfolioSpec, chunk: Window, on_day: OnDay | None
) -> tuple[str, tuple[str, ...]]:
    """Compute and write a chunk; the fingerprint of its market, and what people should know about the wallet."""
    opening = opening_of(warehouse, spec, chunk)
    market = load_market(warehouse, spec.parameters, chunk, held_tokens=opening.tokens, held_pools=opening.pools)
    _, warnings = run_on_market(warehouse, spec, market, chunk, opening, on_day=on_day)
    return market.fingerprint(), warnings


@dataclass(frozen=True)
class Opening:
    """What a portfolio brings into a window.

    Attributes:
        rows: of `portfolio_state`, the close of the day before; none when it begins.
        wallet: what it begins with then. tokens, pools: names that its market must know.
    """

    rows: pd.DataFrame
    wallet: Mapping[str, float]
    tokens: frozenset[str]
    pools: frozenset[str]


def opening_of(warehouse: Warehouse, spec: PortfolioSpec, window: Window) -> Opening:
    """The stored close of the day before the window, or the wallet that it begins with (observed for a live one).

    Raises:
        DataError: it has begun, but that day's close is missing.
    """
    stored = _closing_rows(warehouse, spec, window.start - timedelta(days=1))
    return Opening(
        rows=stored,
        wallet=observed_wallet(warehouse, spec.addresses, window.start) or spec.wallet,
        tokens=frozenset({*stored["token"], *spec.wallet}),
        pools=frozenset(location for location in stored["location"] if location != WALLET),
    )


def run_on_market(
    warehouse: Warehouse,
    spec: PortfolioSpec,
    market: MarketHistory,
    window: Window,
    opening: Opening,
    *,
    on_day: OnDay | None = None,
    journal: Journal | None = None,
) -> tuple[LoopEnd, tuple[str, ...]]:
    """Run the portfolio on a loaded market and write its tables in one transaction; also warnings about its wallet."""
    before = window.start - timedelta(days=1)
    begins = not len(opening.rows)
    state = starting_state(before, opening.wallet, market) if begins else state_from_rows(opening.rows, market)
    lists = {name: warehouse.read(name) for name in QUOTED_LISTS}
    books = Books(spec, market, lists, *_year_to_date(warehouse, spec, before))
    end = run_days(market, spec, state, window, books, on_day=on_day, journal=journal)
    outdated = _outdated_watermark(warehouse, spec, window.end, state_rows(spec.name, end.state, market))
    warehouse.replace((*books.writes(window), *outdated))
    return end, _left_out(spec, market) if begins and not spec.addresses else ()


def _left_out(spec: PortfolioSpec, market: MarketHistory) -> tuple[str, ...]:
    """Warnings about wallet tokens that do not count, on the market's first day."""
    warnings = []
    for token, amount in sorted(spec.wallet.items()):
        index = market.tokens.index(token)
        if amount > 0 and not market.approved[0, index]:
            warnings.append(f"portfolio {spec.name}: {amount:,.2f} {token} stay outside: it is not an approved token")
        elif amount > 0 and market.price_usd[0, index] <= 0:
            warnings.append(f"portfolio {spec.name}: {amount:,.2f} {token} count as nothing: it has no price yet")
    return tuple(warnings)


def _closing_rows(warehouse: Warehouse, spec: PortfolioSpec, day: date) -> pd.DataFrame:
    """The stored close of a day; no rows when the portfolio has not begun before it.

    Raises:
        DataError: it has begun, but that day is missing: starting again from the wallet would lose the position.
    """
    begun = [stored for stored in warehouse.days("portfolio_state", scope={"portfolio": spec.name}) if stored <= day]
    if begun and begun[-1] != day:
        raise DataError(
            f"portfolio {spec.name}: the close of {day} is missing, its last one is of {begun[-1]}; "
            f"run it from {begun[-1] + timedelta(days=1)} on"
        )
    return warehouse.read("portfolio_state", Window(day, day), scope={"portfolio": spec.name})


def _outdated_watermark(
    warehouse: Warehouse, spec: PortfolioSpec, end: date, closing: list[tuple[object, ...]]
) -> tuple[TableWrite, ...]:
    """When a day is run again and closes differently, the days after it are no longer completed."""
    completed = warehouse.days("completed_days", scope={"subject": spec.name})
    if not completed or completed[-1] <= end:
        return ()
    stored = warehouse.read("portfolio_state", Window(end, end), scope={"portfolio": spec.name})
    fresh = conform(table("portfolio_state"), pd.DataFrame(closing, columns=list(stored.columns)))
    keys = list(table("portfolio_state").key)
    if fresh.sort_values(keys, ignore_index=True).equals(stored):
        return ()
    later = Window(end + timedelta(days=1), completed[-1])
    return (TableWrite("completed_days", table("completed_days").empty(), later, {"subject": spec.name}),)


def _year_to_date(warehouse: Warehouse, spec: PortfolioSpec, before: date) -> tuple[float, int]:
    """Growth since the first of January as the ledger had it on the day before, and its year."""
    rows = warehouse.read("daily_ledger", Window(before, before), scope={"portfolio": spec.name})
    if not len(rows):
        return 1.0, 0
    return 1.0 + float(rows["realised_ytd_yield"].iloc[0]), before.year

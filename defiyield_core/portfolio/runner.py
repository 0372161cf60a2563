"""A portfolio over a window of days: the same loop for the daily run, the backfill and the backtest.

Belongs here: loading the market and the state, the loop in chunks, the watermark. Does not belong here: one day's money
(see `day`), rows (see `books`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from defiyield_core.calendar import Window, end_of
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.history import MarketHistory, load_market
from defiyield_core.pipeline.step import StepContext
from defiyield_core.policies.registry import policy_for
from defiyield_core.portfolio.books import Books, decision_id
from defiyield_core.portfolio.day import close_day, open_day
from defiyield_core.portfolio.observed import observed_wallet, wallet_differences
from defiyield_core.portfolio.spec import MINIMUM_WARMUP_DAYS, WARMUP_DAYS, PortfolioSpec
from defiyield_core.portfolio.state import WALLET, starting_state, state_from_rows, state_rows
from defiyield_core.universe.lists import as_of
from defiyield_core.warehouse.port import TableWrite, Warehouse

CHUNK_DAYS = 90
"""Days that are committed together: a killed run loses at most these."""

OnDay = Callable[[date, Mapping[str, object]], None]


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
    for day in window:
        if completed.get(day) != decision_id(spec, day):
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
    before = chunk.start - timedelta(days=1)
    stored = _closing_rows(warehouse, spec, before)
    market = load_market(
        warehouse,
        spec.parameters,
        chunk,
        held_tokens={*stored["token"], *spec.wallet},
        held_pools={location for location in stored["location"] if location != WALLET},
    )
    wallet = observed_wallet(warehouse, spec.addresses, chunk.start) or spec.wallet
    state = state_from_rows(stored, market) if len(stored) else starting_state(before, wallet, market)
    lists = {name: warehouse.read(name) for name in ("blacklisted_tokens", "approved_protocols")}
    books = Books(spec, market, lists, *_year_to_date(warehouse, spec, before))
    policy = policy_for(spec.policy, spec.parameters, spec.policy_options)
    for day in chunk:
        opened = open_day(state, market, day, spec.parameters, spec.flows.get(day, {}))
        closed = close_day(opened, market, policy, spec.parameters)
        state = closed.state
        row = books.add(closed)
        if on_day is not None:
            on_day(day, row)
    outdated = _outdated_watermark(warehouse, spec, chunk.end, state_rows(spec.name, state, market))
    warehouse.replace((*books.writes(chunk), *outdated))
    return market.fingerprint(), () if len(stored) or spec.addresses else _left_out(spec, market)


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

"""A portfolio's accounting identities, recomputed from what is stored.

The core asserts them before it writes. This looks at the rows that people read, whoever changed them since.
Belongs here: reading the tables and naming the days that do not add up. Does not belong here: booking (see
`defiyield_core.portfolio`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window, as_day
from defiyield_core.portfolio.day import identity_tolerance_usd
from defiyield_core.portfolio.state import WALLET
from defiyield_core.warehouse.port import Warehouse
from defiyield_dagster.plausibility import Finding


def book_findings(warehouse: Warehouse, portfolio: str, window: Window) -> list[Finding]:
    """Every day and identity of the window that does not hold (`identity_tolerance_usd`), and every gap in the days."""
    wider = Window(window.start - timedelta(days=1), window.end)
    scope = {"portfolio": portfolio}
    return broken_identities(
        window,
        daily=warehouse.read("portfolio_daily", wider, scope=scope),
        state=warehouse.read("portfolio_state", window, scope=scope),
        positions=warehouse.read("asset_allocations", window, scope=scope),
        ledger=warehouse.read("daily_ledger", window, scope=scope),
    )


def broken_identities(
    window: Window,
    *,
    daily: pd.DataFrame,
    state: pd.DataFrame,
    positions: pd.DataFrame,
    ledger: pd.DataFrame,
) -> list[Finding]:
    """Findings of one portfolio; `daily` begins on the day before the window, where it is stored.

    - open + accrual + revaluation + flows - gas - conversion = close;
    - positions + wallet = close, idle = wallet, and the ledger's values add up to the close;
    - open = the close of the day before;
    - whoever has a state, positions or a ledger on a day has that day's row.
    """
    rows = daily.sort_values("date").set_index("date")
    inside = rows.loc[rows.index >= pd.Timestamp(window.start)]
    close = inside["aum_close_usd"]
    flow = inside["aum_open_usd"] + inside["accrual_usd"] + inside["revaluation_usd"] + inside["flows_usd"]
    flow = flow - inside["gas_usd"] - inside["conversion_usd"]
    state_usd = state["amount"] * state["price_usd"]
    in_wallet = state["location"] == WALLET
    wallet = _by_day(state_usd[in_wallet], state.loc[in_wallet, "date"], inside.index)
    held = _by_day(positions["value_usd"], positions["date"], inside.index)
    booked = _by_day(ledger["value_usd"], ledger["date"], inside.index)
    before = rows["aum_close_usd"].shift(1).reindex(inside.index)
    follows = pd.Series(rows.index, index=rows.index).diff().reindex(inside.index)
    comparisons = (
        ("open + accrual + revaluation + flows - gas - conversion", flow, "close", close),
        ("positions + wallet", held + wallet, "close", close),
        ("the wallet", wallet, "idle_usd", inside["idle_usd"]),
        ("values in the ledger", booked, "close", close),
        ("open", inside["aum_open_usd"].where(before.notna()), "yesterday's close", before),
    )
    found = [
        Finding(as_day(day), "the day before is not stored")
        for day, gap in follows.items()
        if pd.notna(gap) and gap != pd.Timedelta(days=1)
    ]
    tables = {"portfolio_state": state, "asset_allocations": positions, "daily_ledger": ledger}
    found += _without_daily_row(window, inside.index, tables)
    for left_name, left, right_name, right in comparisons:
        found.extend(_unequal(left_name, left, right_name, right, follows))
    return sorted(found, key=lambda finding: (finding.day, finding.text))


def _without_daily_row(window: Window, days: pd.Index, tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """Days of the window on which a table has rows and `portfolio_daily` has none: no identity was looked at there."""
    missing = pd.DatetimeIndex(window.days()).difference(days)
    return [
        Finding(as_day(day), f"{name} has rows, portfolio_daily has none")
        for name, rows in tables.items()
        for day in missing.intersection(pd.DatetimeIndex(rows["date"].unique()))
    ]


def _by_day(values: pd.Series, days: pd.Series, index: pd.Index) -> pd.Series:
    return values.groupby(days).sum().reindex(index).fillna(0.0)


def _unequal(
    left_name: str, left: pd.Series, right_name: str, right: pd.Series, follows: pd.Series
) -> Sequence[Finding]:
    difference = (left - right).to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):
        broken = ~(np.abs(difference) <= identity_tolerance_usd(np.abs(right.to_numpy(dtype=float))))
    if right_name == "yesterday's close":  # the first stored day has none
        broken &= follows.notna().to_numpy()
    return [
        Finding(as_day(day), f"{left_name} is {left[day]:,.6f} USD, {right_name} {right[day]:,.6f} USD")
        for day in left.index[broken]
    ]

"""The daily message of a portfolio, from the tables of its day.

Belongs here: reading that day and putting it into words. Does not belong here: computing the books, or sending.
Expected daily yield: sum over positions of `value_usd * daily_growth(forecast apy)`, less the day's gas and conversion.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.notify.message import Message, Pairs, Section, Severity, TableSection
from defiyield_core.notify.notifiers import Notifier
from defiyield_core.reporting.figures import amount, basis_points, count, percent, usd
from defiyield_core.reporting.inputs import label_of, pool_labels, positions_on
from defiyield_core.reporting.tables import Column, TextTable
from defiyield_core.units import daily_growth
from defiyield_core.warehouse.port import Warehouse

BOOKS_TOLERANCE_USD = 1e-6
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Day:
    """A portfolio's day as stored: `row` of portfolio_daily, the frames, and what the frames add up to."""

    portfolio: str
    day: date
    row: pd.Series
    positions: pd.DataFrame
    ledger: pd.DataFrame
    trades: pd.DataFrame
    decision: pd.Series | None
    labels: dict[str, str]

    @property
    def allocated_usd(self) -> float:
        return float(self.positions["value_usd"].astype(float).sum())

    @property
    def costs_usd(self) -> float:
        return float(self.row["gas_usd"] + self.row["conversion_usd"])

    @property
    def expected_usd(self) -> float:
        """Forecast yield of one day, before costs; a position without a forecast counts as 0."""
        apy = np.nan_to_num(self.positions["apy"].to_numpy(dtype=float))
        return float((self.positions["value_usd"].to_numpy(dtype=float) * daily_growth(apy)).sum())


def daily_message(warehouse: Warehouse, portfolio: str, day: date) -> Message:
    """The message of a day. A day without a row gives an `error` message that says so.

    Raises:
        WarehouseError: the tables cannot be read.
    """
    stored = _read(warehouse, portfolio, day)
    title = f"{portfolio} · {day}"
    if stored is None:
        warning = f"There is no row of {portfolio} for {day} in portfolio_daily: the day did not complete."
        return Message(title=title, warnings=(warning,), severity="error")
    books = _book_warnings(stored)
    warnings = (*books, *_warnings(stored))
    severity: Severity = "error" if books else "warning" if warnings else "info"
    sections: tuple[Section, ...] = (
        _key_figures(stored),
        TableSection("Positions", _positions(stored)),
        TableSection("Tokens", _tokens(stored)),
        TableSection("Transactions", _transactions(stored)),
        _run(stored),
    )
    return Message(title, sections, warnings, severity)


def notify_day(notifier: Notifier, warehouse: Warehouse, portfolio: str, day: date) -> bool:
    """Make the message and send it. Never raises: whatever fails is logged, and the answer is False."""
    try:
        return notifier.send(daily_message(warehouse, portfolio, day))
    except Exception as error:  # a notifier never fails a run
        _LOG.error("the daily message of %s for %s was not sent: %s: %s", portfolio, day, type(error).__name__, error)
        return False


def _read(warehouse: Warehouse, portfolio: str, day: date) -> _Day | None:
    window, scope = Window(day, day), {"portfolio": portfolio}
    daily = warehouse.read("portfolio_daily", window, scope=scope)
    if daily.empty:
        return None
    row = daily.iloc[0]
    details = warehouse.read("asset_allocation_details", window, scope=scope)
    pools = warehouse.read("pools", window)
    held = warehouse.read("asset_allocations", window, scope=scope)
    decisions = warehouse.read("allocation_parameters", window, scope=scope)
    return _Day(
        portfolio=portfolio,
        day=day,
        row=row,
        positions=positions_on(day, float(row["aum_close_usd"]), held, details, pools),
        ledger=warehouse.read("daily_ledger", window, scope=scope),
        trades=warehouse.read("allocation_transactions", window, scope=scope).sort_values("seq"),
        decision=None if decisions.empty else decisions.iloc[0],
        labels=pool_labels(details, pools),
    )


def _key_figures(stored: _Day) -> Pairs:
    row = stored.row
    aum, idle = float(row["aum_close_usd"]), float(row["idle_usd"])
    net = stored.expected_usd - stored.costs_usd
    gas, conversion = usd(float(row["gas_usd"])), usd(float(row["conversion_usd"]))
    return Pairs(
        (
            ("Date", stored.day.isoformat()),
            ("AUM", usd(aum)),
            ("Allocated", f"{usd(stored.allocated_usd)} ({_share(stored.allocated_usd, aum)})"),
            ("Idle", f"{usd(idle)} ({_share(idle, aum)})"),
            ("Weighted APY (forecast)", percent(float(row["weighted_apy"]))),
            ("Expected daily yield, net of costs", f"{usd(net)} ({usd(stored.expected_usd)} before costs)"),
            (
                "Costs today",
                f"{usd(stored.costs_usd)} (gas {gas}, conversion {conversion})",
            ),
            ("Realised today", f"{usd(float(row['accrual_usd']))} ({percent(float(row['realised_apy']))} a year)"),
        )
    )


def _share(part: float, whole: float) -> str:
    return percent(part / whole if whole > 0 else float("nan"), digits=1)


def _positions(stored: _Day) -> TextTable:
    columns = (
        Column("Pool"),
        Column("Tokens"),
        Column("Value", numeric=True),
        Column("Share", numeric=True),
        Column("APY", numeric=True),
    )
    rows = tuple(
        (item.label, item.tokens, usd(item.value_usd), percent(item.share, digits=1), percent(item.apy))
        for item in stored.positions.itertuples()
    )
    return TextTable(columns, rows)


def _tokens(stored: _Day) -> TextTable:
    columns = (
        Column("Token"),
        Column("Wallet", numeric=True),
        Column("Allocated", numeric=True),
        Column("Price", numeric=True),
        Column("Value", numeric=True),
    )
    ledger = stored.ledger[stored.ledger["wallet_amount"] + stored.ledger["allocated_amount"] > 0]
    rows = tuple(
        (
            item.token,
            amount(item.wallet_amount),
            amount(item.allocated_amount),
            usd(item.price_usd, digits=4),
            usd(item.value_usd),
        )
        for item in ledger.sort_values(["value_usd", "token"], ascending=[False, True]).itertuples()
    )
    return TextTable(columns, rows)


def _transactions(stored: _Day) -> TextTable:
    columns = (
        Column("#", numeric=True),
        Column("Type"),
        Column("From > to"),
        Column("Token"),
        Column("Amount", numeric=True),
        Column("Cost", numeric=True),
    )
    rows = tuple(
        (
            str(item.seq),
            item.type,
            _route(item.from_location, item.to_location, stored.labels),
            item.token if item.token == item.to_token else f"{item.token} > {item.to_token}",
            usd(item.amount_usd),
            usd(item.total_cost_usd),
        )
        for item in stored.trades.itertuples()
    )
    return TextTable(columns, rows)


def _route(source: str, target: str, labels: dict[str, str]) -> str:
    if source == target:
        return label_of(source, labels)
    return f"{label_of(source, labels)} > {label_of(target, labels)}"


def _run(stored: _Day) -> Pairs:
    row, decision = stored.row, stored.decision
    items = [("Run id", str(row["run_id"])), ("Status", str(row["status"]))]
    if decision is not None:
        items.append(("Policy", str(decision["policy"])))
        gain = decision["objective_usd"] - decision["hold_objective_usd"]
        if pd.notna(gain):
            items.append(("Gain over holding, over the horizon", usd(float(gain), signed=True)))
        if pd.notna(decision["gap_bps"]):
            items.append(("Proven gap", basis_points(float(decision["gap_bps"]) / 1e4, digits=4)))
        if str(decision["notes"] or "").strip():
            items.append(("Notes", str(decision["notes"])))
    return Pairs(tuple(items), title="Run")


def _book_warnings(stored: _Day) -> tuple[str, ...]:
    """Books that do not add up: nothing else in the message can be relied on."""
    row = stored.row
    found = []
    gap = stored.allocated_usd + float(row["idle_usd"]) - float(row["aum_close_usd"])
    if not abs(gap) <= BOOKS_TOLERANCE_USD:
        found.append(f"Positions and wallet differ from AUM by {usd(gap, signed=True, digits=6)}.")
    flow = row["accrual_usd"] + row["revaluation_usd"] + row["flows_usd"] - stored.costs_usd
    gap = float(row["aum_open_usd"] + flow - row["aum_close_usd"])
    if not abs(gap) <= BOOKS_TOLERANCE_USD:
        found.append(f"The day's books do not close: {usd(gap, signed=True, digits=6)} are unexplained.")
    return tuple(found)


def _warnings(stored: _Day) -> tuple[str, ...]:
    row, found = stored.row, []
    if row["status"] != "ok":
        reason = str(row["reason"] or "").strip() or "no reason was recorded"
        found.append(f"The decision ended {row['status']}: {reason}. The portfolio holds.")
    if row["no_data_pools"]:
        found.append(f"{count(int(row['no_data_pools']), 'held pool')} had no data today and accrued nothing.")
    blind = stored.positions.loc[stored.positions["apy"].isna(), "label"].tolist()
    if blind:
        found.append(f"No forecast for {', '.join(blind)}: counted as 0 in the expected yield.")
    off_peg = sorted(_held_tokens(stored) & _icebox(stored))
    if off_peg:
        found.append(f"Held while in the icebox (off its peg): {', '.join(off_peg)}.")
    if stored.costs_usd > 0 and stored.decision is not None:
        gain = stored.decision["objective_usd"] - stored.decision["hold_objective_usd"]
        if pd.notna(gain) and gain < 0:
            found.append(f"Today's trades promise {usd(float(-gain))} less than holding over the horizon.")
    return tuple(found)


def _held_tokens(stored: _Day) -> set[str]:
    held = stored.ledger[stored.ledger["wallet_amount"] + stored.ledger["allocated_amount"] > 0]
    return set(held["token"])


def _icebox(stored: _Day) -> set[str]:
    if stored.decision is None:
        return set()
    try:
        listed = json.loads(stored.decision["icebox_tokens"] or "[]")
    except ValueError:
        return set()
    return {entry if isinstance(entry, str) else str(entry.get("token", "")) for entry in listed}

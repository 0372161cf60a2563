"""One stored decision for people: what was done, what it promises, why not otherwise.

Belongs here: reading a decision's rows, and their text and JSON. Does not belong here: finding the decision (see
`commands.decisions`), explaining a problem (see `allocation.explain`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from defiyield_core.allocation.explain import reason_of
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import PRESETS, parameters
from defiyield_core.reporting.figures import count, percent, usd
from defiyield_core.reporting.inputs import label_of, pool_labels
from defiyield_core.reporting.tables import Column, TextTable
from defiyield_core.warehouse.port import Warehouse

WIDTH = 118
SHOWN_CANDIDATES = 10
_LARGEST_APY = 10.0
"""Rates above 1000 % are no rates that anybody waits for."""
_DIFFERENT = 5e-5


@dataclass(frozen=True)
class DecisionReport:
    """A decision's rows.

    Attributes:
        row: of `allocation_parameters`. daily: of `portfolio_daily`. details: candidates, with their sentence in
            `reason`. moves: `allocation_transactions` but those that only hold.
        labels: names of pools by id. parameters: as they were given.
    """

    portfolio: str
    day: date
    run_id: str
    row: Mapping[str, Any]
    daily: Mapping[str, Any]
    details: pd.DataFrame
    moves: pd.DataFrame
    labels: Mapping[str, str]
    parameters: Mapping[str, Any]

    @property
    def costs_usd(self) -> float:
        """Gas and conversion fees."""
        return float(self.daily["gas_usd"] + self.daily["conversion_usd"])

    @property
    def aum_usd(self) -> float:
        """Wallet and positions when it was decided, before costs."""
        return float(self.daily["aum_close_usd"]) + self.costs_usd

    @property
    def gain_usd(self) -> float:
        """What it promises above holding, over the horizon and net of costs."""
        return float(self.row["objective_usd"]) - float(self.row["hold_objective_usd"])

    @property
    def positions(self) -> pd.DataFrame:
        """Candidates with a position after it, the largest first."""
        held = self.details[self.details["value_usd"] > 0]
        return held.sort_values(["value_usd", "pool_id"], ascending=[False, True], ignore_index=True)

    @property
    def unused(self) -> pd.DataFrame:
        """Candidates without one, the highest forecast first."""
        empty = self.details[self.details["value_usd"] <= 0]
        return empty.sort_values(["apy_forecast", "pool_id"], ascending=[False, True], ignore_index=True)


def read_decision(warehouse: Warehouse, portfolio: str, day: date) -> DecisionReport:
    """The decision of a day with its candidates and moves.

    Raises:
        ConfigurationError: there is none.
    """
    window, scope = Window(day, day), {"portfolio": portfolio}
    rows = warehouse.read("allocation_parameters", window, scope=scope)
    daily = warehouse.read("portfolio_daily", window, scope=scope)
    if rows.empty or daily.empty:
        raise ConfigurationError(f"no decision of '{portfolio}' on {day} in {warehouse.describe()}{_days(warehouse)}")
    details = warehouse.read("asset_allocation_details", window, scope=scope)
    numbers = [details[name].astype(float) for name in ("apy_forecast", "break_even_apy", "shadow_price_bps")]
    described = zip(details["binding"], details["value_usd"] > 0, *numbers, strict=True)
    moves = warehouse.read("allocation_transactions", window, scope=scope).sort_values("seq", ignore_index=True)
    row = rows.iloc[0].to_dict()
    return DecisionReport(
        portfolio=portfolio,
        day=day,
        run_id=str(row["run_id"]),
        row=row,
        daily=daily.iloc[0].to_dict(),
        details=details.assign(reason=[reason_of(*item) for item in described]),
        moves=moves[moves["type"] != "HOLD"],
        labels=pool_labels(details, warehouse.read("pools", window)),
        parameters=dict(json.loads(row["parameters"])),
    )


def _days(warehouse: Warehouse) -> str:
    known = warehouse.read("allocation_parameters", columns=("portfolio", "date"))
    if known.empty:
        return ": it holds no decisions (`defiyield run` makes them)"
    spans = known.groupby("portfolio")["date"].agg(["min", "max"])
    return ": there are " + ", ".join(f"{name} {low.date()}..{high.date()}" for name, low, high in spans.itertuples())


def preset_and_changes(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The preset that parameters differ least from, and what differs."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name in ("default", *PRESETS):
        preset = parameters(name).model_dump(mode="json")
        found.append((name, {key: value for key, value in given.items() if preset.get(key) != value}))
    return min(found, key=lambda item: len(item[1]))


def decision_json(decision: DecisionReport) -> dict[str, Any]:
    """Everything that `decision_text` says, and every candidate, as JSON; what is unknown is null."""
    preset, changes = preset_and_changes(decision.parameters)
    row, daily = decision.row, decision.daily
    head = ("policy", "engine", "status", "reason", "objective_usd", "bound_usd", "gap_bps", "hold_objective_usd")
    skipped = ["portfolio", "date", "run_id"]
    return {
        "run_id": decision.run_id,
        "portfolio": decision.portfolio,
        "date": decision.day.isoformat(),
        **{name: _plain(row[name]) for name in head},
        "aum_usd": decision.aum_usd,
        "idle_usd": _plain(daily["idle_usd"]),
        "gain_over_hold_usd": _plain(decision.gain_usd),
        "costs_usd": {"gas": _plain(daily["gas_usd"]), "conversion": _plain(daily["conversion_usd"])},
        "break_even_days": _plain(row["break_even_days"]),
        "horizon_days": decision.parameters["horizon_days"],
        "moves": _records(decision.moves.drop(columns=skipped)),
        "positions": _records(decision.positions.drop(columns=skipped)),
        "not_used": _records(decision.unused.drop(columns=skipped)),
        "notes": _notes(decision),
        "preset": preset,
        "changed_parameters": changes,
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def _notes(decision: DecisionReport) -> list[str]:
    return [note for note in str(decision.row["notes"] or "").split("; ") if note]


def decision_text(decision: DecisionReport, *, candidates: int | None = SHOWN_CANDIDATES) -> str:
    """The decision as text of at most `WIDTH` columns.

    Args:
        candidates: how many of those that were not used; None for all.
    """
    title = f"{decision.portfolio} · {decision.day} · run {decision.run_id}"
    parts = [title, "=" * len(title), *_head(decision)]
    if decision.details.empty:
        return "\n".join((*parts, "", "Nothing was decided: every position was kept."))
    parts += ["", "MOVES", *_moves(decision), "", "POSITIONS AFTER IT", _positions(decision)]
    unused = decision.unused
    shown = unused if candidates is None else unused[:candidates]
    if len(unused):
        some = f", the {len(shown)} highest of {len(unused)}" if len(shown) < len(unused) else ""
        parts += ["", f"NOT USED  by forecast APY{some}", _unused(decision, shown)]
        if shown["break_even_apy"].notna().any():
            parts.append(_NEEDED_NOTE)
        if some:
            parts.append(f"--all shows {count(len(unused) - len(shown), 'more candidate')}.")
    return "\n".join(parts)


def _head(decision: DecisionReport) -> list[str]:
    row = decision.row
    horizon = f"{decision.parameters['horizon_days']:g} days"
    engine = f" (engine {row['engine']})" if row["engine"] else " (a rule: nothing is proven)"
    why = f": {row['reason']}" if row["reason"] else ""
    items = [
        ("Policy", f"{row['policy']}{engine if not decision.details.empty else ''}"),
        ("Status", row["status"] + why),
    ]
    items += [("AUM", _aum(decision)), *([] if decision.details.empty else [("Groups", _groups(decision))])]
    if math.isfinite(row["objective_usd"]):
        promise = f"{usd(row['objective_usd'], digits=2)} over {horizon}, net of costs"
        if math.isfinite(row["bound_usd"]):
            promise += (
                f"; no plan can promise more than {usd(row['bound_usd'], digits=2)} (gap {row['gap_bps']:.4f} bps)"
            )
        items += [("Promise", promise), ("Holding", _holding(decision, horizon))]
    preset, changes = preset_and_changes(decision.parameters)
    items.append(("Parameters", f"preset {preset}" + (", but " + ", ".join(_changes(changes)) if changes else "")))
    items += [("Note", note) for note in _notes(decision)]
    longest = max(len(name) for name, _ in items)
    return [line for name, value in items for line in _wrapped(f"{name:<{longest}}  ", value)]


def _aum(decision: DecisionReport) -> str:
    if not decision.costs_usd:
        return f"{usd(decision.aum_usd)}, no costs"
    gas, conversion = usd(decision.daily["gas_usd"]), usd(decision.daily["conversion_usd"])
    return f"{usd(decision.aum_usd)} before costs of {usd(decision.costs_usd)} (gas {gas}, conversion {conversion})"


def _groups(decision: DecisionReport) -> str:
    shares = decision.details.groupby("pool_group")["share_of_aum"].sum()
    texts = []
    for group in (1, 2, 3):
        share, cap = float(shares.get(group, 0.0)), float(decision.parameters[f"group{group}_max_pct"])
        drifted = " by drift" if share > cap + _DIFFERENT else ""
        texts.append(f"{group}: {percent(share, digits=1)} of {percent(cap, digits=0)}{drifted}")
    return ", ".join(texts)


def _holding(decision: DecisionReport, horizon: str) -> str:
    text = f"{usd(decision.row['hold_objective_usd'], digits=2)} instead"
    if decision.moves.empty:
        return text
    text += f"; gain over holding {usd(decision.gain_usd, signed=True, digits=2)}"
    days = decision.row["break_even_days"]
    if math.isfinite(days):
        soon = f"{days:.1f}" if days >= 0.1 else "less than 0.1"
        return f"{text}; the costs are earned back in {soon} of {horizon}"
    return text + ("; the costs are not earned back" if decision.costs_usd else "")


def _changes(changes: Mapping[str, Any]) -> list[str]:
    return [f"{name} {json.dumps(value) if not isinstance(value, str) else value}" for name, value in changes.items()]


def _wrapped(lead: str, text: str) -> list[str]:
    """The text under its name, wrapped between words."""
    lines, current = [], lead
    for word in text.split():
        if len(current) + len(word) > WIDTH and current.strip():
            lines.append(current.rstrip())
            current = " " * len(lead)
        current += word + " "
    return [*lines, current.rstrip()]


def _moves(decision: DecisionReport) -> list[str]:
    if decision.moves.empty:
        return ["none: every position is kept"]
    columns = (
        Column("#", numeric=True),
        Column("What"),
        Column("Pool"),
        Column("Token"),
        Column("Amount", numeric=True),
        Column("Gas", numeric=True),
        Column("Fee", numeric=True),
        Column("Paid in"),
    )
    rows = []
    for item in decision.moves.itertuples():
        place = item.to_location if item.type == "ALLOCATION" else item.from_location
        rows.append(
            (
                str(item.seq),
                {"WITHDRAWAL": "withdraw", "ALLOCATION": "deposit", "CONVERSION": "convert"}[item.type],
                "-" if item.type == "CONVERSION" else label_of(place, decision.labels),
                item.token if item.token == item.to_token else f"{item.token} > {item.to_token}",
                usd(item.amount_usd, digits=2),
                usd(item.gas_cost_usd),
                usd(item.conversion_cost_usd) if item.conversion_cost_usd else "-",
                item.fee_token or "-",
            )
        )
    return [TextTable(columns, tuple(rows)).render(WIDTH)]


def _positions(decision: DecisionReport) -> str:
    book = decision.positions
    diluted = bool(((book["marginal_apy"] - book["apy_forecast"]).abs() > _DIFFERENT).any())
    columns = [
        Column("Pool"),
        Column("Value", numeric=True),
        Column("Share", numeric=True),
        Column("APY", numeric=True),
    ]
    columns += [Column("Last dollar", numeric=True)] if diluted else []
    columns += [Column("What holds it there"), Column("Shadow price", numeric=True)]
    rows = []
    for item in book.itertuples():
        rates = [percent(item.apy_forecast), *([percent(item.marginal_apy)] if diluted else [])]
        label, worth = label_of(item.pool_id, decision.labels), _shadow(item.shadow_price_bps)
        rows.append((label, usd(item.value_usd), percent(item.share_of_aum, digits=1), *rates, item.binding, worth))
    rates = ["0.00%", *(["0.00%"] if diluted else [])]
    idle, close = float(decision.daily["idle_usd"]), float(decision.daily["aum_close_usd"])
    share = percent(idle / close if close else float("nan"), digits=1)
    rows.append(("idle in the wallet", usd(idle), share, *rates, "-", "-"))
    table = TextTable(tuple(columns), tuple(rows)).render(WIDTH)
    return table + (f"\n{_SHADOW_NOTE}" if book["shadow_price_bps"].notna().any() else "")


_NEEDED_NOTE = "Pays from: the forecast APY at which a move into the pool would have been worth its costs."
_SHADOW_NOTE = "Shadow price: what a dollar more room there (at a minimum: a dollar less) would add over the horizon."


def _shadow(bps: float) -> str:
    return f"{bps:.2f} bps" if math.isfinite(bps) else "-"


def _unused(decision: DecisionReport, rows: pd.DataFrame) -> str:
    columns = (
        Column("Pool"),
        Column("Group", numeric=True),
        Column("APY", numeric=True),
        Column("Pays from", numeric=True),
        Column("Why not"),
    )
    cells = tuple(
        (
            label_of(item.pool_id, decision.labels),
            str(item.pool_group),
            percent(item.apy_forecast),
            _needed(item.break_even_apy),
            item.binding,
        )
        for item in rows.itertuples()
    )
    return TextTable(columns, cells).render(WIDTH)


def _needed(apy: float) -> str:
    if not math.isfinite(apy):
        return "-"
    return percent(apy) if apy <= _LARGEST_APY else f"> {percent(_LARGEST_APY, digits=0)}"

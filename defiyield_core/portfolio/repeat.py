"""A stored decision held against the one that its stored problem gives again.

Belongs here: what is compared, how exactly, and the sentences about it. Does not belong here: finding the decision,
deciding (`policies`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.allocation.json_schemas import PARAMETER_MEANINGS
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.calendar import Window, end_of
from defiyield_core.parameters import Parameters
from defiyield_core.universe.facts import iceboxed_days
from defiyield_core.universe.lists import as_of
from defiyield_core.warehouse.port import Warehouse

CENT = 0.01
_STATUSES = {"optimal": ("ok", "no_pools"), "held": ("ok", "no_pools"), "infeasible": ("solver_infeasible",)}
_TEXTS = ("type", "from_location", "to_location", "token", "to_token", "fee_token")
_NUMBERS = ("amount", "amount_usd", "gas_cost_usd", "conversion_cost_usd", "total_cost_usd")


@dataclass(frozen=True)
class Comparison:
    """What differs, one sentence each, and the largest deviation in USD of what does not."""

    differences: tuple[str, ...]
    largest_usd: float


class _Scale:
    """Collects differences; a deviation below a cent counts as none, but is remembered."""

    def __init__(self) -> None:
        self.differences: list[str] = []
        self.largest_usd = 0.0

    def number(self, what: str, stored: float, again: float, price: float = 1.0) -> None:
        deviation_usd = abs(stored - again) * price
        if deviation_usd < CENT:
            self.largest_usd = max(self.largest_usd, deviation_usd)
        elif not (np.isnan(stored) and np.isnan(again)):
            self.differences.append(f"{what} is stored as {stored!r}, decided again it is {again!r}")

    def text(self, what: str, stored: object, again: object) -> None:
        if stored != again:
            self.differences.append(f"{what} is stored as {stored}, decided again it is {again}")


def compare(
    problem: AllocationProblem,
    decision: AllocationDecision,
    row: Mapping[str, Any],
    parameters: Parameters,
    transactions: pd.DataFrame,
    allocations: pd.DataFrame,
) -> Comparison:
    """Hold a decision against its stored rows: every column of the plan, the objective, the closing positions.

    Args:
        row: of `allocation_parameters`; `parameters` are those in it. transactions: rows of `allocation_transactions`.
        allocations: rows of `asset_allocations`.
    """
    scale = _Scale()
    for name in PARAMETER_MEANINGS:
        scale.text(f"parameter {name}", getattr(parameters, name), getattr(problem.parameters, name))
    if row["status"] not in _STATUSES.get(decision.status, (decision.status,)):
        scale.text("status", row["status"], decision.status)
    for name in ("objective_usd", "hold_objective_usd"):
        scale.number(name, float(row[name]), float(getattr(decision, name)))
    _transactions(scale, problem, decision, transactions)
    _positions(scale, problem, decision, allocations)
    return Comparison(tuple(scale.differences), scale.largest_usd)


def _transactions(
    scale: _Scale, problem: AllocationProblem, decision: AllocationDecision, stored: pd.DataFrame
) -> None:
    price = dict(zip(problem.tokens, problem.token_prices.tolist(), strict=True))
    before = {row["seq"]: row for row in stored.to_dict("records")}
    again = {row.seq: row for row in decision.transactions}
    for seq in sorted({*before, *again}):
        if seq not in again or seq not in before:
            scale.text(f"transaction {seq}", *("there" if seq in rows else "missing" for rows in (before, again)))
            continue
        one, other = before[seq], again[seq]
        for name in _TEXTS:
            scale.text(f"transaction {seq}: {name}", one[name], getattr(other, name))
        for name in _NUMBERS:
            unit_usd = price.get(one["token"], 1.0) if name == "amount" else 1.0
            scale.number(f"transaction {seq}: {name}", float(one[name]), float(getattr(other, name)), unit_usd)


def _positions(scale: _Scale, problem: AllocationProblem, decision: AllocationDecision, stored: pd.DataFrame) -> None:
    """A token without a price is outside of the problem, and worth nothing."""
    price = dict(zip(problem.tokens, problem.token_prices.tolist(), strict=True))
    again = {
        (problem.pool_ids[pool], problem.tokens[token]): float(decision.positions[pool, token])
        for pool, token in np.argwhere(decision.positions > 0)
    }
    before = {(row["pool_id"], row["token"]): row for row in stored.to_dict("records")}
    for pool, token in sorted({*before, *again}):
        row = before.get((pool, token), {"amount": 0.0, "value_usd": 0.0})
        if token not in price and row["value_usd"] == 0:
            continue
        amount, unit_usd = again.get((pool, token), 0.0), price.get(token, 1.0)
        scale.number(f"position of {token} in {pool}: amount", float(row["amount"]), amount, unit_usd)
        scale.number(f"position of {token} in {pool}: value_usd", float(row["value_usd"]), amount * unit_usd)


def changed_lists(warehouse: Warehouse, row: Mapping[str, Any], snapshots: Mapping[str, list[str]]) -> list[str]:
    """Sentences about lists that are not, as of the decision's day, what they were when it was made.

    Args:
        row: of `allocation_parameters`. snapshots: by its column: `approved_tokens`, `blacklisted_tokens`,
            `approved_protocols`, `icebox_tokens`.
    """
    day = pd.Timestamp(row["date"]).date()
    approved, blacklist = warehouse.read("approved_tokens"), warehouse.read("blacklisted_tokens")
    blacklisted = as_of(blacklist, end_of(day))
    tokens = np.array(sorted({*approved["token"], *snapshots["icebox_tokens"]}), dtype=object)
    icebox = warehouse.read("icebox_tokens", Window(day, day))
    now = {
        "approved_tokens": set(as_of(approved, end_of(day))) - set(blacklisted),
        "blacklisted_tokens": set(blacklisted),
        "approved_protocols": set(as_of(warehouse.read("approved_protocols"), end_of(day))),
        "icebox_tokens": set(tokens[iceboxed_days(tokens, Window(day, day), approved, icebox)[0]]),
    }
    sentences = []
    for name, names in now.items():
        added, removed = sorted(names - set(snapshots[name])), sorted(set(snapshots[name]) - names)
        changes = [f"{verb} {', '.join(found)}" for verb, found in (("added", added), ("removed", removed)) if found]
        if changes:
            sentences.append(f"{name} as of {day} has been changed since the decision: {'; '.join(changes)}")
    return sentences

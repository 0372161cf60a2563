"""A set of runs to be compared: what each was, and which of them are the same variant on another seed.

Belongs here: `Scenario`, what may stand together in a set, its variants, the days they share, the parameters in which
they differ. Does not belong here: running anything (see `backtest`), tables (see `exports`), words and pictures (see
`scenario_tradeoffs`, `scenario_sheet`).
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from defiyield_core.calendar import as_day
from defiyield_core.errors import DataError
from defiyield_core.reporting.daily import by_day
from defiyield_core.reporting.drags import concentration
from defiyield_core.reporting.metrics import PerformanceMetrics, performance

NOT_SET = "not set"
"""Value of a parameter that a scenario does not have while another one does."""
_DAILY = ("n_positions", "n_transactions", "weighted_apy")
"""Columns of `portfolio_daily` that a comparison needs besides those of performance figures."""


@dataclass(frozen=True, eq=False)
class Scenario:
    """One run of a portfolio. A sweep holds hundreds: all but `daily` may be left out (see `lean`).

    Attributes:
        name: unique in a set. description: one sentence, or empty.
        mode: how positions carry over (`carry`, `independent`, `compounded`).
        parameters: of every decision; values are plain JSON. wallet: starting token amounts.
        seed: of the simulated market or of a random policy; None where nothing is random.
        daily: rows of `portfolio_daily`, of one portfolio.
        positions, transactions, details: rows of `asset_allocations`, `allocation_transactions` and
            `asset_allocation_details`; None where they were not kept.
        solve_seconds: what deciding took, as the caller measured it; NaN where nobody did.
        group: the file or matrix cell that the run came from. policy: what decided; empty where not told.
        mean_hhi: mean concentration of the positions, where it was measured before they were dropped.
    """

    name: str
    description: str
    mode: str
    parameters: Mapping[str, Any]
    wallet: Mapping[str, float]
    seed: int | None
    daily: pd.DataFrame
    positions: pd.DataFrame | None = None
    transactions: pd.DataFrame | None = None
    details: pd.DataFrame | None = None
    solve_seconds: float = math.nan
    group: str = ""
    policy: str = ""
    mean_hhi: float | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise DataError("scenario: a name is needed, it is empty")
        missing = [column for column in _DAILY if column not in self.daily.columns]
        if missing:
            raise DataError(f"scenario '{self.name}': portfolio_daily lacks the columns {missing}")
        try:
            by_day(self.daily)
        except DataError as error:
            raise DataError(f"scenario '{self.name}': {error}") from None

    @cached_property
    def rows(self) -> pd.DataFrame:
        """`daily` in the order of days."""
        return by_day(self.daily)

    @cached_property
    def figures(self) -> PerformanceMetrics:
        """Performance over all days."""
        return performance(self.daily)

    @cached_property
    def hhi(self) -> float:
        """Mean over days of the concentration of positions (see `drags.concentration`); NaN where it is not known."""
        if self.positions is not None:
            return concentration(self.daily, self.positions).mean
        return math.nan if self.mean_hhi is None else self.mean_hhi

    def lean(self) -> Scenario:
        """The same without positions, transactions and details; its concentration is kept."""
        return replace(self, positions=None, transactions=None, details=None, mean_hhi=self.hhi)


def checked(scenarios: Iterable[Scenario]) -> tuple[Scenario, ...]:
    """The scenarios in the order of their names, so that nothing depends on which run ended first.

    Raises:
        DataError: none, or a name twice.
    """
    ordered = tuple(sorted(scenarios, key=lambda item: _natural(item.name)))
    if not ordered:
        raise DataError("scenarios: there are none, so there is nothing to compare")
    names = [item.name for item in ordered]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"scenarios: {', '.join(twice)} named twice; every run needs a name of its own")
    return ordered


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """`run_2` before `run_10`; the name itself decides between equal ones."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name


def variants(scenarios: Sequence[Scenario]) -> dict[str, str]:
    """The variant of every scenario by its name: runs that differ in nothing but their seed are one variant.

    A variant of one run has its name. One of several has their group where no other variant has it, else what their
    names have in common.
    """
    members: dict[str, list[Scenario]] = {}
    for item in scenarios:
        what = (item.policy, item.mode, item.group, _json(item.parameters), _json(item.wallet))
        # Without a seed nothing makes two equal runs differ: each is its own variant.
        members.setdefault(json.dumps([*what, item.name if item.seed is None else ""]), []).append(item)
    groups = [items[0].group for items in members.values()]
    taken: set[str] = set()
    found: dict[str, str] = {}
    for items in members.values():
        label = _label(items, is_own_group=bool(items[0].group) and groups.count(items[0].group) == 1)
        label = label if label not in taken else items[0].name
        taken.add(label)
        found |= {item.name: label for item in items}
    return found


def _label(items: Sequence[Scenario], *, is_own_group: bool) -> str:
    if len(items) == 1:
        return items[0].name
    if is_own_group:
        return items[0].group
    first, last = min(item.name for item in items), max(item.name for item in items)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    common = "".join(letter for letter, _ in same)
    stripped = re.sub(r"([\W_]*seed)?[\W_]*$", "", common.rstrip("0123456789"), flags=re.IGNORECASE)
    return stripped or items[0].name


def common_days(scenarios: Sequence[Scenario]) -> tuple[tuple[Scenario, ...], str]:
    """The scenarios cut to the days that all have, so that no figure rests on a longer history.

    Returns:
        The scenarios, and a sentence about what was cut; empty when nothing was.

    Raises:
        DataError: no day is in all of them.
    """
    days = set(scenarios[0].daily["date"]).intersection(*(item.daily["date"] for item in scenarios[1:]))
    if not days:
        spans = [f"{item.name} {item.figures.first_day} to {item.figures.last_day}" for item in scenarios[:4]]
        raise DataError(f"scenarios: no day is in all of them ({', '.join(spans)}); compare runs over the same days")
    if all(len(item.daily) == len(days) for item in scenarios):
        return tuple(scenarios), ""
    cut = tuple(
        item if len(item.daily) == len(days) else replace(item, daily=item.daily[item.daily["date"].isin(days)])
        for item in scenarios
    )
    span = f"{as_day(min(days))} to {as_day(max(days))}"
    return cut, f"Compared on the {len(days)} days that all runs have: {span}."


def differing(scenarios: Sequence[Scenario]) -> pd.DataFrame:
    """The parameters in which the scenarios differ (index: names; columns: parameters, policy, mode and wallet).

    Values are plain; what a scenario does not have is `NOT_SET`. Without a difference there are no columns.
    """
    names = sorted({name for item in scenarios for name in item.parameters})
    rows = {
        item.name: {
            "policy": item.policy or NOT_SET,
            "mode": item.mode,
            "wallet": ", ".join(f"{amount:,.10g} {token}" for token, amount in sorted(item.wallet.items())),
            **{name: item.parameters.get(name, NOT_SET) for name in names},
        }
        for item in scenarios
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", dtype=object)
    return frame[[name for name in frame.columns if frame[name].map(_json).nunique() > 1]]


def _json(value: Any) -> str:
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, sort_keys=True, default=str)

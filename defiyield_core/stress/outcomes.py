"""What cases did to a portfolio: one frozen result per case, and their distribution.

Belongs here: the figures, their order, quantiles, rows for tables. Does not belong here: running (see `runner`).
A loss is what the undisturbed run had more: positive is worse, and a case may also gain.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.calendar import as_day
from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.reporting.daily import by_day, daily_returns, values
from defiyield_core.reporting.metrics import performance

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
FIGURES = (
    "net_apy",
    "final_nav_usd",
    "max_drawdown",
    "worst_day_return",
    "days_not_ok",
    "loss_usd",
    "loss_share",
    "deepest_loss_usd",
)


@dataclass(frozen=True)
class StressOutcome:
    """One case. Shares, rates and returns are fractions; figures are NaN where the case failed.

    Attributes:
        kind, severity, target, day: of the case (`day` None where it changes the whole range).
        forecaster: that the case and the undisturbed run beside it used; empty for the portfolio's own.
        max_drawdown: largest fall of the return index, 0 to 1. worst_day_return: the lowest of a day, on `worst_day`.
        days_not_ok: days on which the portfolio held because something failed.
        loss_usd: final value of the undisturbed run less that of the case. loss_share: over the undisturbed one.
        deepest_loss_usd: the largest such difference at the close of any day.
        failure: why there is no result; empty where there is one.
    """

    name: str
    kind: str
    severity: str
    target: str
    day: date | None
    forecaster: str = ""
    net_apy: float = math.nan
    final_nav_usd: float = math.nan
    max_drawdown: float = math.nan
    worst_day_return: float = math.nan
    worst_day: date | None = None
    days_not_ok: int = 0
    loss_usd: float = math.nan
    loss_share: float = math.nan
    deepest_loss_usd: float = math.nan
    failure: str = ""

    def as_row(self) -> dict[str, Any]:
        """Its fields in their order."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def figures(daily: pd.DataFrame, undisturbed: pd.DataFrame) -> dict[str, Any]:
    """The figures of `StressOutcome` from rows of `portfolio_daily`.

    Raises:
        DataError: the two do not have as many days.
    """
    rows, reference = by_day(daily), by_day(undisturbed)
    if len(rows) != len(reference):
        raise DataError(f"a case of {len(rows)} days cannot be held against a run of {len(reference)}")
    money, returns = performance(rows), daily_returns(rows)
    lost = values(reference, "aum_close_usd") - values(rows, "aum_close_usd")
    worst, before = int(np.argmin(returns)), float(reference["aum_close_usd"].iloc[-1])
    return {
        "net_apy": money.net_apy,
        "final_nav_usd": money.nav_close_usd,
        "max_drawdown": money.max_drawdown,
        "worst_day_return": float(returns[worst]),
        "worst_day": as_day(rows["date"].iloc[worst]),
        "days_not_ok": money.days_not_ok,
        "loss_usd": float(lost[-1]),
        "loss_share": float(lost[-1]) / before if before else math.nan,
        "deepest_loss_usd": float(lost.max()),
    }


@dataclass(frozen=True)
class StressRun:
    """All outcomes of one portfolio over one range, the cases in the order in which they were given.

    Attributes:
        references: the undisturbed run, then those with other forecasters. seconds: wall time of everything.
        warnings: of the undisturbed run.
    """

    portfolio: str
    start: date
    end: date
    references: tuple[StressOutcome, ...]
    outcomes: tuple[StressOutcome, ...]
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def baseline(self) -> StressOutcome:
        """The undisturbed run."""
        return self.references[0]

    @property
    def finished(self) -> tuple[StressOutcome, ...]:
        """Cases with a result."""
        return tuple(one for one in self.outcomes if not one.failure)

    @property
    def failures(self) -> tuple[StressOutcome, ...]:
        """Cases without one."""
        return tuple(one for one in self.outcomes if one.failure)

    def worst(self, count: int = 1) -> tuple[StressOutcome, ...]:
        """The cases that lost most, the first of equal ones first."""
        return tuple(sorted(self.finished, key=lambda one: -one.loss_usd)[:count])

    def quantiles(
        self, figure: str = "loss_usd", levels: Sequence[float] = LEVELS, kinds: Collection[str] | None = None
    ) -> dict[float, float]:
        """Quantiles of a figure over the finished cases (interpolated); NaN without one.

        Args:
            kinds: of cases; None for all.

        Raises:
            ConfigurationError: no such figure.
        """
        if figure not in FIGURES:
            raise ConfigurationError(f"no figure '{figure}': choose one of {', '.join(FIGURES)}")
        chosen = [one for one in self.finished if kinds is None or one.kind in kinds]
        found = np.array([getattr(one, figure) for one in chosen], dtype=float)
        found = found[np.isfinite(found)]
        return {level: float(np.quantile(found, level)) if len(found) else math.nan for level in levels}

    def by_kind(self) -> Mapping[str, tuple[StressOutcome, ...]]:
        """The finished cases by kind, in the order of first appearance."""
        kinds = dict.fromkeys(one.kind for one in self.finished)
        return {kind: tuple(one for one in self.finished if one.kind == kind) for kind in kinds}

    def summary_rows(self) -> list[dict[str, Any]]:
        """A row per kind, the heaviest worst loss first, and last one over all cases."""
        rows = [_summary(kind, cases) for kind, cases in self.by_kind().items()]
        rows.sort(key=lambda row: -row["worst_loss_usd"])
        return [*rows, _summary("all", self.finished)] if rows else []

    def frame(self) -> pd.DataFrame:
        """Every outcome as a row, undisturbed runs first; days as `datetime64`."""
        rows = pd.DataFrame([one.as_row() for one in (*self.references, *self.outcomes)])
        return rows.assign(day=pd.to_datetime(rows["day"]), worst_day=pd.to_datetime(rows["worst_day"]))


def _summary(kind: str, cases: Sequence[StressOutcome]) -> dict[str, Any]:
    losses = np.array([one.loss_usd for one in cases])
    worst = cases[int(np.argmax(losses))]
    return {
        "kind": kind,
        "cases": len(cases),
        "median_net_apy": float(np.median([one.net_apy for one in cases])),
        "lowest_net_apy": min(one.net_apy for one in cases),
        "median_loss_usd": float(np.median(losses)),
        "worst_loss_usd": worst.loss_usd,
        "worst_loss_share": worst.loss_share,
        "deepest_loss_usd": max(one.deepest_loss_usd for one in cases),
        "worst_drawdown": max(one.max_drawdown for one in cases),
        "worst_day_return": min(one.worst_day_return for one in cases),
        "days_not_ok": max(one.days_not_ok for one in cases),
        "worst_case": worst.name,
    }

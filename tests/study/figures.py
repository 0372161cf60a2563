"""The figures of a run, and what they say about each other. Pure functions.

Belongs here: numbers. Does not belong here: how they are written (`report`) or drawn (`plots`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defiyield_core.reporting.metrics import PerformanceMetrics, performance, return_index
from defiyield_core.units import BPS_PER_UNIT, DAYS_PER_YEAR, FloatArray
from tests.study.runs import Ran


@dataclass(frozen=True)
class Figures:
    """One run.

    Attributes:
        money: returns, costs and turnover. mean_usd: the closing value, mean over days.
        mean_positions: pools held at the close, mean over days.
        trading_days: days with at least one trade.
        growth: (days,) growth of one dollar to the close of each day.
    """

    rule: str
    label: str
    book_usd: float
    preset: str
    money: PerformanceMetrics
    mean_usd: float
    mean_positions: float
    trading_days: int
    growth: FloatArray

    def yearly_bps(self, amount_usd: float) -> float:
        """Dollars of the whole run as basis points of the mean book, a year."""
        return amount_usd / self.mean_usd * DAYS_PER_YEAR / self.money.days * BPS_PER_UNIT


def figures_of(ran: Ran, preset: str) -> Figures:
    """The figures of a run's rows."""
    return Figures(
        rule=ran.case.rule.key,
        label=ran.case.label,
        book_usd=ran.case.book_usd,
        preset=preset,
        money=performance(ran.daily),
        mean_usd=float(ran.daily["aum_close_usd"].mean()),
        mean_positions=float(ran.daily["n_positions"].mean()),
        trading_days=int((ran.daily["n_transactions"] > 0).sum()),
        growth=return_index(ran.daily),
    )


@dataclass(frozen=True)
class Regret:
    """What a rule lost to the optimiser over the same days with the same book.

    Attributes:
        apy: net APY of the optimiser less that of the rule, a fraction.
        usd: what the book would have been worth more at the end.
        costs_usd: what the rule paid more in gas and conversion fees.
    """

    rule: str
    book_usd: float
    apy: float
    usd: float
    costs_usd: float


def regrets(runs: Sequence[Figures], exact: str, rules: Sequence[str]) -> list[Regret]:
    """The regret of these rules against the rule `exact` at every size, in the order of `runs`."""
    best = {run.book_usd: run.money for run in runs if run.rule == exact}
    return [
        Regret(
            rule=run.rule,
            book_usd=run.book_usd,
            apy=best[run.book_usd].net_apy - run.money.net_apy,
            usd=best[run.book_usd].nav_close_usd - run.money.nav_close_usd,
            costs_usd=run.money.fees_usd - best[run.book_usd].fees_usd,
        )
        for run in runs
        if run.rule in rules
    ]


def check_diluted(runs: Sequence[Figures]) -> None:
    """Refuse runs whose books do not feel the dilution that they are labelled with (`caps|decided|accrued`).

    Raises:
        ValueError: equal decisions accrued the same with dilution as without it.
    """
    accrued = {run.label: run.money.accrual_usd for run in runs}
    for label, with_it in accrued.items():
        if label.endswith("|off|pro_rata") and with_it == accrued[label.replace("|off|pro_rata", "|off|off")]:
            raise ValueError(f"{label}: accrual_dilution changed nothing, so the study would say what is not so")


def ranked(runs: Sequence[Figures]) -> list[Figures]:
    """Highest net APY first; equal ones stay in their order."""
    return sorted(runs, key=lambda run: -run.money.net_apy)


def of_book(runs: Sequence[Figures], book_usd: float) -> list[Figures]:
    """The runs of one size."""
    return [run for run in runs if run.book_usd == book_usd]

"""What a report works out once and its pages, its summary and its JSON all say.

Belongs here: calling the measures on a report's frames, and putting into one sentence why one of them cannot be had.
Does not belong here: the measures themselves (see `metrics`, `drags`, `yardsticks`, `attribution`), or showing them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from defiyield_core.errors import DataError, LedgerError
from defiyield_core.reporting.attribution import Attribution, attribute
from defiyield_core.reporting.daily import by_day, values
from defiyield_core.reporting.drags import Concentration, concentration, dilution_cost_usd, yearly_rate
from defiyield_core.reporting.inputs import FORESIGHT, Comparison, ReportInputs, comparison, dilutes
from defiyield_core.reporting.metrics import PerformanceMetrics, performance
from defiyield_core.reporting.plots import worth_usd
from defiyield_core.reporting.yardsticks import ForecastError, Regret, forecast_error, regret
from defiyield_core.units import FloatArray

LOW, MIDDLE, HIGH = 0.05, 0.5, 0.95
"""Quantiles that stand for a group of random portfolios."""
_CARRIED = 1e-6
"""Of the closing value: how far the next day may open from it and still carry it on."""


@dataclass(frozen=True)
class RandomField:
    """Portfolios without a view, together.

    Attributes:
        figures: of each. nav, worth: (3, n) 5 %, median and 95 % of their NAV and `worth_usd` on the compared days.
        beaten: how many of them have a lower net APY than the portfolio of the report.
    """

    figures: tuple[PerformanceMetrics, ...]
    nav: FloatArray
    worth: FloatArray
    beaten: int

    def quantiles(self, name: str) -> tuple[float, float, float]:
        """5 %, median and 95 % of a figure over those that have it; NaN where none has."""
        known = np.array([getattr(item, name) for item in self.figures], dtype=float)
        known = known[np.isfinite(known)]
        if not len(known):
            return math.nan, math.nan, math.nan
        low, middle, high = np.quantile(known, [LOW, MIDDLE, HIGH])
        return float(low), float(middle), float(high)


@dataclass(frozen=True)
class Analysis:
    """Figures of a report.

    Attributes:
        own: of the portfolio over all its days.
        compared: rows of all portfolios on the days they share. figures: of those but the random ones, in the report's
            order, the portfolio first.
        randoms: None without random portfolios.
        attribution: None where it cannot be proved; `attribution_gap` is then the sentence that says why.
        error: of forecasts, over all days.
        regret: against foresight on the compared days; None without such a run, `regret_gap` where it cannot be had.
        reference: the benchmark that capture counts from; empty: from doing nothing.
        dilution_usd, dilution_drag: what the own deposits took off the rates; NaN where the rows do not tell.
        pools, protocols: concentration of the positions.
    """

    own: PerformanceMetrics
    compared: Comparison
    figures: tuple[PerformanceMetrics, ...]
    randoms: RandomField | None
    attribution: Attribution | None
    attribution_gap: str
    error: ForecastError
    regret: Regret | None
    regret_gap: str
    reference: str
    dilution_usd: float
    dilution_drag: float
    pools: Concentration
    protocols: Concentration


def analyse(report: ReportInputs) -> Analysis:
    """Work out everything.

    Raises:
        DataError: the frames break what `ReportInputs` and `metrics.by_day` ask for.
    """
    rows, compared = by_day(report.daily[report.portfolio]), comparison(report)
    own = performance(rows)
    named = [name for name in compared.daily if report.role(name) not in ("subject", "random")]
    whole = len(compared.daily[report.portfolio]) == len(rows)
    subject = own if whole else performance(compared.daily[report.portfolio])
    found, gap = _attribution(report, rows)
    diluted_usd, diluted = _dilution(report, rows, found)
    against, against_gap, reference = _regret(report, compared)
    owner = report.details.drop_duplicates("pool_id", keep="last").set_index("pool_id")["protocol"].to_dict()
    return Analysis(
        own=own,
        compared=compared,
        figures=(subject, *(performance(compared.daily[name]) for name in named)),
        randoms=_randoms(report, compared, subject.net_apy),
        attribution=found,
        attribution_gap=gap,
        error=forecast_error(rows),
        regret=against,
        regret_gap=against_gap,
        reference=reference,
        dilution_usd=diluted_usd,
        dilution_drag=diluted,
        pools=concentration(rows, report.positions),
        protocols=concentration(rows, report.positions, owner),
    )


def named_rows(report: ReportInputs, compared: Comparison) -> Mapping[str, pd.DataFrame]:
    """Rows of every compared portfolio but the random ones."""
    return {name: rows for name, rows in compared.daily.items() if report.role(name) != "random"}


def _attribution(report: ReportInputs, rows: pd.DataFrame) -> tuple[Attribution | None, str]:
    if report.ledger is None or report.ledger.empty:
        return None, "The ledger of these days is not at hand, so that no profit can be attributed."
    if not report.carries or not _carries(rows):
        return None, (
            "These books do not carry positions from one day to the next: every day is decided from cash, so that no "
            "profit can be followed to a pool."
        )
    positions = _joined(report.positions_before, report.positions)
    known = [frame for frame in (report.pools, report.details) if frame is not None and len(frame)]
    pools = pd.concat([frame[["date", "pool_id", "protocol", "chain"]] for frame in known or [report.details]])
    try:
        return attribute(rows, positions, report.transactions, report.ledger, pools), ""
    except (DataError, LedgerError) as error:
        return None, f"Not shown, because the parts cannot be proved to be the whole: {error}."


def _carries(rows: pd.DataFrame) -> bool:
    close, opening = values(rows, "aum_close_usd")[:-1], values(rows, "aum_open_usd")[1:]
    return bool((np.abs(opening - close) <= _CARRIED * np.maximum(close, 1.0)).all())


def _dilution(report: ReportInputs, rows: pd.DataFrame, found: Attribution | None) -> tuple[float, float]:
    diluted = dilutes(report.parameters)
    if diluted is False:
        return 0.0, 0.0
    if diluted is None or found is None or report.tvl is None:
        return math.nan, math.nan
    parts = found.lines[found.lines["cause"] == "accrual"].groupby(["date", "pool_id"], as_index=False)["usd"].sum()
    cost = dilution_cost_usd(parts, _joined(report.positions_before, report.positions), report.tvl)
    by_date = cost.reindex(pd.DatetimeIndex(rows["date"]), fill_value=0.0).to_numpy(dtype=float)
    return float(by_date.sum()), yearly_rate(rows, by_date)


def _regret(report: ReportInputs, compared: Comparison) -> tuple[Regret | None, str, str]:
    reference = next((name for name in report.benchmarks if name in compared.daily and name != report.portfolio), "")
    if FORESIGHT not in compared.daily or report.portfolio == FORESIGHT:
        return None, "", reference
    if not report.carries:
        return (
            None,
            "Regret needs equal money on equal days: in this mode every day begins with cash of its own.",
            reference,
        )
    own, best = compared.daily[report.portfolio], compared.daily[FORESIGHT]
    try:
        return regret(own, best, compared.daily[reference] if reference else None), "", reference
    except DataError as error:
        return None, f"The run with perfect foresight cannot be compared: {error}.", reference


def _randoms(report: ReportInputs, compared: Comparison, net_apy: float) -> RandomField | None:
    rows = [frame for name, frame in compared.daily.items() if report.role(name) == "random"]
    if not rows:
        return None
    figures = tuple(performance(frame) for frame in rows)
    rates = np.array([item.net_apy for item in figures])
    series = (
        np.vstack([values(frame, "aum_close_usd") for frame in rows]),
        np.vstack([worth_usd(each) for each in rows]),
    )
    nav, worth = (np.quantile(each, [LOW, MIDDLE, HIGH], axis=0) for each in series)
    return RandomField(figures, nav, worth, int((rates < net_apy).sum()))


def _joined(before: pd.DataFrame | None, rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([before, rows], ignore_index=True) if before is not None and not before.empty else rows

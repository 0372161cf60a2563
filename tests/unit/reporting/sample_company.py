"""A sample report in company: a run with perfect foresight and random portfolios, made from the sample's own rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from defiyield_core.reporting import ReportInputs
from defiyield_core.reporting.inputs import FORESIGHT
from tests.unit.reporting.sample_frames import sample_report

FORESIGHT_USD = 30.0
RANDOM_USD = (-40.0, -30.0, -20.0, -10.0, 10.0)
"""What each earns more a day than the portfolio of the report."""


def earning(rows: pd.DataFrame, name: str, more_usd: float) -> pd.DataFrame:
    """The same books under another name with so much more accrual a day."""
    days = np.arange(1, len(rows) + 1)
    return rows.assign(
        portfolio=name,
        accrual_usd=rows["accrual_usd"] + more_usd,
        aum_close_usd=rows["aum_close_usd"] + more_usd * days,
        aum_open_usd=rows["aum_open_usd"] + more_usd * (days - 1),
    )


def report_in_company(days: int = 60) -> ReportInputs:
    """The sample with `perfect_foresight` and five random portfolios beside its benchmarks."""
    report = sample_report(days)
    own = report.daily["baseline"]
    others = {f"random_{number}": more for number, more in enumerate(RANDOM_USD, start=1)} | {FORESIGHT: FORESIGHT_USD}
    return dataclasses.replace(
        report, daily={**report.daily, **{name: earning(own, name, more) for name, more in others.items()}}
    )

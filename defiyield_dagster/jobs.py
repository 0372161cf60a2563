"""Jobs: which assets are launched together, always selected by groups or tags, never listed.

Belongs here: selections. Does not belong here: when they run (see `schedules`).
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from defiyield_core.errors import ConfigurationError
from defiyield_core.pipeline.registry import STEPS
from defiyield_dagster.assets.dbt import GROUP as DBT_GROUP
from defiyield_dagster.assets.steps import PHASE_TAG, group_of

SCHEDULED_PORTFOLIO = "live"
"""The portfolio that the schedule advances and whose daily message is sent."""
DAILY_JOB = "daily"
MARKET_GROUPS = tuple(dict.fromkeys(group_of(step) for step in STEPS))
_PHASES = {
    "ingest": "Fetch the raw tables.",
    "process": "Lists, pools, metrics, groups, prices, gas, icebox.",
    "forecast": "Forecasts, and which pools are eligible by them.",
}


def portfolio_job_name(portfolio: str) -> str:
    """Name of a portfolio's own job."""
    return f"portfolio_{portfolio}"


def daily_selection(portfolio: str = SCHEDULED_PORTFOLIO) -> dg.AssetSelection:
    """A portfolio, everything it is decided from, and the marts."""
    market = dg.AssetSelection.groups(*MARKET_GROUPS)
    return market | dg.AssetSelection.groups(portfolio) | dg.AssetSelection.groups(DBT_GROUP)


def build_jobs(portfolios: Iterable[str]) -> list[dg.UnresolvedAssetJobDefinition]:
    """One job per phase, one per portfolio, the daily one (when its portfolio exists), the marts, and everything.

    Raises:
        ConfigurationError: a portfolio is called like a group of the pipeline.
    """
    names = list(portfolios)
    taken = sorted(set(names) & {*MARKET_GROUPS, DBT_GROUP})
    if taken:
        raise ConfigurationError(f"portfolio '{taken[0]}' is called like a group of assets: give it another name")
    jobs = [
        dg.define_asset_job(phase, dg.AssetSelection.tag(PHASE_TAG, phase), description=doc)
        for phase, doc in _PHASES.items()
    ]
    jobs += [
        dg.define_asset_job(
            portfolio_job_name(name),
            dg.AssetSelection.groups(name),
            description=f"Advance {name} on a market that is there already.",
        )
        for name in names
    ]
    if SCHEDULED_PORTFOLIO in names:
        jobs.append(dg.define_asset_job(DAILY_JOB, daily_selection(), description="The day of the treasury."))
    jobs.append(
        dg.define_asset_job("marts", dg.AssetSelection.groups(DBT_GROUP), description="Rebuild the dbt models.")
    )
    jobs.append(dg.define_asset_job("everything", dg.AssetSelection.all(), description="All assets."))
    return jobs

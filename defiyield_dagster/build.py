"""Everything put together: `build_defs` is what the code location, the tests and the command line call.

Belongs here: which assets, checks, jobs, schedules and sensors there are for a deployment. Does not belong here:
what they do.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from defiyield_core import __version__
from defiyield_core.contracts import TABLES
from defiyield_core.pipeline.registry import STEPS
from defiyield_core.portfolio.spec import PortfolioSpec, load_portfolios
from defiyield_core.settings import Settings
from defiyield_dagster.assets.dbt import build_dbt_assets
from defiyield_dagster.assets.portfolios import OUTPUTS, portfolio_assets
from defiyield_dagster.assets.reports import report_asset
from defiyield_dagster.assets.steps import step_asset
from defiyield_dagster.checks import portfolio_checks, step_checks
from defiyield_dagster.jobs import SCHEDULED_PORTFOLIO, build_jobs
from defiyield_dagster.partitions import daily_partitions
from defiyield_dagster.profiles import PROFILES, Profile
from defiyield_dagster.resources import RESOURCE_KEY, DeploymentResource
from defiyield_dagster.schedules import build_schedule
from defiyield_dagster.sensors import build_sensors


def build_defs(
    profile: Profile = PROFILES["dev"],
    *,
    settings: Settings | None = None,
    resource_overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """The definitions of a deployment.

    Args:
        settings: decide which portfolios and partitions there are (default: those of the environment). Runs take
        theirs
            from the `deployment` resource.
        resource_overrides: resources by key, in place of the standard ones.

    Raises:
        ConfigurationError: the source is not there, or a portfolio file is wrong.
    """
    with warnings.catch_warnings():
        # Dagster warns once per asset that backfill policies are in beta; they make a year one run instead of 365.
        warnings.filterwarnings("ignore", category=dg.BetaWarning)
        return _definitions(profile, settings or Settings.from_environment(), resource_overrides or {})


def _definitions(profile: Profile, chosen: Settings, resource_overrides: Mapping[str, Any]) -> dg.Definitions:
    specs = deployed_portfolios(chosen)
    partitions = daily_partitions(chosen)
    engine = "duckdb" if chosen.warehouse.startswith("duckdb:") else "postgres"
    assets: list[dg.AssetsDefinition] = [
        *(step_asset(step, partitions, profile, engine) for step in STEPS),
        *(portfolio_assets(spec, partitions, __version__, engine) for spec in specs.values()),
        build_dbt_assets(writers(specs)),
        *(report_asset(spec, scheduled=name == SCHEDULED_PORTFOLIO) for name, spec in specs.items()),
    ]
    policy = dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=profile.freshness_hours), warn_window=timedelta(hours=profile.freshness_hours - 4)
    )
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: dg.apply_freshness_policy(spec, policy), assets),
        asset_checks=[*step_checks(), *(check for spec in specs.values() for check in portfolio_checks(spec))],
        jobs=build_jobs(specs),
        schedules=[build_schedule(partitions, profile)] if SCHEDULED_PORTFOLIO in specs else [],
        sensors=build_sensors(profile),
        resources={RESOURCE_KEY: DeploymentResource(), **resource_overrides},
        # Without it every event of a run is on the console; so it is what steps say.
        loggers={"console": dg.colored_console_logger},
        # One process per run: a step is short, and DuckDB lets only one process write.
        executor=dg.in_process_executor,
    )


def deployed_portfolios(settings: Settings) -> dict[str, PortfolioSpec]:
    """Portfolios of the folder by name, without those that insist on another source."""
    return {
        name: spec
        for name, spec in load_portfolios(settings.portfolios).items()
        if spec.source in (None, settings.source)
    }


def writers(specs: Mapping[str, PortfolioSpec]) -> dict[str, dg.AssetKey | list[dg.AssetKey]]:
    """Which asset fills a table; several where each portfolio fills its own rows."""
    found: dict[str, dg.AssetKey | list[dg.AssetKey]] = {
        name: dg.AssetKey(step.name) for step in STEPS for name in step.writes
    }
    for output, (_, tables) in OUTPUTS.items():
        found |= {name: [dg.AssetKey([spec, output]) for spec in specs] for name in tables}
    unowned = set(TABLES) - set(found)
    return found | {name: [dg.AssetKey([spec, "state"]) for spec in specs] for name in unowned}

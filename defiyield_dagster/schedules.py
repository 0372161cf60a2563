"""When the treasury's day runs: at 00:45 UTC, after the day it is about has ended.

DefiLlama's listing describes the end of a day only within six hours after it, so the run must not come much later.
Belongs here: timing and which days a tick asks for. Does not belong here: what a day does.
"""

from datetime import UTC, date, timedelta

import dagster as dg

from defiyield_core.calendar import Window, as_day
from defiyield_core.warehouse.port import Warehouse
from defiyield_dagster.jobs import DAILY_JOB, SCHEDULED_PORTFOLIO
from defiyield_dagster.partitions import range_tags
from defiyield_dagster.profiles import Profile
from defiyield_dagster.resources import DeploymentResource

CRON = "45 0 * * *"


def days_due(warehouse: Warehouse, portfolio: str, yesterday: date) -> Window | None:
    """Yesterday, and the days since the portfolio's newest completed one where ticks were missed; None when all are
    done."""
    done = [day for day in warehouse.days("completed_days", scope={"subject": portfolio}) if day <= yesterday]
    if not done:
        return Window(yesterday, yesterday)
    return None if done[-1] == yesterday else Window(done[-1] + timedelta(days=1), yesterday)


def build_schedule(partitions: dg.DailyPartitionsDefinition, profile: Profile) -> dg.ScheduleDefinition:
    """The daily schedule; running from the start where the profile automates."""

    @dg.schedule(
        name="daily_at_0045_utc",
        cron_schedule=CRON,
        execution_timezone="UTC",
        job_name=DAILY_JOB,
        default_status=dg.DefaultScheduleStatus.RUNNING if profile.automation else dg.DefaultScheduleStatus.STOPPED,
        description=f"Advances {SCHEDULED_PORTFOLIO} to yesterday, over days that were missed too, in one run.",
    )
    def daily_at_0045_utc(
        context: dg.ScheduleEvaluationContext, deployment: DeploymentResource
    ) -> dg.RunRequest | dg.SkipReason:
        yesterday = as_day(context.scheduled_execution_time.astimezone(UTC)) - timedelta(days=1)
        if not partitions.has_partition_key(yesterday.isoformat()):
            last = partitions.get_last_partition_key() or "none"
            return dg.SkipReason(f"{yesterday} is no day of this source (its last one is {last})")
        window = days_due(deployment.context().warehouse, SCHEDULED_PORTFOLIO, yesterday)
        if window is None:
            return dg.SkipReason(f"{SCHEDULED_PORTFOLIO} is complete up to {yesterday}")
        if len(window) == 1:
            return dg.RunRequest(run_key=str(window), partition_key=yesterday.isoformat())
        return dg.RunRequest(run_key=str(window), tags=range_tags(window))

    return daily_at_0045_utc

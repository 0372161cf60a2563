"""Who is told when something goes wrong: one message per finished run, to the notifier.

A run that failed is told with its failed steps and checks; a run that succeeded is told only if a check did not
pass. Checks are read from the run's own events, which works the same on every storage and sends one message instead
of one per check.
Belongs here: which runs are told, and what of them. Does not belong here: sending (see `defiyield_core.notify`).
"""

from collections.abc import Sequence

import dagster as dg

from defiyield_core.notify import Message, Pairs, Text
from defiyield_dagster.partitions import window_of_run
from defiyield_dagster.profiles import Profile
from defiyield_dagster.resources import DeploymentResource

QUIET_TAG = "defiyield/quiet"
"""A run with this tag is told to nobody."""
_SHORT = 8
_LONGEST_ERROR = 600


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    """Evaluations of the run that did not pass, in the order of their happening."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    found = []
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is not None and not event.asset_check_evaluation_data.passed:
            found.append(event.asset_check_evaluation_data)
    return found


def run_message(run: dg.DagsterRun, problem: str, checks: Sequence[dg.AssetCheckEvaluation]) -> Message:
    """What people are told of a run; `problem` is empty for one that succeeded."""
    window = window_of_run(run.tags)
    facts = [("Run", run.run_id[:_SHORT]), ("Job", run.job_name), ("Days", str(window) if window else "none")]
    sections: list[Pairs | Text] = [Pairs(tuple(facts))]
    if problem:
        sections.append(Text(problem[:_LONGEST_ERROR], "What happened"))
    blocked = any(check.severity == dg.AssetCheckSeverity.ERROR for check in checks)
    title = "A run failed" if problem else "A run ended with checks that did not pass"
    return Message(
        title=title,
        sections=tuple(sections),
        warnings=tuple(_told(check) for check in checks),
        severity="error" if problem or blocked else "warning",
    )


def _told(check: dg.AssetCheckEvaluation) -> str:
    window = check.metadata.get("window")
    days = f" in {window.value}" if window is not None else ""
    return f"{check.asset_key.to_user_string()} {check.check_name}{days}: {check.description or 'did not pass'}"


def build_sensors(profile: Profile) -> list[dg.SensorDefinition]:
    """Both alerts; running from the start where the profile automates."""
    status = dg.DefaultSensorStatus.RUNNING if profile.automation else dg.DefaultSensorStatus.STOPPED

    @dg.run_failure_sensor(
        name="failed_run_alert", default_status=status, description="Tells of every run that failed, and why."
    )
    def failed_run_alert(context: dg.RunFailureSensorContext, deployment: DeploymentResource) -> None:
        run = context.dagster_run
        if QUIET_TAG in run.tags:
            return
        problem = "\n".join([context.failure_event.message or "the run failed", *_step_errors(context)])
        deployment.notifier().send(run_message(run, problem, failed_checks(context.instance, run.run_id)))

    @dg.run_status_sensor(
        name="failed_check_alert",
        run_status=dg.DagsterRunStatus.SUCCESS,
        default_status=status,
        description="Tells of checks that did not pass in runs that succeeded.",
    )
    def failed_check_alert(context: dg.RunStatusSensorContext, deployment: DeploymentResource) -> None:
        run = context.dagster_run
        checks = failed_checks(context.instance, run.run_id)
        if checks and QUIET_TAG not in run.tags:
            deployment.notifier().send(run_message(run, "", checks))

    return [failed_run_alert, failed_check_alert]


def _step_errors(context: dg.RunFailureSensorContext) -> list[str]:
    """The innermost error of every failed step: that is the one with the reason."""
    told = []
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        told.append(f"{event.step_key}: {error.message.strip() if error else 'failed'}")
    return told

"""One asset per step of the pipeline, all from one factory.

Belongs here: key, dependencies, description and metadata of a step's asset. Does not belong here: what a step
computes (see `defiyield_core.pipeline`).
"""

import time
from collections.abc import Mapping
from typing import Any

import dagster as dg

from defiyield_core.calendar import Window
from defiyield_core.pipeline.step import Step, StepContext, StepResult, execute
from defiyield_dagster.metadata import markdown_table, numbers, picture, rows_by_day, table_metadata
from defiyield_dagster.partitions import window_of
from defiyield_dagster.pictures import PICTURES
from defiyield_dagster.profiles import Profile
from defiyield_dagster.progress import Finished, announce
from defiyield_dagster.resources import DeploymentResource

OWNERS = ["team:treasury"]
PHASE_TAG = "defiyield/phase"
_GROUPS = {"token_lists": "lists", "eligible_pools": "eligibility"}
"""Groups of their own: the lists come before the raw tables and eligibility after the forecasts, so that inside the
universe's group they would make the picture of the collapsed groups go in circles."""


def step_asset(
    step: Step, partitions: dg.DailyPartitionsDefinition, profile: Profile, engine: str
) -> dg.AssetsDefinition:
    """The asset of a step: computes the run's whole range at once and replaces it in the warehouse."""

    @dg.asset(
        name=step.name,
        deps=list(step.upstream),
        description=step.doc,
        group_name=group_of(step),
        code_version=step.version,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        kinds={"python", engine},
        owners=OWNERS,
        tags={PHASE_TAG: step.phase},
        metadata=table_metadata(step.writes),
        retry_policy=_retries(step, profile),
    )
    def materialise(context: dg.AssetExecutionContext, deployment: DeploymentResource) -> None:
        keys = context.partition_keys
        begun = time.perf_counter()
        core, window = deployment.context(), window_of(keys[0], keys[-1])
        result = execute(step, core, window)
        for warning in result.warnings:
            context.log.warning(warning)
        _describe(context, result, _pictures(context, step, core, window))
        written = sum(len(write.frame) for write in result.writes)
        announce(Finished(step.name, time.perf_counter() - begun, written))

    return materialise


def group_of(step: Step) -> str:
    """Group of a step's asset."""
    return _GROUPS.get(step.name, step.group)


def _retries(step: Step, profile: Profile) -> dg.RetryPolicy | None:
    if step.phase != "ingest" or not profile.ingest_retries:
        return None
    return dg.RetryPolicy(max_retries=profile.ingest_retries, delay=60, backoff=dg.Backoff.EXPONENTIAL)


def _pictures(
    context: dg.AssetExecutionContext, step: Step, core: StepContext, window: Window
) -> dict[str, dg.MetadataValue]:
    """The step's pictures; rows that are stored never fail because they cannot be drawn."""
    draw = PICTURES.get(step.name)
    if draw is None:
        return {}
    try:
        return {name: picture(name, figure) for name, figure in draw(core, window)}
    except Exception as error:
        context.log.warning(f"no pictures of {step.name}: {type(error).__name__}: {error}")
        return {}


def _describe(context: dg.AssetExecutionContext, result: StepResult, pictures: Mapping[str, dg.MetadataValue]) -> None:
    """Rows of each day on its own partition; everything about the whole run on the last one only."""
    keys = context.partition_keys
    by_day: dict[str, int] = {}
    for write in result.writes[:1]:
        if write.window is not None:
            by_day = rows_by_day(write.frame)
    last: dict[str, Any] = numbers(result.numbers)
    if result.warnings:
        last["warnings"] = dg.MetadataValue.md("\n".join(f"- {warning}" for warning in result.warnings))
    if result.preview is not None and len(result.preview):
        last["preview"] = markdown_table(result.preview)
    last |= pictures
    if len(keys) > 1:
        last["days_of_the_run"] = len(keys)
    for key in keys:
        own: dict[str, Any] = {"dagster/partition_row_count": by_day.get(key, 0)} if by_day else {}
        if key == keys[-1]:
            own |= last
        if own:
            context.add_asset_metadata(own, partition_key=key)

"""The one daily partitions object that every partitioned asset shares.

One object, because assets whose partitions start on different days split a single-run backfill into pieces.
Belongs here: which days there are. Does not belong here: what happens on them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, timedelta

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from defiyield_core.calendar import Window, parse_day
from defiyield_core.portfolio.spec import WARMUP_DAYS
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source

START_VARIABLE = "DEFIYIELD_PARTITIONS_START"
LIVE_START = date(2025, 1, 1)
"""First partition of a live deployment: fixed, so that restarting it never moves the partitions under stored rows."""

YESTERDAY = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
"""Maps a day to the day before it: a portfolio opens with its own close of yesterday."""


def daily_partitions(settings: Settings, environment: Mapping[str, str] | None = None) -> dg.DailyPartitionsDefinition:
    """UTC days from the first that may be decided on; to the last day of a source that has one, else to yesterday.

    A replayed or simulated source begins after its warm-up of `WARMUP_DAYS`; `DEFIYIELD_PARTITIONS_START` overrides.

    Raises:
        ConfigurationError: the source is not understood or not there, or the override is no day.
    """
    env = os.environ if environment is None else environment
    source = open_source(settings.source)
    last = source.last_day
    start = LIVE_START if last is None else source.first_day + timedelta(days=WARMUP_DAYS)
    override = env.get(START_VARIABLE)
    if override:
        start = parse_day(override, START_VARIABLE)
    return dg.DailyPartitionsDefinition(
        start_date=start.isoformat(),
        end_date=None if last is None else (last + timedelta(days=1)).isoformat(),
        timezone="UTC",
        end_offset=0,
    )


def window_of(first_key: str, last_key: str) -> Window:
    """The days of two partition keys, both included."""
    return Window(parse_day(first_key, "partition"), parse_day(last_key, "partition"))


def window_of_run(tags: Mapping[str, str]) -> Window | None:
    """The days that a run covers by its tags; None for a run without partitions."""
    if PARTITION_NAME_TAG in tags:
        return window_of(tags[PARTITION_NAME_TAG], tags[PARTITION_NAME_TAG])
    if ASSET_PARTITION_RANGE_START_TAG in tags and ASSET_PARTITION_RANGE_END_TAG in tags:
        return window_of(tags[ASSET_PARTITION_RANGE_START_TAG], tags[ASSET_PARTITION_RANGE_END_TAG])
    return None


def range_tags(window: Window) -> dict[str, str]:
    """Tags that make a run cover a window in one go."""
    return {
        ASSET_PARTITION_RANGE_START_TAG: window.start.isoformat(),
        ASSET_PARTITION_RANGE_END_TAG: window.end.isoformat(),
    }

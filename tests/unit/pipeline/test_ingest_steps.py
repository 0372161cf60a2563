"""Ingestion keeps what is stored, whatever the source answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.pipeline.ingest_steps import window_with_history
from defiyield_core.pipeline.registry import STEP_BY_NAME, STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.settings import Settings
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.simulated import SimulatedSource
from defiyield_core.warehouse.opening import open_warehouse

DAY = date(2025, 2, 10)
WINDOW = Window(DAY, DAY + timedelta(days=2))


@pytest.fixture
def context() -> StepContext:
    made = StepContext(open_warehouse("memory:"), SimulatedSource(5), Settings.from_environment({}))
    execute(STEP_BY_NAME["token_lists"], made, WINDOW)
    return made


def test_the_first_window_brings_the_history_before_it(context: StepContext):
    execute(STEP_BY_NAME["raw_pools"], context, WINDOW)
    days = context.warehouse.days("raw_defillama_pools")
    assert days[0] == context.source.first_day and days[-1] == WINDOW.end
    after = Window(WINDOW.end + timedelta(days=1), WINDOW.end + timedelta(days=3))
    assert window_with_history(context, "raw_defillama_pools", after) == after


def test_a_gap_before_the_window_is_filled(context: StepContext):
    execute(STEP_BY_NAME["raw_gas_hourly"], context, WINDOW)
    later = Window(WINDOW.end + timedelta(days=5), WINDOW.end + timedelta(days=6))
    asked = window_with_history(context, "raw_ethgastracker_hourly_gas_data", later)
    assert asked == Window(WINDOW.end + timedelta(days=1), later.end)


class _Answer:
    """The simulated source with one answer of its own."""

    def __init__(self, source: SimulatedSource, fetched: Fetched) -> None:
        self._source, self._fetched = source, fetched

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    def pool_history(self, window: Window, pool_ids: object) -> Fetched:
        return self._fetched


def _ingested(context: StepContext) -> pd.DataFrame:
    for name in ("raw_pools", "raw_pool_history"):
        execute(STEP_BY_NAME[name], context, WINDOW)
    return context.warehouse.read("raw_defillama_pool_history")


def test_an_empty_answer_loses_nothing(context: StepContext):
    before = _ingested(context)
    silent = replace(context, source=_Answer(context.source, Fetched(before.iloc[:0])))
    result = execute(STEP_BY_NAME["raw_pool_history"], silent, WINDOW)
    pd.testing.assert_frame_equal(context.warehouse.read("raw_defillama_pool_history"), before)
    assert result.numbers["rows_kept_from_before"] > 0


def test_a_partial_answer_replaces_only_the_pools_it_has(context: StepContext):
    before = _ingested(context)
    inside = before[before["date"] >= pd.Timestamp(WINDOW.start)]
    one = inside[inside["pool_id"] == inside["pool_id"].iloc[0]].assign(tvl_usd=123.0)
    partial = Fetched(one, refused={"chart_failed": 7}, complete=False)
    result = execute(
        STEP_BY_NAME["raw_pool_history"], replace(context, source=_Answer(context.source, partial)), WINDOW
    )
    after = context.warehouse.read("raw_defillama_pool_history")
    assert len(after) == len(before) and (after["tvl_usd"] == 123.0).sum() == len(one)
    assert any("7 rows were refused (chart_failed 7)" in warning for warning in result.warnings)


def test_materialising_a_window_twice_gives_the_same_rows(context: StepContext):
    for _ in range(2):
        for step in STEPS:
            execute(step, context, WINDOW)
        rows = {name: context.warehouse.read(name) for step in STEPS for name in step.writes}
    for step in STEPS:
        execute(step, context, WINDOW)
        for name in step.writes:
            pd.testing.assert_frame_equal(context.warehouse.read(name), rows[name])


def test_every_step_comes_after_what_it_reads():
    seen: set[str] = set()
    for step in STEPS:
        assert set(step.upstream) <= seen, step.name
        seen.add(step.name)

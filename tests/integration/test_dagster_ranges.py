"""A range in one run, day after day, and the core without Dagster: three ways to the same rows."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from defiyield_core.calendar import Window
from defiyield_core.pipeline.registry import STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.portfolio.runner import run_portfolio
from defiyield_core.portfolio.spec import load_portfolios
from defiyield_core.sources.opening import open_source
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_dagster.launch import launch_range
from defiyield_dagster.progress import DayDone, Finished
from tests.unit.dagster.deployment import BOOKS, HOLD, assert_same_rows, day, deploy, stored_rows


def test_a_range_in_one_run_gives_the_rows_of_its_days_run_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = deploy(tmp_path / "whole", monkeypatch, days=3)
    news: list[object] = []
    with dg.DagsterInstance.ephemeral() as instance:
        launched = launch_range(whole.defs, BOOKS, whole.days, instance, listener=news.append, log_level="CRITICAL")
        assert launched.success, launched.problems
        materialised = instance.get_materialized_partitions(dg.AssetKey(["live", "state"]))
        assert materialised == {str(one) for one in whole.days}
        record = instance.get_latest_materialization_event(dg.AssetKey(["live", "state"]))
        assert record is not None and record.asset_materialization is not None
        metadata = record.asset_materialization.metadata
        for step, name in (("pool_forecasts", "apy_fans"), ("forecast_scorecard", "apy_quality")):
            event = instance.get_latest_materialization_event(dg.AssetKey([step]))
            assert event is not None and event.asset_materialization is not None
            assert event.asset_materialization.partition == str(day(2))
            assert "data:image/png;base64," in str(event.asset_materialization.metadata[name].value)
    daily = whole.warehouse.read("portfolio_daily", Window(day(2), day(2)), scope={"portfolio": "live"})
    assert metadata["nav_usd"].value == daily["aum_close_usd"].iloc[0]
    assert "data:image/png;base64," in str(metadata["nav"].value)
    assert sum(isinstance(item, DayDone) for item in news) == 2 * 3
    assert {item.name for item in news if isinstance(item, Finished)} >= {step.name for step in STEPS}

    single = deploy(tmp_path / "single", monkeypatch, days=3)
    with dg.DagsterInstance.ephemeral() as instance:
        for one in single.days:
            launched = launch_range(single.defs, BOOKS, Window(one, one), instance, log_level="CRITICAL")
            assert launched.success, launched.problems
    assert_same_rows(stored_rows(whole.warehouse), stored_rows(single.warehouse))


def test_dagster_and_the_core_without_it_store_equal_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orchestrated = deploy(tmp_path, monkeypatch, days=3)
    with dg.DagsterInstance.ephemeral() as instance:
        assert launch_range(orchestrated.defs, BOOKS, orchestrated.days, instance, log_level="CRITICAL").success
    settings = orchestrated.settings
    context = StepContext(open_warehouse("memory:"), open_source(settings.source), settings)
    for step in STEPS:
        execute(step, context, orchestrated.days)
    for spec in load_portfolios(settings.portfolios).values():
        run_portfolio(context, spec, orchestrated.days)
    assert_same_rows(stored_rows(orchestrated.warehouse), stored_rows(context.warehouse))


def test_a_portfolio_leaves_the_days_before_its_first_one_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = deploy(tmp_path, monkeypatch, days=3, hold=f"{HOLD}first_day: {day(1)}\n")
    with dg.DagsterInstance.ephemeral() as instance:
        for window in (Window(day(0), day(0)), Window(day(0), day(2))):
            launched = launch_range(deployment.defs, BOOKS, window, instance, log_level="CRITICAL")
            assert launched.success, launched.problems
            done = instance.get_materialized_partitions(dg.AssetKey(["hold", "ledger"]))
            assert bool(done) == (len(window) > 1)
    assert deployment.warehouse.days("portfolio_daily", scope={"portfolio": "hold"}) == [day(1), day(2)]

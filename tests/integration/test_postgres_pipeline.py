"""The whole pipeline on Postgres gives the rows that it gives in memory."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.contracts import TABLES
from defiyield_core.pipeline.registry import STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.portfolio.runner import run_portfolio
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.universe.lists import seed_lists
from defiyield_core.warehouse.opening import open_warehouse


@pytest.mark.slow
def test_ten_days_on_postgres_equal_ten_days_in_memory(postgres_url: str):
    settings = Settings.from_environment({}, source="simulated:5")
    window = Window(date(2025, 2, 4), date(2025, 2, 4) + timedelta(days=9))
    spec = find_portfolio(settings.portfolios, "baseline")
    source = open_source(settings.source)
    memory, context = (StepContext(open_warehouse(url), source, settings) for url in ("memory:", postgres_url))
    seed_lists(memory.warehouse)
    _run(memory, spec, window)
    for chunk in window.chunks(5):
        _run(context, spec, chunk)
    for name in TABLES:
        stored, expected = context.warehouse.read(name), memory.warehouse.read(name)
        moments = [column for column in ("completed_at",) if column in stored]
        pd.testing.assert_frame_equal(
            stored.drop(columns=moments), expected.drop(columns=moments), check_exact=True, obj=name
        )


def _run(context: StepContext, spec: PortfolioSpec, window: Window) -> None:
    for step in STEPS:
        execute(step, context, window)
    run_portfolio(context, spec, window)

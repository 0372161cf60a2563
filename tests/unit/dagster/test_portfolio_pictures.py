"""Pictures of a portfolio and of its report: which there are, what they show, how large they are."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from types import SimpleNamespace

import pytest

from defiyield_core.calendar import Window
from defiyield_core.pipeline.step import StepContext
from defiyield_core.reporting import ReportInputs
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite
from defiyield_dagster.assets import portfolios, reports
from defiyield_dagster.metadata import picture
from defiyield_dagster.pictures import portfolio_pictures, report_pictures
from tests.unit.reporting.sample_company import report_in_company
from tests.unit.reporting.sample_frames import DAYS, START, sample_tables

LAST = START + timedelta(days=DAYS - 1)
LIMIT = 150_000


@pytest.fixture(scope="module")
def core() -> StepContext:
    """A warehouse with 60 days of the sample portfolio."""
    settings = Settings.from_environment({}, source="simulated:7")
    warehouse = open_warehouse("memory:")
    for name, frame in sample_tables().items():
        if name != "pools":
            mine = frame[frame["portfolio"] == "baseline"]
            warehouse.replace([TableWrite(name, mine, Window(START, LAST), {"portfolio": "baseline"})])
    return StepContext(warehouse, open_source(settings.source), settings)


@pytest.fixture(scope="module")
def report() -> ReportInputs:
    return report_in_company()


def test_the_report_has_the_main_pictures_and_they_are_small(report):
    drawn = dict(report_pictures(report))
    assert list(drawn) == ["nav", "drawdown", "by_protocol", "by_token", "positions"]
    for name, figure in drawn.items():
        shown = picture(name, figure).value
        assert shown.startswith(f"![{name}](data:image/png;base64,") and len(shown) < LIMIT


def test_pictures_of_the_report_show_benchmarks_and_bounds_but_no_crowd(report):
    lines = dict(report_pictures(report))["nav"].axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["baseline", "hold_aave_usdc", "equal_weight", "perfect_foresight"]


def test_a_portfolio_shows_its_nav_and_positions_up_to_the_day(core):
    day = START + timedelta(days=29)
    drawn = portfolio_pictures(core, "baseline", day)
    assert {output: [name for name, _ in figures] for output, figures in drawn.items()} == {
        "state": ["nav"],
        "allocations": ["positions"],
    }
    (line,) = drawn["state"][0][1].axes[0].get_lines()
    stored = core.warehouse.read("portfolio_daily", Window(START, day), scope={"portfolio": "baseline"})
    assert list(line.get_ydata()) == stored["aum_close_usd"].tolist()
    legend = [text.get_text() for text in drawn["allocations"][0][1].legends[0].get_texts()]
    assert legend[-1] == "idle" and "aave-v3 USDT" in legend


def test_what_cannot_be_drawn_is_a_warning_and_no_failure(core, report):
    told: list[str] = []
    context = SimpleNamespace(log=SimpleNamespace(warning=told.append))
    spec = SimpleNamespace(name="baseline")
    assert set(portfolios._pictures(context, core, spec, LAST)) == {"state", "allocations", "ledger"} and not told
    assert portfolios._pictures(context, core, SimpleNamespace(name="nobody"), date(2020, 1, 1)) == {}
    broken = dataclasses.replace(report, positions=report.positions.drop(columns="value_usd"))
    assert reports._pictures(context, broken) == {}
    assert [text.split(":")[0] for text in told] == ["no pictures of nobody", "no pictures of baseline"]

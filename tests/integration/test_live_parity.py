"""The daily run of `live` and a one-day backtest of the same day give the same decision, to the last bit.

The deployment runs three days, each half an hour after its end, against a server that knows nothing later. A backtest
of one of these days is made at the same moment from the same server, or later from the rows that the deployment stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import duckdb
import pandas as pd
import pytest
import yaml

from defiyield_core.backtest.engine import LoadedRange, load_range, run_range
from defiyield_core.calendar import Window
from defiyield_core.errors import DataError
from defiyield_core.pipeline.registry import STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.portfolio.runner import run_portfolio
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.simulated import SimulatedSource
from defiyield_core.sources.stored import StoredSource
from defiyield_core.universe.lists import LIST_KINDS, change_list
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite, Warehouse
from tests.live_market import MarketServer, live_source

FIRST, SECOND, THIRD = DAYS = tuple(date(2025, 5, 6) + timedelta(days=number) for number in range(3))
"""Days on each of which the portfolio has a reason to move."""
MARKET = SimulatedSource(7, days=128, pools=30)
DECIDED = (
    "allocation_transactions",
    "asset_allocations",
    "asset_allocation_details",
    "portfolio_daily",
    "portfolio_state",
    "daily_ledger",
    "allocation_parameters",
    "allocation_problems",
)
CARRIED = ("portfolio_state", "daily_ledger")
"""What a portfolio brings from one day into the next."""
LIVE = {"portfolio": "live"}
STRUCK_OFF = "aave-v3"
"""Taken off a list of the deployment after the last day."""


@dataclass
class Deployment:
    """The daily run of `live` in a warehouse of its own.

    Attributes:
        markets: fingerprint of what each day was decided on.
    """

    server: MarketServer
    settings: Settings
    spec: PortfolioSpec
    warehouse: Warehouse
    markets: dict[date, str] = field(default_factory=dict)
    _stored: dict[date, LoadedRange] = field(default_factory=dict)

    def run(self, day: date) -> None:
        """What `defiyield run --date DAY` does, just after the day."""
        self.server.at = just_after(day)
        with live_source(self.server) as source:
            context = StepContext(self.warehouse, source, self.settings, now=lambda: self.server.at)
            for step in STEPS:
                execute(step, context, Window(day, day))
            self.markets[day] = run_portfolio(context, self.spec, Window(day, day)).fingerprint

    def asked_again(self, day: date) -> LoadedRange:
        """What a backtest of the day loads from the APIs at the moment of the daily run."""
        self.server.at = just_after(day)
        with live_source(self.server) as source:
            return load_range(self.settings, Window(day, day), source=source, specs=(self.spec,))

    def stored(self, day: date) -> LoadedRange:
        """What a backtest of the day loads from the deployment's own raw tables."""
        if day not in self._stored:
            source = StoredSource(self.warehouse)
            self._stored[day] = load_range(self.settings, Window(day, day), source=source, specs=(self.spec,))
        return self._stored[day]


def just_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(0, 30))


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Three days, run. On the third the largest position is missing in the snapshot of pools."""
    home = tmp_path_factory.mktemp("parity")
    shipped = Settings.from_environment({}).portfolios / "live.yaml"
    content = yaml.safe_load(shipped.read_text())
    content["overrides"] = {**content.get("overrides", {}), "forecaster": "ewma"}  # no training: the test is quick
    folder = home / "portfolios"
    folder.mkdir()
    (folder / "live.yaml").write_text(yaml.safe_dump(content))
    environment = {"DEFIYIELD_HOME": str(home), "DEFIYIELD_PORTFOLIOS": str(folder)}
    settings = Settings.from_environment(environment, source="live")
    server = MarketServer(MARKET.tables(), just_after(FIRST))
    kept_open = duckdb.connect(settings.warehouse.removeprefix("duckdb:"))  # or every read opens the file anew
    try:
        made = Deployment(server, settings, find_portfolio(folder, "live"), open_warehouse(settings.warehouse))
        for day in DAYS:
            if day == THIRD:
                server.untold[day] = frozenset({largest_position(made.warehouse, SECOND)})
            made.run(day)
        change_list(made.warehouse, "protocols", "remove", STRUCK_OFF, "ann", "exploit", just_after(THIRD))
        yield made
    finally:
        kept_open.close()
        server.close()


def largest_position(warehouse: Warehouse, day: date) -> str:
    held = rows(warehouse, "asset_allocations", day).sort_values("value_usd")
    return str(held["pool_id"].iloc[-1])


def rows(warehouse: Warehouse, table: str, day: date) -> pd.DataFrame:
    return warehouse.read(table, Window(day, day), scope=LIVE)


def carry_in(deployment: Deployment, loaded: LoadedRange) -> None:
    """Give the backtest the deployment's close of the day before its window."""
    before = loaded.window.start - timedelta(days=1)
    window = Window(before, before)
    loaded.warehouse.replace(
        [TableWrite(name, rows(deployment.warehouse, name, before), window, LIVE) for name in CARRIED]
    )


def assert_same_decision(deployment: Deployment, loaded: LoadedRange, fingerprint: str) -> None:
    day = loaded.window.start
    of_one_chunk = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
    assert of_one_chunk == deployment.markets[day]
    for name in DECIDED:
        expected = rows(deployment.warehouse, name, day)
        assert len(expected), f"{name} is empty on {day}: nothing was compared"
        pd.testing.assert_frame_equal(rows(loaded.warehouse, name, day), expected, check_exact=True, obj=name)


@pytest.mark.parametrize("day", DAYS)
def test_every_day_of_the_deployment_decides_something(deployment, day):
    daily, transactions = (rows(deployment.warehouse, name, day) for name in ("portfolio_daily", DECIDED[0]))
    assert daily["status"].tolist() == ["ok"]
    assert (transactions["type"] != "HOLD").any()


def test_the_first_day_from_the_wallet_is_the_same(deployment):
    loaded = deployment.asked_again(FIRST)
    assert_same_decision(deployment, loaded, run_range(loaded, deployment.spec).run.fingerprint)


def test_a_later_day_is_the_same_from_the_close_of_the_day_before_and_only_from_it(deployment):
    loaded = deployment.asked_again(SECOND)
    run_range(loaded, deployment.spec)
    anew = rows(loaded.warehouse, "allocation_transactions", SECOND)
    assert not {"HOLD", "WITHDRAWAL"} & set(anew["type"])  # a portfolio that begins has nothing to keep or to leave
    carry_in(deployment, loaded)
    assert_same_decision(deployment, loaded, run_range(loaded, deployment.spec).run.fingerprint)


@pytest.mark.parametrize("day", DAYS)
def test_any_day_from_the_rows_the_deployment_stored_is_the_same(deployment, day):
    loaded = deployment.stored(day)
    if day != FIRST:
        carry_in(deployment, loaded)
    assert_same_decision(deployment, loaded, run_range(loaded, deployment.spec).run.fingerprint)


def test_only_the_stored_rows_still_know_a_held_pool_that_left_the_snapshot(deployment):
    missing = largest_position(deployment.warehouse, SECOND)
    asked, stored = deployment.asked_again(THIRD), deployment.stored(THIRD)
    known = [set(one.warehouse.read("pools", Window(THIRD, THIRD))["pool_id"]) for one in (deployment, stored, asked)]
    assert [missing in pools for pools in known] == [True, True, False]
    carry_in(deployment, asked)
    with pytest.raises(DataError, match=f"{missing}.* is not in the market's tables"):
        run_range(asked, deployment.spec)


def test_lists_that_the_deployment_changed_are_those_of_the_backtest(deployment):
    loaded = deployment.stored(SECOND)
    for kind in LIST_KINDS.values():
        stored = deployment.warehouse.read(kind.table)
        pd.testing.assert_frame_equal(loaded.warehouse.read(kind.table), stored, check_exact=True)
    protocols = loaded.warehouse.read("approved_protocols")
    assert protocols.loc[protocols["protocol"] == STRUCK_OFF, "removed_at"].notna().all()
    assert deployment.asked_again(SECOND).warehouse.read("approved_protocols")["removed_at"].isna().all()

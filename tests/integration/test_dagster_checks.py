"""Asset checks on stored rows: what is corrupted is found, named by its day, and stops what is downstream."""

from collections.abc import Callable

import dagster as dg
import duckdb
import pytest

from defiyield_core.calendar import Window
from defiyield_dagster.launch import Launched, launch_range
from defiyield_dagster.progress import Finished
from tests.unit.dagster.deployment import BOOKS, Deployment, day, deploy


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """Three closed days of both portfolios."""
    patch = pytest.MonkeyPatch()
    deployment = deploy(tmp_path_factory.mktemp("filled"), patch, days=3)
    with dg.DagsterInstance.ephemeral() as instance:
        launched = launch_range(deployment.defs, BOOKS, deployment.days, instance, log_level="CRITICAL")
    assert launched.success, launched.problems
    yield deployment
    patch.undo()


def corrupt(deployment: Deployment, statement: str) -> Callable[[], None]:
    """Change rows behind the warehouse's back, as a person with a SQL prompt would; what puts them back."""
    table = statement.removeprefix("delete from ").removeprefix("update ").split()[0]
    with duckdb.connect(deployment.settings.warehouse.removeprefix("duckdb:")) as connection:
        connection.execute(f"create or replace table _kept as select * from {table}")
        connection.execute(statement)

    def restore() -> None:
        with duckdb.connect(deployment.settings.warehouse.removeprefix("duckdb:")) as connection:
            connection.execute(f"delete from {table}")
            connection.execute(f"insert into {table} select * from _kept")

    return restore


def checks_of(deployment: Deployment, key: str, window: Window | None) -> dict[str, dg.AssetCheckEvaluation]:
    """Evaluate an asset's checks alone, without materialising it."""
    asset = dg.AssetKey(key.split("/"))
    job = dg.define_asset_job("checks", dg.AssetSelection.checks_for_assets(asset))
    defs = dg.Definitions.merge(deployment.defs, dg.Definitions(jobs=[job]))
    tags = {}
    if window is not None:
        tags = {
            "dagster/asset_partition_range_start": str(window.start),
            "dagster/asset_partition_range_end": str(window.end),
        }
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("checks").execute_in_process(
            instance=instance, tags=tags, run_config=quiet, raise_on_error=False
        )
        return {found.check_name: found for found in result.get_asset_check_evaluations()}


def test_clean_rows_pass_every_blocking_check(filled: Deployment) -> None:
    forecasts = ("pool_forecasts", "gas_forecasts", "forecast_models", "forecast_scores", "forecast_scorecard")
    for key in ("raw_pools", *forecasts, "live/ledger"):
        for name, found in checks_of(filled, key, filled.days).items():
            assert found.passed or name in ("plausible", "outcome"), found


@pytest.mark.parametrize(
    ("key", "check", "statement", "said"),
    [
        (
            "raw_pools",
            "contract",
            f"update raw_defillama_pools set valid_at = timestamp '{day(2)} 00:00:00' where date = '{day(1)}'",
            "look_ahead",
        ),
        ("pool_forecasts", "contract", f"update pool_forecasts set apy_at = 'inf' where date = '{day(2)}'", "finite"),
        (
            "pool_forecasts",
            "contract",
            f"update pool_forecasts set apy = apy_upper + 0.01 where date = '{day(1)}' and model = 'ewma'",
            f"{day(1)}: pool_forecasts.apy lies outside of apy_lower and apy_upper",
        ),
        (
            "gas_forecasts",
            "contract",
            f"update gas_forecasts set lower_gwei = gas_price_gwei + 1 where date = '{day(2)}' and model = 'ewma'",
            f"{day(2)}: gas_forecasts.gas_price_gwei lies outside",
        ),
        (
            "forecast_scores",
            "contract",
            f"update forecast_scores set origin = date where date = '{day(2)}'",
            f"{day(2)}: forecast_scores.date is not the origin plus the horizon",
        ),
        (
            "forecast_models",
            "contract",
            f"update forecast_models set trained_through = date + 1 where date = '{day(1)}'",
            f"{day(1)}: forecast_models.trained_through is after the day of the forecast",
        ),
        (
            "live/ledger",
            "books",
            f"update portfolio_daily set accrual_usd = accrual_usd + 1 where date = '{day(1)}'",
            f"{day(1)}: open + accrual",
        ),
        (
            "hold/ledger",
            "books",
            f"update asset_allocations set value_usd = 2 * value_usd where portfolio = 'hold' and date = '{day(2)}'",
            f"{day(2)}: positions + wallet",
        ),
    ],
)
def test_a_corrupted_row_fails_its_check(filled: Deployment, key: str, check: str, statement: str, said: str) -> None:
    restore = corrupt(filled, statement)
    try:
        found = checks_of(filled, key, filled.days)[check]
        assert not found.passed
        assert found.severity == dg.AssetCheckSeverity.ERROR and found.blocking is not False
        assert said in str(found.metadata["findings"].value)
        assert said in (found.description or "")
    finally:
        restore()
    assert checks_of(filled, key, filled.days)[check].passed


@pytest.mark.parametrize(
    ("key", "statement", "said"),
    [
        (
            "pool_forecasts",
            f"update pool_forecasts set apy = 0.05, tvl_usd = 3e7 where date = '{day(1)}' and model = 'combination'",
            f"{day(1)}: combination forecasts the same APY of ",
        ),
        (
            "pool_forecasts",
            f"update pool_forecasts set tvl_usd = 1000 * tvl_usd where date = '{day(2)}' and model = 'ewma'",
            " with a forecast TVL far from its 60 days",
        ),
        (
            "pool_forecasts",
            f"delete from pool_forecasts where date = '{day(1)}'",
            f"{day(1)}: pool_forecasts has no rows",
        ),
        (
            "forecast_models",
            f"update forecast_models set observed_through = date - 15 where date = '{day(1)}'",
            "has learnt nothing for 15 days",
        ),
        (
            "forecast_scores",
            f"delete from forecast_scores where date = '{day(2)}'",
            f"{day(2)}: forecasts matured, and forecast_scores has no rows",
        ),
        (
            "forecast_scorecard",
            f"update forecast_scorecard set recent_coverage = 0.5, pairs = 5000 where date = '{day(2)}'",
            f"{day(2)}: combination apy 1 d: bounds of 80 % held 50.0% of the outcomes of 28 days",
        ),
    ],
)
def test_an_odd_forecast_is_a_warning(filled: Deployment, key: str, statement: str, said: str) -> None:
    assert checks_of(filled, key, filled.days)["plausible"].passed
    restore = corrupt(filled, statement)
    try:
        found = checks_of(filled, key, filled.days)["plausible"]
        assert not found.passed and found.severity == dg.AssetCheckSeverity.WARN
        assert said in str(found.metadata["findings"].value)
    finally:
        restore()


def test_failing_days_are_named_and_other_days_are_not_looked_at(filled: Deployment) -> None:
    restore = corrupt(filled, f"update portfolio_daily set gas_usd = gas_usd + 9 where date = '{day(1)}'")
    try:
        found = checks_of(filled, "live/ledger", filled.days)["books"]
        assert found.metadata["failing_days"].value == str(day(1))
        assert checks_of(filled, "live/ledger", Window(day(2), day(2)))["books"].passed
        assert not checks_of(filled, "live/ledger", None)["books"].passed  # by itself: the newest stored days
    finally:
        restore()


def test_a_failed_blocking_check_stops_the_report_but_not_the_other_portfolio(
    filled: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The books of `live` break between its close and its check: a step that writes behind the ledger's back.
    monkeypatch.setattr("defiyield_dagster.assets.portfolios.announce", lambda news: _break_live(filled, news))
    selection = dg.AssetSelection.groups("live", "hold")
    told: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance:
        launched: Launched = launch_range(
            filled.defs,
            selection,
            filled.days,
            instance,
            listener=lambda news: told.append(news.name) if isinstance(news, Finished) else None,
            log_level="CRITICAL",
        )
        reported = [
            instance.get_latest_materialization_event(dg.AssetKey([name, "report"])) for name in ("live", "hold")
        ]
    assert not launched.success
    assert any(text.startswith("live/ledger books: ") for text in launched.failed_checks)
    assert reported[0] is None and reported[1] is not None
    assert told == ["hold/report"]


def _break_live(deployment: Deployment, news: object) -> None:
    if isinstance(news, Finished) and news.name == "live":
        corrupt(deployment, f"update portfolio_daily set flows_usd = 5 where portfolio = 'live' and date = '{day(2)}'")

"""The dbt project on both engines, its identities, and its run as Dagster assets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pandas as pd
import psycopg2
import pytest

from defiyield_core.contracts import TABLES
from defiyield_core.errors import ConfigurationError, WarehouseError
from defiyield_core.reporting.metrics import daily_returns, drawdown, return_index
from defiyield_core.units import annualised
from defiyield_core.warehouse import open_warehouse
from defiyield_dagster.assets.dbt import build_dbt_assets
from defiyield_dagster.dbt_models import load_models, project_folder
from defiyield_dagster.dbt_runner import PIPELINE_EXCLUDES, DbtRun, count_rows, run_dbt
from tests.integration import sample_books

pytestmark = pytest.mark.slow

ORDER = {
    "mart_pool_leaderboard": "ruleset, risk_rank",
    "mart_portfolio_performance": "portfolio, date",
    "mart_exposures": "portfolio, date, dimension, member",
    "mart_costs": "portfolio, month",
    "mart_forecast_quality": "target, horizon_days, model",
}
TYPES = {
    "text": {"VARCHAR", "text"},
    "double": {"DOUBLE", "double precision"},
    "bigint": {"BIGINT", "bigint"},
    "boolean": {"BOOLEAN", "boolean"},
    "date": {"DATE", "date"},
}
BREAKS = {
    "the day does not add up": (
        "update portfolio_daily set gas_usd = gas_usd + 0.00001 where portfolio = 'alpha' and date = '2025-01-05'",
        {"stg_portfolio_daily_identity"},
    ),
    "a day opens with what nobody closed with": (
        """
        update portfolio_daily set aum_open_usd = aum_open_usd + 1, accrual_usd = accrual_usd - 1
        where portfolio = 'beta' and date = '2025-01-05'
        """,
        {"stg_portfolio_daily_continuity"},
    ),
    "a day is missing on which nothing moved": (
        "delete from portfolio_daily where portfolio = 'gamma' and date = '2025-02-12'",
        {"stg_portfolio_daily_continuity"},
    ),
    "tables that tell the same differ": (
        """
        update daily_ledger set value_usd = value_usd + 1, accrual_usd = accrual_usd + 1, fees_usd = fees_usd + 1
        where portfolio = 'alpha' and token = 'GHO' and date = '2025-01-05';
        delete from asset_allocations where portfolio = 'alpha' and token = 'GHO' and date = '2025-02-01';
        update allocation_transactions set total_cost_usd = 0 where seq = 1 and portfolio = 'gamma'
        """,
        {
            "mart_portfolio_performance_equals_ledger",
            "mart_portfolio_performance_accrual_equals_ledger",
            "mart_portfolio_performance_costs_equal_ledger",
            "mart_exposures_sum_to_nav",
            "mart_costs_follow_the_plan",
        },
    ),
    "a score is lost and another one changed": (
        """
        delete from forecast_scores where target = 'apy' and model = 'ewma' and date = '2025-02-10';
        update forecast_scores set actual = actual + 0.01
        where target = 'gas' and model = 'ewma' and horizon_days = 1 and date = '2025-02-10'
        """,
        {"mart_forecast_quality_follows_scores"},
    ),
}


def build(url: str, folder: Path, select: Sequence[str] | None = None) -> DbtRun:
    return run_dbt(url, "build", target_path=folder, select=select, exclude=PIPELINE_EXCLUDES)


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Rows of a query, or nothing after a change."""
    connection: Any
    if url.startswith("duckdb:"):
        with duckdb.connect(url.removeprefix("duckdb:")) as connection:
            return connection.execute(statement).fetchall()
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def mart(url: str, name: str) -> pd.DataFrame:
    columns = [column.name for model in load_models() if model.name == name for column in model.columns]
    rows = execute(url, f"select {', '.join(columns)} from {name}")
    return pd.DataFrame(rows, columns=columns).sort_values(ORDER[name].split(", "), ignore_index=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="module")
def urls(folder: Path, new_postgres_url: Callable[[], str]) -> dict[str, str]:
    """The sample books in both engines."""
    urls = {"duckdb": f"duckdb:{folder / 'books.duckdb'}", "postgres": new_postgres_url()}
    for url in urls.values():
        sample_books.fill(open_warehouse(url))
    return urls


@pytest.fixture(scope="module")
def runs(urls: dict[str, str], folder: Path) -> dict[str, DbtRun]:
    """Both builds; the second one replaces what the first one parsed for the other engine."""
    return {engine: build(url, folder / "target") for engine, url in urls.items()}


@pytest.fixture
def books_copy(urls: dict[str, str], runs: dict[str, DbtRun], tmp_path: Path) -> str:
    """The built DuckDB books, free to be changed, under another file name."""
    shutil.copy(urls["duckdb"].removeprefix("duckdb:"), tmp_path / "moved.duckdb")
    return f"duckdb:{tmp_path / 'moved.duckdb'}"


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
class TestOnBothEngines:
    def test_every_model_builds_and_every_test_passes(self, runs, engine):
        run = runs[engine]
        assert run.success
        assert {result.status for result in run.results} == {"success", "pass"}
        assert set(run.of("model")) == {model.name for model in load_models()}
        assert set(run.of("test")) == {test.name for model in load_models() for test in model.tests}

    def test_marts_have_the_documented_columns_and_types(self, urls, runs, engine):
        for model in load_models():
            if model.layer != "marts":
                continue
            actual = execute(
                urls[engine],
                "select column_name, data_type from information_schema.columns"
                f" where table_name = '{model.name}' order by ordinal_position",
            )
            assert [name for name, _ in actual] == [column.name for column in model.columns]
            for (name, kind), column in zip(actual, model.columns, strict=True):
                assert kind in TYPES[column.data_type], f"{model.name}.{name} is {kind}"

    def test_an_empty_warehouse_builds_empty_marts(self, new_postgres_url, tmp_path, engine):
        url = f"duckdb:{tmp_path / 'new.duckdb'}" if engine == "duckdb" else new_postgres_url()
        assert build(url, tmp_path / "target").success
        assert count_rows(url, list(ORDER)) == dict.fromkeys(ORDER, 0)


class TestMarts:
    @pytest.mark.parametrize("name", list(ORDER))
    def test_rows_are_identical_on_both_engines(self, urls, runs, name):
        on_duckdb = mart(urls["duckdb"], name)
        on_postgres = mart(urls["postgres"], name)
        assert len(on_duckdb) > 5
        pd.testing.assert_frame_equal(on_duckdb, on_postgres, check_exact=True)

    def test_performance_is_what_the_core_reports(self, urls, runs):
        performance = mart(urls["duckdb"], "mart_portfolio_performance")
        daily = open_warehouse(urls["duckdb"]).read("portfolio_daily")
        for name, rows in performance.groupby("portfolio"):
            books = daily[daily["portfolio"] == name]
            index = return_index(books)
            np.testing.assert_allclose(rows["net_return"], daily_returns(books), rtol=0, atol=1e-15)
            np.testing.assert_allclose(rows["net_growth"], index - 1, rtol=0, atol=1e-11)
            np.testing.assert_allclose(rows["drawdown"], drawdown(index), rtol=0, atol=1e-11)
            cost = (books["gas_usd"] + books["conversion_usd"]).cumsum()
            np.testing.assert_allclose(rows["cumulative_cost_usd"], cost, rtol=0, atol=1e-6)
            np.testing.assert_array_equal(rows["nav_usd"], books["aum_close_usd"])

    @pytest.mark.parametrize("days", [7, 30])
    def test_rolling_apy_is_the_growth_of_its_days_annualised(self, urls, runs, days):
        performance = mart(urls["duckdb"], "mart_portfolio_performance")
        rows = performance[performance["portfolio"] == "beta"].reset_index(drop=True)
        growth = 1 + rows["net_return"].to_numpy()
        expected = [
            annualised(float(np.prod(growth[end - days : end])) - 1, days) for end in range(days, len(rows) + 1)
        ]
        actual = rows[f"net_apy_{days}d"].astype(float).to_numpy()
        assert np.isnan(actual[: days - 1]).all()
        np.testing.assert_allclose(actual[days - 1 :], expected, rtol=0, atol=1e-10)

    def test_a_total_loss_is_a_growth_of_minus_one_forever(self, urls, runs):
        performance = mart(urls["duckdb"], "mart_portfolio_performance")
        after = performance[performance["portfolio"] == "gamma"].iloc[sample_books.LOSS_DAY :]
        assert len(after) == 10
        assert (after["net_growth"] == -1).all()
        assert (after["drawdown"] == -1).all()
        assert after["net_apy_30d"].isna().all()
        assert after["idle_share"].isna().all()

    def test_exposures_follow_the_positions(self, urls, runs):
        exposures = mart(urls["duckdb"], "mart_exposures")
        assert "unknown" not in set(exposures["member"])  # a day without a description takes the last one
        last = exposures[(exposures["portfolio"] == "alpha") & (exposures["date"] == sample_books.LAST)]
        shares = last.set_index(["dimension", "member"])["share"]
        assert set(shares["token"].index) == {"USDC", "GHO"}
        assert set(shares["chain"].index) == {"Ethereum", "wallet"}
        assert set(shares["protocol"].index) == {"aave-v3", "curve-dex", "morpho-blue", "wallet"}
        assert shares["group"]["group 3"] == shares["protocol"]["curve-dex"]
        warehouse = open_warehouse(urls["duckdb"])
        held = warehouse.read("asset_allocations", scope={"portfolio": "alpha"})
        curve = held[(held["date"].dt.date == sample_books.LAST) & (held["pool_id"] == "c3d0-pair")]["value_usd"].sum()
        assert last.set_index("member")["value_usd"]["curve-dex"] == pytest.approx(curve, abs=1e-8)

    def test_costs_are_those_of_the_month(self, urls, runs):
        costs = mart(urls["duckdb"], "mart_costs").set_index(["portfolio", "month"])
        daily = open_warehouse(urls["duckdb"]).read("portfolio_daily", scope={"portfolio": "beta"})
        january = daily[(daily["date"] >= "2025-01-01") & (daily["date"] < "2025-02-01")]
        row = costs.loc["beta"].loc[pd.Timestamp("2025-01-01").date()]
        paid = (january["gas_usd"] + january["conversion_usd"]).sum()
        assert row["days"] == 31
        assert row["transactions"] == 3
        assert row["cost_usd"] == pytest.approx(paid, abs=1e-8)
        assert row["cost_share_of_aum"] == pytest.approx(paid / january["aum_close_usd"].mean(), rel=1e-9)
        assert row["cost_share_of_accrual"] == pytest.approx(paid / january["accrual_usd"].sum(), rel=1e-9)

    def test_forecast_quality_is_the_newest_card_of_each_model(self, urls, runs):
        quality = mart(urls["duckdb"], "mart_forecast_quality")
        cards = open_warehouse(urls["duckdb"]).read("forecast_scorecard")
        key = ["target", "horizon_days", "model"]
        last = cards.sort_values("date").groupby(key).tail(1).sort_values(key, ignore_index=True)
        assert set(quality["target"]) == {"apy", "mean_apy", "tvl", "gas"}
        for name in ("pairs", "mae", "skill", "skill_low", "coverage", "recent_relative_mae"):
            np.testing.assert_array_equal(quality[name].astype(float), last[name].astype(float), err_msg=name)
        assert (quality["beats_persistence"] == (quality["skill_low"].astype(float) > 0)).all()
        assert quality["beats_persistence"].any() and not quality["beats_persistence"].all()
        assert quality["is_current"].all()

    def test_the_leaderboard_ranks_by_what_is_left_after_a_deviation(self, urls, runs):
        board = mart(urls["duckdb"], "mart_pool_leaderboard")
        assert set(board["ruleset"]) == set(sample_books.RULESETS)
        first = board[board["ruleset"] == sample_books.RULESETS[0]]
        assert list(first["risk_rank"]) == [1, 2, 3, 4, 5]
        # By forecast less deviation; then the flagged pool, which has no forecast; last the pool that ended.
        assert list(first["pool_id"]) == ["c3d0-pair", "a2e0-usdc", "b1f0-usdc", "e5b0-wild", "d4c0-gone"]
        known = first[first["risk_aware_apy"].notna()]
        assert (known["risk_aware_apy"] == known["apy_forecast"] - known["apy_std_30d"]).all()
        assert (known["apy_forecast"] == known["apy"] + 0.014).all()

    def test_the_leaderboard_says_why_a_pool_may_not_be_used(self, urls, runs):
        board = mart(urls["duckdb"], "mart_pool_leaderboard").set_index(["ruleset", "pool_id"])
        first, second = sample_books.RULESETS
        assert board.loc[(first, "c3d0-pair"), "reasons"] == ""
        assert board.loc[(first, "c3d0-pair"), "is_eligible"]
        assert board.loc[(first, "e5b0-wild"), "reasons"] == "chain_not_approved!; forecast_missing"
        assert board.loc[(first, "e5b0-wild"), "must_exit"]
        assert board.loc[(second, "a2e0-usdc"), "reasons"] == "not judged"
        assert board.loc[(first, "d4c0-gone"), "reasons"] == "no row on the newest day"
        assert not board.loc[(first, "d4c0-gone"), "is_eligible"]


class TestBrokenBooks:
    @pytest.mark.parametrize("what", BREAKS)
    def test_a_broken_identity_fails_its_test(self, books_copy, tmp_path, what):
        change, broken = BREAKS[what]
        execute(books_copy, change)
        run = build(books_copy, tmp_path / "target")
        assert not run.success
        assert {name for name, test in run.of("test").items() if test.status in ("fail", "warn")} == broken

    def test_postgres_sees_it_too(self, urls, runs, new_postgres_url, tmp_path):
        url = new_postgres_url()
        sample_books.fill(open_warehouse(url))
        execute(url, "update daily_ledger set wallet_amount = wallet_amount + 1 where portfolio = 'alpha'")
        failed = {name for name, test in build(url, tmp_path / "target").of("test").items() if test.status == "fail"}
        assert failed == {"mart_exposures_sum_to_nav"}


class TestRunner:
    def test_the_models_read_as_data_are_those_of_dbts_manifest(self, runs, folder):
        manifest = json.loads((folder / "target" / "manifest.json").read_text())
        parsed = {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
        tests = [
            node
            for node in manifest["nodes"].values()
            if node["resource_type"] == "test" and node["attached_node"] is not None
        ]
        read = {model.name: model for model in load_models()}
        assert set(read) == set(parsed)
        for name, model in read.items():
            node = parsed[name]
            upstream = [unique_id.split(".") for unique_id in node["depends_on"]["nodes"]]
            assert set(model.refs) == {parts[-1] for parts in upstream if parts[0] == "model"}
            assert set(model.sources) == {parts[-1] for parts in upstream if parts[0] == "source"}
            assert model.layer == node["fqn"][1]
            assert model.description == node["description"].strip()
            assert [column.name for column in model.columns] == list(node["columns"])
            mine = {test["name"]: test for test in tests if test["attached_node"] == node["unique_id"]}
            assert {test.name for test in model.tests} == set(mine)
            for test in model.tests:
                assert test.severity == mine[test.name]["config"]["severity"].lower()
                assert test.description == mine[test.name]["description"].strip()

    def test_nothing_is_left_behind(self, runs, folder):
        assert {path.name for path in (folder / "target").iterdir()} == {
            "manifest.json",
            "run_results.json",
            "partial_parse.msgpack",
            "logs",
        }
        assert not any(name.startswith(("DEFIYIELD_DBT_T", "DEFIYIELD_DBT_H", "DBT_ENV_SECRET")) for name in os.environ)
        assert {path.name for path in project_folder().iterdir()} == {
            "dbt_project.yml",
            "profiles.yml",
            "macros",
            "models",
            "tests",
        }

    def test_another_process_may_write_after_a_run(self, urls, runs):
        code = (
            "import sys, duckdb; duckdb.connect(sys.argv[1]).execute('create or replace table mine as select 1 as x')"
        )
        path = urls["duckdb"].removeprefix("duckdb:")
        subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True)

    def test_views_outlive_a_move_of_the_file(self, books_copy):
        days = execute(books_copy, "select count(*) from stg_portfolio_daily where portfolio = 'alpha'")
        assert days == [(sample_books.DAYS,)]

    def test_parsing_needs_no_database(self, tmp_path):
        run = run_dbt(f"duckdb:{tmp_path / 'none.duckdb'}", "parse", target_path=tmp_path / "target")
        assert run.success
        assert (tmp_path / "target" / "manifest.json").exists()
        assert not (tmp_path / "none.duckdb").exists()

    def test_an_unreachable_database_is_named_without_its_password(self, tmp_path):
        url = "postgresql://desk:hunter2@127.0.0.1:1/books"
        with pytest.raises(WarehouseError, match=r"desk@127\.0\.0\.1:1/books") as caught:
            build(url, tmp_path)
        assert "hunter2" not in str(caught.value)

    def test_a_project_that_does_not_parse_is_a_configuration_error(self, tmp_path, monkeypatch):
        shutil.copytree(project_folder(), tmp_path / "project")
        (tmp_path / "project" / "models" / "marts" / "mart_costs.sql").write_text("select {{ nonsense(")
        monkeypatch.setenv("DEFIYIELD_DBT_PROJECT", str(tmp_path / "project"))
        with pytest.raises(ConfigurationError, match=r"mart_costs\.sql"):
            run_dbt(f"duckdb:{tmp_path / 'x.duckdb'}", "parse", target_path=tmp_path / "target")


class TestAssets:
    @pytest.fixture(scope="class")
    def assets(self) -> dg.AssetsDefinition:
        return build_dbt_assets({name: dg.AssetKey([name]) for name in TABLES})

    def materialize(self, assets: dg.AssetsDefinition, url: str, home: Path) -> dg.ExecuteInProcessResult:
        deployment = SimpleNamespace(settings=SimpleNamespace(warehouse=url, home=home))
        return dg.materialize(
            [assets],
            resources={"deployment": deployment},
            instance=dg.DagsterInstance.ephemeral(),
            raise_on_error=False,
        )

    @pytest.mark.parametrize("engine", ["duckdb", "postgres"])
    def test_a_run_materializes_every_model_and_evaluates_every_check(self, assets, urls, runs, tmp_path, engine):
        result = self.materialize(assets, urls[engine], tmp_path)
        assert result.success
        events = {event.asset_key.to_user_string(): event for event in result.get_asset_materialization_events()}
        assert set(events) == {model.name for model in load_models()}
        metadata = events["mart_portfolio_performance"].materialization.metadata
        assert metadata["dagster/row_count"].value == 3 * sample_books.DAYS
        assert metadata["execution_seconds"].value > 0
        evaluations = result.get_asset_check_evaluations()
        assert len(evaluations) == len(list(assets.check_specs))
        assert all(evaluation.passed for evaluation in evaluations)
        assert (tmp_path / "dbt" / "manifest.json").exists()

    def test_a_broken_exposure_fails_the_run_and_names_the_check(self, assets, books_copy, tmp_path):
        execute(books_copy, "update daily_ledger set wallet_amount = wallet_amount + 1 where portfolio = 'alpha'")
        result = self.materialize(assets, books_copy, tmp_path)
        assert not result.success
        failed = [evaluation for evaluation in result.get_asset_check_evaluations() if not evaluation.passed]
        assert [evaluation.check_name for evaluation in failed] == ["sum_to_nav"]
        assert failed[0].severity == dg.AssetCheckSeverity.ERROR
        assert failed[0].metadata["failing_rows"].value == 4 * sample_books.DAYS

    def test_marts_stay_as_they_were_while_the_ledger_is_broken(self, assets, books_copy, tmp_path):
        before = mart(books_copy, "mart_portfolio_performance")
        execute(books_copy, "update portfolio_daily set accrual_usd = accrual_usd + 5 where portfolio = 'alpha'")
        result = self.materialize(assets, books_copy, tmp_path)
        assert not result.success
        built = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
        assert "mart_pool_leaderboard" in built
        failure = result.get_failed_step_keys(), result.failure_data_for_node("dbt_models").error.message
        assert failure[0] == {"dbt_models"}
        assert "because these tests failed: stg_portfolio_daily_identity" in failure[1]
        assert not built & {"mart_portfolio_performance", "mart_exposures", "mart_costs"}
        pd.testing.assert_frame_equal(mart(books_copy, "mart_portfolio_performance"), before)

    def test_a_warning_does_not_fail_the_run(self, assets, books_copy, tmp_path):
        execute(books_copy, "update allocation_transactions set total_cost_usd = 0 where portfolio = 'gamma'")
        result = self.materialize(assets, books_copy, tmp_path)
        assert result.success
        warned = [evaluation for evaluation in result.get_asset_check_evaluations() if not evaluation.passed]
        assert [(evaluation.check_name, evaluation.severity) for evaluation in warned] == [
            ("follow_the_plan", dg.AssetCheckSeverity.WARN)
        ]

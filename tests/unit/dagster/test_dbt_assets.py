"""The dbt project as data and as asset definitions, without running dbt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from defiyield_core.contracts import TABLES
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import parameters
from defiyield_dagster.assets.dbt import build_dbt_assets
from defiyield_dagster.dbt_models import load_models, project_folder
from defiyield_dagster.dbt_runner import dbt_environment, run_dbt

WRITERS: dict[str, dg.AssetKey | list[dg.AssetKey]] = {name: dg.AssetKey([name]) for name in TABLES}
WRITERS["portfolio_daily"] = [dg.AssetKey(["baseline", "ledger"]), dg.AssetKey(["live", "ledger"])]
MARTS = {
    "mart_pool_leaderboard",
    "mart_portfolio_performance",
    "mart_exposures",
    "mart_costs",
    "mart_forecast_quality",
}


@pytest.fixture(scope="module")
def assets() -> dg.AssetsDefinition:
    return build_dbt_assets(WRITERS)


def written(folder: Path, **files: str) -> Path:
    """A project of a schema file and models by name."""
    (folder / "models" / "marts").mkdir(parents=True)
    for name, text in files.items():
        suffix = "yml" if name == "schema" else "sql"
        (folder / "models" / "marts" / f"{name}.{suffix}").write_text(text)
    return folder


class TestProject:
    def test_models_come_after_what_they_read(self):
        seen: set[str] = set()
        for model in load_models():
            assert set(model.refs) <= seen
            seen.add(model.name)
        assert seen >= MARTS

    def test_staging_reads_one_table_each_and_marts_read_only_models(self):
        for model in load_models():
            if model.layer == "staging":
                assert model.name.startswith("stg_")
                assert len(model.sources) == 1
                assert not model.refs
            else:
                assert model.name.startswith("mart_")
                assert model.refs
                assert not model.sources

    def test_every_raw_table_is_staged(self):
        staged = {source for model in load_models() for source in model.sources}
        assert staged >= {name for name, table in TABLES.items() if table.layer == "raw"}

    def test_every_column_of_a_mart_is_documented_with_its_type(self):
        for model in load_models():
            if model.name in MARTS:
                assert model.columns
                assert all(column.description and column.data_type for column in model.columns), model.name

    def test_the_leaderboard_shows_the_forecast_of_the_default_preset(self):
        import yaml

        settings = yaml.safe_load((project_folder() / "dbt_project.yml").read_text())["vars"]
        default = parameters("default")
        assert settings["leaderboard_forecaster"] == default.forecaster
        assert settings["leaderboard_horizon_days"] == default.horizon_days

    def test_a_changed_model_has_another_version(self, tmp_path):
        schema = "models: [{name: mart_a}]"
        first = load_models(written(tmp_path / "1", schema=schema, mart_a="select 1 as x"))[0]
        second = load_models(written(tmp_path / "2", schema=schema, mart_a="select 2 as x"))[0]
        assert first.version != second.version

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"schema": "models: [{name: mart_a}]"}, "only one of both have mart_a"),
            ({"mart_a": "select 1", "schema": "models: []"}, "only one of both have mart_a"),
            ({"mart_a": "select * from {{ ref('mart_b') }}", "schema": "models: [{name: mart_a}]"}, "mart_b"),
            ({"mart_a": "select 1", "schema": "models: [{name: mart_a, data_tests: [unique]}]"}, "has no name"),
            (
                {"mart_a": "select 1", "schema": "models: [{name: mart_a, data_tests: [{unique: {name: b}}]}]"},
                "begins with mart_a_",
            ),
            ({"mart_a": "select 1", "schema": "models: [}"}, "is no YAML"),
        ],
    )
    def test_a_project_that_breaks_the_rules_is_refused(self, tmp_path, files, message):
        with pytest.raises(ConfigurationError, match=message):
            load_models(written(tmp_path, **files))

    def test_a_missing_project_is_said_to_be_missing(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DEFIYIELD_DBT_PROJECT", str(tmp_path))
        with pytest.raises(ConfigurationError, match="DEFIYIELD_DBT_PROJECT"):
            project_folder()


class TestAssets:
    def test_every_model_is_an_asset_of_the_group(self, assets):
        assert {key.to_user_string() for key in assets.keys} == {model.name for model in load_models()}
        assert set(assets.group_names_by_key.values()) == {"dbt"}
        assert assets.partitions_def is None

    def test_a_staging_model_follows_every_asset_that_writes_its_table(self, assets):
        assert assets.asset_deps[dg.AssetKey(["stg_pools"])] == {dg.AssetKey(["pools"])}
        assert assets.asset_deps[dg.AssetKey(["stg_portfolio_daily"])] == set(WRITERS["portfolio_daily"])

    def test_a_mart_follows_its_models(self, assets):
        expected = {dg.AssetKey([name]) for name in ("stg_portfolio_daily", "stg_allocation_transactions")}
        assert assets.asset_deps[dg.AssetKey(["mart_costs"])] == expected

    def test_every_test_is_a_check_and_blocks_unless_it_only_warns(self, assets):
        checks = {spec.key.to_user_string(): spec.blocking for spec in assets.check_specs}
        assert len(checks) == sum(len(model.tests) for model in load_models())
        assert checks["stg_portfolio_daily:identity"] is True
        assert checks["mart_exposures:sum_to_nav"] is True
        assert checks["mart_costs:follow_the_plan"] is False

    def test_a_table_without_a_writer_is_refused(self):
        some = {name: key for name, key in WRITERS.items() if name != "pool_groups"}
        with pytest.raises(ConfigurationError, match="writer of pool_groups"):
            build_dbt_assets(some)

    def test_definitions_load_without_dbt(self):
        code = (
            "import sys; from dagster import AssetKey; from defiyield_core.contracts import TABLES;"
            "from defiyield_dagster.assets.dbt import build_dbt_assets;"
            "build_dbt_assets({name: AssetKey([name]) for name in TABLES});"
            "print([name for name in sys.modules if name.split('.')[0] in ('dbt', 'dagster_dbt')])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestConnection:
    def test_a_duckdb_file_is_found_from_any_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert dbt_environment("duckdb:some/file.duckdb") == {
            "DEFIYIELD_DBT_TARGET": "duckdb",
            "DEFIYIELD_DBT_PATH": str(tmp_path / "some" / "file.duckdb"),
        }

    def test_a_postgres_url_is_taken_apart(self):
        url = "postgresql+psycopg2://desk:p%40ss@db.internal:6543/books?sslmode=require&options=-csearch_path%3Dyield"
        variables = dbt_environment(url)
        assert variables["DBT_ENV_SECRET_DEFIYIELD_PASSWORD"] == "p@ss"
        del variables["DBT_ENV_SECRET_DEFIYIELD_PASSWORD"]
        assert "p@ss" not in variables.values()
        assert variables["DEFIYIELD_DBT_HOST"] == "db.internal"
        assert variables["DEFIYIELD_DBT_PORT"] == "6543"
        assert variables["DEFIYIELD_DBT_USER"] == "desk"
        assert variables["DEFIYIELD_DBT_DATABASE"] == "books"
        assert variables["DEFIYIELD_DBT_SCHEMA"] == "yield"
        assert variables["DEFIYIELD_DBT_SSLMODE"] == "require"

    def test_a_socket_may_be_the_host(self):
        assert dbt_environment("postgresql://postgres:@/books?host=/run/pg")["DEFIYIELD_DBT_HOST"] == "/run/pg"

    @pytest.mark.parametrize("url", ["memory:", "mysql://host/books", "duckdb:"])
    def test_dbt_needs_a_database(self, url, tmp_path):
        with pytest.raises(ConfigurationError):
            run_dbt(url, "build", target_path=tmp_path)

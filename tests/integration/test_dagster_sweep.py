"""A sweep through Dagster: a run per partition, on several processes, with the results of the command line."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from defiyield_core.backtest.matrix import load_matrix
from defiyield_core.backtest.sweep import sweep
from defiyield_core.errors import ConfigurationError
from defiyield_core.settings import Settings
from defiyield_dagster.assets.sweeps import folder_of
from defiyield_dagster.instance import open_instance
from defiyield_dagster.sweep import build_sweep_defs, launch_part, launch_sweep, main

pytestmark = pytest.mark.slow
PORTFOLIO = "name: {name}\nwallet: {{USDC: 500000}}\npolicy: {policy}\noverrides: {{forecaster: ewma, min_pools: 3}}\n"
MATRIX = "name: two\nportfolios: [desk, equal_weight]\nstart: 2025-02-10\nend: 2025-02-28\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("DAGSTER_HOME", "DEFIYIELD_WAREHOUSE", "DEFIYIELD_SWEEPS"):
        monkeypatch.delenv(name, raising=False)
    portfolios = tmp_path / "portfolios"
    portfolios.mkdir()
    for name, policy in (("desk", "optimiser"), ("equal_weight", "equal_weight")):
        (portfolios / f"{name}.yaml").write_text(PORTFOLIO.format(name=name, policy=policy))
    environment = {"DEFIYIELD_HOME": str(tmp_path / "home"), "DEFIYIELD_PORTFOLIOS": str(portfolios)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DEFIYIELD_SOURCE", "simulated:6")
    return Settings.from_environment()


def test_runs_are_partitions_on_worker_processes_and_equal_the_command_line(settings: Settings, tmp_path: Path):
    path = tmp_path / "two.yaml"
    path.write_text(MATRIX)
    early = launch_part(settings, path, "two", "runs", "desk")
    assert not early.success and "materialise it first" in early.problems[0]
    ends = list(launch_sweep(settings, path, 2))
    assert (ends[0].name, ends[-1].name) == ("markets", "comparison")
    assert {end.name for end in ends[1:-1]} == {"desk", "equal_weight"} and not [end for end in ends if end.problems]
    assert not {end.process for end in ends[1:-1]} & {ends[0].process}

    matrix = load_matrix(path, settings.portfolios, settings.source)
    results, _ = sweep(settings, matrix, workers=1)
    assert [result.computed for result in results] == [False, False]
    again, _ = sweep(settings, matrix, workers=1, again=True)
    before = [result.scenario().daily for result in results]
    for one, other in zip(before, again, strict=True):
        pd.testing.assert_frame_equal(one, other.scenario().daily, check_exact=True)
    assert (folder_of(settings, matrix) / "comparison.html").is_file()

    with open_instance(settings) as instance:
        key = dg.AssetKey(["two", "runs"])
        assert set(instance.get_materialized_partitions(key)) == {"desk", "equal_weight"}
        event = instance.get_latest_materialization_event(key)
        assert event is not None and event.asset_materialization is not None
        told = event.asset_materialization.metadata
        assert {"net_apy", "fees_usd", "run_id", "nav"} <= set(told)
        assert str(told["nav"].value).startswith("![NAV of ")
        assert len({end.run_id for end in ends}) == 4


def test_runs_are_refused_when_the_portfolio_is_no_longer_what_the_markets_were_loaded_for(settings, tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(MATRIX.replace("[desk, equal_weight]", "[equal_weight]").replace("name: two", "name: one"))
    assert launch_part(settings, path, "one", "markets").success
    file = settings.portfolios / "equal_weight.yaml"
    file.write_text(file.read_text().replace("500000", "900000"))
    late = launch_part(settings, path, "one", "runs", "equal_weight")
    assert "materialise it again" in late.problems[0]
    assert launch_part(settings, path, "one", "markets").success
    assert launch_part(settings, path, "one", "runs", "equal_weight").success


def test_only_matrices_of_known_portfolios_are_in_the_code_location(settings: Settings, tmp_path: Path):
    assert not build_sweep_defs(settings).assets
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: wrong\nportfolios: [nobody]\n")
    with pytest.raises(ConfigurationError, match="nobody"):
        build_sweep_defs(settings, [wrong])
    shipped = build_sweep_defs(Settings.from_environment({}, source="simulated"))
    keys = shipped.resolve_asset_graph().get_all_asset_keys()
    assert dg.AssetKey(["limits_and_costs", "runs"]) in keys and dg.AssetKey(["scenarios", "comparison"]) in keys


def test_wrong_arguments_are_refused_in_a_line(settings: Settings, capsys: pytest.CaptureFixture[str]):
    for arguments in ([], ["scenarios", "two"], ["nothing"], ["a", "1", "b"]):
        assert main(arguments) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1

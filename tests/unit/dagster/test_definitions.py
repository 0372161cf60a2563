"""The graph that Dagster shows."""

from __future__ import annotations

import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import dagster as dg
import pytest

from defiyield_core.errors import ConfigurationError
from defiyield_core.pipeline.registry import STEPS
from defiyield_core.settings import Settings
from defiyield_dagster.build import build_defs
from defiyield_dagster.jobs import DAILY_JOB
from defiyield_dagster.profiles import PROFILES, profile_from_environment

SNAPSHOT = Path(__file__).parent / "graph.txt"
UPDATE = "DEFIYIELD_UPDATE_SNAPSHOTS"


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_defs(PROFILES["test"], settings=Settings.from_environment({}))


def graph_text(defs: dg.Definitions) -> str:
    """One line per asset: key, group, partitions, what it depends on, its checks."""
    graph = defs.resolve_asset_graph()
    lines = []
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        deps = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys)) or "-"
        days = "daily" if node.partitions_def else "once"
        checks = ", ".join(sorted(check.name for check in node.check_keys)) or "-"
        lines.append(f"{key.to_user_string()} [{node.group_name}, {days}] <- {deps} | checks: {checks}")
    return "\n".join(lines) + "\n"


def test_the_graph_is_the_committed_one(defs: dg.Definitions) -> None:
    """A change of a key, a dependency, a group or the partitions shows in review.

    DEFIYIELD_UPDATE_SNAPSHOTS=1 writes the file again.
    """
    found = graph_text(defs)
    if os.environ.get(UPDATE):
        SNAPSHOT.write_text(found)
    assert found == SNAPSHOT.read_text(), f"the asset graph changed: run with {UPDATE}=1 if it should have"


def test_everything_that_is_defined_can_be_loaded(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_groups_follow_one_another_without_a_circle(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    follows: dict[str, set[str]] = {}
    for key in graph.get_all_asset_keys():
        group = graph.get(key).group_name
        parents = {graph.get(parent).group_name for parent in graph.get(key).parent_keys}
        follows.setdefault(group, set()).update(parents - {group})
    order = list(TopologicalSorter(follows).static_order())
    flow = [
        group for group in order if group in ("lists", "raw", "universe", "forecasts", "eligibility", "live", "dbt")
    ]
    assert order.index("lists") < order.index("raw") < order.index("forecasts") < order.index("eligibility")
    assert flow[-1] == "dbt" and order.index("eligibility") < order.index("live")


def test_every_step_is_an_asset_with_owner_kinds_version_and_columns(defs: dg.Definitions) -> None:
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    for step in STEPS:
        spec = specs[step.name]
        assert spec.owners == ["team:treasury"]
        assert spec.kinds == {"python", "duckdb"}
        assert spec.code_version == step.version and spec.description == step.doc
        assert spec.freshness_policy is not None
        assert spec.metadata["dagster/table_name"] == step.writes[0]


def test_only_a_portfolios_state_depends_on_its_own_yesterday(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    own = [key.to_user_string() for key in graph.get_all_asset_keys() if key in graph.get(key).parent_keys]
    assert own and all(name.endswith("/state") for name in own)
    node = graph.get(dg.AssetKey(["live", "state"]))
    mapping = node.partition_mappings[dg.AssetKey(["live", "state"])]
    assert (mapping.start_offset, mapping.end_offset) == (-1, -1)
    assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_all_partitioned_assets_share_one_partitions_object(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    distinct = {graph.get(key).partitions_def for key in graph.get_all_asset_keys()} - {None}
    assert len(distinct) == 1
    assert len(distinct.pop().get_partition_keys()) == 120


def test_the_daily_job_has_the_market_and_the_live_portfolio_only(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    job = defs.resolve_job_def(DAILY_JOB)
    groups = {graph.get(key).group_name for key in job.asset_layer.selected_asset_keys}
    assert groups == {"raw", "lists", "universe", "forecasts", "eligibility", "live", "dbt"}


def test_blocking_checks_are_errors_and_there_are_few(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    by_step = {step.name: graph.get(dg.AssetKey(step.name)).check_keys for step in STEPS}
    assert all(len(checks) <= 2 for checks in by_step.values())
    for step in STEPS:
        assert dg.AssetCheckKey(dg.AssetKey(step.name), "contract") in by_step[step.name]


def test_a_portfolio_may_not_be_called_like_a_group(tmp_path: Path) -> None:
    (tmp_path / "raw.yaml").write_text("name: raw\nwallet: {USDC: 1}\n")
    settings = Settings("simulated", "memory:", tmp_path, tmp_path)
    with pytest.raises(ConfigurationError, match="'raw' is called like a group"):
        build_defs(PROFILES["test"], settings=settings)


def test_a_portfolio_that_insists_on_another_source_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nwallet: {USDC: 1}\nsource: simulated:8\n")
    (tmp_path / "b.yaml").write_text("name: b\nwallet: {USDC: 1}\n")
    defs = build_defs(PROFILES["test"], settings=Settings("simulated", "memory:", tmp_path, tmp_path))
    groups = {node.group_name for node in defs.resolve_asset_graph().asset_nodes}
    assert "b" in groups and "a" not in groups


def test_production_automates_and_retries_and_an_unknown_profile_is_refused() -> None:
    prod = build_defs(PROFILES["prod"], settings=Settings.from_environment({}))
    repository = prod.get_repository_def()
    assert all(schedule.default_status.value == "RUNNING" for schedule in repository.schedule_defs)
    assert all(sensor.default_status.value == "RUNNING" for sensor in repository.sensor_defs)
    ingest = repository.assets_defs_by_key[dg.AssetKey("raw_pools")]
    assert ingest.op.retry_policy is not None and ingest.op.retry_policy.max_retries == 3
    with pytest.raises(ConfigurationError, match="no profile: use dev, test, prod"):
        profile_from_environment({"DEFIYIELD_PROFILE": "production"})


def test_loading_the_definitions_takes_less_than_four_seconds_of_work_and_no_heavy_library() -> None:
    code = (
        "import resource, sys; import defiyield_dagster.definitions; "
        "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime); "
        "print([m for m in ('dbt', 'cvxpy', 'ortools', 'xgboost', 'lightgbm', 'skforecast') "
        "if m in sys.modules])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DEFIYIELD_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    seconds, heavy = done.stdout.splitlines()
    assert float(seconds) < 4.0
    assert heavy == "[]"
    assert "Warning" not in done.stderr

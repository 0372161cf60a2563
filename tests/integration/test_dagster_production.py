"""What production is configured with: Dagster's storage on Postgres, and files that at least parse."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from defiyield_dagster.launch import launch_range
from tests.unit.dagster.deployment import MARKET, deploy

INFRA = Path(__file__).parents[2] / "infra"


def test_runs_are_remembered_by_postgres_as_production_configures_it(
    new_postgres_url: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_postgres_url().replace("postgresql://", "postgresql+psycopg2://")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "500")
    home = tmp_path / "dagster"
    home.mkdir()
    config = yaml.safe_load((INFRA / "dagster.yaml").read_text())
    del config["compute_logs"]  # a bucket, which there is none of here
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    deployment = deploy(tmp_path / "data", monkeypatch, days=2)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert "postgres" in type(instance.event_log_storage).__module__
        launched = launch_range(deployment.defs, MARKET, deployment.days, instance, log_level="CRITICAL")
        assert launched.success, launched.problems
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert len(instance.get_materialized_partitions(dg.AssetKey("eligible_pools"))) == 2


def test_the_production_instance_is_a_valid_configuration(tmp_path: Path) -> None:
    shutil.copy(INFRA / "dagster.yaml", tmp_path)
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["telemetry"] == {"enabled": False}
    assert config["storage"]["postgres"]["postgres_url"] == {"env": "DAGSTER_POSTGRES_URL"}
    assert config["concurrency"]["runs"]["max_concurrent_runs"] == 1


def test_the_image_copies_only_what_there_is() -> None:
    root = INFRA.parent
    for line in (INFRA / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            for source in line.split()[1:-1]:
                assert (root / source).exists(), line


def test_no_secret_stands_in_the_infrastructure() -> None:
    for file in INFRA.rglob("*.tf"):
        for value in re.findall(r"(?:password|secret_data|token)\s*=\s*(\S+)", file.read_text()):
            assert value.startswith(("random_password.", "local.", "google_")), f"{file.name}: {value}"


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_terraform_files_are_formatted_and_parse() -> None:
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull}
    command = ["terraform", f"-chdir={INFRA / 'terraform'}", "fmt", "-check", "-diff", "-no-color"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr

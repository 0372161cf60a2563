"""Sensors tell people: a real HTTP server hears what a failed run and a failed check say."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest

from defiyield_dagster.assets.reports import tear_sheet_path
from defiyield_dagster.launch import launch_range
from defiyield_dagster.profiles import PROFILES
from defiyield_dagster.resources import DeploymentResource
from defiyield_dagster.sensors import QUIET_TAG, build_sensors
from tests.unit.dagster.deployment import BOOKS, deploy


class Heard(list[str]):
    """What arrived at the webhook, and what it answers with."""

    status = 200


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    messages = Heard()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append(json.dumps(json.loads(body), ensure_ascii=False))
            self.send_response(messages.status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("DEFIYIELD_SLACK_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook")
    yield messages
    server.shutdown()
    server.server_close()
    thread.join()


def a_run(*, fails: bool, check_passes: bool, instance: dg.DagsterInstance, **tags: str) -> dg.ExecuteInProcessResult:
    """A run of one asset with one warning check."""

    @dg.asset
    def pools() -> None:
        if fails:
            raise ValueError("the source answered 502")

    @dg.asset_check(asset=pools)
    def plausible() -> dg.AssetCheckResult:
        severity = dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(passed=check_passes, severity=severity, description="4 pools after a median of 90")

    job = dg.Definitions(assets=[pools], asset_checks=[plausible]).resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return job.execute_in_process(instance=instance, raise_on_error=False, tags=tags, run_config=quiet)


def tell(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> None:
    """What the daemon does with a finished run: hand its last event to the sensor of its status."""
    failed_run_alert, failed_check_alert = build_sensors(PROFILES["test"])
    event = result.get_run_failure_event() if not result.success else result.get_run_success_event()
    context = dg.build_run_status_sensor_context(
        sensor_name="alert",
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        resources={"deployment": DeploymentResource()},
    )
    if result.success:
        failed_check_alert(context)
    else:
        failed_run_alert(context.for_run_failure())


def test_a_failed_run_is_told_with_the_reason(heard: Heard) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        tell(a_run(fails=True, check_passes=True, instance=instance), instance)
    (message,) = heard
    assert "A run failed" in message and "the source answered 502" in message


def test_a_failed_check_is_told_although_the_run_succeeded(heard: Heard) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        tell(a_run(fails=False, check_passes=False, instance=instance), instance)
    (message,) = heard
    assert "pools plausible: 4 pools after a median of 90" in message


def test_a_good_run_and_a_quiet_one_are_told_to_nobody(heard: Heard) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        tell(a_run(fails=False, check_passes=True, instance=instance), instance)
        tell(a_run(fails=True, check_passes=True, instance=instance, **{QUIET_TAG: "yes"}), instance)
    assert not heard


@pytest.mark.parametrize("status", [200, 500])
def test_the_daily_report_is_sent_for_the_treasury_only_and_a_dead_webhook_fails_no_run(
    status: int, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard.status = status
    monkeypatch.setattr("defiyield_core.notify.notifiers.SlackNotifier.retry_seconds", 0.0)
    deployment = deploy(tmp_path, monkeypatch, days=1)
    with dg.DagsterInstance.ephemeral() as instance:
        selection = BOOKS | dg.AssetSelection.groups("live", "hold")
        launched = launch_range(deployment.defs, selection, deployment.days, instance, log_level="CRITICAL")
        assert launched.success, launched.problems
        event = instance.get_latest_materialization_event(dg.AssetKey(["live", "report"]))
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.metadata["message_sent"].value is (status == 200)
    assert len(heard) == (1 if status == 200 else 2) and "live · " in heard[0]
    for name in ("live", "hold"):
        assert "<html" in tear_sheet_path(tmp_path, name).read_text()

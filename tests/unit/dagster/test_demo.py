"""What a person types: the demo and the UI."""

import json
import socket
from pathlib import Path

import pytest

from defiyield_core.errors import ConfigurationError
from defiyield_core.settings import Settings
from defiyield_dagster import demo, last_demo, ui
from defiyield_dagster.instance import dagster_home, local_config, prepare_home


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEFIYIELD_SOURCE", "DEFIYIELD_WAREHOUSE", "DEFIYIELD_UI_PORT", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEFIYIELD_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nonsense", "demo: source 'nonsense' is not understood"),
        ("recorded:/no/such/folder", "demo: the recorded folder /no/such/folder does not exist"),
        ("simulated:x", "demo: the seed 'x' of source 'simulated:x' is not a whole number"),
        ("live", "demo: the demo replays a market that has an end"),
    ],
)
def test_a_wrong_source_is_one_clear_line(
    source: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEFIYIELD_SOURCE", source)
    assert demo.main() == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(said) and printed.err.count("\n") == 1 and not printed.out


def test_a_market_too_short_for_a_decision_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEFIYIELD_SIMULATED_DAYS", "20")
    assert demo.main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_two_markets_do_not_mix_in_one_warehouse(tmp_path: Path) -> None:
    settings = Settings.from_environment(source="simulated:7")
    last_demo.remember(settings, "simulated:7")
    Path(settings.warehouse.removeprefix("duckdb:")).touch()
    last_demo.remember(settings, "simulated:7")
    with pytest.raises(ConfigurationError, match="holds simulated:7, and two markets must not mix"):
        last_demo.remember(Settings.from_environment(source="simulated:8"), "simulated:8")


def test_the_ui_opens_what_the_last_demo_filled_unless_a_source_is_set(tmp_path: Path) -> None:
    assert last_demo.settings_of_last({"DEFIYIELD_HOME": str(tmp_path)}).source == "simulated"
    recorded = Settings.from_environment(source="recorded:/data")
    last_demo.remember(recorded, "recorded:/data")
    again = last_demo.settings_of_last({"DEFIYIELD_HOME": str(tmp_path)})
    assert (again.source, again.warehouse) == ("recorded:/data", recorded.warehouse)
    chosen = last_demo.settings_of_last({"DEFIYIELD_HOME": str(tmp_path), "DEFIYIELD_SOURCE": "simulated:3"})
    assert chosen.source == "simulated:3"


def test_no_password_is_written_down(tmp_path: Path) -> None:
    settings = Settings.from_environment({"DEFIYIELD_HOME": str(tmp_path)}, warehouse="postgresql://me:secret@host/db")
    last_demo.remember(settings, "simulated:7")
    assert "secret" not in (tmp_path / "demo.json").read_text()
    assert json.loads((tmp_path / "demo.json").read_text())["source_of"] == {"host/db": "simulated:7"}


def test_markets_of_different_kinds_have_different_dagster_homes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    simulated = dagster_home(Settings.from_environment(source="simulated"))
    assert simulated != dagster_home(Settings.from_environment(source="recorded:/data"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "mine"))
    assert dagster_home(Settings.from_environment()) == tmp_path / "mine"


def test_the_development_instance_sends_nothing_anywhere_and_keeps_an_edited_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "mine"))
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    config = local_config(tmp_path)
    assert config["telemetry"] == {"enabled": False} and config["nux"] == {"enabled": False}
    home = prepare_home(Settings.from_environment())
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    prepare_home(Settings.from_environment())
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_a_port_that_is_taken_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as listener:
        listener.bind((ui.HOST, 0))
        listener.listen()
        monkeypatch.setenv("DEFIYIELD_UI_PORT", str(listener.getsockname()[1]))
        assert ui.main() == 2
    assert "listens on 127.0.0.1" in capsys.readouterr().err


def test_the_ui_listens_on_this_machine_only() -> None:
    arguments = ui.command(3000)
    assert arguments[arguments.index("-h") + 1] == "127.0.0.1"

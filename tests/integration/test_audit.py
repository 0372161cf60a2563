"""`defiyield audit` over simulated and recorded history."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from defiyield_core.commands import audit
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.registry import FORECASTERS, find_forecaster
from defiyield_core.settings import Settings
from tests.unit.audit.small import Peeking

SIMULATED = "simulated:11"
DAYS = ("--start", "2025-02-05", "--end", "2025-02-22", "--cuts", "1")


def command(home: Path, source: str, *words: str) -> int:
    """Run it as the command line does."""
    parser = argparse.ArgumentParser()
    audit.register(parser.add_subparsers())
    arguments = parser.parse_args(["audit", "baseline", *words])
    settings = Settings.from_environment({"DEFIYIELD_HOME": str(home)}, source=source)
    return int(arguments.handler(arguments, settings))


def test_an_honest_portfolio_passes_and_leaves_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    only = ("--only", "truncation", "--only", "stale_3d", "--set", "forecaster=ewma")
    assert command(tmp_path / "home", SIMULATED, *DAYS, *only, "--out", str(out)) == 0
    printed = capsys.readouterr()
    assert "No look-ahead was found: 1 look-ahead trial, all passed." in printed.out
    assert "stale_3d" in printed.out and "points" in printed.out
    assert "1/2  truncation" in printed.err and "2/2  stale_3d" in printed.err
    assert sorted(path.name for path in out.iterdir()) == ["audit.csv", "audit.html", "audit.json", "timings.json"]
    content = json.loads((out / "audit.json").read_text())
    assert (content["passed"], content["start"], content["end"]) == (True, "2025-02-05", "2025-02-22")


def test_a_portfolio_that_looks_ahead_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find_forecaster.cache_clear()
    monkeypatch.setitem(FORECASTERS, "peeking", lambda: Peeking(2))
    words = ("--only", "scrambling", "--set", "forecaster=peeking")
    assert command(tmp_path, SIMULATED, *DAYS, *words) == 1
    printed = capsys.readouterr().out
    assert "LOOK-AHEAD: 1 of 1 look-ahead trial did not pass." in printed
    assert "Decisions depend on later data" in printed
    find_forecaster.cache_clear()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "luck"), "there is no such trial"),
        (("--cuts", "0"), "at least 1 cut"),
        (("--start", "2025-02-30"), "not a day"),
        (("--set", "forecaster"), "expected KEY=VALUE"),
    ],
)
def test_bad_words_are_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        command(tmp_path, SIMULATED, *DAYS, *words)


@pytest.mark.recorded
@pytest.mark.slow
def test_recorded_decisions_do_not_look_ahead(tmp_path: Path, recorded_dir: Path) -> None:
    days = ("--start", "2024-07-10", "--end", "2024-08-20", "--cuts", "1", "--set", "forecaster=ewma")
    assert command(tmp_path, f"recorded:{recorded_dir}", *days, "--only", "truncation") == 0

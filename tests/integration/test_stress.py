"""`defiyield stress` on a short simulated market."""

from __future__ import annotations

import argparse
import json

import pytest

from defiyield_core.commands import stress
from defiyield_core.errors import ConfigurationError
from defiyield_core.settings import Settings
from defiyield_core.stress.plan import WORDS

CHEAP = ["baseline", "--set", "forecaster=ewma", "--workers", "1"]


def run(*words: str) -> int:
    """The command alone: other commands of the program are none of its business."""
    parser = argparse.ArgumentParser()
    stress.register(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["stress", *words])
    return int(arguments.handler(arguments, Settings.from_environment({}, source="simulated:11")))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setenv("DEFIYIELD_SIMULATED_DAYS", "50")


def test_the_command_reports_the_worst_loss_and_writes_everything(tmp_path, capsys):
    assert run(*CHEAP, "--cases", "4", "--out", str(tmp_path)) == 0
    said = capsys.readouterr()
    summary = json.loads((tmp_path / "summary.json").read_text())
    worst = summary["worst"][0]
    assert summary["cases"] == 4
    assert f"Worst loss: ${worst['loss_usd']:,.0f}" in said.out
    assert worst["name"] in said.out
    assert "4 cases in" in said.out
    assert "[####################] 4/4" in said.err
    assert (tmp_path / "stress.html").stat().st_size > 10_000


def test_a_later_start_shorter_range_and_one_kind(capsys):
    assert run(*CHEAP, "--start", "2025-02-10", "--end", "2025-02-14", "--cases", "1", "--only", "depeg") == 0
    said = capsys.readouterr().out
    assert "2025-02-10 to 2025-02-14, 1 case" in said
    assert "gas x" not in said


def test_the_help_names_every_kind():
    assert ", ".join(WORDS) == stress.KINDS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody"], "no portfolio 'nobody'"),
        (["baseline", "--only", "luck"], "no kind of case 'luck'"),
        (["baseline", "--cases", "0"], "0 cases"),
        (["baseline", "--workers", "0"], "0 workers"),
        (["baseline", "--seed", "-1"], "seed"),
        (["baseline", "--end", "2031-01-01"], "after the last day"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(words, said):
    with pytest.raises(ConfigurationError, match=said):
        run(*words)

"""`defiyield allocate` as another program uses it: JSON in, JSON alone out, an exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from defiyield_core.allocation.example import EXAMPLE
from defiyield_core.allocation.file_models import DecisionOut
from defiyield_core.allocation.json_schemas import decision_schema, problem_schema
from defiyield_core.allocation.problem_file import problem_json
from defiyield_core.cli import main
from tests.unit.allocation.random_problems import Shape, random_problem


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEFIYIELD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DEFIYIELD_PORTFOLIOS", raising=False)
    return tmp_path


def run(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "defiyield_core.cli", "allocate", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


def allocate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["allocate", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_the_printed_example_solves_from_standard_input() -> None:
    example = run("--example")
    done = run("-", given=example.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    answer = DecisionOut.model_validate(json.loads(done.stdout))
    assert answer.status == "optimal" and answer.gap_bps is not None and answer.gap_bps <= 1e-4
    assert answer.gain_over_hold_usd is not None and answer.gain_over_hold_usd > 1_000


def test_the_committed_example_and_the_answer_in_the_page_are_real(capsys: pytest.CaptureFixture[str]) -> None:
    docs = Path(__file__).parents[2] / "docs"
    code, answer = allocate(capsys, str(docs / "problem.example.json"))
    assert code == 0
    shown = json.loads((docs / "allocate.md").read_text().split("```json\n")[2].split("```")[0])
    assert shown["objective_usd"] == round(answer["objective_usd"], 4)
    assert [row["to"] for row in shown["transactions"]] == [row["to"] for row in answer["transactions"]]


def test_the_printed_schemas_are_the_documented_ones(capsys: pytest.CaptureFixture[str]) -> None:
    docs = Path(__file__).parents[2] / "docs"
    for option, schema, name in (
        ("--schema", problem_schema(), "problem.schema.json"),
        ("--output-schema", decision_schema(), "decision.schema.json"),
    ):
        code, printed = allocate(capsys, option)
        assert code == 0
        assert printed == schema == json.loads((docs / name).read_text())


def test_parameters_and_engine_can_be_overridden(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "problem.json"
    path.write_text(json.dumps(EXAMPLE))
    _, plain = allocate(capsys, str(path))
    code, shorter = allocate(capsys, str(path), "--set", "horizon_days=1", "--set", "min_pools=1")
    assert code == 0 and shorter["objective_usd"] < plain["objective_usd"]
    code, other = allocate(capsys, str(path), "--engine", "cvxpy")
    assert (code, other["engine"]) == (0, "cvxpy")
    assert other["objective_usd"] == pytest.approx(plain["objective_usd"], abs=0.02)


def test_a_problem_without_a_plan_is_held_and_the_exit_code_says_so(home: Path) -> None:
    path = home / "problem.json"
    poor = EXAMPLE | {"wallet": {"USDC": 60.0}, "positions": [], "parameters": {"min_pools": 5}}
    path.write_text(json.dumps(poor))
    done = run(str(path))
    answer = DecisionOut.model_validate(json.loads(done.stdout))
    assert (done.returncode, answer.status, answer.wallet["USDC"]) == (1, "infeasible", 60)
    assert answer.reason in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_problem_that_takes_too_long_is_held_and_the_exit_code_says_so(home: Path) -> None:
    path = home / "problem.json"
    given = random_problem(0, Shape(pools=300, tokens=8, held_share=0.5), time_limit_seconds=1e-3)
    path.write_text(json.dumps(problem_json(given)))
    done = run(str(path))
    answer = DecisionOut.model_validate(json.loads(done.stdout))
    assert (done.returncode, answer.status) == (1, "timeout")
    assert "0.001 s" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(EXAMPLE | {"wallet": {"USDC": -1}}), "wallet.USDC"),
        (json.dumps(EXAMPLE | {"wallet": {"USDC": float("nan")}}), "wallet.USDC"),
        (json.dumps(EXAMPLE | {"surprise": 1}), "surprise"),
        ('{"wallet": {}, "wallet": {}}', "wallet: the key stands there twice"),
        ("", "standard input: is empty"),
        ("[" * 50_000, "nested too deeply"),
    ],
)
def test_bad_input_is_one_line_on_standard_error_and_nothing_else(text: str, words: str) -> None:
    done = run("-", given=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a PROBLEM.json"),
        (["PATH", "--set", "horizon_days=0"], "parameters.horizon_days"),
        (["PATH", "--set", "horizon_days=NaN"], "parameters.horizon_days"),
        (["PATH", "--set", "nonsense"], "KEY=VALUE"),
        (["PATH", "--set", "nonsense=1"], "parameters.nonsense"),
        (["PATH", "--engine", "magic"], "magic"),
        (["--schema", "--example"], "not allowed with"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    path = home / "problem.json"
    path.write_text(json.dumps(EXAMPLE))
    try:
        code = main(["allocate", *(str(path) if word == "PATH" else word for word in arguments)])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert words in printed.err and len(printed.err.splitlines()) == 1

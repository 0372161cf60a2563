"""The reference of `defiyield allocate`: generated, complete, and true of what the code reads and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from defiyield_core.allocation import solve
from defiyield_core.allocation.decision_file import decision_json
from defiyield_core.allocation.example import EXAMPLE
from defiyield_core.allocation.file_models import DecisionOut, ProblemIn
from defiyield_core.allocation.json_schemas import (
    PARAMETER_MEANINGS,
    decision_schema,
    parameter_properties,
    problem_schema,
)
from defiyield_core.allocation.problem_file import problem_from_json, problem_json
from defiyield_core.allocation.schema import ROOT, compact, main, page
from defiyield_core.parameters import Parameters
from tests.unit.allocation.random_problems import Shape, random_problem


def test_the_committed_files_are_not_stale(capsys: pytest.CaptureFixture[str]) -> None:
    assert (main(["--check"]), capsys.readouterr().out) == (0, "")


def test_the_check_names_stale_files_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out.count("run `make docs`") == 4
    assert list(tmp_path.iterdir()) == []
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0
    (tmp_path / "docs" / "allocate.md").write_text("edited")
    capsys.readouterr()
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "docs/allocate.md does not follow from the models: run `make docs`\n"


def test_make_docs_writes_them() -> None:
    assert "python -m defiyield_core.allocation.schema" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", ["status", "objective_usd", "transactions"])
def test_a_real_answer_fits_the_model_and_one_without_a_field_does_not(name: str) -> None:
    problem = problem_from_json(EXAMPLE)
    answer = json.loads(json.dumps(decision_json(problem, solve(problem)), allow_nan=False))
    read = DecisionOut.model_validate(answer)
    assert read.model_dump(mode="json", by_alias=True) == answer
    del answer[name]
    with pytest.raises(ValidationError, match=name):
        DecisionOut.model_validate(answer)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rules", [{}, {"time_limit_seconds": 1e-9}, {"min_pools": 20, "min_position_pct": 0.2}])
def test_answers_of_every_status_fit_the_model(seed: int, rules: dict[str, Any]) -> None:
    problem = random_problem(seed, Shape(pools=20, tokens=4, held_share=0.4), **rules)
    answer = decision_json(problem, solve(problem))
    read = DecisionOut.model_validate(json.loads(json.dumps(answer, allow_nan=False)))
    assert (read.bound_usd is None) == (read.status != "optimal") == bool(read.reason)
    assert read.model_dump(mode="json", by_alias=True) == answer


def test_the_schemas_name_every_field_of_the_models_and_of_real_files() -> None:
    given = problem_json(problem_from_json(EXAMPLE))
    assert set(problem_schema()["properties"]) == set(ProblemIn.model_fields) == set(given) == set(EXAMPLE)
    assert set(problem_schema()["properties"]["parameters"]["properties"]) >= set(given["parameters"])
    assert set(decision_schema()["required"]) == set(decision_schema()["properties"])
    row = decision_schema()["$defs"]["TransactionOut"]
    assert {"from", "to"} <= set(row["properties"])
    for schema in (problem_schema(), decision_schema()):
        assert json.loads(json.dumps(schema)) == schema
        parts = [schema, *schema["$defs"].values()]
        assert all(field["description"] for part in parts for field in part["properties"].values())


def test_the_defaults_of_the_schema_are_those_of_an_empty_file() -> None:
    rules = problem_from_json({**EXAMPLE, "parameters": {}}).parameters.model_dump()
    listed = {name: field["default"] for name, field in parameter_properties().items() if "default" in field}
    assert listed == rules


def test_every_parameter_that_has_a_meaning_exists() -> None:
    assert set(PARAMETER_MEANINGS) < set(Parameters.model_fields)


@pytest.mark.parametrize("name", sorted(set(Parameters.model_fields) - set(PARAMETER_MEANINGS)))
def test_a_parameter_said_to_have_no_effect_has_none(name: str) -> None:
    field = parameter_properties()[name]
    default = field["default"]
    choices = [value for option in (field, *field.get("anyOf", ())) for value in option.get("enum", ())]
    if isinstance(default, bool):
        changed: object = not default
    elif isinstance(default, str):
        changed = next((choice for choice in choices if choice != default), "other")
    else:
        changed = default + 1 if isinstance(default, int) else min(default * 0.9 + 1e-3, 1.0)
    problem, other = (
        problem_from_json(EXAMPLE),
        problem_from_json({**EXAMPLE, "parameters": {**EXAMPLE["parameters"], name: changed}}),
    )
    assert getattr(other.parameters, name) != getattr(problem.parameters, name)
    assert solve(other).transactions == solve(problem).transactions


def test_the_page_has_a_row_for_every_field_and_parameter() -> None:
    text = page()
    for name in (*ProblemIn.model_fields, *DecisionOut.model_fields, *PARAMETER_MEANINGS):
        assert f"\n| `{name}` |" in text
    for name in ("pools[].rate_curve.kink", "positions[].amount", "gas_usd.deposit", "transactions[].from"):
        assert f"\n| `{name}` |" in text
    assert all(f"`{name}`" in text for name in Parameters.model_fields)


def test_the_example_shows_every_kind_of_field_and_every_kind_of_move() -> None:
    problem = problem_from_json(json.loads(compact(EXAMPLE)))
    decision = solve(problem)
    assert decision.status == "optimal" and decision.gain_over_hold_usd > 0
    assert {row.type for row in decision.transactions} >= {"WITHDRAWAL", "CONVERSION", "ALLOCATION"}
    assert all(EXAMPLE.values()) and problem.rate_curves and problem.must_exit.any()

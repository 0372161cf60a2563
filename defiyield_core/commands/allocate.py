"""`defiyield allocate PROBLEM.json`: one problem in, one decision out; standard output is the JSON alone."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from defiyield_core.settings import Settings


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("allocate", help="solve one allocation problem from a JSON file")
    parser.add_argument("problem", type=Path, help="PROBLEM.json, or - for standard input")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Solve and print; exit code 1 when there is no optimal decision."""
    from defiyield_core.allocation.engine import solve
    from defiyield_core.allocation.problem_file import decision_json, load_problem

    problem = load_problem(arguments.problem)
    decision = solve(problem)
    print(json.dumps(decision_json(problem, decision), indent=2))
    return 0 if decision.status == "optimal" else 1

"""`defiyield allocate PROBLEM.json`: one problem in, one decision out; standard output is the JSON alone."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, get_args

from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import Parameters
from defiyield_core.settings import Settings


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "allocate",
        help="solve one allocation problem from a JSON file",
        description="Solves one allocation problem. Exit code: 0 optimal, 1 not (the decision holds), 2 refused.",
    )
    parser.add_argument("problem", nargs="?", help="PROBLEM.json, or - for standard input")
    parser.add_argument("--engine", choices=get_args(Parameters.model_fields["engine"].annotation), help="who solves")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter (may be repeated)"
    )
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument("--example", action="store_true", help="print a problem to begin with")
    printed.add_argument("--schema", action="store_true", help="print the JSON schema of a problem")
    printed.add_argument("--output-schema", action="store_true", help="print the JSON schema of the answer")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Solve and print; exit code 1 when there is no optimal decision.

    Raises:
        ConfigurationError: nothing to solve was named, or an override is malformed.
    """
    from defiyield_core.allocation.decision_file import decision_json
    from defiyield_core.allocation.engine import solve
    from defiyield_core.allocation.problem_file import load_problem

    if arguments.example or arguments.schema or arguments.output_schema:
        _print_reference(arguments)
        return 0
    if arguments.problem is None:
        raise ConfigurationError("name a PROBLEM.json, or - for standard input (--example prints one)")
    problem = load_problem(arguments.problem, _overrides(arguments))
    decision = solve(problem)
    print(json.dumps(decision_json(problem, decision), indent=2, allow_nan=False))
    if decision.status != "optimal":
        print(f"defiyield allocate: {decision.status}: {decision.reason}", file=sys.stderr)
        return 1
    return 0


def _print_reference(arguments: argparse.Namespace) -> None:
    from defiyield_core.allocation.example import EXAMPLE
    from defiyield_core.allocation.json_schemas import decision_schema, problem_schema

    content = EXAMPLE if arguments.example else problem_schema() if arguments.schema else decision_schema()
    print(json.dumps(content, indent=2))


def _overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Parameters given on the command line; `--engine` wins over `--set engine=`."""
    changed: dict[str, Any] = {}
    if arguments.set:
        from defiyield_core.commands.backtest import overrides

        changed = overrides(arguments.set)
    return {**changed, "engine": arguments.engine} if arguments.engine else changed

"""`defiyield replay RUN_ID`: a stored problem decided again, and compared with what was stored, to the cent."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defiyield_core.commands.decisions import StoredDecision, find_decision
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import Parameters, parameters
from defiyield_core.settings import Settings
from defiyield_core.warehouse.opening import open_warehouse

if TYPE_CHECKING:
    from defiyield_core.allocation.problem import AllocationProblem

SNAPSHOTS = ("approved_tokens", "blacklisted_tokens", "approved_protocols", "icebox_tokens")


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "replay",
        help="decide a stored problem again and compare",
        description="Decides a stored problem again. Exit code: 0 the same to the cent, 1 not, 2 refused.",
    )
    parser.add_argument("run_id", help="id of the decision, or its beginning")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the problem for `defiyield allocate FILE`")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Decide again and print; exit code 1 when something differs."""
    from defiyield_core.policies.registry import policy_for
    from defiyield_core.portfolio.repeat import changed_lists, compare

    warehouse = open_warehouse(settings.warehouse)
    stored = find_decision(warehouse, arguments.run_id)
    problem = stored.problem(warehouse)
    rules = _parameters(stored)
    name = str(stored.row["policy"])
    by = f"policy {name}" + (f", engine {stored.row['engine']}" if stored.row["engine"] else "")
    print(f"{stored.portfolio}, {stored.day}, run id {stored.run_id}: {by}")
    options = json.loads(stored.row["policy_options"])
    if arguments.out:
        _write(problem, arguments.out)
        print(f"wrote {arguments.out}" + _written_remark(name))
    decision = policy_for(name, rules, options).decide(problem)
    plan, closing = (stored.rows(warehouse, table) for table in ("allocation_transactions", "asset_allocations"))
    result = compare(problem, decision, stored.row, rules, plan, closing)
    snapshots = {column: stored.snapshot(column) for column in SNAPSHOTS}
    for note in changed_lists(warehouse, stored.row, snapshots):
        print(f"note: {note}")
    if result.differences:
        print(f"replayed: {len(result.differences)} differences")
        for difference in result.differences:
            print(f"  {difference}")
        return 1
    exactly = "in every digit" if result.largest_usd == 0 else f"largest deviation {result.largest_usd:.1e} USD"
    print(f"replayed: {len(decision.transactions)} transactions, the same to the cent ({exactly})")
    return 0


def _parameters(stored: StoredDecision) -> Parameters:
    """The decision's parameters; names that came later have their default."""
    return parameters("seed", json.loads(stored.row["parameters"]))


def _write(problem: AllocationProblem, path: Path) -> None:
    from defiyield_core.allocation.problem_file import problem_json

    try:
        path.write_text(json.dumps(problem_json(problem), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--out {path}: cannot be written ({error.strerror})") from None


def _written_remark(policy: str) -> str:
    return "" if policy == "optimiser" else f" (`defiyield allocate` solves it exactly, which {policy} does not)"

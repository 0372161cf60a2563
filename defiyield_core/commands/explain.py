"""`defiyield explain RUN_ID`: a stored decision as a person wants to read it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from defiyield_core.calendar import parse_day
from defiyield_core.commands.decisions import find_decision
from defiyield_core.errors import ConfigurationError
from defiyield_core.settings import Settings
from defiyield_core.warehouse.opening import open_warehouse


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("explain", help="say what a decision did, what binds it and why not otherwise")
    parser.add_argument("run_id", nargs="?", help="id of the decision, or its beginning")
    parser.add_argument("--portfolio", help="with --date, in place of an id")
    parser.add_argument("--date", help="the day, YYYY-MM-DD")
    parser.add_argument("--all", action="store_true", help="every candidate that was not used (default: 10)")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write it as a page, with its charts as PNG files")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Look up and print."""
    from defiyield_core.reporting.decision import SHOWN_CANDIDATES, decision_json, decision_text, read_decision

    by_day = arguments.portfolio is not None or arguments.date is not None
    is_whole = bool(arguments.portfolio and arguments.date)
    if bool(arguments.run_id) == by_day or by_day != is_whole:
        raise ConfigurationError("give a RUN_ID, or --portfolio NAME and --date YYYY-MM-DD")
    warehouse = open_warehouse(settings.warehouse)
    if by_day:
        portfolio, day = arguments.portfolio, parse_day(arguments.date, "--date")
    else:
        found = find_decision(warehouse, arguments.run_id)
        portfolio, day = found.portfolio, found.day
    decision = read_decision(warehouse, portfolio, day)
    shown = None if arguments.all else SHOWN_CANDIDATES
    if arguments.json:
        print(json.dumps(decision_json(decision), indent=2, allow_nan=False))
    else:
        print(decision_text(decision, candidates=shown))
    if arguments.out:
        from defiyield_core.reporting.decision_sheet import read_figures, write_decision

        paths = write_decision(arguments.out, decision, read_figures(warehouse, decision), candidates=shown)
        # Beside JSON nothing else may stand on the output.
        print(f"\nwrote {paths[0]} and {len(paths) - 1} charts", file=sys.stderr if arguments.json else sys.stdout)
    return 0

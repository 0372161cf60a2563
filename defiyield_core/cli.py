"""`defiyield`: everything the orchestrator does over partitions, without it.

Belongs here: the list of commands, global options, and the rule that an error is one line and exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from defiyield_core import __version__
from defiyield_core.errors import DefiYieldError
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import FORMS


class _Parser(argparse.ArgumentParser):
    """Says what was wrong in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (try {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from defiyield_core.commands import (
        allocate,
        audit,
        backtest,
        doctor,
        explain,
        forecast,
        hourly,
        lists,
        record,
        replay,
        run,
        stress,
        sweep,
    )

    parser = _Parser(
        prog="defiyield",
        description="Decides every day where a treasury's stablecoins earn yield, net of every cost.",
        epilog="Settings come from the environment: DEFIYIELD_SOURCE, DEFIYIELD_WAREHOUSE, DEFIYIELD_HOME, "
        "DEFIYIELD_PORTFOLIOS. Global options stand before the command and win over it.",
    )
    parser.add_argument("--version", action="version", version=f"defiyield {__version__}")
    parser.add_argument("--source", help=f"{FORMS} (default: simulated)")
    parser.add_argument("--warehouse", help="duckdb:PATH or postgresql://... (default: a DuckDB file under the home)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    backtests = (backtest, sweep, audit, stress, hourly)
    for module in (run, *backtests, explain, replay, allocate, forecast, record, lists, doctor):
        module.register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code: 0 done, 1 done with something to look at, 2 refused."""
    parsed = build_parser().parse_args(arguments)
    try:
        settings = Settings.from_environment(source=parsed.source, warehouse=parsed.warehouse)
        return int(parsed.handler(parsed, settings))
    except DefiYieldError as error:
        print(f"defiyield {parsed.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("defiyield: stopped; what was committed stays, --resume goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())

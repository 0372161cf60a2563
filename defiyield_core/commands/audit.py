"""`defiyield audit PORTFOLIO`: how much of a backtest's APY survives an honest look."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from defiyield_core.audit.report import audit_text, write_audit
from defiyield_core.audit.runner import run_audit
from defiyield_core.audit.trials import CUTS, FAMILIES, SEED, catalogue
from defiyield_core.audit.verdict import TrialResult
from defiyield_core.backtest.engine import decision_window
from defiyield_core.calendar import parse_day
from defiyield_core.commands.backtest import overrides
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.reporting.figures import percent
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "audit", help="test a backtest for look-ahead, and say how much of its APY hangs on what"
    )
    parser.add_argument("portfolio", help="name of a portfolio file")
    parser.add_argument("--start", help="first day of decisions, YYYY-MM-DD (default: the first the data allow)")
    parser.add_argument("--end", help="last day, included (default: the source's last)")
    parser.add_argument("--out", type=Path, help="folder for audit.html, audit.json and audit.csv")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter (may be repeated)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"of cut days and nonsense (default: {SEED})")
    parser.add_argument(
        "--cuts", type=int, default=CUTS, metavar="N", help=f"days to cut the data after (default: {CUTS})"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TRIAL",
        help=f"run these trials only: {', '.join(FAMILIES)}, or one by its name (may be repeated)",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run and print; 1 when a look-ahead trial did not pass."""
    spec = find_portfolio(settings.portfolios, arguments.portfolio).with_overrides(overrides(arguments.set))
    source = open_source(spec.source or settings.source)
    window = decision_window(
        source,
        spec,
        parse_day(arguments.start, "--start") if arguments.start else None,
        parse_day(arguments.end, "--end") if arguments.end else None,
    )
    trials = catalogue(window, arguments.cuts, arguments.seed, arguments.only)
    print(f"  {spec.name}  {window}  the run itself, then {len(trials)} trials", file=sys.stderr, flush=True)
    audit = run_audit(
        settings,
        spec,
        window,
        source=source,
        cuts=arguments.cuts,
        seed=arguments.seed,
        only=arguments.only,
        on_trial=_TrialCounter(len(trials)),
    )
    for warning in audit.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(audit_text(audit))
    if arguments.out:
        print(f"\nWritten to {write_audit(audit, arguments.out)}")
    print(f"\nThe run took {audit.base_seconds:.1f} s, the whole audit {audit.seconds:.1f} s.")
    return 0 if audit.passed else 1


class _TrialCounter:
    """Tells of every finished trial in a line."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def __call__(self, result: TrialResult) -> None:
        """Count one."""
        self._done += 1
        text = f"{result.trial.name:<24} {percent(result.trial_apy):>8}  {result.verdict}  {result.seconds:.1f} s"
        print(f"  {self._done}/{self._total}  {text}", file=sys.stderr, flush=True)

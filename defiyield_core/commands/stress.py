"""`defiyield stress PORTFOLIO`: what injected events and other markets would have done to a portfolio."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defiyield_core.backtest.engine import decision_window
from defiyield_core.calendar import parse_day
from defiyield_core.commands.backtest import overrides
from defiyield_core.commands.progress import DayCounter
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source

if TYPE_CHECKING:
    from defiyield_core.stress.outcomes import StressOutcome

DEFAULT_CASES = 100
DEFAULT_SEED = 1
KINDS = "depeg, tvl, apy, freeze, gas, data, crisis, bootstrap, market"
"""Words of `stress.plan`, which is not imported for a line of help."""


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("stress", help="try a portfolio in a hundred bad markets and report the worst loss")
    parser.add_argument("portfolio", help="name of a portfolio file")
    parser.add_argument("--start", help="first day of decisions, YYYY-MM-DD (default: the first the data allow)")
    parser.add_argument("--end", help="last day, included (default: the source's last)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter (may be repeated)"
    )
    parser.add_argument("--cases", type=int, default=DEFAULT_CASES, help=f"how many (default: {DEFAULT_CASES})")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of days, draws and markets (default: 1)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KIND", help=f"of {KINDS} (may be repeated; default: all)"
    )
    parser.add_argument("--out", type=Path, help="folder for cases.parquet, cases.csv, summary.json and stress.html")
    parser.add_argument(
        "--retrain", action="store_true", help="train the forecast models of every case anew (several times slower)"
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run all cases and print what they did; 1 when one has no result."""
    from defiyield_core.stress.branch import run_undisturbed
    from defiyield_core.stress.exposure import exposure_of
    from defiyield_core.stress.models import is_trained
    from defiyield_core.stress.notes import Telling
    from defiyield_core.stress.outputs import write
    from defiyield_core.stress.plan import DRAW_FORECASTER, check_seed, mix, plan
    from defiyield_core.stress.report import terminal_text
    from defiyield_core.stress.runner import check_workers, run_cases

    mix(arguments.cases, arguments.only)
    check_seed(arguments.seed)
    check_workers(arguments.workers)
    spec = find_portfolio(settings.portfolios, arguments.portfolio).with_overrides(overrides(arguments.set))
    source = open_source(spec.source or settings.source)
    window = decision_window(
        source,
        spec,
        parse_day(arguments.start, "--start") if arguments.start else None,
        parse_day(arguments.end, "--end") if arguments.end else None,
    )
    counter = DayCounter(f"{spec.name} undisturbed", len(window))
    base = run_undisturbed(settings, spec, window, source, retrain=arguments.retrain, on_day=counter)
    forecaster = spec.parameters.forecaster
    lean = is_trained(forecaster) and not arguments.retrain
    cases = plan(
        window,
        exposure_of(base),
        arguments.seed,
        arguments.cases,
        only=arguments.only,
        draw_forecaster=DRAW_FORECASTER if lean else "",
    )
    run = run_cases(settings, spec, window, cases, arguments.workers, base=base, on_case=_Counter(len(cases)))
    for warning in dict.fromkeys(run.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    telling = Telling(source.name, arguments.seed, forecaster, lends=base.lent is not None and bool(base.lent.keys))
    print(terminal_text(run, telling))
    if arguments.out:
        print(f"\nFILES\n\nreport   {write(run, telling, arguments.out)}\nresults  {arguments.out}")
    how = f"{len(cases)} cases in {base.seconds + run.seconds:.0f} s by {arguments.workers} workers"
    print(f"\n{how}, {base.seconds:.1f} s of it for the undisturbed run.")
    return 1 if run.failures else 0


class _Counter:
    """A line for every finished case: on a terminal one line that is written anew."""

    def __init__(self, cases: int) -> None:
        self._cases, self._done = cases, 0
        self._begun = time.perf_counter()
        self._tty = sys.stderr.isatty()

    def __call__(self, outcome: StressOutcome) -> None:
        """Count one case; undisturbed runs are none."""
        if outcome.kind == "undisturbed":
            return
        self._done += 1
        left = (time.perf_counter() - self._begun) / self._done * (self._cases - self._done)
        said = outcome.failure or f"loss {outcome.loss_usd:,.0f} USD"
        bar = "#" * round(20 * self._done / self._cases)
        text = f"  [{bar:<20}] {self._done}/{self._cases}  {left:,.0f} s left  {outcome.name}  {said}"
        last = self._done == self._cases
        print(text[:118].ljust(118), end="\r" if self._tty and not last else "\n", file=sys.stderr, flush=True)

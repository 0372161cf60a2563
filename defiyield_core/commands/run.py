"""`defiyield run --date D`: a day of the pipeline, all of it or some phases, into the warehouse."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from typing import Any

from defiyield_core.calendar import Window, parse_day
from defiyield_core.errors import ConfigurationError
from defiyield_core.notify import daily_message, notifier_from_environment, render_text
from defiyield_core.pipeline.registry import STEPS
from defiyield_core.pipeline.step import PHASES, StepContext, execute
from defiyield_core.portfolio.runner import begun_part, check_warmup, run_portfolio
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio, load_portfolios
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source, source_label
from defiyield_core.warehouse.opening import open_warehouse


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("run", help="run one day (or --until another) of the pipeline into the warehouse")
    parser.add_argument("--date", required=True, help="the day, YYYY-MM-DD")
    parser.add_argument("--until", help="last day, included (default: the same day)")
    parser.add_argument("--phase", nargs="+", choices=PHASES, default=list(PHASES), help="phases to run (default: all)")
    parser.add_argument("--portfolio", action="append", help="portfolios to advance (default: all)")
    parser.add_argument("--resume", action="store_true", help="keep the portfolio days that are completed already")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the phases in their order; exit code 1 when a portfolio's last day did not end ok."""
    window = _window(arguments)
    context = StepContext(open_warehouse(settings.warehouse), open_source(settings.source), settings)
    specs = _portfolios(arguments, settings)
    _check_dates(context, window)
    for phase in PHASES:
        if phase in arguments.phase and phase in ("ingest", "process", "forecast"):
            _run_steps(context, window, phase)
    all_ok = True
    if "allocate" in arguments.phase:
        all_ok = _allocate(context, specs, window, arguments.resume)
    if "report" in arguments.phase:
        _report(context, specs, window.end)
    return 0 if all_ok else 1


def _window(arguments: argparse.Namespace) -> Window:
    start = parse_day(arguments.date, "--date")
    return Window(start, parse_day(arguments.until, "--until") if arguments.until else start)


def _check_dates(context: StepContext, window: Window) -> None:
    source = context.source
    check_warmup(window.start, source.first_day, "--date")
    if source.last_day is not None and window.end > source.last_day:
        raise ConfigurationError(f"{window.end} is after the last day of {source.name}, {source.last_day}")
    if source.last_day is None and window.end >= date.today():
        raise ConfigurationError(f"{window.end} is not over yet: the newest day that can be run is yesterday (UTC)")


def _portfolios(arguments: argparse.Namespace, settings: Settings) -> list[PortfolioSpec]:
    if arguments.portfolio:
        chosen = [find_portfolio(settings.portfolios, name) for name in arguments.portfolio]
        for spec in chosen:
            if spec.source is not None and spec.source != settings.source:
                own = source_label(spec.source)
                raise ConfigurationError(f"portfolio {spec.name} takes its data from {own}: give --source")
        return chosen
    known = load_portfolios(settings.portfolios).values()
    return [spec for spec in known if spec.source in (None, settings.source)]


def _run_steps(context: StepContext, window: Window, phase: str) -> None:
    for step in STEPS:
        if step.phase != phase:
            continue
        result = execute(step, context, window)
        rows = int(sum(len(write.frame) for write in result.writes))
        print(f"{phase:<9} {step.name:<26} {rows:>8} rows")
        for warning in result.warnings:
            print(f"warning: {warning}", file=sys.stderr)


def _allocate(context: StepContext, specs: list[PortfolioSpec], window: Window, resume: bool) -> bool:
    all_ok = True
    for spec in specs:
        part = begun_part(spec, context.source.first_day, window)
        if part is None:
            print(f"allocate  {spec.name:<26} begins on {spec.first_day}")
            continue
        run = run_portfolio(context, spec, part, resume=resume)
        for warning in run.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        last = run.daily.iloc[-1]
        all_ok &= last["status"] == "ok"
        why = f": {last['reason']}" if last["reason"] else ""
        print(
            f"allocate  {spec.name:<26} NAV {last['aum_close_usd']:>16,.2f} USD  {last['n_positions']} positions  "
            f"{last['status']}{why}"
        )
    return all_ok


def _report(context: StepContext, specs: list[PortfolioSpec], day: date) -> None:
    notifier = notifier_from_environment()
    for spec in specs:
        if begun_part(spec, context.source.first_day, Window(day, day)) is None:
            continue
        message = daily_message(context.warehouse, spec.name, day)
        if not notifier.send(message):
            print(f"warning: the message of {spec.name} could not be delivered", file=sys.stderr)
        print()
        print(render_text(message))

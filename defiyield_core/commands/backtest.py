"""`defiyield backtest PORTFOLIO`: the pipeline and a portfolio over past days, straight from a source."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from defiyield_core.backtest.engine import decision_window
from defiyield_core.backtest.hindsight import (
    BEST_POOL,
    FORESIGHT,
    PORTFOLIO,
    RANDOM,
    Companion,
    companions,
    is_hindsight,
)
from defiyield_core.backtest.outputs import TEAR_SHEET
from defiyield_core.backtest.session import Finished, backtest
from defiyield_core.backtest.store import fill
from defiyield_core.calendar import parse_day
from defiyield_core.commands.progress import DayCounter
from defiyield_core.errors import ConfigurationError
from defiyield_core.policies.registry import policy_for
from defiyield_core.portfolio.spec import MODES, PortfolioSpec, find_portfolio, load_portfolios
from defiyield_core.reporting.inputs import BENCHMARKS
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("backtest", help="run a portfolio over past days, without a database")
    parser.add_argument("portfolio", help="name of a portfolio file")
    parser.add_argument("--start", help="first day of decisions, YYYY-MM-DD (default: the first the data allow)")
    parser.add_argument("--end", help="last day, included (default: the source's last)")
    parser.add_argument("--out", type=Path, help="folder for daily.parquet, positions.parquet, metrics.json and more")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter (may be repeated)"
    )
    parser.add_argument(
        "--compare",
        action="append",
        metavar="NAME",
        help=f"what to run beside it: portfolios, {FORESIGHT}, {BEST_POOL}, {RANDOM}:N "
        f"(default: {', '.join(BENCHMARKS)}, {BEST_POOL}, {FORESIGHT}; 'none' for none)",
    )
    parser.add_argument("--mode", choices=MODES, help="what each day is decided from (default: the portfolio's own)")
    parser.add_argument("--policy", help="decide by this policy instead of the portfolio's own")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="an option of --policy (may be repeated)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last finished day of a run that stopped")
    parser.add_argument("--again", action="store_true", help="compute the run although an equal one is finished")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run and print the summary."""
    spec = chosen(arguments, settings)
    beside = compared(arguments.compare, settings, spec)
    source = open_source(spec.source or settings.source)
    window = decision_window(
        source,
        spec,
        parse_day(arguments.start, "--start") if arguments.start else None,
        parse_day(arguments.end, "--end") if arguments.end else None,
    )
    done = backtest(
        settings,
        spec,
        window,
        source,
        beside=beside,
        resume=arguments.resume,
        again=arguments.again,
        told=lambda name: DayCounter(name, len(window)),
    )
    for warning in done.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print((done.folder / "summary.txt").read_text(), end="")
    if arguments.out:
        fill(arguments.out, done.folder)
    folder = arguments.out or done.folder
    print(f"\nFILES\n\ntear sheet  {folder / TEAR_SHEET}\nresults     {folder}")
    print(f"\n{_how(done, len(window))} Run id {done.run_id}.")
    return 0


def _how(done: Finished, days: int) -> str:
    loaded = f"Loaded in {done.load_seconds:.1f} s"
    if not done.computed:
        return f"{loaded}; the run was finished before and is not computed again (--again does)."
    restored = f" ({done.restored_days} of them restored)" if done.restored_days else ""
    return f"{loaded}, then {days} days{restored} in {done.loop_seconds:.1f} s ({done.days_per_second:.0f} days/s)."


def chosen(arguments: argparse.Namespace, settings: Settings) -> PortfolioSpec:
    """The portfolio with what the command line changes in it.

    Raises:
        ConfigurationError: an unknown portfolio, parameter, policy or option.
    """
    spec = find_portfolio(settings.portfolios, arguments.portfolio).with_overrides(overrides(arguments.set))
    options = overrides(arguments.option, "--option")
    if options and not arguments.policy:
        raise ConfigurationError("--option belongs to --policy, which is missing")
    if arguments.policy:
        spec = replace(spec, policy=arguments.policy, policy_options=options)
    policy_for(spec.policy, spec.parameters, spec.policy_options)
    return replace(spec, mode=arguments.mode) if arguments.mode else spec


def overrides(pairs: list[str], argument: str = "--set") -> dict[str, Any]:
    """`key=value` words as parameters; values are JSON where they parse as such, else text.

    Raises:
        ConfigurationError: a word without an equals sign.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise ConfigurationError(f"{argument} {pair}: expected KEY=VALUE")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def compared(names: list[str] | None, settings: Settings, spec: PortfolioSpec) -> list[Companion]:
    """What `--compare` asks for: portfolio files and yardsticks, each once; without it the usual ones that there are.

    Raises:
        ConfigurationError: an unknown name.
    """
    if names == ["none"]:
        return []
    known = load_portfolios(settings.portfolios)
    if names is None:
        names = [name for name in (*BENCHMARKS, BEST_POOL, FORESIGHT) if name in known or is_hindsight(name)]
    found: list[Companion] = []
    for name in dict.fromkeys(names):
        if is_hindsight(name):
            known_names = {one.name for one in found if one.kind != PORTFOLIO}
            found.extend(one for one in companions(name, spec) if one.name not in known_names)
        elif name != spec.name:
            found.append(Companion(find_portfolio(settings.portfolios, name)))
    return found

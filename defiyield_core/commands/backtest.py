"""`defiyield backtest PORTFOLIO`: the pipeline and a portfolio over past days, straight from a source."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from defiyield_core.backtest.engine import decision_window, load_range, run_range
from defiyield_core.backtest.outputs import collect, write
from defiyield_core.calendar import parse_day
from defiyield_core.commands.progress import DayCounter
from defiyield_core.errors import ConfigurationError
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio, load_portfolios
from defiyield_core.reporting.inputs import BENCHMARKS
from defiyield_core.reporting.summary import summary_text
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
        help=f"portfolios to run beside it (default: {', '.join(BENCHMARKS)}; 'none' for none)",
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run and print the summary."""
    spec = find_portfolio(settings.portfolios, arguments.portfolio).with_overrides(overrides(arguments.set))
    others = _compared(arguments.compare, settings, spec)
    source = open_source(spec.source or settings.source)
    window = decision_window(
        source,
        spec,
        parse_day(arguments.start, "--start") if arguments.start else None,
        parse_day(arguments.end, "--end") if arguments.end else None,
    )
    loaded = load_range(settings, window, source=source, specs=(spec,))
    timed = run_range(loaded, spec, DayCounter(spec.name, len(window)))
    for other in others:
        run_range(loaded, other, DayCounter(other.name, len(window)))
    for warning in dict.fromkeys((*loaded.warnings, *timed.run.warnings)):
        print(f"warning: {warning}", file=sys.stderr)
    outputs = collect(loaded, spec, timed, [other.name for other in others])
    timings = {
        "load_seconds": loaded.seconds,
        "loop_seconds": timed.seconds,
        "days_per_second": timed.days_per_second,
    }
    paths: dict[str, str | Path] = {}
    if arguments.out:
        paths = {"tear sheet": write(outputs, arguments.out, timings), "results": arguments.out}
    print(summary_text(outputs.report, paths))
    print(
        f"\nLoaded in {loaded.seconds:.1f} s, then {len(window)} days in {timed.seconds:.1f} s "
        f"({timed.days_per_second:.0f} days/s). Run id {outputs.run_id}."
    )
    return 0


def overrides(pairs: list[str]) -> dict[str, Any]:
    """`key=value` words as parameters; values are JSON where they parse as such, else text.

    Raises:
        ConfigurationError: a word without an equals sign.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise ConfigurationError(f"--set {pair}: expected KEY=VALUE")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def _compared(names: list[str] | None, settings: Settings, spec: PortfolioSpec) -> list[PortfolioSpec]:
    if names == ["none"]:
        return []
    if names is not None:
        return [find_portfolio(settings.portfolios, name) for name in names if name != spec.name]
    known = load_portfolios(settings.portfolios)
    return [known[name] for name in BENCHMARKS if name in known and name != spec.name]

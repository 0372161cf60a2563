"""`defiyield doctor`: is everything in place, and what is missing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from defiyield_core.calendar import Window
from defiyield_core.errors import DefiYieldError
from defiyield_core.portfolio.spec import load_portfolios
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.warehouse.opening import open_warehouse

OPTIONAL_KEYS = {
    "COINMARKETCAP_API_KEY": "token candles; without it prices are DefiLlama's closes",
    "ETHERSCAN_API_KEY": "balances of live portfolios; without it account data is skipped",
    "DEFIYIELD_SLACK_WEBHOOK": "daily messages to Slack; without it they go to the log",
}


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("doctor", help="check configuration, sources and database; say what is missing")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Check one thing after another; exit code 2 when one of them would stop a run."""
    checks: tuple[tuple[str, Callable[[Settings], str]], ...] = (
        ("portfolios", _portfolios),
        ("source", _source),
        ("warehouse", _warehouse),
        ("home", _home),
    )
    failed = 0
    for name, check in checks:
        try:
            print(f"ok       {name:<12} {check(settings)}")
        except DefiYieldError as error:
            failed += 1
            print(f"FAILED   {name:<12} {error}")
    for key, meaning in OPTIONAL_KEYS.items():
        print(f"{'ok' if os.environ.get(key) else 'not set':<8} {key}: {meaning}")
    print("everything is in place" if not failed else f"{failed} of {len(checks)} checks failed")
    return 2 if failed else 0


def _portfolios(settings: Settings) -> str:
    return f"{', '.join(load_portfolios(settings.portfolios))} in {settings.portfolios}"


def _source(settings: Settings) -> str:
    source = open_source(settings.source)
    if source.last_day is None:
        gas = source.gas_hourly(Window(source.first_day, source.first_day))
        return f"{source.name}, history from {source.first_day}" + "".join(f"; {text}" for text in gas.warnings)
    return f"{source.name}, {source.first_day}..{source.last_day}"


def _warehouse(settings: Settings) -> str:
    warehouse = open_warehouse(settings.warehouse)
    days = warehouse.days("portfolio_daily")
    return f"{warehouse.describe()}, " + (f"portfolio days {days[0]}..{days[-1]}" if days else "no portfolio days yet")


def _home(settings: Settings) -> str:
    from defiyield_core.errors import ConfigurationError

    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"DEFIYIELD_HOME {settings.home} cannot be made: {error}") from error
    if not os.access(settings.home, os.W_OK):
        raise ConfigurationError(f"DEFIYIELD_HOME {settings.home} cannot be written")
    return str(settings.home)

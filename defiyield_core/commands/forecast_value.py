"""`defiyield forecast value`: what forecasts are worth in money over past days.

Belongs here: arguments and the printed table. Does not belong here: running books (see `backtest.forecast_value`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from defiyield_core.backtest.engine import decision_window
from defiyield_core.backtest.forecast_value import PERSISTENCE, ForecastValue, ValueRow, forecast_value, write_value
from defiyield_core.calendar import parse_day
from defiyield_core.commands.progress import DayCounter
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.reporting.figures import basis_points, is_unknown, percent, usd
from defiyield_core.reporting.tables import Column, TextTable
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source

PORTFOLIO = "baseline"


def register(commands: Any) -> None:
    """Add `value` to the commands of `defiyield forecast`."""
    parser = commands.add_parser(
        "value", help="run one portfolio under several forecasts and under perfect foresight: what a forecast earns"
    )
    parser.add_argument("--start", required=True, help="first day of decisions, YYYY-MM-DD")
    parser.add_argument("--end", help="last day, included (default: the source's last)")
    parser.add_argument("--portfolio", default=PORTFOLIO, help=f"whose policy and parameters (default: {PORTFOLIO})")
    parser.add_argument("--out", type=Path, help="folder for value.json and value.parquet")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run and print the table."""
    spec = find_portfolio(settings.portfolios, arguments.portfolio)
    source = open_source(spec.source or settings.source)
    end = parse_day(arguments.end, "--end") if arguments.end else None
    window = decision_window(source, spec, parse_day(arguments.start, "--start"), end)
    value = forecast_value(
        settings, source, spec, window, told=lambda name: DayCounter(name, len(window)) if sys.stderr.isatty() else None
    )
    print(value_text(value))
    if arguments.out:
        print(f"\nWritten to {write_value(value, arguments.out).parent}")
    return 0


def value_text(value: ForecastValue) -> str:
    """The table for a terminal, and what its columns mean."""
    heads = ("Net APY", "Pools paid", "Fees", "Turnover", "Over persistence", "95% interval", "Capture", "Days ok")
    rows = tuple(
        (usd(row.book_usd) if number == 0 else "", row.forecast, *_cells(row))
        for book in value.books_usd
        for number, row in enumerate(row for row in value.rows if row.book_usd == book)
    )
    table = TextTable((Column("Book"), Column("Forecast"), *(Column(head, numeric=True) for head in heads)), rows)
    return "\n".join(
        (
            f"VALUE OF FORECASTS  {value.portfolio}, {value.start} to {value.end}, horizon {value.horizon_days} days",
            "",
            table.render(),
            "",
            "Capture is what a forecast gains over persistence, as a share of what perfect foresight gains. The same",
            f"pools are open in every run: those that the forecasts of {value.judged_by} allow.",
        )
    )


def _cells(row: ValueRow) -> tuple[str, ...]:
    money, reference = row.money, row.forecast == PERSISTENCE
    interval = f"{basis_points(row.gain_low, signed=True)} to {basis_points(row.gain_high, signed=True)}"
    return (
        percent(money.net_apy),
        percent(money.gross_apy),
        usd(money.fees_usd, digits=0),
        f"{money.turnover:.1f}x",
        "" if reference else basis_points(row.gain_apy, signed=True),
        "" if reference or is_unknown(row.gain_low) else interval,
        "" if reference else percent(row.capture, digits=0),
        f"{money.days - money.days_not_ok}/{money.days}",
    )

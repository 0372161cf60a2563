"""`python -m defiyield_dagster.demo`: all days of a market through Dagster in one run, and what came of it.

Belongs here: what a person sees while it runs and at its end. Does not belong here: running it (see `launch`).
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError, DefiYieldError
from defiyield_core.reporting.inputs import read_report_inputs
from defiyield_core.reporting.summary import summary_text
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_dagster import last_demo
from defiyield_dagster.assets.reports import tear_sheet_path
from defiyield_dagster.build import build_defs, deployed_portfolios
from defiyield_dagster.instance import open_instance
from defiyield_dagster.launch import Launched, launch_range
from defiyield_dagster.partitions import daily_partitions, window_of
from defiyield_dagster.progress import DayDone, Finished

SUBJECT = "baseline"
"""The portfolio that the summary is about, where there is one by that name."""
SHOWN_CHECKS = 4


class ProgressLines:
    """A line for every finished asset; on a terminal also one line that counts a portfolio's days."""

    def __init__(self, portfolios: Mapping[str, object], days: int) -> None:
        self._portfolios, self._days = set(portfolios), days
        self._open = len(portfolios)
        self._done = 0
        self._nav = 0.0
        self._tty = sys.stdout.isatty()

    def __call__(self, news: Finished | DayDone) -> None:
        """Print what is new."""
        if isinstance(news, DayDone):
            self._done += 1
            self._nav = float(str(news.row["aum_close_usd"]))
            if self._tty:
                self._print(f"  {news.portfolio:<28} {self._done:>5}/{self._days} days   {news.day}", end="\r")
            return
        line = f"  {news.name:<28} {news.seconds:>6.1f} s"
        if news.name in self._portfolios:
            self._print(f"{line} {news.rows:>9,} days   NAV {self._nav:,.0f} USD")
            self._done, self._open = 0, self._open - 1
            if not self._open:
                self._print("  checks, tear sheets and dbt models follow")
        elif not news.name.endswith("/report"):
            self._print(f"{line} {news.rows:>9,} rows")

    def _print(self, text: str, end: str = "\n") -> None:
        print(text.ljust(80) if self._tty else text, end=end, flush=True)


def main() -> int:
    """Run the demo; the exit code: 0 done, 1 when the run failed, 2 for a setting that is wrong."""
    # The messages of the days are in the UI and the tear sheets; here they would drown the progress.
    logger = logging.getLogger("defiyield_core")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return _run(Settings.from_environment())
    except DefiYieldError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        print(
            "\ndemo: stopped; what was committed stays, and running it again goes over the same days", file=sys.stderr
        )
        return 130
    finally:
        logger.setLevel(before)


def _run(settings: Settings) -> int:
    source = open_source(settings.source)
    if source.last_day is None:
        raise ConfigurationError(
            f"the demo replays a market that has an end, {source.name} has none: switch its schedule on in `make ui`"
        )
    if settings.source.startswith("stored:"):
        raise ConfigurationError("the demo replays a recorded or simulated market, not the days of a deployment")
    window = _all_days(settings)
    last_demo.remember(settings, source.name)
    specs = deployed_portfolios(settings)
    print(f"{source.name}: {len(window)} days, {window}, {len(specs)} portfolios, one Dagster run\n", flush=True)
    begun = time.perf_counter()
    with open_instance(settings) as instance:
        launched = launch_range(
            build_defs(settings=settings),
            dg.AssetSelection.all(),
            window,
            instance,
            listener=ProgressLines(specs, len(window)),
            log_level="CRITICAL",  # what went wrong is told below
        )
    if not launched.success:
        print("\ndemo: the run failed", *launched.problems, sep="\n  ", file=sys.stderr)
        return 1
    print(f"\nDone in {time.perf_counter() - begun:.0f} s. {_checks(launched)}\n")
    print(_summary(settings, window, list(specs)))
    print("\nOpen Dagster's UI on it: make ui")
    return 0


def _all_days(settings: Settings) -> Window:
    partitions = daily_partitions(settings)
    first, last = partitions.get_first_partition_key(), partitions.get_last_partition_key()
    if first is None or last is None:
        raise ConfigurationError(f"{settings.source} has too few days for a first decision")
    return window_of(first, last)


def _checks(launched: Launched) -> str:
    found = launched.failed_checks
    if not found:
        return "All asset checks passed."
    shown = "\n".join(f"  {text}" for text in found[:SHOWN_CHECKS])
    more = f"\n  and {len(found) - SHOWN_CHECKS} more in the UI" if len(found) > SHOWN_CHECKS else ""
    noun = "warning" if len(found) == 1 else "warnings"
    return f"Asset checks passed with {len(found)} {noun}:\n{shown}{more}"


def _summary(settings: Settings, window: Window, portfolios: list[str]) -> str:
    subject = SUBJECT if SUBJECT in portfolios else portfolios[0]
    others = [name for name in portfolios if name != subject]
    warehouse = open_warehouse(settings.warehouse)
    report = read_report_inputs(warehouse, subject, window, compare_with=others, run_info={"source": settings.source})
    paths: dict[str, str | Path] = {
        "tear sheet": tear_sheet_path(settings.home, subject),
        "warehouse": warehouse.describe(),
    }
    return summary_text(report, paths, width=shutil.get_terminal_size((100, 24)).columns)


if __name__ == "__main__":
    sys.exit(main())

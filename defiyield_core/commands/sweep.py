"""`defiyield sweep MATRIX`: many backtests over the same data, compared."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from defiyield_core.backtest.matrix import load_matrix, matrix_path
from defiyield_core.backtest.sweep import CellResult, Prepared, sweep
from defiyield_core.backtest.sweep_files import SHEET, write_sweep
from defiyield_core.reporting.exports import pareto, results_frame
from defiyield_core.reporting.figures import percent, usd
from defiyield_core.reporting.metrics import performance
from defiyield_core.reporting.scenarios import Scenario
from defiyield_core.reporting.tables import Column, TextTable
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import source_label

_SHOWN = 40


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("sweep", help="run a matrix of portfolios, parameters and seeds in parallel")
    parser.add_argument("matrix", help="a matrix file, or the name of one that comes with the package (scenarios)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    parser.add_argument("--out", type=Path, help=f"folder for results, exports and {SHEET}")
    parser.add_argument("--baseline", help="the run that the others are held against (default: the first)")
    parser.add_argument("--again", action="store_true", help="make also the runs that are finished")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run, print the table; 1 when a run failed."""
    begun = time.perf_counter()
    matrix = load_matrix(matrix_path(arguments.matrix), settings.portfolios, settings.source)
    for note in matrix.notes:
        print(f"note: {note}", file=sys.stderr)
    told = _Counter(len(matrix.cells))
    results, prepared = sweep(settings, matrix, workers=arguments.workers, again=arguments.again, told=told)
    for warning in prepared.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    scenarios = [result.scenario() for result in results if result.folder is not None]
    if scenarios:
        print(_table(scenarios))
    failed = [result for result in results if result.folder is None]
    for result in failed:
        print(f"failed: {result.cell.name}: {result.failure}")
    if arguments.out and scenarios:
        sheet = write_sweep(
            arguments.out, matrix.name, scenarios, source=source_label(settings.source), baseline=arguments.baseline
        )
        print(f"\nFILES\n\ncomparison  {sheet}\nresults     {arguments.out}")
    print(f"\n{_how(results, prepared, time.perf_counter() - begun, arguments.workers)}")
    return 1 if failed else 0


class _Counter:
    """A line for every finished run: on a terminal one line that is written anew."""

    def __init__(self, runs: int) -> None:
        self._runs, self._done, self._computed = runs, 0, 0
        self._begun = time.perf_counter()
        self._tty = sys.stderr.isatty()

    def __call__(self, result: CellResult) -> None:
        """Count one run."""
        self._done += 1
        self._computed += result.computed
        if not result.computed and not self._tty:
            return
        left = ""
        if self._computed:
            seconds = (time.perf_counter() - self._begun) / self._computed * (self._runs - self._done)
            left = f"  {seconds:,.0f} s left"
        how = "failed" if result.folder is None else ("" if result.computed else "kept")
        bar = "#" * round(20 * self._done / self._runs)
        text = f"  [{bar:<20}] {self._done}/{self._runs}{left}  {result.cell.name} {how}"
        last = self._done == self._runs
        print(text[:110].ljust(110), end="\r" if self._tty and not last else "\n", file=sys.stderr, flush=True)


def _table(scenarios: list[Scenario]) -> str:
    frame = results_frame(scenarios).sort_values("net_apy", ascending=False, kind="stable", ignore_index=True)
    best = set(frame.loc[pareto(frame).to_numpy(dtype=bool), "scenario"])
    heads = ("Net APY", "Fees", "Drawdown", "Volatility", "Turnover", "Idle", "Days not ok")
    rows = tuple(_row(row, row.scenario in best) for row in frame.head(_SHOWN).itertuples())
    table = TextTable((Column("Run (* not dominated)"), *(Column(head, numeric=True) for head in heads)), rows)
    more = len(frame) - len(rows)
    first = performance(scenarios[0].daily)
    title = f"RESULTS  {first.first_day} to {first.last_day}, {len(frame)} runs, best first, net of all fees"
    return "\n".join([title, "", table.render(120), *([f"({more} more)"] if more > 0 else [])])


def _row(row: Any, is_best: bool) -> tuple[str, ...]:
    return (
        f"{row.scenario} *" if is_best else str(row.scenario),
        percent(row.net_apy),
        usd(row.fees_usd),
        percent(row.max_drawdown),
        percent(row.volatility),
        f"{row.turnover:.2f}x",
        percent(row.mean_idle_share, digits=1),
        str(row.days_not_ok),
    )


def _how(results: list[CellResult], prepared: Prepared, seconds: float, workers: int) -> str:
    made = sum(result.computed for result in results)
    kept = len(results) - made
    text = f"{made} runs made, {kept} found finished, in {seconds:.1f} s ({prepared.load_seconds:.1f} s of it loading)"
    return f"{text} with {workers} workers."

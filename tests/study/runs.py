"""Running the study's portfolios over the recorded year, in two processes, each with the market in its own memory.

Belongs here: loading once and running many. Does not belong here: which portfolios (`cases`).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from defiyield_core.backtest.engine import LoadedRange, decision_window, load_range, run_range
from defiyield_core.calendar import Window
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from tests.study.cases import Case

PROCESSES = 2
_loaded: list[LoadedRange] = []
"""The market of this process."""


@dataclass(frozen=True)
class Ran:
    """A case and its rows of `portfolio_daily`."""

    case: Case
    daily: pd.DataFrame


def run_all(folder: Path, cases: Sequence[Case], told: Callable[[str], None]) -> list[Ran]:
    """Run every case over all the days that the folder allows; in the order of `cases`."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=load, initargs=(folder, tuple(cases))) as pool:
        ran: list[Ran] = []
        for result in pool.map(run_case, cases):
            told(f"{len(ran) + 1}/{len(cases)} {result.case.spec.name}")
            ran.append(result)
    return ran


def load(folder: Path, cases: Sequence[Case]) -> None:
    """Load the market of this process, judged for the parameters of all cases."""
    settings = Settings.from_environment({}, source=f"recorded:{folder}", warehouse="memory:")
    source = open_source(settings.source)
    specs = [case.spec for case in cases]
    _loaded[:] = [load_range(settings, decision_window(source, specs[0], None, None), source=source, specs=specs)]


def run_case(case: Case) -> Ran:
    """Run one case; a rule that begins with another policy follows that one on the first day."""
    loaded, spec = _loaded[0], case.spec
    rest = loaded.window
    if case.rule.begins_with:
        first = Window(rest.start, rest.start)
        run_range(replace(loaded, window=first), replace(spec, policy=case.rule.begins_with, policy_options={}))
        rest = Window(list(rest)[1], rest.end)
    run_range(replace(loaded, window=rest), spec)
    return Ran(case, loaded.warehouse.read("portfolio_daily", loaded.window, scope={"portfolio": spec.name}))

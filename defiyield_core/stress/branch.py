"""The undisturbed run, kept so that a case computes only what its events change.

Belongs here: the tables of the undisturbed run, and a warehouse and a source that begin with them. Does not belong
here: cases and their outcomes (see `runner`).

An event on day t leaves every row before t as it is, and every step gives the rows of a window that it would give
within a longer one. So a case starts from the undisturbed tables, drops the days from its first event on, and computes
those; tables whose inputs no event touches stay whole. What trained forecasters do is told in `models`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from defiyield_core.backtest.engine import LoadedRange, load_range, run_range
from defiyield_core.calendar import Window
from defiyield_core.contracts import TABLES, table
from defiyield_core.errors import ConfigurationError
from defiyield_core.pipeline.registry import DECISION_STEPS
from defiyield_core.pipeline.step import Step, StepContext, execute
from defiyield_core.portfolio.loop import OnDay
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.sources.port import Source
from defiyield_core.sources.stored import StoredSource
from defiyield_core.stress.models import Lent, borrowing, models_of
from defiyield_core.warehouse.memory import MemoryWarehouse


@dataclass(frozen=True)
class Undisturbed:
    """A portfolio's run without any event. It can be sent to another process.

    Attributes:
        source_name, first_day, last_day: of the source it was loaded from.
        frames: every table, by name, as the run left it.
        lent: the trained models behind its forecasts; None where every case trains its own.
        seconds: what loading and running took.
    """

    settings: Settings
    spec: PortfolioSpec
    window: Window
    source_name: str
    first_day: date
    last_day: date
    frames: Mapping[str, pd.DataFrame]
    lent: Lent | None
    seconds: float
    warnings: tuple[str, ...]

    @property
    def daily(self) -> pd.DataFrame:
        """Rows of `portfolio_daily`."""
        return self.frames["portfolio_daily"]


def run_undisturbed(
    settings: Settings,
    spec: PortfolioSpec,
    window: Window,
    source: Source | None = None,
    *,
    retrain: bool = False,
    on_day: OnDay | None = None,
) -> Undisturbed:
    """Load the range and run the portfolio, with nothing computed for any other one.

    Args:
        retrain: its models are not lent: every case trains its own.

    Raises:
        ConfigurationError: a live source: its past cannot be asked for again; or a portfolio that begins every day
            with cash: nothing that happens to a position would follow it.
    """
    begun = time.perf_counter()
    if spec.mode != "carry":
        raise ConfigurationError(f"portfolio {spec.name}: mode {spec.mode} cannot be stressed: its mode must be carry")
    chosen = source or open_source(spec.source or settings.source)
    if chosen.last_day is None:
        raise ConfigurationError(f"source {chosen.name} has no last day: stress a recorded or a simulated one")
    with alone(settings) as lean:
        loaded = load_range(lean, window, source=chosen, specs=(spec,))
        timed = run_range(loaded, spec, on_day)
        lent = None if retrain else models_of(loaded.context, window)
    return Undisturbed(
        settings=settings,
        spec=spec,
        window=window,
        source_name=chosen.name,
        first_day=chosen.first_day,
        last_day=chosen.last_day,
        frames={name: loaded.warehouse.read(name) for name in TABLES},
        lent=lent,
        seconds=time.perf_counter() - begun,
        warnings=(*loaded.warnings, *timed.run.warnings),
    )


@contextmanager
def alone(settings: Settings, *, keep_models: bool = True) -> Iterator[Settings]:
    """The settings without any portfolio file, so that steps compute for the portfolios they are given and no other.

    Args:
        keep_models: False trains into a folder that is gone afterwards: models of a market that never was are of no use
            later, and would push others out of the store.
    """
    with TemporaryDirectory(prefix="defiyield-stress-") as folder:
        portfolios = Path(folder) / "portfolios"
        portfolios.mkdir()
        yield replace(
            settings, portfolios=portfolios, models=settings.models if keep_models else Path(folder) / "models"
        )


def load_branch(
    base: Undisturbed,
    settings: Settings,
    source: Source,
    touched: frozenset[str],
    begin: date,
    lent: Lent | None = None,
) -> LoadedRange:
    """The range from `begin` (or the window's start) on, with everything that depends on the touched tables anew.

    Args:
        settings: see `alone`. source: what the raw rows come from; equal to the undisturbed one before `begin`.
        touched: raw tables in which it differs from `begin` on.
        lent: models to forecast with; None trains them.
    """
    begun = time.perf_counter()
    window = Window(max(begin, base.window.start), base.window.end)
    steps = affected(touched)
    steps = steps if lent is None else borrowing(steps, lent)
    context = StepContext(
        BranchedWarehouse(base.frames, begin, window.start, steps), source, settings, (base.spec.parameters,), False
    )
    warnings = [warning for step in steps for warning in execute(step, context, window).warnings]
    return LoadedRange(context, window, time.perf_counter() - begun, tuple(warnings))


def affected(touched: frozenset[str]) -> tuple[Step, ...]:
    """The steps that write a touched table or read, by whatever way, what such a step writes; in their order."""
    names: set[str] = set()
    for step in DECISION_STEPS:
        if touched & set(step.writes) or names & set(step.upstream):
            names.add(step.name)
    return tuple(step for step in DECISION_STEPS if step.name in names)


class BranchedWarehouse(MemoryWarehouse):
    """A memory warehouse that begins with another one's rows.

    Args:
        frames: canonical frames by table; they are shared and never changed.
        begin: raw rows of the steps' tables from this day on are left out.
        decided: so are rows of portfolios, and of the steps' other tables, from this day on.
        steps: what will be computed again.
    """

    def __init__(self, frames: Mapping[str, pd.DataFrame], begin: date, decided: date, steps: Sequence[Step]) -> None:
        super().__init__()
        written = {name for step in steps for name in step.writes}
        for name, frame in frames.items():
            contract = table(name)
            if contract.layer == "portfolio" or name in written:
                frame = _before(frame, contract.window, begin if contract.layer == "raw" else decided)
            self._frames[name] = frame


def _before(frame: pd.DataFrame, column: str | None, day: date) -> pd.DataFrame:
    return frame if column is None else frame[frame[column] < pd.Timestamp(day)].reset_index(drop=True)


class UndisturbedSource(StoredSource):
    """What an undisturbed run fetched, without fetching it again: under the name and the days of its source."""

    def __init__(self, base: Undisturbed) -> None:
        super().__init__(BranchedWarehouse(base.frames, base.first_day, base.first_day, ()))
        self._name, self._first_day, self._last_day = base.source_name, base.first_day, base.last_day

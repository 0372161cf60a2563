"""One backtest from start to files: the portfolio and those beside it, gone on with, kept, found again.

Belongs here: the order of work around the loop, naming a whole run. Does not belong here: arguments and printing
(see `commands.backtest`), what is in the files (see `outputs`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defiyield_core.backtest.engine import LoadedRange, TimedRun, load_range
from defiyield_core.backtest.hindsight import Companion, run_companion
from defiyield_core.backtest.identity import portfolio_config, run_id
from defiyield_core.backtest.outputs import collect, write
from defiyield_core.backtest.store import RunStore
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.portfolio.journal import Journal
from defiyield_core.portfolio.loop import OnDay
from defiyield_core.portfolio.runner import opening_of
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.settings import Settings
from defiyield_core.sources.port import Source


@dataclass(frozen=True)
class Finished:
    """A backtest that is done.

    Attributes:
        folder: its files. computed: False where it was found finished.
        restored_days: days of the portfolio that a journal already had.
    """

    run_id: str
    folder: Path
    computed: bool
    load_seconds: float
    loop_seconds: float
    days_per_second: float
    restored_days: int
    warnings: tuple[str, ...]


def store_of(settings: Settings) -> RunStore:
    """The deployment's finished backtests."""
    return RunStore(settings.home / "backtests")


def backtest(
    settings: Settings,
    spec: PortfolioSpec,
    window: Window,
    source: Source,
    *,
    beside: Sequence[Companion] = (),
    resume: bool = False,
    again: bool = False,
    told: Callable[[str], OnDay | None] = lambda _: None,
) -> Finished:
    """Run the portfolio and its companions over the window, unless an equal run is finished.

    Args:
        resume: go on from the journal of an equal run that was stopped. again: compute even what is finished.
        told: makes the day's listener of a portfolio by its name.
    """
    _require_own_names(spec, beside)
    loaded = load_range(settings, window, source=source, specs=(spec, *(one.spec for one in beside)))
    name = identify(loaded, spec, beside)
    store = store_of(settings)
    done = store.finished(name)
    if done is not None and not again:
        return Finished(name, done, False, loaded.seconds, 0.0, 0.0, 0, loaded.warnings)
    with store.under_way(name) as folder:
        done = store.finished(name)
        if done is not None and not again:  # by another process, while this one was loading
            return Finished(name, done, False, loaded.seconds, 0.0, 0.0, 0, loaded.warnings)
        runs = _run_all(loaded, (Companion(spec), *beside), folder, name, resume, told)
        begun = time.perf_counter()
        outputs = collect(loaded, spec, runs[0], [one.name for one in beside], name)
        timings: dict[str, Any] = {
            "load_seconds": loaded.seconds,
            "loop_seconds": runs[0].seconds,
            "decide_seconds": runs[0].decide_seconds,
            "days_per_second": runs[0].days_per_second,
            "restored_days": runs[0].restored_days,
            "beside_seconds": {one.name: run.seconds for one, run in zip(beside, runs[1:], strict=True)},
        }

        def files(target: Path) -> None:
            write(outputs, target, timings | {"report_seconds": time.perf_counter() - begun})

        final = store.finish(name, files)
    store.tidy()
    first = runs[0]
    warnings = tuple(dict.fromkeys((*loaded.warnings, *first.run.warnings)))
    return Finished(
        name, final, True, loaded.seconds, first.seconds, first.days_per_second, first.restored_days, warnings
    )


def identify(loaded: LoadedRange, spec: PortfolioSpec, beside: Sequence[Companion]) -> str:
    """The id of the run: of the code, the settings of all portfolios in it, and the markets they decide on."""
    config = {
        "run": [portfolio_config(spec), _opening(loaded, spec)],
        "beside": [[one.kind, portfolio_config(one.spec), _opening(loaded, one.spec)] for one in beside],
        "source": loaded.context.source.name,
    }
    markets = [loaded.market(one).fingerprint() for one in (spec, *(one.spec for one in beside))]
    return run_id(config, loaded.window, "-".join(dict.fromkeys(markets)))


def _opening(loaded: LoadedRange, spec: PortfolioSpec) -> list[Any]:
    """What the portfolio begins with: a live one's balances are observed, and no part of its file or of the market."""
    opening = opening_of(loaded.warehouse, spec, loaded.window)
    return [dict(opening.wallet), opening.rows.to_csv(index=False)]


def _require_own_names(spec: PortfolioSpec, beside: Sequence[Companion]) -> None:
    names = Counter([spec.name, *(one.name for one in beside)])
    for name, times in names.items():
        if times > 1:
            raise ConfigurationError(f"two runs are called '{name}': each needs a name of its own to be kept apart")


def _run_all(
    loaded: LoadedRange,
    companions: Sequence[Companion],
    folder: Path,
    name: str,
    resume: bool,
    told: Callable[[str], OnDay | None],
) -> list[TimedRun]:
    runs = []
    with ExitStack() as stack:
        for one in companions:
            path = folder / f"{one.name}.journal"
            journal = stack.enter_context(Journal(path, f"{name} {one.kind} {one.name}", resume=resume))
            runs.append(run_companion(loaded, one, told(one.name), journal=journal))
    return runs

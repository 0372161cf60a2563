"""Many runs over the same data: in parallel processes, kept as they finish, never made twice.

Belongs here: loading once, handing cells to workers, keeping and finding their results. Does not belong here: which
runs there are (see `matrix`), tables and pictures of them (see `reporting`).

The data are loaded once per source, and written as arrays that every worker maps: read-only, and in memory once. A
finished cell is kept under its run id, so a sweep that was stopped goes on where it stood, and one that was extended
makes only what is new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from defiyield_core.backtest.alone import lists_of, run_alone
from defiyield_core.backtest.engine import LoadedRange, decision_window, load_range
from defiyield_core.backtest.identity import portfolio_config, run_id
from defiyield_core.backtest.matrix import Cell, Matrix
from defiyield_core.backtest.shared import open_market, share_market
from defiyield_core.backtest.store import RunStore
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError, DefiYieldError
from defiyield_core.reporting.scenarios import Scenario
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source

_FRAMES = ("daily", "positions", "transactions")
KEPT_CELLS = 20_000


@dataclass(frozen=True)
class Task:
    """A cell that is to be run: its id, where its market and the lists are, where its results go."""

    cell: Cell
    run_id: str
    market: Path
    lists: Path
    store: Path


@dataclass(frozen=True)
class CellResult:
    """How a cell ended: its results are in `folder`, or it failed."""

    cell: Cell
    run_id: str
    folder: Path | None
    computed: bool
    failure: str = ""

    def scenario(self) -> Scenario:
        """The run as the reports take it.

        Raises:
            ConfigurationError: the cell failed.
        """
        if self.folder is None:
            raise ConfigurationError(f"the run '{self.cell.name}' failed: {self.failure}")
        spec = self.cell.spec
        frames = {name: pd.read_parquet(self.folder / f"{name}.parquet") for name in _FRAMES}
        timings = json.loads((self.folder / "timings.json").read_text())
        return Scenario(
            name=self.cell.name,
            description=spec.description,
            mode=spec.mode,
            parameters=spec.parameters.model_dump(),
            wallet=dict(spec.wallet),
            seed=self.cell.seed,
            solve_seconds=timings["decide_seconds"],
            group=self.cell.group,
            policy=spec.policy,
            **frames,
        )


@dataclass(frozen=True)
class Prepared:
    """A sweep whose data are loaded and whose cells have their ids."""

    tasks: tuple[Task, ...]
    load_seconds: float
    warnings: tuple[str, ...]


def store_of(settings: Settings) -> RunStore:
    """The deployment's finished cells."""
    return RunStore(settings.home / "sweeps", kept=KEPT_CELLS)


def sweep(
    settings: Settings,
    matrix: Matrix,
    *,
    workers: int,
    again: bool = False,
    told: Callable[[CellResult], None] = lambda _: None,
) -> tuple[list[CellResult], Prepared]:
    """Make every run of the matrix; results in the order of its cells.

    Args:
        again: make also the runs that are finished. told: hears of every result as it comes.

    Raises:
        ConfigurationError: fewer than one worker, or days that a source does not have.
    """
    if workers < 1:
        raise ConfigurationError(f"{workers} workers: at least 1 is needed")
    with TemporaryDirectory(prefix="defiyield-sweep-") as folder:
        prepared = prepare(settings, matrix, Path(folder))
        store = store_of(settings)
        done: dict[str, CellResult] = {}
        open_tasks = []
        for task in prepared.tasks:
            finished = None if again else store.finished(task.run_id)
            if finished is None:
                open_tasks.append(task)
            else:
                done[task.cell.name] = CellResult(task.cell, task.run_id, finished, computed=False)
                told(done[task.cell.name])
        for result in _computed(open_tasks, workers):
            done[result.cell.name] = result
            told(result)
        store.tidy()
    return [done[task.cell.name] for task in prepared.tasks], prepared


def prepare(settings: Settings, matrix: Matrix, folder: Path) -> Prepared:
    """Load every source of the matrix once, and write the markets of its cells into the folder."""
    tasks: dict[str, Task] = {}
    seconds = 0.0
    warnings: list[str] = []
    for number, source in enumerate(dict.fromkeys(cell.source for cell in matrix.cells)):
        cells = [cell for cell in matrix.cells if cell.source == source]
        loaded = _loaded(settings, matrix, cells, source)
        seconds += loaded.seconds
        warnings += loaded.warnings
        for task in _shared(loaded, cells, folder / str(number), store_of(settings).folder):
            tasks[task.cell.name] = task
    return Prepared(tuple(tasks[cell.name] for cell in matrix.cells), seconds, tuple(dict.fromkeys(warnings)))


def _loaded(settings: Settings, matrix: Matrix, cells: Sequence[Cell], source: str) -> LoadedRange:
    opened = open_source(source)
    windows = [decision_window(opened, cell.spec, matrix.start, matrix.end) for cell in cells]
    window = Window(max(window.start for window in windows), min(window.end for window in windows))
    return load_range(settings, window, source=opened, specs=[cell.spec for cell in cells])


def _shared(loaded: LoadedRange, cells: Sequence[Cell], folder: Path, store: Path) -> Iterator[Task]:
    lists = _shared_lists(loaded, folder)
    seen: dict[int, tuple[Path, str]] = {}
    for cell in cells:
        market = loaded.market(cell.spec)
        if id(market) not in seen:
            # Named by what is in it: a process that has opened it may keep it, whatever replaces the folder.
            fingerprint = market.fingerprint()
            place = folder / f"market_{fingerprint}"
            share_market(market, place)
            seen[id(market)] = place, fingerprint
        place, fingerprint = seen[id(market)]
        config = {"cell": portfolio_config(cell.spec), "source": loaded.context.source.name}
        yield Task(cell, run_id(config, loaded.window, fingerprint), place, lists, store)


def _shared_lists(loaded: LoadedRange, folder: Path) -> Path:
    """The folder of the lists that the books quote, named by what is in it."""
    frames = lists_of(loaded.warehouse)
    text = "".join(frame.to_csv(index=False) for frame in frames.values())
    lists = folder / f"lists_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    lists.mkdir(parents=True)
    for name, frame in frames.items():
        frame.to_parquet(lists / f"{name}.parquet", index=False)
    return lists


def _computed(tasks: Sequence[Task], workers: int) -> Iterator[CellResult]:
    """Results as they come."""
    processes = min(workers, len(tasks))
    if processes <= 1:
        yield from (run_task(task) for task in tasks)
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_one_thread)
    with pool:
        try:
            for future in as_completed([pool.submit(run_task, task) for task in tasks]):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_thread() -> None:
    """As many workers as there are cores: more threads would only get into each other's way."""
    threadpool_limits(1)


_opened: dict[Path, Any] = {}
"""Markets and lists that this process has opened."""


def _open(path: Path, how: Callable[[Path], Any]) -> Any:
    if path not in _opened:
        _opened[path] = how(path)
    return _opened[path]


def _read_lists(folder: Path) -> Mapping[str, pd.DataFrame]:
    return {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}


def run_task(task: Task) -> CellResult:
    """Run one cell and keep its results; a run that is refused becomes a failed result."""
    try:
        market, lists = _open(task.market, open_market), _open(task.lists, _read_lists)
        frames = run_alone(market, task.cell.spec, lists)
    except DefiYieldError as error:
        return CellResult(task.cell, task.run_id, None, computed=True, failure=str(error))

    def write(folder: Path) -> None:
        for name in _FRAMES:
            getattr(frames, name).to_parquet(folder / f"{name}.parquet", index=False)
        timings = {"seconds": frames.seconds, "decide_seconds": frames.decide_seconds}
        (folder / "timings.json").write_text(json.dumps(timings) + "\n")

    folder = RunStore(task.store, kept=KEPT_CELLS).finish(task.run_id, write)
    return CellResult(task.cell, task.run_id, folder, computed=True)

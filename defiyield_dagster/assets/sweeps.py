"""The assets of a sweep: its markets, one partition per run, and the comparison of them.

Belongs here: keys, partitions and metadata. Does not belong here: what a run is (see `defiyield_core.backtest.sweep`),
launching (see `defiyield_dagster.sweep`).
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from defiyield_core.backtest.identity import portfolio_config
from defiyield_core.backtest.matrix import Cell, Matrix
from defiyield_core.backtest.sweep import CellResult, Task, prepare, run_task, store_of
from defiyield_core.backtest.sweep_files import write_sweep
from defiyield_core.errors import ConfigurationError
from defiyield_core.reporting.charts import nav_chart
from defiyield_core.reporting.exports import results_frame
from defiyield_core.reporting.metrics import performance
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import source_label
from defiyield_core.versions import versions
from defiyield_dagster.assets.steps import OWNERS
from defiyield_dagster.metadata import markdown_table, picture
from defiyield_dagster.resources import DeploymentResource

_TASKS = "tasks.json"


def sweep_assets(matrix: Matrix, source: str) -> list[dg.AssetsDefinition]:
    """`NAME/markets` (the data, loaded once), `NAME/runs` (a partition per run) and `NAME/comparison`."""
    cells = {cell.name: cell for cell in matrix.cells}
    markets, runs = dg.AssetKey([matrix.name, "markets"]), dg.AssetKey([matrix.name, "runs"])
    common: dict[str, Any] = {"group_name": matrix.name, "owners": OWNERS, "kinds": {"python"}}

    @dg.asset(
        key=markets, description=f"The data of every run, from {source_label(source)}. {matrix.description}", **common
    )
    def load(context: dg.AssetExecutionContext, deployment: DeploymentResource) -> None:
        prepared_tasks, seconds = share(deployment.settings, matrix)
        context.add_output_metadata({"runs": len(prepared_tasks), "load_seconds": seconds})

    @dg.asset(
        key=runs,
        deps=[markets],
        partitions_def=dg.StaticPartitionsDefinition(list(cells)),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
        description="One backtest per partition. A finished one is not made again.",
        **common,
    )
    def run(context: dg.AssetExecutionContext, deployment: DeploymentResource) -> None:
        result = made(deployment.settings, matrix, cells[context.partition_key])
        scenario = result.scenario()
        figures = performance(scenario.daily)
        context.add_output_metadata(
            {
                "net_apy": figures.net_apy,
                "nav_close_usd": figures.nav_close_usd,
                "fees_usd": figures.fees_usd,
                "max_drawdown": figures.max_drawdown,
                "run_id": result.run_id,
                "computed": result.computed,
                "nav": picture(f"NAV of {scenario.name}", nav_chart({scenario.name: scenario.daily})),
            }
        )

    @dg.asset(key=[matrix.name, "comparison"], deps=[runs], description="The finished runs side by side.", **common)
    def compare(context: dg.AssetExecutionContext, deployment: DeploymentResource) -> None:
        settings = deployment.settings
        results = finished(settings, matrix)
        if not results:
            raise dg.Failure(f"no run of {matrix.name} is finished: materialise {matrix.name}/runs first")
        scenarios = [result.scenario() for result in results]
        sheet = write_sweep(folder_of(settings, matrix), matrix.name, scenarios, source=source_label(settings.source))
        ranking = results_frame(scenarios).sort_values("net_apy", ascending=False)
        columns = ["scenario", "net_apy", "fees_usd", "max_drawdown", "turnover", "days_not_ok"]
        context.add_output_metadata(
            {
                "runs": len(scenarios),
                "missing": len(matrix.cells) - len(scenarios),
                "comparison": dg.MetadataValue.path(str(sheet)),
                "ranking": markdown_table(ranking[columns], at_most=50),
            }
        )

    return [load, run, compare]


def folder_of(settings: Settings, matrix: Matrix) -> Path:
    """Where a sweep's markets and comparison are."""
    return settings.home / "sweeps" / f"{matrix.name}.sweep"


def share(settings: Settings, matrix: Matrix) -> tuple[tuple[Task, ...], float]:
    """Load the data of the matrix and keep them for the runs; the runs' tasks, and what loading took in seconds."""
    folder = folder_of(settings, matrix)
    fresh = folder / "markets.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    prepared = prepare(settings, matrix, fresh)
    plain = {
        task.cell.name: {
            "run_id": task.run_id,
            "asked": _asked(matrix, task.cell),
            "market": str(task.market.relative_to(fresh)),
            "lists": str(task.lists.relative_to(fresh)),
        }
        for task in prepared.tasks
    }
    (fresh / _TASKS).write_text(json.dumps(plain, indent=1))
    shutil.rmtree(folder / "markets", ignore_errors=True)
    fresh.rename(folder / "markets")
    return prepared.tasks, prepared.load_seconds


def tasks_of(settings: Settings, matrix: Matrix, cells: Sequence[Cell]) -> list[Task]:
    """The tasks of cells on the markets that are there.

    Raises:
        ConfigurationError: the markets are missing, or older than the matrix.
    """
    folder = folder_of(settings, matrix) / "markets"
    path = folder / _TASKS
    known = json.loads(path.read_text()) if path.is_file() else {}
    missing = [cell.name for cell in cells if cell.name not in known]
    if missing:
        raise ConfigurationError(f"{matrix.name}/markets has nothing for '{missing[0]}': materialise it first")
    changed = [cell.name for cell in cells if known[cell.name]["asked"] != _asked(matrix, cell)]
    if changed:
        raise ConfigurationError(
            f"'{changed[0]}' is not what {matrix.name}/markets was loaded for (code, settings or days have changed): "
            "materialise it again"
        )
    store = store_of(settings).folder
    return [
        Task(
            cell,
            known[cell.name]["run_id"],
            folder / known[cell.name]["market"],
            folder / known[cell.name]["lists"],
            store,
        )
        for cell in cells
    ]


def _asked(matrix: Matrix, cell: Cell) -> str:
    """A hash of all that a run was asked to be, apart from the data: other code or settings need other markets."""
    asked = [versions(), portfolio_config(cell.spec), cell.source, str(matrix.start), str(matrix.end)]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def made(settings: Settings, matrix: Matrix, cell: Cell) -> CellResult:
    """The run of a cell, made unless it is finished.

    Raises:
        ConfigurationError: see `tasks_of`.
    """
    task = tasks_of(settings, matrix, [cell])[0]
    folder = store_of(settings).finished(task.run_id)
    return run_task(task) if folder is None else CellResult(cell, task.run_id, folder, computed=False)


def finished(settings: Settings, matrix: Matrix) -> list[CellResult]:
    """The runs that are finished on the markets that are there, in the order of the cells."""
    found = []
    for task in tasks_of(settings, matrix, matrix.cells):
        folder = store_of(settings).finished(task.run_id)
        if folder is not None:
            found.append(CellResult(task.cell, task.run_id, folder, computed=False))
    return found

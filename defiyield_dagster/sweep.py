"""`python -m defiyield_dagster.sweep MATRIX [WORKERS]`: a sweep as runs of Dagster, several processes at a time.

Each run of the matrix is a partition and a Dagster run of its own, so that the UI shows when it ran and what came of
it; `defiyield sweep` makes the same runs without Dagster, and either finds what the other has finished.
Belongs here: the definitions of sweeps, launching their runs. Does not belong here: their assets (see `assets.sweeps`).
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dagster as dg

from defiyield_core.backtest.matrix import SHIPPED, Matrix, load_matrix, matrix_path
from defiyield_core.errors import ConfigurationError, DefiYieldError
from defiyield_core.settings import Settings
from defiyield_dagster.assets.sweeps import folder_of, sweep_assets
from defiyield_dagster.instance import open_instance
from defiyield_dagster.launch import problems_of
from defiyield_dagster.resources import RESOURCE_KEY, DeploymentResource

FOLDER_VARIABLE = "DEFIYIELD_SWEEPS"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunEnd:
    """How a Dagster run of a sweep ended: of a partition, or of an asset without partitions."""

    name: str
    run_id: str
    problems: tuple[str, ...]
    process: int

    @property
    def success(self) -> bool:
        """Whether nothing failed."""
        return not self.problems


def build_sweep_defs(
    settings: Settings | None = None,
    matrices: Sequence[Path] | None = None,
    *,
    resource_overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """The assets of the matrices: those of the folder DEFIYIELD_SWEEPS, else of the package.

    A matrix whose portfolios this deployment does not have is left out.
    """
    chosen = settings or Settings.from_environment()
    folder = Path(os.environ.get(FOLDER_VARIABLE) or SHIPPED)
    assets: list[dg.AssetsDefinition] = []
    for path in matrices if matrices is not None else sorted(folder.glob("*.yaml")):
        try:
            matrix = load_matrix(path, chosen.portfolios, chosen.source)
        except ConfigurationError:
            if matrices is not None:
                raise
            continue
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=dg.BetaWarning)  # as in `build`
            assets += sweep_assets(matrix, chosen.source)
    return dg.Definitions(
        assets=assets,
        resources={RESOURCE_KEY: DeploymentResource(), **(resource_overrides or {})},
        loggers={"console": dg.colored_console_logger},
        executor=dg.in_process_executor,
    )


def launch_sweep(settings: Settings, path: Path, workers: int) -> Iterator[RunEnd]:
    """Load, run every cell in its own Dagster run with `workers` processes, compare; runs as they end.

    Raises:
        ConfigurationError: fewer than one worker, or a wrong matrix file.
    """
    if workers < 1:
        raise ConfigurationError(f"{workers} workers: at least 1 is needed")
    matrix = load_matrix(path, settings.portfolios, settings.source)
    loaded = launch_part(settings, path, matrix.name, "markets")
    yield loaded
    if not loaded.success:
        return
    with ProcessPoolExecutor(min(workers, len(matrix.cells)), get_context("spawn")) as pool:
        parts = [pool.submit(launch_part, settings, path, matrix.name, "runs", cell.name) for cell in matrix.cells]
        for future in as_completed(parts):
            yield future.result()
    yield launch_part(settings, path, matrix.name, "comparison")


def launch_part(settings: Settings, path: Path, matrix: str, part: str, partition: str | None = None) -> RunEnd:
    """One Dagster run of an asset of the sweep, in this process."""
    deployment = DeploymentResource(
        source=settings.source,
        warehouse=settings.warehouse,
        home=str(settings.home),
        portfolios=str(settings.portfolios),
    )
    defs = build_sweep_defs(settings, [path], resource_overrides={RESOURCE_KEY: deployment})
    with open_instance(settings) as instance:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config=_QUIET,
            instance=instance,
            asset_selection=[dg.AssetKey([matrix, part])],
            partition_key=partition,
            raise_on_error=False,
        )
    return RunEnd(partition or part, result.run_id, problems_of(result), os.getpid())


def main(arguments: Sequence[str]) -> int:
    """Run a sweep; 1 when a run of it failed, 2 for a wrong argument."""
    try:
        if not 1 <= len(arguments) <= 2 or (len(arguments) == 2 and not arguments[1].isdecimal()):
            raise ConfigurationError("usage: python -m defiyield_dagster.sweep MATRIX [WORKERS]")
        settings = Settings.from_environment()
        path = matrix_path(arguments[0])
        workers = int(arguments[1]) if len(arguments) == 2 else os.cpu_count() or 1
        return _told(settings, path, workers)
    except DefiYieldError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2


def _told(settings: Settings, path: Path, workers: int) -> int:
    begun, failed, done = time.perf_counter(), 0, 0
    matrix: Matrix = load_matrix(path, settings.portfolios, settings.source)
    for end in launch_sweep(settings, path, workers):
        done += 1
        failed += not end.success
        state = "done" if end.success else "FAILED"
        print(f"  {done:>4}/{len(matrix.cells) + 2}  {state:<6} {end.name}  (run {end.run_id[:8]})", flush=True)
        for problem in end.problems:
            print(f"             {problem}", file=sys.stderr)
    seconds = time.perf_counter() - begun
    print(f"\n{done - failed} Dagster runs in {seconds:.0f} s with {workers} workers, {failed} failed.")
    print(f"comparison  {folder_of(settings, matrix)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

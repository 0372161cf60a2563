"""What a sweep leaves in its folder: `results`, `summary`, `allocations` and `transactions` as CSV and parquet, and
`comparison.html`.

Belongs here: which files. Does not belong here: what is in them (see `reporting.exports`, `reporting.scenario_sheet`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from defiyield_core.errors import ConfigurationError
from defiyield_core.reporting.exports import pareto, results_frame, write_exports, write_table
from defiyield_core.reporting.scenarios import Scenario
from defiyield_core.versions import code_version

SHEET = "comparison.html"


def write_sweep(
    folder: Path, name: str, scenarios: Sequence[Scenario], *, source: str, baseline: str | None = None
) -> Path:
    """Write the files of a sweep; the path of the comparison sheet.

    Args:
        name: of the matrix. baseline: the run that the others are held against (default: the first).

    Raises:
        ConfigurationError: the folder cannot be written, or there is no run of the baseline's name.
    """
    # Drawing takes a third of a second to import: no other command should wait for it.
    from defiyield_core.reporting.scenario_sheet import scenario_sheet

    write_exports(folder, scenarios)
    frame = results_frame(scenarios)
    page = scenario_sheet(
        scenarios,
        title=name.replace("_", " "),
        baseline=baseline or scenarios[0].name,
        source=source,
        run_info={"matrix": name, "code version": code_version()},
    )
    try:
        write_table(frame.assign(not_dominated=pareto(frame)), folder, "results")
        (folder / SHEET).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{folder}: the results cannot be written: {error}") from error
    return folder / SHEET

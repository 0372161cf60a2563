"""What a stress run leaves in its folder.

`cases.parquet`, `cases.csv`, `summary.json`, `stress.html` and `timings.json`. All but the timings are equal for equal
code, portfolio, data and seed, whatever the number of processes.
"""

from __future__ import annotations

import json
from pathlib import Path

from defiyield_core.errors import ConfigurationError
from defiyield_core.stress.notes import Telling
from defiyield_core.stress.outcomes import StressRun
from defiyield_core.stress.report import summary
from defiyield_core.stress.sheet import stress_sheet

PAGE = "stress.html"


def write(run: StressRun, telling: Telling, folder: Path) -> Path:
    """Write everything; the path of the page.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    frame = run.frame()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(folder / "cases.parquet", index=False)
        frame.to_csv(folder / "cases.csv", index=False)
        for name, values in (("summary", summary(run, telling)), ("timings", {"seconds": run.seconds})):
            (folder / f"{name}.json").write_text(json.dumps(values, indent=2, sort_keys=True, default=str) + "\n")
        sheet = folder / PAGE
        sheet.write_text(stress_sheet(run, telling), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: cannot be written: {error}") from error
    return sheet

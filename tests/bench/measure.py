"""What a measurement is, and how to take one."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Measurement:
    """One row of the report; `target` says what was asked for, empty when nothing was."""

    what: str
    value: float
    unit: str
    target: str = ""


def median_seconds(action: Callable[[], object], runs: int = 3) -> float:
    """Median wall time of an action."""
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def recorded_folder() -> Path | None:
    """The recorded market data, where it is there."""
    folder = Path(os.environ.get("DEFIYIELD_RECORDED") or ROOT.parent / "shared" / "data")
    return folder if (folder / "pools" / "pools.parquet").exists() else None

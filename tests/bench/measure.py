"""What a measurement is, and how to take one.

Belongs here: rows of the report, clocks, targets. Does not belong here: what is measured.
"""

from __future__ import annotations

import operator
import os
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TARGET = re.compile(r"(<=|>=|<|>) ([0-9.]+)(?: .*)?")
_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Measurement:
    """One row of the report; `target` says what was asked for (`<= 15 ms`), empty when nothing was."""

    what: str
    value: float
    unit: str
    target: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the value reaches the target; None without one.

        Raises:
            ValueError: the target is not a comparison with a number.
        """
        if not self.target:
            return None
        parts = _TARGET.fullmatch(self.target)
        if parts is None:
            raise ValueError(f"{self.what}: the target '{self.target}' is not like '<= 15 ms'")
        return bool(_COMPARE[parts[1]](self.value, float(parts[2])))


def median_seconds(action: Callable[[], object], runs: int = 3) -> float:
    """Median wall time of an action."""
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def median_and_maximum(label: str, times_ms: Sequence[float], median: str = "", maximum: str = "") -> list[Measurement]:
    """Two rows; `median` and `maximum` are their targets."""
    return [
        Measurement(f"{label}: median of {len(times_ms)}", statistics.median(times_ms), "CPU ms", median),
        Measurement(f"{label}: maximum of {len(times_ms)}", max(times_ms), "CPU ms", maximum),
    ]


def recorded_folder() -> Path | None:
    """The recorded market data, where it is there."""
    folder = Path(os.environ.get("DEFIYIELD_RECORDED") or ROOT.parent / "shared" / "data")
    return folder if (folder / "pools" / "pools.parquet").exists() else None

"""A line that counts days while a run goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import date


class DayCounter:
    """Call it with every finished day; on a terminal it rewrites one line, elsewhere it prints one in 30."""

    def __init__(self, label: str, days: int) -> None:
        self._label, self._days, self._done = label, days, 0
        self._begun = time.perf_counter()
        self._tty = sys.stderr.isatty()

    def __call__(self, day: date, row: Mapping[str, object]) -> None:
        """Count one day."""
        self._done += 1
        last = self._done == self._days
        if not (self._tty or last or self._done % 30 == 0):
            return
        seconds = max(time.perf_counter() - self._begun, 1e-9)
        text = (
            f"  {self._label}  {day}  {self._done}/{self._days} days  NAV {row['aum_close_usd']:,.0f} USD"
            f"  {self._done / seconds:,.0f} days/s"
        )
        end = "\r" if self._tty and not last else "\n"
        print(text.ljust(90), end=end, file=sys.stderr, flush=True)

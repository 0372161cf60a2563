"""UTC days and windows of them.

Belongs here: `Window`, parsing of dates, the epoch arithmetic of days. Does not belong here: anything about markets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from defiyield_core.errors import ConfigurationError

DayArray = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Window:
    """Days from `start` to `end`, both included."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise ConfigurationError(f"the window starts on {self.start}, after its end on {self.end}")

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.start + timedelta(days=offset) for offset in range(len(self)))

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day <= self.end

    def __str__(self) -> str:
        return f"{self.start}" if self.start == self.end else f"{self.start}..{self.end}"

    def days(self) -> DayArray:
        """The days as numpy `datetime64[D]`, ascending."""
        return np.arange(np.datetime64(self.start, "D"), np.datetime64(self.end, "D") + 1)

    def chunks(self, size_days: int) -> Iterator[Window]:
        """Consecutive windows of at most `size_days` days."""
        for offset in range(0, len(self), size_days):
            first = self.start + timedelta(days=offset)
            yield Window(first, min(self.end, first + timedelta(days=size_days - 1)))


def parse_day(text: str, what: str = "date") -> date:
    """An ISO day.

    Raises:
        ConfigurationError: naming `what` and the expected form.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{what} '{text}' is not a day of the form YYYY-MM-DD") from None


def as_day(value: date | datetime | np.datetime64 | pd.Timestamp) -> date:
    """The UTC day of a moment (naive moments are taken as UTC)."""
    return pd.Timestamp(value).date()


def end_of(day: date) -> datetime:
    """The last microsecond of a day: the latest moment that its data may describe."""
    return datetime(day.year, day.month, day.day, 23, 59, 59, 999999)


def utc_now() -> datetime:
    """The present, naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)

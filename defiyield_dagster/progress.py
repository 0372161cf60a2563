"""Who listens while a run goes on in this process: the command line does, a run worker does not.

Belongs here: announcing finished days and steps. Does not belong here: printing them (see `demo`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Finished:
    """An asset (or several that are computed together) is done."""

    name: str
    seconds: float
    rows: int


@dataclass(frozen=True)
class DayDone:
    """A portfolio closed a day; `row` is its row of `portfolio_daily`."""

    portfolio: str
    day: date
    row: Mapping[str, object]


Listener = Callable[[Finished | DayDone], None]
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear what is announced in this process while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def announce(news: Finished | DayDone) -> None:
    """Tell whoever listens."""
    for listener in _listeners:
        listener(news)

"""A file that keeps every finished day of a run, so that a run that was killed goes on from its last one.

Belongs here: writing a day's rows, reading them back. Does not belong here: what a run is called (see
`backtest.identity`), deciding.

Lines of `crc32 json`, the first with the name of the run. A line is handed to the system before the next day begins: a
killed process loses the day it was at. A last line that was cut short or damaged is dropped, with all that follows it.
Floats are written so that they read back as the same bits.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.history import MarketHistory
from defiyield_core.portfolio.books import Books, Row
from defiyield_core.portfolio.state import PortfolioState, state_from_rows

_FORMAT = "defiyield journal 1"
_DAY = 1
"""Where the day stands in the rows of every portfolio table."""


class Journal:
    """One run's journal.

    Args:
        path: the file; its folder is made. run: what the run is: a journal of another one is not gone on with.
        resume: go on from what is there; otherwise, and where there is nothing of this run, begin a new one.
    """

    def __init__(self, path: Path, run: str, *, resume: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._head = {"format": _FORMAT, "run": run}
        lines, end = _read(path) if resume and path.exists() else ([], 0)
        known = bool(lines) and lines[0] == self._head
        self._days: list[dict[str, Any]] = lines[1:] if known else []
        self._file: IO[bytes] = path.open("r+b" if known else "wb")
        if known:
            self._file.truncate(end)
            self._file.seek(end)
        else:
            self._write(self._head)

    def restore(self, books: Books, market: MarketHistory) -> PortfolioState | None:
        """Put the kept days into the books; the close of the last one, None where there is none."""
        if not self._days:
            return None
        for entry in self._days:
            day = date.fromisoformat(entry["day"])
            rows = {name: [_row_from(row, day) for row in rows] for name, rows in entry["rows"].items()}
            books.restore(rows, entry["ytd_growth"], entry["ytd_year"])
        contract = table("portfolio_state")
        last = pd.DataFrame(books.last_day["portfolio_state"], columns=list(contract.column_names))
        self._days = []
        return state_from_rows(conform(contract, last), market)

    def append(self, day: date, books: Books) -> None:
        """Keep the day that was booked last."""
        rows = {name: [_plain(row) for row in rows] for name, rows in books.last_day.items()}
        self._write({"day": str(day), "rows": rows, "ytd_growth": books.ytd_growth, "ytd_year": books.ytd_year})

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, entry: dict[str, Any]) -> None:
        text = json.dumps(entry, separators=(",", ":"), default=_number).encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self._file.flush()


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines of a file, and where the last of them ends."""
    lines, end = [], 0
    for raw, after in _raw_lines(path):
        check, _, text = raw.partition(b" ")
        if not raw.endswith(b"\n") or check != b"%08x" % zlib.crc32(text[:-1]):
            break
        lines.append(json.loads(text))
        end = after
    return lines, end


def _raw_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    end = 0
    with path.open("rb") as file:
        for raw in file:
            end += len(raw)
            yield raw, end


def _plain(row: Row) -> list[object]:
    """The row without its day, which the entry has."""
    return [*row[:_DAY], *row[_DAY + 1 :]]


def _row_from(values: list[object], day: date) -> Row:
    return (*values[:_DAY], day, *values[_DAY:])


def _number(value: object) -> int | float | bool:
    """numpy's own integers and booleans, which json does not know."""
    if isinstance(value, np.generic):
        plain = value.item()
        if isinstance(plain, int | float | bool):
            return plain
    raise TypeError(f"a {type(value).__name__} has no place in a journal")

"""Untrusted JSON objects as columns: what every parser is made of.

Belongs here: reading typed columns out of a list of JSON objects, with an account of what was refused.
Does not belong here: the shape of any one source's payload (see its module).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from defiyield_core.calendar import Window, end_of
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.errors import SourceError
from defiyield_core.sources.port import Fetched
from defiyield_core.units import BoolArray, FloatArray

StampArray = npt.NDArray[np.datetime64]
MAX_MESSAGE_CHARS = 200


class Entries:
    """Objects of one payload, read column by column.

    An entry is refused at most once: the first reason counts. Reading a column refuses the entries whose value
    has the wrong type; `rows` keeps what is left.
    """

    def __init__(self, items: Iterable[object]) -> None:
        everything = list(items)
        self.objects: list[dict[str, Any]] = [item for item in everything if isinstance(item, dict)]
        self.kept: BoolArray = np.ones(len(self.objects), dtype=bool)
        self.refused: Counter[str] = Counter()
        if len(self.objects) < len(everything):
            self.refused["not an object"] = len(everything) - len(self.objects)

    def refuse(self, mask: BoolArray, reason: str) -> None:
        """Leave out the entries of `mask`, counted under `reason`."""
        count = int(np.count_nonzero(mask & self.kept))
        if count:
            self.refused[reason] += count
            self.kept &= ~mask

    def drop(self, mask: BoolArray) -> None:
        """Leave out the entries of `mask` without counting them: nobody asked for them."""
        self.kept &= ~mask

    def values(self, key: str) -> list[Any]:
        """The raw values of a field, None where it is absent."""
        return [entry.get(key) for entry in self.objects]

    def numbers(self, key: str, *, required: bool = False, strict: bool = True) -> FloatArray:
        """A column of float64, nan where the value is null.

        Refuses entries whose value is no number or not finite, and nulls when `required`. With `strict=False`
        (fields that only describe) such a value becomes nan and the entry stays.
        """
        column, missing, wrong = _numbers(self.values(key))
        if strict:
            self.refuse(wrong, f"{key} is not a number")
            self.refuse(~np.isfinite(column) & ~missing & ~wrong, f"{key} is not finite")
        if required:
            self.refuse(missing, f"{key} is missing")
        return np.where(np.isfinite(column), column, np.nan)

    def texts(self, key: str, *, required: bool = False) -> npt.NDArray[np.object_]:
        """A column of str, None where the value is null (or no text, when it is not required); blank counts as null."""
        found = [value if isinstance(value, str) and value.strip() else None for value in self.values(key)]
        column = np.empty(len(found), dtype=object)
        column[:] = found
        if required:
            self.refuse(np.array([value is None for value in found], dtype=bool), f"{key} is not a text")
        return column

    def flags(self, key: str) -> BoolArray:
        """A column of bool; null and absent are False. Refuses entries whose value is anything else."""
        found = self.values(key)
        wrong = [value is not None and not isinstance(value, bool) for value in found]
        self.refuse(np.array(wrong, dtype=bool), f"{key} is not true or false")
        return np.array([value is True for value in found], dtype=bool)

    def stamps(self, key: str) -> StampArray:
        """A column of moments (naive UTC, datetime64[ns]) from ISO 8601 texts. Refuses entries without one."""
        found = [value if isinstance(value, str) else None for value in self.values(key)]
        column = iso_stamps(found)
        self.refuse(np.isnat(column), f"{key} is not a moment")
        return column

    def epochs(self, key: str) -> StampArray:
        """A column of moments from unix seconds (numbers or their texts). Refuses entries without one."""
        seconds = pd.to_numeric(pd.Series(self.values(key), dtype=object), errors="coerce").to_numpy(np.float64)
        sane = (seconds >= 0) & (seconds < 4e9)
        column = np.full(len(seconds), np.datetime64("NaT", "ns"), dtype="datetime64[ns]")
        column[sane] = (seconds[sane] * 1e3).astype(np.int64).astype("datetime64[ms]").astype("datetime64[ns]")
        self.refuse(~sane, f"{key} is not a moment")
        return column

    def inside(self, moments: StampArray, window: Window) -> None:
        """Drop entries outside the window, silently: a chart holds years when a day was asked for."""
        first = np.datetime64(window.start, "ns")
        last = np.datetime64(window.end, "ns") + np.timedelta64(1, "D")
        self.drop(~((moments >= first) & (moments < last)))

    def rows(self, name: str, columns: Mapping[str, object]) -> Fetched:
        """The kept entries as rows of a raw table, sorted by its key."""
        frame = pd.DataFrame(dict(columns), index=range(len(self.objects)))[self.kept]
        return fetched(name, frame, self.refused)


def fetched(name: str, frame: pd.DataFrame, refused: Mapping[str, int], **more: Any) -> Fetched:
    """A `Fetched` whose frame meets the contract of table `name` and is sorted by its key."""
    contract = table(name)
    if frame.empty:
        return Fetched(contract.empty(), dict(refused), **more)
    return Fetched(conform(contract, frame.sort_values(list(contract.key), kind="stable")), dict(refused), **more)


def merge(name: str, parts: Sequence[Fetched], warnings: Sequence[str] = (), *, complete: bool = True) -> Fetched:
    """Several answers as one: rows concatenated, counts added, warnings kept once each, complete if all are.

    Where two parts hold a row of one key, the later part's row stays.
    """
    contract = table(name)
    frames = [part.frame for part in parts if len(part.frame)]
    frame = pd.concat(frames, ignore_index=True) if frames else contract.empty()
    refused: Counter[str] = Counter()
    for part in parts:
        refused.update(part.refused)
    notes = dict.fromkeys([*(note for part in parts for note in part.warnings), *warnings])
    return fetched(
        name,
        frame.drop_duplicates(list(contract.key), keep="last"),
        refused,
        warnings=tuple(notes),
        complete=complete and all(part.complete for part in parts),
    )


def iso_stamps(texts: Sequence[str | None]) -> StampArray:
    """ISO 8601 texts as naive UTC datetime64[ns]; NaT where a text is none."""
    parsed = pd.to_datetime(pd.Series(texts, dtype=object), format="ISO8601", utc=True, errors="coerce")
    stamps: StampArray = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    return stamps


def days_of(moments: StampArray) -> StampArray:
    """The UTC day of each moment, as a midnight."""
    return moments.astype("datetime64[D]").astype("datetime64[ns]")


def not_after(moments: StampArray, seen_at: datetime) -> StampArray:
    """Moments clipped to when we looked: nothing is known before it is seen."""
    return np.minimum(moments, np.datetime64(seen_at, "ns"))


def close_of(day: date, seen_at: datetime) -> datetime:
    """The moment that a reading of `day` describes: its end, or when we looked if that was earlier."""
    return min(end_of(day), seen_at)


def only_last(moments: StampArray, kept: BoolArray, *keys: npt.NDArray[Any]) -> BoolArray:
    """Mask of kept entries superseded by a later kept one of equal keys and day (of equal moments the last)."""
    frame = pd.DataFrame({str(i): key for i, key in enumerate((*keys, days_of(moments)))})
    frame["moment"] = moments
    ordered = frame[kept].sort_values("moment", kind="stable")
    superseded = ordered.index[ordered.duplicated([str(i) for i in range(len(keys) + 1)], keep="last")]
    mask = np.zeros(len(frame), dtype=bool)
    mask[superseded.to_numpy()] = True
    return mask


def as_object(payload: object, what: str) -> dict[str, Any]:
    """The payload, which must be a JSON object.

    Raises:
        SourceError: it is something else.
    """
    if not isinstance(payload, dict):
        raise SourceError(f"{what} answered a {type(payload).__name__} where an object was expected; try again later")
    return payload


def as_list(value: object, what: str) -> list[Any]:
    """The value, which must be a JSON array.

    Raises:
        SourceError: it is something else.
    """
    if not isinstance(value, list):
        raise SourceError(f"{what} answered a {type(value).__name__} where a list was expected; try again later")
    return value


def clean(message: object) -> str:
    """A server's message made safe to print: one line, bounded, without what follows a '|' (where keys are echoed)."""
    text = " ".join(str(message).split("|")[0].split())
    printable = "".join(char for char in text if char.isprintable())
    return printable[:MAX_MESSAGE_CHARS] or "no message"


def _numbers(values: list[Any]) -> tuple[FloatArray, BoolArray, BoolArray]:
    missing = np.array([value is None for value in values], dtype=bool)
    wrong = np.zeros(len(values), dtype=bool)
    try:
        if set(map(type, values)) <= {float, int, type(None)}:
            return np.array(values, dtype=np.float64), missing, wrong
    except OverflowError:
        pass  # an integer beyond float64: read one by one below
    column = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                column[i] = float(value)
            except OverflowError:
                column[i] = np.inf
        elif value is not None:
            wrong[i] = True
    return column, missing, wrong

"""Whether two runs decided the same, and where they first did not.

Belongs here: reading what a run decided, comparing it to the last bit. Does not belong here: running.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core.backtest.engine import LoadedRange
from defiyield_core.calendar import as_day
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import Table

DECISION_TABLES = ("asset_allocation_details", "asset_allocations", "allocation_transactions", "portfolio_daily")
"""What decisions saw of each pool and did with it, what was held and moved, and the day: in this order on one day."""
_WHERE = ("pool_id", "from_location", "to_location", "token", "seq")


@dataclass(frozen=True)
class Difference:
    """The first place where two runs differ.

    Attributes:
        where: the pool, or what else tells rows of a day apart; empty for a row of the whole day.
        expected, found: the values; `no row` where one run has none.
        days: days on which anything differs.
    """

    day: date
    table: str
    where: str
    column: str
    expected: str
    found: str
    days: int

    def __str__(self) -> str:
        place = f"{self.table} {self.where}".strip()
        return f"first on {self.day}: {place}, {self.column} is {self.found} and was {self.expected}"


def decisions(loaded: LoadedRange, portfolio: str) -> dict[str, pd.DataFrame]:
    """Rows of a run's decision tables, by table."""
    return {name: loaded.warehouse.read(name, scope={"portfolio": portfolio}) for name in DECISION_TABLES}


def first_difference(
    expected: Mapping[str, pd.DataFrame], found: Mapping[str, pd.DataFrame], last: date
) -> Difference | None:
    """The first difference up to and including a day; None when all is equal, to the last bit."""
    spots = [
        spot
        for order, name in enumerate(DECISION_TABLES)
        if (spot := _differing(table(name), order, *(_until(frames[name], last) for frames in (expected, found))))
        is not None
    ]
    if not spots:
        return None
    days = pd.concat([spot[["date"]] for spot in spots])["date"].nunique()
    first = pd.concat(spots).sort_values(["date", "order"], kind="stable").iloc[0]
    return Difference(
        as_day(first["date"]), first["table"], first["where"], first["column"], first["expected"], first["found"], days
    )


def _until(frame: pd.DataFrame, last: date) -> pd.DataFrame:
    return frame[frame["date"] <= pd.Timestamp(last)]


def _differing(contract: Table, order: int, expected: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame | None:
    """A row for every key at which the frames differ, with the first column that does; None when they do not."""
    key = list(contract.key)
    left, right = (frame.set_index(key).sort_index() for frame in (expected, found))
    if left.equals(right):
        return None
    keys = left.index.union(right.index)
    both = left.index.intersection(right.index)
    columns = list(left.columns)
    mine, theirs = left.loc[both, columns], right.loc[both, columns]
    unequal = np.asarray(~((mine == theirs) | (mine.isna() & theirs.isna())), dtype=bool)
    rows = []
    for place, at in enumerate(both):
        if unequal[place].any():
            column = columns[int(np.argmax(unequal[place]))]
            rows.append((at, column, _text(mine.iloc[place][column]), _text(theirs.iloc[place][column])))
    rows += [
        (at, "row", "there" if at in left.index else "no row", "there" if at in right.index else "no row")
        for at in keys.difference(both)
    ]
    if not rows:
        return None
    places = pd.DataFrame([at for at, *_ in rows], columns=key)
    told = pd.DataFrame([rest for _, *rest in rows], columns=["column", "expected", "found"])
    where = [_where(contract, left, right, at) for at, *_ in rows]
    return pd.concat([places[["date"]], told], axis=1).assign(table=contract.name, order=order, where=where)


def _where(contract: Table, left: pd.DataFrame, right: pd.DataFrame, at: tuple[object, ...]) -> str:
    row = dict(zip(contract.key, at, strict=True))
    side = left if at in left.index else right
    row |= {name: side.loc[at, name] for name in _WHERE if name in side.columns}
    return " ".join(str(row[name]) for name in _WHERE if name in row and pd.notna(row[name]))


def _text(value: object) -> str:
    return repr(float(value)) if isinstance(value, float | np.floating) else str(value)

"""Finding a stored decision by its run id, for the commands that look at one.

Belongs here: the look-up, and the decision as its tables hold it. Does not belong here: what is said about it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.allocation.problem_file import problem_from_json
from defiyield_core.allocation.strict_json import parse_json
from defiyield_core.calendar import Window
from defiyield_core.errors import AllocationError, ConfigurationError, DataError
from defiyield_core.warehouse.port import Warehouse

SHOWN = 5
"""Run ids named in a refusal."""


@dataclass(frozen=True)
class StoredDecision:
    """Where a decision stands in the tables.

    Attributes:
        row: its row of `allocation_parameters`, by column; a missing number is NaN, a missing text None.
    """

    portfolio: str
    day: date
    run_id: str
    row: Mapping[str, Any]

    def rows(self, warehouse: Warehouse, table: str) -> pd.DataFrame:
        """Rows of a table that belong to the decision, by the table's key."""
        found = warehouse.read(table, Window(self.day, self.day), scope={"portfolio": self.portfolio})
        return found[found["run_id"] == self.run_id].reset_index(drop=True)

    def problem(self, warehouse: Warehouse) -> AllocationProblem:
        """The problem that was decided.

        Raises:
            DataError: none is stored (nothing was decided, or it was before problems were stored), or it is not
                readable.
        """
        rows = self.rows(warehouse, "allocation_problems")
        if not len(rows):
            why = f"{self.row['status']}: {self.row['reason']}" if self.row["reason"] else "stored without its problem"
            raise DataError(f"decision {self.run_id} ({self.portfolio}, {self.day}) has no problem ({why})")
        try:
            return problem_from_json(parse_json(rows["problem"].iloc[0]))
        except AllocationError as error:
            raise DataError(f"allocation_problems, run id {self.run_id}: {error}") from None

    def snapshot(self, column: str) -> list[str]:
        """A list as it is kept with the decision: `approved_tokens`, `icebox_tokens`, ..."""
        return list(json.loads(self.row[column]))


def find_decision(warehouse: Warehouse, run_id: str) -> StoredDecision:
    """The decision whose run id is `run_id` or begins with it.

    Raises:
        ConfigurationError: no decision, or several, have an id that begins so.
    """
    known = warehouse.read("allocation_parameters", columns=("portfolio", "date", "run_id"))
    wanted = run_id.strip()
    found = known[known["run_id"].str.startswith(wanted)] if wanted else known.iloc[:0]
    if not len(found):
        raise ConfigurationError(f"no decision has the run id '{run_id}' in {warehouse.describe()}: {_known(known)}")
    if len(found) > 1 and wanted in set(found["run_id"]):
        found = found[found["run_id"] == wanted]
    if len(found) > 1:
        raise ConfigurationError(f"{len(found)} run ids begin with '{run_id}': {_shown(found)}; give more of it")
    portfolio, stamp = found["portfolio"].iloc[0], found["date"].iloc[0]
    day = stamp.date()
    row = warehouse.read("allocation_parameters", Window(day, day), scope={"portfolio": portfolio}).iloc[0]
    return StoredDecision(portfolio, day, str(row["run_id"]), row.to_dict())


def _known(known: pd.DataFrame) -> str:
    """What there is instead: the newest decisions."""
    if not len(known):
        return "it holds no decisions (`defiyield run` makes them)"
    return f"the newest are {_shown(known.sort_values('date', ascending=False, kind='stable'))}"


def _shown(decisions: pd.DataFrame) -> str:
    rows = decisions[:SHOWN].itertuples()
    return ", ".join(f"{row.run_id} ({row.portfolio}, {row.date.date()})" for row in rows)

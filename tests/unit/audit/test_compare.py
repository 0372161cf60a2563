"""Finding where two runs first decided otherwise."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from defiyield_core.audit.compare import DECISION_TABLES, first_difference
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from tests.unit.audit.small import SPEC

DAYS = pd.date_range("2025-03-01", periods=4)
LAST = date(2025, 3, 4)


def frames() -> dict[str, pd.DataFrame]:
    """Four days; two pools held and looked at, one move a day."""
    of_pools = [{"date": day, "pool_id": pool, "token": "USDC"} for day in DAYS for pool in ("pool-a", "pool-b")]
    of_days = [{"date": day} for day in DAYS]
    moves = [{"date": day, "seq": 1, "to_location": "pool-a", "token": "USDC"} for day in DAYS]
    rows = dict(zip(DECISION_TABLES, (of_pools, of_pools, moves, of_days), strict=True))
    return {name: filled(name, given) for name, given in rows.items()}


def filled(name: str, given: list[dict[str, object]]) -> pd.DataFrame:
    """Rows with 1 in every number and a letter in every text that is not given."""
    contract = table(name)
    frame = pd.DataFrame(given).assign(portfolio=SPEC.name)
    empty = contract.empty()
    for column in contract.column_names:
        if column not in frame:
            frame[column] = 1 if pd.api.types.is_numeric_dtype(empty[column]) else "x"
    return conform(contract, frame[list(contract.column_names)])


def changed(name: str, row: int, column: str, value: object) -> dict[str, pd.DataFrame]:
    other = frames()
    other[name].loc[row, column] = value
    return other


def test_equal_runs_do_not_differ() -> None:
    assert first_difference(frames(), frames(), LAST) is None


@pytest.mark.parametrize(
    ("name", "row", "column", "where"),
    [
        ("asset_allocation_details", 3, "apy_forecast", "pool-b"),
        ("asset_allocations", 3, "amount", "pool-b USDC"),
        ("allocation_transactions", 1, "amount_usd", "pool-a"),
        ("portfolio_daily", 1, "aum_close_usd", ""),
    ],
)
def test_the_last_bit_of_a_number_is_found(name: str, row: int, column: str, where: str) -> None:
    found = first_difference(frames(), changed(name, row, column, np.nextafter(1.0, 2.0)), LAST)
    assert found is not None
    assert (found.day, found.table, found.column, found.days) == (date(2025, 3, 2), name, column, 1)
    assert where in found.where
    assert (found.expected, found.found) == ("1.0", "1.0000000000000002")


def test_days_after_the_last_do_not_count() -> None:
    other = changed("portfolio_daily", 2, "aum_close_usd", 2.0)
    assert first_difference(frames(), other, date(2025, 3, 2)) is None
    assert first_difference(frames(), other, date(2025, 3, 3)) is not None


def test_the_earliest_day_is_told_and_all_days_are_counted() -> None:
    other = changed("portfolio_daily", 1, "aum_close_usd", 2.0)
    other["asset_allocation_details"].loc[6, "apy_forecast"] = 2.0
    other["asset_allocations"].loc[7, "amount"] = 2.0
    found = first_difference(frames(), other, LAST)
    assert found is not None
    assert (found.day, found.table, found.days) == (date(2025, 3, 2), "portfolio_daily", 2)


def test_of_one_day_what_was_seen_comes_before_what_was_done() -> None:
    other = changed("portfolio_daily", 1, "aum_close_usd", 2.0)
    other["asset_allocation_details"].loc[2, "apy_forecast"] = 2.0
    found = first_difference(frames(), other, LAST)
    assert found is not None
    assert (found.table, found.where) == ("asset_allocation_details", "pool-a")


@pytest.mark.parametrize("missing_here", [True, False])
def test_a_row_that_only_one_run_has_is_a_difference(missing_here: bool) -> None:
    whole, part = frames(), frames()
    part["asset_allocations"] = part["asset_allocations"].drop(index=5).reset_index(drop=True)
    found = first_difference(*((whole, part) if missing_here else (part, whole)), LAST)
    assert found is not None
    assert found.where == "pool-b USDC"
    assert (found.expected, found.found) == (("there", "no row") if missing_here else ("no row", "there"))
    assert "first on 2025-03-03" in str(found)


def test_two_missing_values_are_equal() -> None:
    first, second = (changed("asset_allocation_details", 0, "break_even_apy", np.nan) for _ in range(2))
    assert first_difference(first, second, LAST) is None
    assert first_difference(frames(), second, LAST) is not None

"""The identities, recomputed from rows, on two days worked by hand."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_dagster.books import broken_identities

MON, TUE = pd.Timestamp("2025-03-03"), pd.Timestamp("2025-03-04")
WINDOW = Window(date(2025, 3, 3), date(2025, 3, 4))


def two_days() -> dict[str, pd.DataFrame]:
    """1000 + 5 + 1 + 0 - 4 - 2 = 1000 on Monday; 1000 + 3 - 1 + 10 - 0 - 0 = 1012 on Tuesday; 200 idle on both."""
    daily = pd.DataFrame(
        {
            "date": [MON, TUE],
            "aum_open_usd": [1000.0, 1000.0],
            "accrual_usd": [5.0, 3.0],
            "revaluation_usd": [1.0, -1.0],
            "flows_usd": [0.0, 10.0],
            "gas_usd": [4.0, 0.0],
            "conversion_usd": [2.0, 0.0],
            "aum_close_usd": [1000.0, 1012.0],
            "idle_usd": [200.0, 200.0],
        }
    )
    state = pd.DataFrame(
        {
            "date": [MON, MON, TUE, TUE],
            "location": ["wallet", "pool", "wallet", "pool"],
            "amount": [200.0, 800.0, 200.0, 812.0],
            "price_usd": [1.0, 1.0, 1.0, 1.0],
        }
    )
    positions = pd.DataFrame({"date": [MON, TUE], "value_usd": [800.0, 812.0]})
    ledger = pd.DataFrame({"date": [MON, MON, TUE], "value_usd": [900.0, 100.0, 1012.0]})
    return {"daily": daily, "state": state, "positions": positions, "ledger": ledger}


def test_books_that_add_up_have_no_finding() -> None:
    assert broken_identities(WINDOW, **two_days()) == []


@pytest.mark.parametrize(
    ("table", "row", "column", "change", "names"),
    [
        ("daily", 0, "accrual_usd", 1e-5, ["open + accrual + revaluation + flows - gas - conversion"]),
        ("positions", 1, "value_usd", -1.0, ["positions + wallet"]),
        ("state", 0, "amount", 1.0, ["positions + wallet", "the wallet"]),
        ("ledger", 2, "value_usd", 0.5, ["values in the ledger"]),
        ("daily", 1, "aum_open_usd", 2.0, ["open + accrual + revaluation + flows - gas - conversion", "open"]),
        ("daily", 1, "idle_usd", 2.0, ["the wallet"]),
    ],
)
def test_a_changed_row_is_found_on_its_day(table: str, row: int, column: str, change: float, names: list[str]) -> None:
    frames = two_days()
    frames[table].loc[row, column] += change
    found = broken_identities(WINDOW, **frames)
    assert [finding.text.partition(" is ")[0] for finding in found] == names
    assert {finding.day for finding in found} == {frames[table].loc[row, "date"].date()}


def test_a_value_that_is_not_a_number_breaks_the_identity() -> None:
    frames = two_days()
    frames["daily"].loc[0, "accrual_usd"] = float("nan")
    assert len(broken_identities(WINDOW, **frames)) == 1


def test_a_difference_under_a_millionth_of_a_dollar_is_rounding() -> None:
    frames = two_days()
    frames["daily"].loc[0, "accrual_usd"] += 5e-7
    assert broken_identities(WINDOW, **frames) == []


def test_a_missing_day_between_two_is_found() -> None:
    frames = two_days()
    frames["daily"]["date"] = [MON - pd.Timedelta(days=1), TUE]
    found = [str(finding) for finding in broken_identities(Window(TUE.date(), TUE.date()), **frames)]
    assert found == ["2025-03-04: the day before is not stored"]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_day_whose_own_row_is_gone_is_found_by_the_rows_that_are_left(lost: int) -> None:
    frames = two_days()
    frames["daily"] = frames["daily"].drop(index=lost)
    found = [str(finding) for finding in broken_identities(WINDOW, **frames)]
    day = (MON, TUE)[lost].date()
    tables = ("asset_allocations", "daily_ledger", "portfolio_state")
    assert found == [f"{day}: {table} has rows, portfolio_daily has none" for table in tables]

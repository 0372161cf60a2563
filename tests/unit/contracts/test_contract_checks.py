"""Every rule of a contract finds what breaks it, and nothing else."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.contracts import table
from defiyield_core.contracts.checks import Violation, require_valid, violations
from defiyield_core.contracts.schema import Table, columns
from defiyield_core.errors import DataError

PRICES = Table(
    name="prices",
    layer="raw",
    doc="Prices.",
    key=("date", "symbol"),
    columns=columns("""
        date date - | UTC day
        symbol text - | symbol
        close double[0,] USD | price
        share double[0,1]? fraction | share
        count bigint[1,] - | count
        valid_at timestamp - | moment
    """),
)


def frame(**changes: object) -> pd.DataFrame:
    """Two rows that break no rule, with the columns of `changes` replaced."""
    good: dict[str, object] = {
        "date": pd.to_datetime(["2025-01-01", "2025-01-02"]),
        "symbol": ["USDC", "USDC"],
        "close": [1.0, 0.99],
        "share": [np.nan, 1.0],
        "count": [1, 2],
        "valid_at": pd.to_datetime(["2025-01-01 23:59:59.999999", "2025-01-02 00:00:00.000000"]),
    }
    return pd.DataFrame(good | changes)


def only(found: list[Violation]) -> Violation:
    assert len(found) == 1, found
    return found[0]


def test_good_rows_break_no_rule() -> None:
    assert violations(PRICES, frame()) == []
    assert violations(PRICES, frame().iloc[:0]) == []


@pytest.mark.parametrize(
    ("changes", "rule", "column", "count"),
    [
        ({"symbol": [None, "USDC"]}, "null", "symbol", 1),
        ({"close": [np.nan, np.nan]}, "null", "close", 2),
        ({"count": [1.0, np.nan]}, "null", "count", 1),
        ({"valid_at": [pd.NaT, pd.NaT]}, "null", "valid_at", 2),
        ({"close": [-1e-12, 1.0]}, "bounds", "close", 1),
        ({"share": [1.0000001, -0.1]}, "bounds", "share", 2),
        ({"count": [0, 1]}, "bounds", "count", 1),
        ({"close": [np.inf, 1.0]}, "finite", "close", 1),
        ({"share": [-np.inf, np.nan]}, "finite", "share", 1),
        ({"symbol": ["US\0DC", "USDC"]}, "text", "symbol", 1),
        ({"symbol": ["USDC", "\ud83c"]}, "text", "symbol", 1),
        ({"symbol": ["USDC", 7]}, "type", "symbol", 2),
        ({"count": [1.5, 2.0]}, "type", "count", 2),
        ({"close": ["dear", 1.0]}, "type", "close", 2),
        (
            {"date": pd.to_datetime(["2025-01-02"] * 2), "valid_at": pd.Timestamp("2025-01-01")},
            "key",
            "date, symbol",
            1,
        ),
        ({"valid_at": datetime(2025, 1, 2)}, "look_ahead", "valid_at", 1),
    ],
)
def test_a_broken_rule_is_named_with_its_column_and_rows(
    changes: dict[str, object], rule: str, column: str, count: int
) -> None:
    violation = only(violations(PRICES, frame(**changes)))
    assert (violation.rule, violation.column, violation.count, violation.severity) == (rule, column, count, "error")


def test_the_example_names_row_key_and_value() -> None:
    violation = only(violations(PRICES, frame(close=[1.0, -0.25])))
    assert violation.example == "row 1 (date=2025-01-02, symbol=USDC): close -0.25 is outside of [0, ]"
    assert str(violation) == f"rule 'bounds' of close is broken in 1 row, for example {violation.example}"


def test_rows_are_counted_by_position_whatever_the_index() -> None:
    found = violations(PRICES, frame(close=[1.0, -1.0]).set_index(pd.Index([5, 5])))
    assert only(found).example.startswith("row 1 ")


def test_a_missing_required_column_is_an_error_and_a_nullable_one_a_warning() -> None:
    found = {v.column: v.severity for v in violations(PRICES, frame().drop(columns=["close", "share"]))}
    assert found == {"close": "error", "share": "warning"}


def test_an_unknown_column_is_an_error() -> None:
    violation = only(violations(PRICES, frame(mood=1)))
    assert (violation.rule, violation.column, violation.severity) == ("columns", "mood", "error")


def test_the_last_microsecond_of_the_day_is_not_ahead_of_it() -> None:
    day = pd.to_datetime(["2025-01-01"])
    at_the_end = frame().iloc[:1].assign(date=day, valid_at=pd.Timestamp("2025-01-01 23:59:59.999999"))
    a_moment_later = at_the_end.assign(valid_at=pd.Timestamp("2025-01-02"))
    assert violations(PRICES, at_the_end) == []
    assert only(violations(PRICES, a_moment_later)).rule == "look_ahead"


def test_all_broken_rules_are_found_at_once() -> None:
    broken = frame(close=[np.inf, -1.0], symbol=[None, "\0"], count=[0, 0])
    assert [(v.rule, v.column) for v in violations(PRICES, broken)] == [
        ("null", "symbol"),
        ("text", "symbol"),
        ("finite", "close"),
        ("bounds", "close"),
        ("bounds", "count"),
    ]


def test_an_invalid_frame_is_refused_with_one_message() -> None:
    with pytest.raises(DataError, match=r"^prices: rule 'bounds' of close .*\(1 more broken rules\)"):
        require_valid(PRICES, frame(close=[-1.0, 1.0], count=[0, 1]))
    require_valid(PRICES, frame().drop(columns="share"))  # a warning refuses nothing


@given(st.lists(st.sampled_from(["a", "b", "c", "d"])), st.lists(st.sampled_from([1, 2])))
def test_the_key_is_broken_once_for_every_row_beyond_the_first(symbols: list[str], days: list[int]) -> None:
    rows = list(zip(symbols, days, strict=False))
    made = pd.DataFrame(
        {
            "date": pd.to_datetime([date(2025, 1, day) for _, day in rows]),
            "symbol": [symbol for symbol, _ in rows],
            "close": 1.0,
            "share": 0.5,
            "count": 1,
            "valid_at": pd.to_datetime([date(2025, 1, day) for _, day in rows]),
        }
    )
    repeated = sum(v.count for v in violations(PRICES, made) if v.rule == "key")
    assert repeated == len(rows) - len(set(rows))


def test_real_tables_are_checked_for_look_ahead() -> None:
    rows = pd.DataFrame(
        {
            "date": [pd.Timestamp("2025-01-01")],
            "pool_id": ["p"],
            "valid_at": [pd.Timestamp("2025-01-03")],
            "seen_at": [pd.Timestamp("2025-01-03")],
            "source": ["test"],
        }
    )
    errors = [v.rule for v in violations(table("raw_defillama_pool_history"), rows) if v.severity == "error"]
    assert errors == ["look_ahead"]

"""`conform`: canonical types, or a refusal of what would change its meaning."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.contracts import TABLES, Column, table
from defiyield_core.contracts.schema import ColumnType, Table, cast_column, columns, conform
from defiyield_core.errors import DataError


def column(kind: ColumnType, *, nullable: bool = True) -> Column:
    return Column("x", kind, "", "a column", nullable=nullable)


@pytest.mark.parametrize(
    ("kind", "given_values", "canonical"),
    [
        ("text", ["a", None, np.nan, pd.NA], ["a", None, None, None]),
        ("double", [1, "2.5", None], [1.0, 2.5, np.nan]),
        ("bigint", [1.0, "2"], [1, 2]),
        ("bigint", [1, 2**53 + 1, "-9223372036854775808"], [1, 2**53 + 1, -(2**63)]),
        ("bigint", [None, 3], [None, 3]),
        ("boolean", [1, 0], [True, False]),
        ("boolean", [True, None], [True, None]),
        ("date", [date(2025, 1, 1), datetime(2025, 1, 1, 23, 59)], [pd.Timestamp("2025-01-01")] * 2),
        ("date", ["2025-01-01", "2025-01-01T12:00:00.5Z"], [pd.Timestamp("2025-01-01")] * 2),
        ("date", ["2025-01-01", None], [pd.Timestamp("2025-01-01"), pd.NaT]),
        ("timestamp", [datetime(2025, 1, 1, 7, tzinfo=timezone(timedelta(hours=7)))], [pd.Timestamp("2025-01-01")]),
        ("timestamp", [datetime(2025, 1, 1, 7, tzinfo=UTC)], [pd.Timestamp("2025-01-01 07:00")]),
        ("timestamp", [pd.Timestamp("2025-01-01 00:00:00.123456789")], [pd.Timestamp("2025-01-01 00:00:00.123456")]),
        ("timestamp", [np.nan], [pd.NaT]),
    ],
)
def test_values_come_out_in_the_canonical_type(kind: ColumnType, given_values: list, canonical: list) -> None:
    dtypes = {"text": object, "double": "float64", "date": "datetime64[ns]", "timestamp": "datetime64[ns]"}
    discrete = object if None in canonical else {"bigint": "int64", "boolean": "bool"}.get(kind)
    expected = pd.Series(canonical, dtype=dtypes.get(kind, discrete))
    got = cast_column(pd.Series(given_values, dtype=object), column(kind))
    pd.testing.assert_series_equal(got, expected, check_exact=True)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 5),
        ("text", 0.5),
        ("double", "five"),
        ("bigint", 1.5),
        ("bigint", 2.0**70),
        ("bigint", 2**63),
        ("boolean", 2),
        ("boolean", "False"),
        ("date", 20250101),
        ("timestamp", 1_735_689_600.0),
        ("timestamp", "yesterday"),
        ("date", "01/02/2025"),
        ("date", datetime(3000, 1, 1)),
    ],
)
def test_a_value_that_would_change_its_meaning_is_refused(kind: ColumnType, value: object) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        cast_column(pd.Series([value]), column(kind))


def test_an_integer_that_a_double_cannot_hold_is_refused_among_fractions() -> None:
    with pytest.raises(ValueError, match="too large to come through exactly"):
        cast_column(pd.Series([1.0, 2**53 + 1], dtype=object), column("bigint"))


@pytest.mark.parametrize("kind", ["bigint", "boolean"])
def test_a_required_number_without_a_value_is_refused(kind: ColumnType) -> None:
    with pytest.raises(ValueError, match="1 nulls"):
        cast_column(pd.Series([1, None], dtype=object), column(kind, nullable=False))


def test_columns_are_ordered_and_left_out_nulls_are_added() -> None:
    frame = pd.DataFrame(
        {"reason": ["calm"], "pool_group": [1], "pool_id": ["p"], "date": [date(2025, 1, 1)]}, index=[7]
    )
    assert list(conform(table("pool_groups"), frame).columns) == list(table("pool_groups").column_names)
    assert list(conform(table("pool_groups"), frame).index) == [0]


def test_unknown_and_missing_columns_are_named() -> None:
    with pytest.raises(DataError, match=r"pool_groups: columns \['mood'\] are not in the contract"):
        conform(table("pool_groups"), table("pool_groups").empty().assign(mood=1))
    with pytest.raises(DataError, match=r"pool_groups: required columns \['reason'\] are missing"):
        conform(table("pool_groups"), table("pool_groups").empty().drop(columns="reason"))


def test_the_refusal_names_table_column_and_type() -> None:
    frame = pd.DataFrame({"date": [date(2025, 1, 1)], "pool_id": ["p"], "pool_group": [1.5], "reason": [""]})
    with pytest.raises(DataError, match=r"pool_groups\.pool_group: values do not fit type bigint: .*1\.5"):
        conform(table("pool_groups"), frame)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_missing_nullable_column_has_the_type_of_its_nulls(name: str) -> None:
    contract = table(name)
    required = [c.name for c in contract.columns if not c.nullable]
    without = conform(contract, contract.empty()[required])
    pd.testing.assert_frame_equal(without, contract.empty())


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**60), 2**60))))
def test_conforming_twice_changes_nothing(values: list[float | None]) -> None:
    contract = Table("t", "raw", "a table", columns("x double? USD | a value"), key=("x",), window=None)
    once = conform(contract, pd.DataFrame({"x": values}))
    pd.testing.assert_frame_equal(conform(contract, once), once, check_exact=True)


def test_the_canonical_frame_shares_no_memory_with_its_source() -> None:
    source = pd.DataFrame(
        {"date": [date(2025, 1, 1)], "model": ["m"], "horizon_days": [1], "gas_price_gwei": [1.0], "eth_usd": [2.0]}
    ).astype({"date": "datetime64[ns]"})
    canonical = conform(table("gas_forecasts"), source)
    canonical.loc[0, "gas_price_gwei"] = 99.0
    canonical["eth_usd"].to_numpy()[:] = 99.0
    assert source["gas_price_gwei"][0] == 1.0 and source["eth_usd"][0] == 2.0

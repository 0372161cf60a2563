"""What every warehouse does, whichever engine holds it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from defiyield_core.calendar import Window
from defiyield_core.contracts import TABLES, table
from defiyield_core.contracts.schema import conform
from defiyield_core.errors import ConfigurationError, DataError, WarehouseError
from defiyield_core.warehouse import TableWrite, Warehouse, open_warehouse

MakeRows = Callable[..., pd.DataFrame]
D1, D2, D3 = date(2025, 1, 1), date(2025, 1, 2), date(2025, 1, 3)
DAYS = Window(D1, D3)
PRICES = "token_daily"


def stored(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frame as a warehouse must return it."""
    return conform(table(name), frame).sort_values(list(table(name).key), ignore_index=True)


def assert_same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left, right, check_exact=True)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_returns_exactly_what_was_written(name: str, warehouse: Warehouse, make_rows: MakeRows) -> None:
    contract = table(name)
    rows = make_rows(name, DAYS if contract.window else None)
    scope = {column: f"{column} 0" for column in contract.scope}
    for column, value in scope.items():
        rows[column] = value
    rows = rows.drop_duplicates(list(contract.key)).iloc[::-1]
    warehouse.replace([TableWrite(name, rows, DAYS if contract.window else None, scope)])
    assert_same(warehouse.read(name), stored(rows, name))


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_never_written_is_empty_in_canonical_types(name: str, warehouse: Warehouse) -> None:
    assert_same(warehouse.read(name), table(name).empty())


def test_replacing_twice_leaves_the_same_rows(warehouse: Warehouse, make_rows: MakeRows) -> None:
    write = TableWrite(PRICES, make_rows(PRICES, DAYS), DAYS)
    warehouse.replace([write])
    warehouse.replace([write])
    assert_same(warehouse.read(PRICES), stored(write.frame, PRICES))


def test_only_the_window_is_replaced(warehouse: Warehouse, make_rows: MakeRows) -> None:
    before = make_rows(PRICES, DAYS, close_usd=1.0)
    warehouse.replace([TableWrite(PRICES, before, DAYS)])
    middle = make_rows(PRICES, D2, per_day=1, close_usd=0.5)
    warehouse.replace([TableWrite(PRICES, middle, Window(D2, D2))])
    outside = before[before["date"] != pd.Timestamp(D2)]
    assert_same(warehouse.read(PRICES), stored(pd.concat([outside, middle]), PRICES))
    assert_same(warehouse.read(PRICES, Window(D2, D2)), stored(middle, PRICES))


def test_only_the_scope_is_replaced(warehouse: Warehouse, make_rows: MakeRows) -> None:
    window = Window(D1, D1)
    frames = {name: make_rows("portfolio_state", D1, portfolio=name, amount=7.0) for name in ("live", "baseline")}
    for name, frame in frames.items():
        warehouse.replace([TableWrite("portfolio_state", frame, window, {"portfolio": name})])
    fresh = make_rows("portfolio_state", D1, per_day=1, portfolio="live", amount=9.0)
    warehouse.replace([TableWrite("portfolio_state", fresh, window, {"portfolio": "live"})])
    assert_same(
        warehouse.read("portfolio_state", scope={"portfolio": "baseline"}),
        stored(frames["baseline"], "portfolio_state"),
    )
    assert_same(
        warehouse.read("portfolio_state", window, scope={"portfolio": "live"}), stored(fresh, "portfolio_state")
    )


def test_a_read_may_be_filtered_by_a_boolean(warehouse: Warehouse, make_rows: MakeRows) -> None:
    parts = [make_rows("eligible_pools", D1, ruleset=f"{flag}", depositable=flag) for flag in (True, False)]
    warehouse.replace([TableWrite("eligible_pools", pd.concat(parts), Window(D1, D1))])
    for flag, part in zip((True, False), parts, strict=True):
        found = warehouse.read("eligible_pools", scope={"depositable": flag})
        assert_same(found, stored(part, "eligible_pools"))
    with pytest.raises(WarehouseError, match="text or boolean"):
        warehouse.read(PRICES, scope={"close_usd": "1"})


def test_a_key_column_may_narrow_a_write(warehouse: Warehouse, make_rows: MakeRows) -> None:
    window = Window(D1, D1)
    frames = {name: make_rows("eligible_pools", D1, ruleset=name) for name in ("strict", "loose")}
    for name, frame in frames.items():
        warehouse.replace([TableWrite("eligible_pools", frame, window, {"ruleset": name})])
    assert_same(warehouse.read("eligible_pools"), stored(pd.concat(frames.values()), "eligible_pools"))


def test_an_empty_frame_empties_the_window(warehouse: Warehouse, make_rows: MakeRows) -> None:
    warehouse.replace([TableWrite(PRICES, make_rows(PRICES, DAYS), DAYS)])
    warehouse.replace([TableWrite(PRICES, table(PRICES).empty(), Window(D2, D3))])
    assert warehouse.days(PRICES) == [D1]


def test_a_list_table_is_replaced_as_a_whole(warehouse: Warehouse, make_rows: MakeRows) -> None:
    for tokens in (["USDC", "USDT"], ["DAI", "USDC"]):
        warehouse.replace([TableWrite("approved_tokens", make_rows("approved_tokens", token=tokens), None)])
    assert list(warehouse.read("approved_tokens")["token"]) == ["DAI", "USDC"]


def test_when_one_table_is_refused_no_table_changes(warehouse: Warehouse, make_rows: MakeRows) -> None:
    before = make_rows(PRICES, DAYS)
    warehouse.replace([TableWrite(PRICES, before, DAYS)])
    good = TableWrite(PRICES, make_rows(PRICES, DAYS, close_usd=0.1), DAYS)
    bad = TableWrite("pool_groups", make_rows("pool_groups", D1, pool_group=4), Window(D1, D1))
    with pytest.raises(DataError, match=r"pool_groups: rule 'bounds' of pool_group"):
        warehouse.replace([good, bad])
    assert_same(warehouse.read(PRICES), stored(before, PRICES))


def test_when_the_database_refuses_the_second_table_the_first_is_rolled_back(
    warehouse: Warehouse, make_rows: MakeRows
) -> None:
    # A transaction's key has no date in it, so only the stored rows can tell that a hash is there already.
    name = "raw_etherscan_account_transactions"
    early = make_rows(name, D1, per_day=1, transaction_hash="0xaa", kind="txlist", sequence=0)
    prices = make_rows(PRICES, DAYS)
    warehouse.replace([TableWrite(name, early, Window(D1, D1)), TableWrite(PRICES, prices, DAYS)])
    again = make_rows(name, D2, per_day=1, transaction_hash="0xaa", kind="txlist", sequence=0)
    changed = TableWrite(PRICES, make_rows(PRICES, DAYS, close_usd=0.1), DAYS)
    with pytest.raises(DataError, match="rule 'key'"):
        warehouse.replace([changed, TableWrite(name, again, Window(D2, D2))])
    assert_same(warehouse.read(PRICES), stored(prices, PRICES))
    assert_same(warehouse.read(name), stored(early, name))


def test_rows_that_share_a_key_are_refused(warehouse: Warehouse, make_rows: MakeRows) -> None:
    rows = make_rows(PRICES, D1, token=["USDC", "USDC"])
    with pytest.raises(DataError, match=r"token_daily: rule 'key' of date, token .*token=USDC"):
        warehouse.replace([TableWrite(PRICES, rows, Window(D1, D1))])
    assert warehouse.days(PRICES) == []


def test_rows_outside_of_the_window_are_refused(warehouse: Warehouse, make_rows: MakeRows) -> None:
    with pytest.raises(DataError, match=r"token_daily: 2 rows lie outside of the window 2025-01-01\.\.2025-01-02"):
        warehouse.replace([TableWrite(PRICES, make_rows(PRICES, DAYS), Window(D1, D2))])


def test_rows_of_another_portfolio_are_refused(warehouse: Warehouse, make_rows: MakeRows) -> None:
    rows = make_rows("portfolio_state", D1, portfolio="baseline")
    with pytest.raises(DataError, match="outside of the scope portfolio='live'"):
        warehouse.replace([TableWrite("portfolio_state", rows, Window(D1, D1), {"portfolio": "live"})])


def test_a_shared_table_is_not_written_without_its_scope(warehouse: Warehouse, make_rows: MakeRows) -> None:
    with pytest.raises(WarehouseError, match="give the scope of portfolio"):
        warehouse.replace([TableWrite("portfolio_state", make_rows("portfolio_state", D1), Window(D1, D1))])


def test_the_window_must_suit_the_table(warehouse: Warehouse, make_rows: MakeRows) -> None:
    with pytest.raises(WarehouseError, match="written by windows of days"):
        warehouse.replace([TableWrite(PRICES, make_rows(PRICES, D1), None)])
    with pytest.raises(WarehouseError, match="has no days"):
        warehouse.replace([TableWrite("approved_tokens", make_rows("approved_tokens"), DAYS)])
    with pytest.raises(WarehouseError, match="has no days"):
        warehouse.days("approved_tokens")


def test_a_row_that_knows_the_future_is_refused(warehouse: Warehouse, make_rows: MakeRows) -> None:
    rows = make_rows("raw_coinmarketcap_ohlcv", D1, valid_at=datetime(2025, 1, 2))
    with pytest.raises(DataError, match="rule 'look_ahead' of valid_at"):
        warehouse.replace([TableWrite("raw_coinmarketcap_ohlcv", rows, Window(D1, D1))])


def test_infinity_is_refused(warehouse: Warehouse, make_rows: MakeRows) -> None:
    with pytest.raises(DataError, match="rule 'finite' of close_usd"):
        warehouse.replace([TableWrite(PRICES, make_rows(PRICES, D1, close_usd=np.inf), Window(D1, D1))])


def test_days_are_distinct_ascending_and_follow_the_scope(warehouse: Warehouse, make_rows: MakeRows) -> None:
    for name, days in (("live", Window(D2, D3)), ("baseline", Window(D1, D1))):
        rows = make_rows("portfolio_state", days, per_day=3, portfolio=name)
        warehouse.replace([TableWrite("portfolio_state", rows, days, {"portfolio": name})])
    assert warehouse.days("portfolio_state") == [D1, D2, D3]
    assert warehouse.days("portfolio_state", scope={"portfolio": "live"}) == [D2, D3]
    assert all(type(day) is date for day in warehouse.days("portfolio_state"))


def test_a_read_may_ask_for_some_columns_in_its_own_order(warehouse: Warehouse, make_rows: MakeRows) -> None:
    rows = make_rows(PRICES, DAYS, close_usd=np.arange(6.0))
    warehouse.replace([TableWrite(PRICES, rows.sample(frac=1.0, random_state=0), DAYS)])
    assert_same(warehouse.read(PRICES, columns=["close_usd", "token"]), stored(rows, PRICES)[["close_usd", "token"]])
    lone = warehouse.read("pool_groups", columns=["reason"])
    assert_same(lone, table("pool_groups").empty()[["reason"]])


def test_one_column_of_nulls_and_empty_texts_keeps_its_rows(warehouse: Warehouse, make_rows: MakeRows) -> None:
    texts = [None, "", None, "x"]
    rows = make_rows("approved_tokens", per_day=4, chain=texts)
    warehouse.replace([TableWrite("approved_tokens", rows, None)])
    assert list(warehouse.read("approved_tokens", columns=["chain"])["chain"]) == texts


def test_what_a_read_cannot_mean_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="cannot read columns"):
        warehouse.read(PRICES, columns=["price"])
    with pytest.raises(WarehouseError, match="cannot filter by 'close_usd'"):
        warehouse.read(PRICES, scope={"close_usd": "1"})
    with pytest.raises(ConfigurationError, match="no table 'prices'"):
        warehouse.read("prices")


def test_a_frame_that_was_read_may_be_changed_without_changing_the_warehouse(
    warehouse: Warehouse, make_rows: MakeRows
) -> None:
    rows = make_rows(PRICES, DAYS)
    warehouse.replace([TableWrite(PRICES, rows, DAYS)])
    for name in rows.columns:
        warehouse.read(PRICES).loc[:, name] = rows[name].iloc[::-1].to_numpy()
    frame = warehouse.read(PRICES)
    frame["close_usd"].to_numpy()[:] = -1.0
    rows.loc[:, "close_usd"] = -1.0
    assert (warehouse.read(PRICES)["close_usd"] == 1.0).all()


ODD_TEXTS = [
    "", " ", "NULL", "null", "NaN", "nan", "\\N", "\\.", "a\n\\.\nb", '"', '""', "'", ",", ";", "\n", "\r\n", "a\rb",
    "\t", "line one\nline two", 'say "hi", twice', "%s %d", "{{ jinja }}", "$1 ? :name", "naïve", "稳定币", "🏦💵",
    "e\u0301", "\ufeff", "\u2028", "t", "f", "0", "-1", "1e5", "2025-01-01", "x" * 10_000, "\\", "--", "/* */", "\x01",
]  # fmt: skip


def test_odd_texts_return_exactly(warehouse: Warehouse, make_rows: MakeRows) -> None:
    texts = [None, *ODD_TEXTS]
    rows = make_rows("raw_defillama_pools", D1, per_day=len(texts), pool_meta=texts)
    rows["symbol"] = rows["pool_meta"].fillna("")
    warehouse.replace([TableWrite("raw_defillama_pools", rows, Window(D1, D1))])
    assert_same(warehouse.read("raw_defillama_pools"), stored(rows, "raw_defillama_pools"))


def test_odd_texts_are_found_as_scope_and_sorted_by_code_point(warehouse: Warehouse, make_rows: MakeRows) -> None:
    rows = make_rows("pool_groups", D1, per_day=len(ODD_TEXTS), pool_id=ODD_TEXTS)
    warehouse.replace([TableWrite("pool_groups", rows, Window(D1, D1))])
    assert list(warehouse.read("pool_groups")["pool_id"]) == sorted(ODD_TEXTS)
    for text in ODD_TEXTS:
        assert list(warehouse.read("pool_groups", scope={"pool_id": text})["pool_id"]) == [text]


def test_extreme_doubles_return_bit_for_bit(warehouse: Warehouse, make_rows: MakeRows) -> None:
    values = [0.0, -0.0, np.nan, 5e-324, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308]
    values += [2.2250738585072014e-308, 0.1, 1 / 3, 1e16 + 2, np.nextafter(1.0, 2.0), 123456789.123456789]
    rows = make_rows("raw_defillama_pools", D1, per_day=len(values), apy_base=values)
    warehouse.replace([TableWrite("raw_defillama_pools", rows, Window(D1, D1))])
    back = warehouse.read("raw_defillama_pools").set_index("pool_id").loc[rows["pool_id"], "apy_base"].to_numpy()
    expected = np.array(values)
    np.testing.assert_array_equal(back, expected)
    np.testing.assert_array_equal(np.signbit(back[:7]), np.signbit(expected[:7]))


def test_large_integers_and_microseconds_return_exactly(warehouse: Warehouse, make_rows: MakeRows) -> None:
    moments = [datetime(2025, 1, 1, 23, 59, 59, 999999), datetime(2025, 1, 1), datetime(1970, 1, 1, 0, 0, 0, 1)]
    rows = make_rows("raw_etherscan_account_transactions", D1, per_day=3, valid_at=moments)
    rows["block_number"] = np.array([2**63 - 1, -(2**63), 2**53 + 1])
    warehouse.replace([TableWrite("raw_etherscan_account_transactions", rows, Window(D1, D1))])
    assert_same(
        warehouse.read("raw_etherscan_account_transactions"), stored(rows, "raw_etherscan_account_transactions")
    )


def test_what_is_finer_than_a_microsecond_is_cut_before_it_is_stored(warehouse: Warehouse, make_rows: MakeRows) -> None:
    rows = make_rows("gas_fees_hourly", D1, per_day=1)
    rows["hour"] = pd.to_datetime(["2025-01-01 05:00:00.000001999"])
    warehouse.replace([TableWrite("gas_fees_hourly", rows, Window(D1, D1))])
    assert warehouse.read("gas_fees_hourly")["hour"][0] == pd.Timestamp("2025-01-01 05:00:00.000001")


def test_missing_dates_and_moments_return_as_nat(warehouse: Warehouse, make_rows: MakeRows) -> None:
    rows = make_rows("icebox_tokens", D1, removed_at=[pd.NaT, pd.Timestamp(D2)])
    warehouse.replace([TableWrite("icebox_tokens", rows, Window(D1, D1))])
    assert_same(warehouse.read("icebox_tokens"), stored(rows, "icebox_tokens"))


def test_nullable_columns_may_be_left_out(warehouse: Warehouse, make_rows: MakeRows) -> None:
    rows = make_rows("icebox_tokens", D1).drop(columns=["removed_at", "low_usd"])
    warehouse.replace([TableWrite("icebox_tokens", rows, Window(D1, D1))])
    back = warehouse.read("icebox_tokens")
    assert back["removed_at"].isna().all() and back["removed_at"].dtype == "datetime64[ns]"
    assert back["low_usd"].isna().all() and back["low_usd"].dtype == "float64"


def test_rows_outlive_the_object_that_wrote_them(warehouse_url: str, make_rows: MakeRows) -> None:
    if warehouse_url == "memory:":
        pytest.skip("memory ends with its object")
    rows = make_rows(PRICES, DAYS)
    open_warehouse(warehouse_url).replace([TableWrite(PRICES, rows, DAYS)])
    assert_same(open_warehouse(warehouse_url).read(PRICES), stored(rows, PRICES))


DRAWN = ("pool_id", "pool_meta", "tvl_usd", "apy_base", "sigma", "stablecoin", "valid_at")
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
doubles = st.one_of(st.none(), st.floats(allow_infinity=False))
pool_rows = st.lists(
    st.fixed_dictionaries(
        {
            "pool_id": texts,
            "pool_meta": st.one_of(st.none(), texts),
            "tvl_usd": st.floats(min_value=0.0, allow_infinity=False),
            "apy_base": doubles,
            "sigma": doubles,
            "stablecoin": st.booleans(),
            "valid_at": st.datetimes(datetime(1900, 1, 1), datetime(2025, 1, 1, 23, 59, 59, 999999)),
        }
    ),
    max_size=8,
    unique_by=lambda row: row["pool_id"],
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=pool_rows)
def test_any_rows_return_exactly(warehouse: Warehouse, rows: list[dict[str, object]]) -> None:
    fixed = {"date": D1, "chain": "Ethereum", "project": "aave-v3", "symbol": "USDC", "outlier": False}
    fixed |= {"seen_at": datetime(2025, 1, 2), "source": "test"}
    frame = pd.DataFrame([fixed | row for row in rows], columns=[*fixed, *DRAWN])
    warehouse.replace([TableWrite("raw_defillama_pools", frame, Window(D1, D1))])
    assert_same(warehouse.read("raw_defillama_pools", Window(D1, D1)), stored(frame, "raw_defillama_pools"))


@pytest.mark.recorded
def test_a_year_of_real_pools_returns_exactly(warehouse: Warehouse, recorded_dir: Path) -> None:
    name = "raw_defillama_pool_history"
    rows = pd.read_parquet(recorded_dir / "pools" / "pool_history.parquet")
    rows["date"] = pd.to_datetime(rows["date"])
    year = Window(date(2024, 6, 6), date(2025, 6, 5))
    rows = rows[rows["date"].between(pd.Timestamp(year.start), pd.Timestamp(year.end))]
    rows = (
        rows.dropna(subset=["tvl_usd", "apy"]).query("tvl_usd >= 0 and apy >= -1").drop_duplicates(["date", "pool_id"])
    )
    rows = rows.assign(valid_at=rows["date"], seen_at=rows["date"], source="recorded")[list(table(name).column_names)]
    warehouse.replace([TableWrite(name, rows, year)])
    assert_same(warehouse.read(name), stored(rows, name))
    assert len(warehouse.days(name)) == len(year)

"""The daily message, from the tables of a warehouse."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import WarehouseError
from defiyield_core.notify import (
    LogNotifier,
    Message,
    Pairs,
    SlackNotifier,
    TableSection,
    daily_message,
    notify_day,
    render_text,
)
from defiyield_core.units import daily_growth
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite, Warehouse
from tests.unit.notify.server import Answer, webhook
from tests.unit.reporting.sample_frames import DAYS, START, sample_tables

WINDOW = Window(START, START + timedelta(days=DAYS - 1))
QUIET, BUSY, FAILED = date(2025, 4, 28), date(2025, 4, 15), date(2025, 4, 10)
SCOPE = {"portfolio": "baseline"}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return sample_tables()


@pytest.fixture
def warehouse(tables) -> Warehouse:
    store = open_warehouse("memory:")
    for name, frame in tables.items():
        scope = {} if name == "pools" else SCOPE
        rows = frame if name == "pools" else frame[frame["portfolio"] == "baseline"]
        store.replace([TableWrite(name, rows, WINDOW, scope)])
    return store


def _pairs(message: Message, index: int = 0) -> dict[str, str]:
    return dict([section for section in message.sections if isinstance(section, Pairs)][index].items)


def _rows(message: Message, title: str) -> tuple[tuple[str, ...], ...]:
    return next(s.table.rows for s in message.sections if isinstance(s, TableSection) and s.title == title)


def _change(warehouse: Warehouse, table: str, day: date, **values: object) -> None:
    rows = warehouse.read(table, Window(day, day), scope=SCOPE).assign(**values)
    warehouse.replace([TableWrite(table, rows, Window(day, day), SCOPE)])


def test_the_key_figures_are_those_of_the_books(warehouse):
    row = warehouse.read("portfolio_daily", Window(BUSY, BUSY), scope=SCOPE).iloc[0]
    figures = _pairs(daily_message(warehouse, "baseline", BUSY))
    assert figures["Date"] == "2025-04-15"
    assert figures["AUM"] == f"${row['aum_close_usd']:,.0f}"
    assert figures["Allocated"].startswith(f"${row['aum_close_usd'] - row['idle_usd']:,.0f} (")
    assert figures["Idle"].startswith(f"${row['idle_usd']:,.0f} (")
    assert figures["Weighted APY (forecast)"] == f"{row['weighted_apy']:.2%}"
    assert figures["Costs today"].startswith(f"${row['gas_usd'] + row['conversion_usd']:.2f} (gas ")


def test_the_expected_yield_is_growth_at_the_forecasts_less_the_costs_of_the_day(warehouse):
    day = Window(BUSY, BUSY)
    row = warehouse.read("portfolio_daily", day, scope=SCOPE).iloc[0]
    book = warehouse.read("asset_allocations", day, scope=SCOPE).merge(
        warehouse.read("asset_allocation_details", day, scope=SCOPE)[["pool_id", "apy_forecast"]], on="pool_id"
    )
    gross = float((book["value_usd"] * daily_growth(book["apy_forecast"].to_numpy())).sum())
    net = gross - row["gas_usd"] - row["conversion_usd"]
    said = _pairs(daily_message(warehouse, "baseline", BUSY))["Expected daily yield, net of costs"]
    assert said == f"{'-' if net < 0 else ''}${abs(net):.2f} (${gross:.2f} before costs)"
    assert row["gas_usd"] > 0


def test_positions_come_with_share_and_apy_the_largest_first(warehouse):
    rows = _rows(daily_message(warehouse, "baseline", QUIET), "Positions")
    shares = [float(row[3].rstrip("%")) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 94 < sum(shares) < 97
    assert any(row[0] == "morpho-v1 STEAKUSDC (Steakhouse <USDC> & co)" for row in rows)


def test_tokens_add_up_to_the_aum(warehouse):
    message = daily_message(warehouse, "baseline", QUIET)
    values = [float(row[4].replace("$", "").replace(",", "")) for row in _rows(message, "Tokens")]
    aum = float(_pairs(message)["AUM"].replace("$", "").replace(",", ""))
    assert sum(values) == pytest.approx(aum, abs=2.0)


def test_transactions_stand_in_the_order_of_execution_with_names_for_places(warehouse):
    rows = _rows(daily_message(warehouse, "baseline", BUSY), "Transactions")
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0][1] == "WITHDRAWAL" and rows[0][2].endswith("> wallet")
    assert any(row[3] == "USDC > USDT" for row in rows)


def test_the_run_can_be_found_again(warehouse):
    assert _pairs(daily_message(warehouse, "baseline", QUIET), 1)["Run id"] == "baseline-0058-5f2c"


def test_a_good_day_has_no_warnings(warehouse):
    message = daily_message(warehouse, "baseline", QUIET)
    assert (message.severity, message.warnings) == ("info", ())


def test_a_failed_decision_and_missing_data_are_warnings_with_their_reason(warehouse):
    message = daily_message(warehouse, "baseline", FAILED)
    assert message.severity == "warning"
    assert "data_missing: prices of 2025-04-10 are missing" in message.warnings[0]
    assert message.warnings[1] == "1 held pool had no data today and accrued nothing."


def test_a_position_without_a_forecast_is_named_and_counts_as_nothing(warehouse):
    _change(warehouse, "asset_allocation_details", QUIET, apy_forecast=np.nan)
    message = daily_message(warehouse, "baseline", QUIET)
    assert "No forecast for " in message.warnings[0] and "euler-v2 USDC" in message.warnings[0]
    assert _pairs(message)["Expected daily yield, net of costs"] == "$0.00 ($0.00 before costs)"


def test_a_token_held_in_the_icebox_is_a_warning(warehouse):
    _change(warehouse, "allocation_parameters", QUIET, icebox_tokens='["USDT", "FRAX"]')
    assert daily_message(warehouse, "baseline", QUIET).warnings == ("Held while in the icebox (off its peg): USDT.",)


def test_books_that_do_not_add_up_are_an_error(warehouse):
    row = warehouse.read("portfolio_daily", Window(QUIET, QUIET), scope=SCOPE).iloc[0]
    _change(warehouse, "portfolio_daily", QUIET, aum_close_usd=row["aum_close_usd"] + 5.0)
    message = daily_message(warehouse, "baseline", QUIET)
    assert message.severity == "error"
    assert "-$5.0" in message.warnings[0] and "do not close" in message.warnings[1]


def test_a_day_that_never_completed_is_an_error_message(warehouse):
    message = daily_message(warehouse, "baseline", date(2026, 1, 1))
    assert message.severity == "error"
    assert "no row of baseline for 2026-01-01" in message.warnings[0]


def test_a_portfolio_still_in_cash_has_a_message(warehouse):
    row = warehouse.read("portfolio_daily", Window(QUIET, QUIET), scope=SCOPE).iloc[0]
    for table in ("asset_allocations", "asset_allocation_details", "allocation_transactions", "allocation_parameters"):
        empty = warehouse.read(table, Window(QUIET, QUIET), scope=SCOPE).iloc[:0]
        warehouse.replace([TableWrite(table, empty, Window(QUIET, QUIET), SCOPE)])
    _change(warehouse, "portfolio_daily", QUIET, idle_usd=row["aum_close_usd"])
    message = daily_message(warehouse, "baseline", QUIET)
    assert message.warnings == ()
    assert _rows(message, "Positions") == ()
    assert _pairs(message)["Allocated"] == "$0.00 (0.0%)"


def test_the_message_arrives_at_a_server_and_is_readable_as_text(warehouse):
    with webhook(Answer()) as server:
        assert notify_day(SlackNotifier(server.url), warehouse, "baseline", BUSY) is True
    assert len(server.payloads[0]["blocks"]) <= 50
    text = render_text(daily_message(warehouse, "baseline", BUSY))
    assert max(map(len, text.split("\n"))) <= 100
    assert text.index("Positions") < text.index("Tokens") < text.index("Transactions") < text.index("Run id")


@dataclasses.dataclass(frozen=True)
class _Locked:
    """A warehouse whose database is held by another process."""

    def read(self, *_: object, **__: object) -> pd.DataFrame:
        raise WarehouseError("the database is locked by process 7")


def test_a_warehouse_that_fails_fails_no_run(caplog):
    assert notify_day(LogNotifier(), _Locked(), "baseline", QUIET) is False  # type: ignore[arg-type]
    assert "locked by process 7" in caplog.text

"""What reports are made from: reading, comparing, labels, the day's positions, worst days."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import DataError
from defiyield_core.reporting import read_report_inputs
from defiyield_core.reporting.days import days_not_ok, worst_days
from defiyield_core.reporting.inputs import comparison, label_of, pool_labels, positions_on, protocol_shares
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite
from tests.unit.reporting.sample_frames import DAYS, PORTFOLIOS, START, sample_report, sample_tables

WINDOW = Window(START, START + timedelta(days=DAYS - 1))


def _warehouse(tables):
    warehouse = open_warehouse("memory:")
    for name, frame in tables.items():
        if name == "pools":
            warehouse.replace([TableWrite(name, frame, WINDOW)])
            continue
        for portfolio in PORTFOLIOS:
            mine = frame[frame["portfolio"] == portfolio]
            warehouse.replace([TableWrite(name, mine, WINDOW, {"portfolio": portfolio})])
    return warehouse


def test_a_report_read_from_the_warehouse_is_the_report_of_the_frames():
    tables = sample_tables()
    read = read_report_inputs(_warehouse(tables), "baseline", WINDOW)
    assert read.fingerprint() == sample_report(tables=tables).fingerprint()
    assert read.run_info["run id"] == "baseline-0059-5f2c"
    assert read.parameters["horizon_days"] == 14


def test_a_portfolio_without_days_is_refused_by_name():
    with pytest.raises(DataError, match="no rows of 'nobody'"):
        read_report_inputs(_warehouse(sample_tables(2)), "nobody", WINDOW)


def test_frames_under_a_wrong_name_are_refused():
    report = sample_report(3)
    with pytest.raises(DataError, match="given as 'baseline' are those of 'equal_weight'"):
        dataclasses.replace(report, daily={"baseline": report.daily["equal_weight"]})


def test_the_portfolio_comes_first_and_the_benchmarks_last():
    report = sample_report(3)
    daily = {**report.daily, "aaa": report.daily["baseline"].assign(portfolio="aaa")}
    assert dataclasses.replace(report, daily=daily).order() == ("baseline", "aaa", "hold_aave_usdc", "equal_weight")


def test_bounds_and_random_portfolios_come_after_the_benchmarks():
    report = sample_report(3)
    names = ("random_2", "perfect_foresight", "random_1", "best_pool_in_hindsight", "aaa")
    daily = {**report.daily, **{name: report.daily["baseline"].assign(portfolio=name) for name in names}}
    crowd = dataclasses.replace(report, daily=daily)
    assert crowd.order() == (
        *("baseline", "aaa", "hold_aave_usdc", "equal_weight"),
        *("perfect_foresight", "best_pool_in_hindsight", "random_1", "random_2"),
    )
    assert [crowd.role(name) for name in crowd.order()[::2]] == ["subject", "benchmark", "bound", "random"]
    assert not crowd.is_benchmark("perfect_foresight")
    assert dataclasses.replace(crowd, portfolio="random_1").role("random_1") == "subject"


def test_the_ledger_and_positions_of_the_day_before_are_read_too():
    warehouse = _warehouse(sample_tables(10))
    first = START + timedelta(days=4)
    read = read_report_inputs(warehouse, "baseline", Window(first, START + timedelta(days=9)))
    assert read.ledger["date"].min() == pd.Timestamp(first - timedelta(days=1))
    assert set(read.positions_before["date"]) == {pd.Timestamp(first - timedelta(days=1))}
    assert read.positions["date"].min() == pd.Timestamp(first)
    assert read.tvl is None


def test_portfolios_are_compared_on_the_days_that_all_have():
    report = sample_report(10)
    short = report.daily["equal_weight"].iloc[4:]
    compared = comparison(dataclasses.replace(report, daily={**report.daily, "equal_weight": short}))
    assert {len(frame) for frame in compared.daily.values()} == {6}
    assert compared.note == "Compared on the 6 days that all have: 2025-03-05 to 2025-03-10."


def test_a_portfolio_without_a_common_day_is_left_out_and_named():
    report = sample_report(10)
    moved = report.daily["equal_weight"].assign(date=lambda frame: frame["date"] + pd.Timedelta(days=400))
    compared = comparison(dataclasses.replace(report, daily={**report.daily, "equal_weight": moved}))
    assert list(compared.daily) == ["baseline", "hold_aave_usdc"]
    assert "equal_weight" in compared.note


def test_the_fingerprint_changes_with_any_figure_and_with_nothing_else():
    report = sample_report(5)
    shuffled = dataclasses.replace(report, details=report.details.sample(frac=1.0, random_state=1))
    touched = report.positions.assign(value_usd=lambda frame: frame["value_usd"] + 1e-9)
    assert shuffled.fingerprint() == report.fingerprint()
    assert dataclasses.replace(report, positions=touched).fingerprint() != report.fingerprint()


def test_two_pools_of_one_name_are_told_apart_by_their_ids():
    pools = pd.DataFrame(
        {
            "date": pd.Timestamp("2025-01-01"),
            "pool_id": ["11111111-a", "22222222-b", "33333333-c"],
            "protocol": "morpho-v1",
            "symbol": "USDC",
            "pool_meta": [None, None, "prime"],
        }
    )
    assert pool_labels(pools) == {
        "11111111-a": "morpho-v1 USDC [11111111]",
        "22222222-b": "morpho-v1 USDC [22222222]",
        "33333333-c": "morpho-v1 USDC (prime)",
    }
    assert label_of("44444444-4444-4444", {}) == "pool 44444444"
    assert label_of("wallet", {}) == "wallet"


def test_a_pool_of_two_tokens_is_one_position():
    day = pd.Timestamp("2025-01-01")
    held = pd.DataFrame({"date": day, "pool_id": "p", "token": ["USDT", "USDC"], "value_usd": [30.0, 20.0]})
    details = pd.DataFrame(
        {
            "date": day,
            "pool_id": ["p"],
            "protocol": "curve",
            "symbol": "2POOL",
            "apy_forecast": 0.04,
            "pool_group": 2,
            "binding": "",
        }
    )
    book = positions_on(day.date(), 100.0, held, details)
    assert book[["label", "tokens", "value_usd", "share", "apy"]].to_numpy().tolist() == [
        ["curve 2POOL", "USDC + USDT", 50.0, 0.5, 0.04]
    ]


def test_a_held_pool_that_no_decision_lists_has_an_unknown_apy():
    report = sample_report(3)
    book = positions_on(report.last_day, 1e6, report.positions, report.details.iloc[:0])
    assert book["apy"].isna().all() and (book["binding"] == "").all()


def test_protocols_and_idle_make_up_the_nav_of_every_day():
    report = sample_report()
    daily = report.daily["baseline"].set_index("date")
    shares = protocol_shares(report)
    assert (shares.sum(axis=1) + daily["idle_usd"] / daily["aum_close_usd"]).to_numpy() == pytest.approx(1.0)


def test_small_protocols_are_added_up_under_other():
    full, short = protocol_shares(sample_report()), protocol_shares(sample_report(), at_most=2)
    assert short.shape[1] == 3 and short.columns[-1] == "other"
    assert short.sum(axis=1).to_numpy() == pytest.approx(full.sum(axis=1).to_numpy())


def test_the_worst_days_are_losses_in_order_with_their_cause():
    notes = worst_days(sample_report().daily["baseline"])
    assert [note.net_return for note in notes] == sorted(note.net_return for note in notes)
    assert all(note.gain_usd < 0 for note in notes)
    assert notes[0].day == START and notes[0].reason.startswith("costs $")


def test_a_day_that_failed_is_told_with_its_reason():
    (note,) = days_not_ok(sample_report().daily["baseline"])
    assert note.day == date(2025, 4, 10)
    assert note.reason == "data_missing: prices of 2025-04-10 are missing: CoinMarketCap answered 503"

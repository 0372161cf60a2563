"""The command-line backtest over simulated and recorded history."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defiyield_core.backtest.engine import decision_window, load_range, run_range
from defiyield_core.backtest.outputs import collect, write
from defiyield_core.calendar import Window
from defiyield_core.cli import main
from defiyield_core.errors import DataError
from defiyield_core.portfolio.runner import run_portfolio
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.universe.lists import change_list
from defiyield_core.warehouse.port import TableWrite

SETTINGS = Settings.from_environment({}, source="simulated:11")
BASELINE = find_portfolio(SETTINGS.portfolios, "baseline")
START = date(2025, 2, 4)
WINDOW = Window(START, START + timedelta(days=39))


@pytest.fixture(scope="module")
def loaded():
    return load_range(SETTINGS, WINDOW)


@pytest.fixture(scope="module")
def baseline_run(loaded):
    return run_range(loaded, BASELINE)


def rows(loaded, table: str, portfolio: str = "baseline") -> pd.DataFrame:
    return loaded.warehouse.read(table, scope={"portfolio": portfolio})


def test_the_identity_holds_on_every_day(baseline_run):
    daily = baseline_run.run.daily
    expected = (
        daily["aum_open_usd"]
        + daily["accrual_usd"]
        + daily["revaluation_usd"]
        + daily["flows_usd"]
        - daily["gas_usd"]
        - daily["conversion_usd"]
    )
    assert np.abs(expected - daily["aum_close_usd"]).max() <= 1e-6
    assert np.abs(daily["aum_open_usd"].to_numpy()[1:] - daily["aum_close_usd"].to_numpy()[:-1]).max() <= 1e-6
    assert set(daily["status"]) == {"ok"}


def test_the_ledger_adds_up_to_the_day(loaded, baseline_run):
    ledger = rows(loaded, "daily_ledger").groupby("date")
    daily = baseline_run.run.daily.set_index("date")
    for column, total in (
        ("value_usd", daily["aum_close_usd"]),
        ("accrual_usd", daily["accrual_usd"]),
        ("revaluation_usd", daily["revaluation_usd"]),
        ("fees_usd", daily["gas_usd"] + daily["conversion_usd"]),
    ):
        assert np.abs(ledger[column].sum() - total).max() <= 1e-6


def test_anyone_can_recompute_a_days_accrual(loaded, baseline_run):
    positions = rows(loaded, "asset_allocations")
    history = loaded.warehouse.read("raw_defillama_pool_history").set_index(["date", "pool_id"])["apy"]
    for row in baseline_run.run.daily.itertuples():
        held = positions[positions["date"] == row.date - timedelta(days=1)]
        rates = np.array([history.get((row.date, pool), np.nan) for pool in held["pool_id"]])
        growth = np.where(np.isfinite(rates) & (rates <= 10), (1 + np.nan_to_num(rates)) ** (1 / 365) - 1, 0.0)
        assert row.accrual_usd == pytest.approx(float((held["value_usd"] * growth).sum()), abs=1e-6)


def test_the_plan_turns_yesterdays_book_into_todays(loaded, baseline_run):
    transactions = rows(loaded, "allocation_transactions")
    moves = transactions[transactions["type"] != "HOLD"]
    daily = baseline_run.run.daily.set_index("date")
    fees = moves.groupby("date")["total_cost_usd"].sum().reindex(daily.index, fill_value=0.0)
    assert np.abs(fees - daily["gas_usd"] - daily["conversion_usd"]).max() <= 1e-6
    floor = BASELINE.parameters.min_transaction_value
    deposits = moves[moves["type"] == "ALLOCATION"].groupby(["date", "to_location"])["amount_usd"].sum()
    assert (deposits >= floor - 1e-6).all()


def test_deposits_respect_the_caps(loaded, baseline_run):
    details = rows(loaded, "asset_allocation_details")
    bought = details[details["value_usd"] > details["value_before_usd"] + 1.0]
    rules = BASELINE.parameters
    assert (bought["share_of_aum"] <= rules.position_cap_share + 1e-9).all()
    assert (bought["value_usd"] <= rules.pool_tvl_share * bought["tvl_usd"] + 1e-3).all()


def test_decisions_do_not_change_when_the_future_is_removed(loaded, baseline_run):
    short = Window(WINDOW.start, WINDOW.start + timedelta(days=14))
    source = open_source("simulated:11")
    full_year = source.pool_history

    def truncated(window: Window, pool_ids):
        return full_year(Window(window.start, min(window.end, short.end)), pool_ids)

    source.pool_history = truncated  # type: ignore[method-assign]
    alone = load_range(SETTINGS, short, source=source)
    run_range(alone, BASELINE)
    for table in ("portfolio_daily", "asset_allocations", "allocation_transactions"):
        whole = rows(loaded, table)
        until = whole[whole["date"] <= pd.Timestamp(short.end)].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows(alone, table), until, check_exact=True)


def test_day_by_day_in_chunks_or_at_once_gives_the_same_rows(loaded, baseline_run):
    fresh = load_range(SETTINGS, WINDOW)
    for chunk in WINDOW.chunks(13):
        run_portfolio(fresh.context, BASELINE, chunk, chunk_days=5)
    for table in ("portfolio_daily", "asset_allocations", "daily_ledger", "portfolio_state"):
        pd.testing.assert_frame_equal(rows(fresh, table), rows(loaded, table), check_exact=True)


def test_resume_computes_only_what_is_missing():
    fresh = load_range(SETTINGS, Window(START, START + timedelta(days=9)))
    run_portfolio(fresh.context, BASELINE, Window(START, START + timedelta(days=5)))
    before = rows(fresh, "portfolio_daily")
    run = run_portfolio(fresh.context, BASELINE, fresh.window, resume=True)
    assert run.computed == Window(START + timedelta(days=6), fresh.window.end)
    pd.testing.assert_frame_equal(rows(fresh, "portfolio_daily").iloc[:6], before, check_exact=True)
    assert run_portfolio(fresh.context, BASELINE, fresh.window, resume=True).computed is None


def test_resume_does_not_keep_days_decided_with_other_parameters():
    fresh = load_range(SETTINGS, Window(START, START + timedelta(days=5)))
    run_portfolio(fresh.context, BASELINE, fresh.window)
    other = BASELINE.with_overrides({"max_alloc_percentage": 0.5})
    assert run_portfolio(fresh.context, other, fresh.window, resume=True).computed == fresh.window
    richer = replace(other, wallet={"USDC": 2_000_000.0})
    assert run_portfolio(fresh.context, richer, fresh.window, resume=True).computed == fresh.window


def test_a_missing_close_is_refused_and_not_started_afresh():
    fresh = load_range(SETTINGS, Window(START, START + timedelta(days=9)))
    run_portfolio(fresh.context, BASELINE, Window(START, START + timedelta(days=2)))
    with pytest.raises(DataError, match="run it from 2025-02-07 on"):
        run_portfolio(fresh.context, BASELINE, Window(START + timedelta(days=6), fresh.window.end))


def test_a_day_that_closes_differently_takes_back_the_days_after_it():
    fresh = load_range(SETTINGS, Window(START, START + timedelta(days=9)))
    run_portfolio(fresh.context, BASELINE, fresh.window)
    same = Window(START, START + timedelta(days=3))
    run_portfolio(fresh.context, BASELINE, same)
    assert len(fresh.warehouse.days("completed_days", scope={"subject": "baseline"})) == 10
    richer = replace(BASELINE, wallet={"USDC": 2_000_000.0})
    run_portfolio(fresh.context, richer, same)
    assert len(fresh.warehouse.days("completed_days", scope={"subject": "baseline"})) == 4


@pytest.mark.parametrize("changed", [{"pool_apy_limit": 0.02}, {"horizon_days": 30}, {"forecaster": "persistence"}])
def test_overrides_that_no_portfolio_file_has_still_find_forecasts_and_pools(changed):
    spec = BASELINE.with_overrides(changed)
    short = load_range(SETTINGS, Window(START, START + timedelta(days=1)), specs=(spec,))
    assert set(run_range(short, spec).run.daily["n_positions"]) - {0}


def test_the_fingerprint_covers_the_data_of_every_chunk():
    fresh = load_range(SETTINGS, Window(START, START + timedelta(days=5)))

    def fingerprint() -> str:
        return run_portfolio(fresh.context, BASELINE, fresh.window, chunk_days=3).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    forecasts = fresh.warehouse.read("pool_forecasts")
    first_day = forecasts["date"] == pd.Timestamp(START)
    forecasts.loc[first_day, "tvl_usd"] *= 1.01
    fresh.warehouse.replace((TableWrite("pool_forecasts", forecasts, fresh.window),))
    assert fingerprint() != before


def test_every_day_keeps_the_lists_as_they_stood_on_it():
    fresh = load_range(SETTINGS, Window(START, START + timedelta(days=2)))
    moment = datetime.combine(START + timedelta(days=1), time(12))
    change_list(fresh.warehouse, "protocols", "add", "new-protocol", "me", "test", moment)
    run_portfolio(fresh.context, BASELINE, fresh.window)
    snapshots = rows(fresh, "allocation_parameters")["approved_protocols"]
    assert ["new-protocol" in json.loads(names) for names in snapshots] == [False, True, True]


def test_a_wallet_token_that_does_not_count_is_told():
    fresh = load_range(SETTINGS, Window(START, START))
    run = run_range(fresh, replace(BASELINE, wallet={"USDC": 1000.0, "TYPO": 5.0})).run
    assert run.warnings == ("portfolio baseline: 5.00 TYPO stay outside: it is not an approved token",)


def test_outputs_hold_what_the_readme_promises(loaded, baseline_run, tmp_path: Path):
    run_range(loaded, find_portfolio(SETTINGS.portfolios, "equal_weight"))
    outputs = collect(loaded, BASELINE, baseline_run, ["equal_weight"], "0123")
    write(outputs, tmp_path, {"load_seconds": 1.0})
    daily = pd.read_parquet(tmp_path / "daily.parquet")
    needed = "date aum_open accrual_usd forecast_accrual_usd gas_usd conversion_usd revaluation_usd flows_usd aum_close"
    assert set(f"{needed} idle_usd turnover_usd n_positions status".split()) <= set(daily.columns)
    held = pd.read_parquet(tmp_path / "allocations.parquet")
    assert {"scenario", "date", "pool_id", "token", "amount", "value_usd"} <= set(held.columns)
    assert len(pd.read_csv(tmp_path / "allocations.csv")) == len(held)
    assert json.loads((tmp_path / "metrics.json").read_text())["days"] == 40
    assert json.loads((tmp_path / "run.json").read_text())["run_id"] == "0123"
    sheet = (tmp_path / "tearsheet.html").read_text()
    assert "<html" in sheet and "equal_weight" in sheet


def test_the_command_prints_a_summary_and_refuses_in_one_line(tmp_path: Path, capsys):
    base = ["--source", "simulated:11", "backtest", "baseline", "--start", "2025-02-04", "--end", "2025-02-20"]
    assert main([*base, "--compare", "none", "--out", str(tmp_path)]) == 0
    assert "net" in capsys.readouterr().out.lower()
    for arguments, words in (
        (["--source", "simulated:11", "backtest", "nobody"], "no portfolio 'nobody'"),
        (["--source", "nowhere", "backtest", "baseline"], "not understood"),
        (["--source", "recorded:/no/such/folder", "backtest", "baseline"], "/no/such/folder"),
        (["--source", "simulated", "backtest", "baseline", "--start", "2025-01-05"], "too early"),
        (["--source", "simulated", "backtest", "baseline", "--start", "tomorrow"], "YYYY-MM-DD"),
        (["--source", "simulated", "backtest", "baseline", "--end", "2035-01-01"], "after the last day"),
        ([*base, "--set", "max_alloc_percentage=7"], "max_alloc_percentage"),
        ([*base, "--set", "nonsense"], "KEY=VALUE"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err.strip()
        assert words in error and len(error.splitlines()) == 1


@pytest.mark.recorded
@pytest.mark.slow
def test_the_recorded_year_beats_its_benchmarks_and_is_hardly_idle(recorded_dir: Path):
    source = open_source(f"recorded:{recorded_dir}")
    window = decision_window(source, BASELINE, None, None)
    assert (window.start, window.end) == (date(2024, 7, 10), date(2025, 6, 5))
    loaded = load_range(SETTINGS, window, source=source)
    nav = {}
    for name in ("baseline", "equal_weight", "hold_aave_usdc"):
        run = run_range(loaded, find_portfolio(SETTINGS.portfolios, name)).run
        nav[name] = run.daily["aum_close_usd"].iloc[-1]
        if name == "baseline":
            idle = (run.daily["idle_usd"] / run.daily["aum_close_usd"]).mean()
            assert idle < 0.15
            assert set(run.daily["status"]) == {"ok"}
    assert nav["baseline"] > nav["equal_weight"] and nav["baseline"] > nav["hold_aave_usdc"]

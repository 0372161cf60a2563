"""Exports: columns and figures of the tables, equal bytes for equal runs, who is not dominated."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.reporting.exports import (
    ALLOCATION_COLUMNS,
    CRITERIA,
    SUMMARY_COLUMNS,
    TRANSACTION_COLUMNS,
    allocations_frame,
    pareto,
    results_frame,
    summary_frame,
    transactions_frame,
    write_exports,
)
from defiyield_core.reporting.scenarios import Scenario
from tests.unit.reporting.scenario_frames import details, positions, scenario, transactions

LABELS = {"p1": ("aave-v3", "USDC"), "p2": ("sky", "SDAI")}


def whole(name: str) -> Scenario:
    """A run that kept everything; no decision lists its third pool."""
    held = positions({"p2": 100.0, "p1": 300.0, "p3": 50.0})
    return scenario(name, positions=held, transactions=transactions(), details=details(LABELS), hhi=None)


def test_the_summary_has_the_figures_of_the_last_close():
    run = scenario("desk", 0.0, fee_usd=1000.0, idle_usd=199_800.0)
    frame = summary_frame([run])
    assert tuple(frame.columns) == SUMMARY_COLUMNS
    row = frame.iloc[0]
    assert row["total_aum"] == pytest.approx(999_000.0)
    assert row["total_allocated"] == pytest.approx(799_200.0) and row["total_unallocated"] == pytest.approx(199_800.0)
    assert row["allocation_pct"] == pytest.approx(80.0)
    assert row["total_cost"] == pytest.approx(1000.0) and row["cost_pct"] == pytest.approx(100 * 1000 / 999_000)
    assert (row["num_pools"], row["num_transactions"], row["weighted_apy"]) == (2, 3, 0.05)
    assert row["solve_time"] == 0.5


def test_shares_of_nothing_are_not_defined():
    run = scenario("gone", 0.0, fee_usd=1_000_000.0)
    row = summary_frame([run]).iloc[0]
    assert row["total_aum"] == 0.0 and math.isnan(row["allocation_pct"]) and math.isnan(row["cost_pct"])


def test_results_take_their_figures_from_the_metrics():
    run = scenario("desk", 0.01, fall=0.002, fee_usd=500.0, seed=4, group="matrix")
    row = results_frame([run, scenario("other")]).iloc[0]
    figures = run.figures
    assert row["net_apy"] == figures.net_apy and row["max_drawdown"] == pytest.approx(0.002)
    assert row["fees_usd"] == 500.0 and row["fees_bps"] == figures.fees_bps_of_nav
    assert (row["seed"], row["group"], row["policy"], row["mode"]) == (4, "matrix", "optimiser", "carry")
    assert (row["days_not_ok"], row["mean_hhi"], row["solve_seconds"]) == (0, 0.25, 0.5)


def test_a_run_without_a_seed_keeps_seeds_whole_numbers():
    seeds = results_frame([scenario("a"), scenario("b", seed=2**40)])["seed"]
    assert str(seeds.dtype) == "Int64" and pd.isna(seeds[0]) and seeds[1] == 2**40


def test_allocations_name_what_is_known_of_a_pool():
    frame = allocations_frame([whole("b"), whole("a"), scenario("lean")])
    assert tuple(frame.columns) == ALLOCATION_COLUMNS
    assert frame["scenario"].unique().tolist() == ["a", "b"]
    first = frame[:3]
    assert first["pool_id"].tolist() == ["p1", "p2", "p3"]
    assert first["protocol"].tolist() == ["aave-v3", "sky", None] and first["symbol"].tolist() == ["USDC", "SDAI", None]
    assert first["value_usd"].tolist() == [300.0, 100.0, 50.0]


def test_a_pool_that_the_days_decision_does_not_list_has_its_last_known_name():
    run = whole("a")
    assert run.details is not None
    early = run.details[run.details["date"] < "2025-01-03"]
    frame = allocations_frame([scenario("a", positions=run.positions, details=early)])
    assert frame.loc[frame["date"] == "2025-01-20", "protocol"].tolist() == ["aave-v3", "sky", None]


def test_transactions_are_trades_in_their_order():
    frame = transactions_frame([whole("a")])
    assert tuple(frame.columns) == TRANSACTION_COLUMNS
    assert frame["type"].tolist() == ["CONVERSION", "ALLOCATION"] and frame["seq"].tolist() == [1, 3]
    assert frame["total_cost_usd"].sum() == pytest.approx(3.16)


def test_equal_runs_give_equal_bytes_in_whatever_order_they_ended(tmp_path: Path):
    runs = [whole("a"), whole("b"), scenario("lean")]
    first = write_exports(tmp_path / "1", runs)
    second = write_exports(tmp_path / "2", runs[::-1])
    names = [f"{table}.{kind}" for table in ("summary", "allocations", "transactions") for kind in ("csv", "parquet")]
    assert list(first) == names
    for name in names:
        assert first[name].read_bytes() == second[name].read_bytes()
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == sorted(names)


def test_both_formats_hold_the_same(tmp_path: Path):
    paths = write_exports(tmp_path, [whole("a"), whole("b")])
    for name in ("summary", "allocations", "transactions"):
        parquet = pd.read_parquet(paths[f"{name}.parquet"])
        dates = ["date"] if "date" in parquet else []
        csv = pd.read_csv(paths[f"{name}.csv"], parse_dates=dates)
        pd.testing.assert_frame_equal(csv, parquet.replace({None: float("nan")}), check_dtype=False, check_exact=True)
    assert "2025-01-01," in paths["allocations.csv"].read_text().splitlines()[1]


def test_runs_of_daily_rows_alone_still_export(tmp_path: Path):
    paths = write_exports(tmp_path, [scenario("lean")])
    assert paths["allocations.csv"].read_text() == ",".join(ALLOCATION_COLUMNS) + "\n"
    kept = pd.read_parquet(paths["transactions.parquet"])
    assert tuple(kept.columns) == TRANSACTION_COLUMNS and str(kept["date"].dtype) == "datetime64[ns]"


def test_a_folder_that_cannot_be_made_is_one_clear_refusal(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_exports(tmp_path / "file" / "folder", [scenario("a")])
    with pytest.raises(DataError, match="twice"):
        write_exports(tmp_path, [scenario("a"), scenario("a")])


def _table(*rows: tuple[float, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(CRITERIA))


def test_who_is_worse_in_one_and_better_in_none_is_dominated():
    frame = _table((0.10, 0.01, 20.0, 0.2), (0.10, 0.01, 25.0, 0.2), (0.08, 0.01, 10.0, 0.2), (0.07, 0.02, 30.0, 0.3))
    assert pareto(frame).tolist() == [True, False, True, False]


def test_equal_rows_and_differences_nobody_chooses_by_do_not_dominate():
    frame = _table((0.10, 0.01, 20.0, 0.2), (0.10, 0.01, 20.0, 0.2), (0.10 - 1e-6, 0.01, 20.01, 0.201))
    assert pareto(frame).tolist() == [True, True, True]


def test_an_unknown_value_wins_nothing():
    nan = float("nan")
    assert pareto(_table((0.10, 0.01, 20.0, 0.2), (0.10, 0.01, 20.0, nan))).tolist() == [True, False]
    assert pareto(_table((0.10, 0.01, 20.0, nan), (0.09, 0.01, 20.0, nan))).tolist() == [True, False]
    assert pareto(_table((nan, 0.01, 20.0, 0.2), (-0.5, 0.01, 20.0, 0.2))).tolist() == [False, True]


def test_whatever_dominates_is_not_dominated_by_what_it_dominates():
    frame = _table(*[(0.01 * (i * 7 % 11), 0.001 * (i * 5 % 7), i * 3 % 5, 0.05 * (i * 2 % 3)) for i in range(60)])
    kept = pareto(frame)
    assert kept.any() and not kept.all()
    for _, row in frame[~kept].iterrows():
        better = frame[kept]
        is_dominated = (
            (better["net_apy"] >= row["net_apy"])
            & (better["max_drawdown"] <= row["max_drawdown"])
            & (better["fees_bps"] <= row["fees_bps"])
            & (better["mean_hhi"] <= row["mean_hhi"])
        )
        assert is_dominated.any()

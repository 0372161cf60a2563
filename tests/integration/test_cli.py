"""The `defiyield` command over a DuckDB file, as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from defiyield_core.backtest.engine import load_range, run_range
from defiyield_core.calendar import Window, parse_day
from defiyield_core.cli import main
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.warehouse.opening import open_warehouse


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DEFIYIELD_SOURCE", "DEFIYIELD_WAREHOUSE", "DEFIYIELD_PORTFOLIOS", "DEFIYIELD_SLACK_WEBHOOK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEFIYIELD_HOME", str(tmp_path))
    monkeypatch.setenv("DEFIYIELD_SOURCE", "simulated:3")
    return tmp_path


def test_day_after_day_in_a_file_equals_the_backtest_in_memory(home: Path, capsys: pytest.CaptureFixture[str]):
    for day in ("2025-02-04", "2025-02-05", "2025-02-06"):
        assert main(["run", "--date", day, "--portfolio", "baseline"]) == 0
    assert "Transactions" in capsys.readouterr().out
    stored = open_warehouse(f"duckdb:{home / 'simulated.duckdb'}")
    settings = Settings.from_environment({}, source="simulated:3")
    loaded = load_range(settings, Window(parse_day("2025-02-04"), parse_day("2025-02-06")))
    run_range(loaded, find_portfolio(settings.portfolios, "baseline"))
    for table in ("portfolio_daily", "asset_allocations", "allocation_transactions", "daily_ledger"):
        pd.testing.assert_frame_equal(stored.read(table), loaded.warehouse.read(table), check_exact=True)


def test_phases_can_be_run_one_by_one(home: Path, capsys: pytest.CaptureFixture[str]):
    day = ["run", "--date", "2025-02-04", "--portfolio", "baseline", "--phase"]
    assert main([*day, "allocate"]) == 2
    assert "run the ingest and process phases first" in capsys.readouterr().err
    assert main([*day, "ingest"]) == 0
    assert main([*day, "process", "forecast"]) == 0
    assert main([*day, "allocate"]) == 0
    assert "NAV" in capsys.readouterr().out


def test_a_list_is_changed_with_a_reason_and_any_past_day_can_be_shown(home: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["lists", "add", "blacklist", "usde", "--why", "redemptions halted", "--who", "ann"]) == 0
    assert main(["lists", "show", "blacklist"]) == 0
    shown = capsys.readouterr().out
    assert "USDE" in shown and "redemptions halted" in shown and "ann" in shown
    assert main(["lists", "show", "blacklist", "--as-of", "2024-01-01"]) == 0
    assert "USDE" not in capsys.readouterr().out
    assert main(["lists", "remove", "blacklist", "USDE"]) == 2
    assert "--why" in capsys.readouterr().err
    assert main(["lists", "remove", "protocols", "no-such-protocol", "--why", "x"]) == 2
    assert "no-such-protocol" in capsys.readouterr().err


def test_the_doctor_says_what_is_missing(home: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 0
    assert "everything is in place" in capsys.readouterr().out
    assert main(["--source", "recorded:/nowhere", "doctor"]) == 2
    assert "FAILED   source" in capsys.readouterr().out
    assert main(["--warehouse", "postgresql://bob:hidden-word@127.0.0.1:1/none", "doctor"]) == 2
    output = capsys.readouterr()
    assert "FAILED   warehouse" in output.out and "hidden-word" not in output.out + output.err


def test_allocate_prints_json_and_nothing_else(home: Path, capsys: pytest.CaptureFixture[str]):
    problem = {
        "as_of": "2025-02-01",
        "pools": [
            {
                "pool_id": pool,
                "symbol": "USDC",
                "protocol": "aave-v3",
                "chain": "Ethereum",
                "tokens": ["USDC"],
                "apy": apy,
                "tvl_usd": 1e8,
                "group": 1,
            }
            for pool, apy in (("a", 0.05), ("b", 0.09))
        ],
        "token_prices": {"USDC": 1.0},
        "wallet": {"USDC": 100_000},
        "positions": [],
        "gas_usd": {"deposit": 3.0, "withdrawal": 3.0, "conversion": 3.0},
        "parameters": {"horizon_days": 30, "min_pools": 2, "group1_max_pct": 1.0},
    }
    path = home / "problem.json"
    path.write_text(json.dumps(problem))
    assert main(["allocate", str(path)]) == 0
    decision = json.loads(capsys.readouterr().out)
    assert decision["status"] == "optimal" and decision["gap_bps"] <= 0.01
    assert sum(row["amount"] for row in decision["positions"]) == pytest.approx(50_000)
    problem["wallet"] = {"USDC": -1}
    path.write_text(json.dumps(problem))
    assert main(["allocate", str(path)]) == 2
    refused = capsys.readouterr()
    assert "wallet" in refused.err and refused.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "--date"),
        (["run", "--date", "2025-01-10"], "too early"),
        (["run", "--date", "2030-01-01"], "after the last day"),
        (["run", "--date", "2025-02-04", "--phase", "dream"], "dream"),
        (["--source", "simulated:x", "run", "--date", "2025-02-04"], "whole number"),
        (["--warehouse", "mysql://x", "run", "--date", "2025-02-04"], "not understood"),
        (["allocate", "/no/such/file.json"], "/no/such/file.json"),
        (["fly"], "fly"),
        ([], "COMMAND"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(home: Path, arguments: list[str], words: str):
    done = subprocess.run(
        [sys.executable, "-m", "defiyield_core.cli", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


def test_a_portfolio_does_not_begin_before_its_first_day(home: Path, tmp_path: Path, monkeypatch, capsys):
    folder = tmp_path / "portfolios"
    folder.mkdir()
    (folder / "late.yaml").write_text("name: late\nwallet: {USDC: 1000000}\nfirst_day: 2025-02-06\n")
    (folder / "other.yaml").write_text("name: other\nwallet: {USDC: 1000000}\nsource: simulated:99\n")
    monkeypatch.setenv("DEFIYIELD_PORTFOLIOS", str(folder))
    assert main(["run", "--date", "2025-02-05"]) == 0
    assert "begins on 2025-02-06" in capsys.readouterr().out
    assert main(["run", "--date", "2025-02-05", "--until", "2025-02-06"]) == 0
    stored = open_warehouse(f"duckdb:{home / 'simulated.duckdb'}").read("portfolio_daily")
    assert [(row.portfolio, str(row.date.date())) for row in stored.itertuples()] == [("late", "2025-02-06")]
    capsys.readouterr()
    assert main(["run", "--date", "2025-02-06", "--portfolio", "other"]) == 2
    assert "takes its data from simulated:99" in capsys.readouterr().err

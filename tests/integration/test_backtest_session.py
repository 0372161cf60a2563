"""The backtest and sweep commands around their runs: found again, killed and gone on with, made in parallel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from defiyield_core.backtest import sweep as sweep_module
from defiyield_core.backtest.engine import load_range, run_range
from defiyield_core.calendar import Window, parse_day
from defiyield_core.cli import main
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings

SOURCE = "simulated:6"
START, END = "2025-02-10", "2025-04-10"
FILE = """
name: {name}
wallet: {{USDC: 500000, USDT: 300000}}
policy: {policy}
overrides: {{forecaster: ewma, min_pools: 3}}
"""
TIMED = ("timings.json", "summary.csv", "summary.parquet")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployment with two small portfolios whose forecasts need no training."""
    portfolios = tmp_path / "portfolios"
    portfolios.mkdir()
    for name, policy in (("desk", "optimiser"), ("equal_weight", "equal_weight")):
        (portfolios / f"{name}.yaml").write_text(FILE.format(name=name, policy=policy))
    monkeypatch.setenv("DEFIYIELD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEFIYIELD_PORTFOLIOS", str(portfolios))
    monkeypatch.setenv("DEFIYIELD_SOURCE", SOURCE)
    for name in ("DEFIYIELD_WAREHOUSE", "DEFIYIELD_SLACK_WEBHOOK"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def backtest(*arguments: object) -> int:
    return main(["backtest", "desk", "--start", START, "--end", END, *map(str, arguments)])


def assert_same(one: Path, other: Path) -> None:
    """Every file but those with timings, byte for byte."""
    names = {path.name for path in one.iterdir()}
    assert names == {path.name for path in other.iterdir()} and {"daily.parquet", "tearsheet.html"} <= names
    for name in names - set(TIMED):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_an_equal_run_is_found_and_fills_the_folder(home: Path, capsys: pytest.CaptureFixture[str]):
    assert backtest("--out", home / "one") == 0
    first = capsys.readouterr().out
    assert backtest("--out", home / "two") == 0
    second = capsys.readouterr().out
    assert "not computed again" in second and "not computed again" not in first
    assert "perfect_foresight" in first and "best_pool_in_hindsight" in first
    for path in (home / "one").iterdir():
        assert path.read_bytes() == (home / "two" / path.name).read_bytes(), path.name
    assert backtest("--again", "--out", home / "three") == 0
    assert "not computed again" not in capsys.readouterr().out
    assert_same(home / "one", home / "three")
    assert backtest("--set", "conversion_rate=0.001") == 0
    assert "not computed again" not in capsys.readouterr().out
    run = json.loads((home / "one" / "run.json").read_text())
    assert "survivorship" in run["survivorship"] and run["config"]["mode"] == "carry"


def test_a_killed_run_goes_on_to_the_same_bytes(home: Path):
    words = [sys.executable, "-m", "defiyield_core.cli", "backtest", "desk", "--start", START, "--end", END]
    assert backtest("--out", home / "whole") == 0
    for path in (home / "home" / "backtests").iterdir():
        subprocess.run(["rm", "-r", str(path)], check=True)
    process = subprocess.Popen([*words, "--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journals = home / "home" / "backtests"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        written = [path for path in journals.glob("*.part/desk.journal") if path.read_bytes().count(b"\n") > 10]
        if written:
            break
        time.sleep(0.002)
    assert process.poll() is None, "the run ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = written[0].read_bytes().count(b"\n") - 1
    assert kept < 60
    assert backtest("--resume", "--out", home / "resumed") == 0
    assert json.loads((home / "resumed" / "timings.json").read_text())["restored_days"] >= 9
    assert_same(home / "whole", home / "resumed")


def test_modes_policies_and_options_of_the_command_line(home: Path, capsys: pytest.CaptureFixture[str]):
    for arguments in (
        ("--mode", "independent"),
        ("--policy", "random_weights", "--option", "seed=3"),
        ("--compare", "random:2", "--compare", "equal_weight"),
    ):
        assert backtest(*arguments, *(() if "--compare" in arguments else ("--compare", "none"))) == 0
        assert "RESULT" in capsys.readouterr().out
    folder = home / "portfolios"
    (folder / "random_1.yaml").write_text(FILE.format(name="random_1", policy="hold"))
    for arguments, words in (
        (("--policy", "nonsense"), "unknown policy"),
        (("--option", "seed=3"), "--policy"),
        (("--policy", "random_weights", "--option", "colour=1"), "options"),
        (("--compare", "random:0"), "random:N"),
        (("--compare", "nobody"), "no portfolio"),
        (("--compare", "random_1", "--compare", "random:2"), "two runs are called 'random_1'"),
    ):
        assert backtest(*arguments) == 2
        assert words in capsys.readouterr().err


MATRIX = """
name: small
portfolios: [desk, equal_weight]
parameters: {conversion_rate: [0.0004, 0.002]}
start: 2025-02-10
end: 2025-03-10
"""


def test_a_sweep_in_parallel_gives_the_rows_of_single_runs_and_goes_on(home: Path, capsys: pytest.CaptureFixture[str]):
    matrix = home / "small.yaml"
    matrix.write_text(MATRIX)
    assert main(["sweep", str(matrix), "--workers", "2", "--out", str(home / "out")]) == 0
    printed = capsys.readouterr()
    assert "4 runs made, 0 found finished" in printed.out and "4/4" in printed.err
    results = pd.read_csv(home / "out" / "results.csv").set_index("scenario")
    assert list(pd.read_csv(home / "out" / "summary.csv"))[:4] == [
        "scenario",
        "total_aum",
        "total_allocated",
        "total_unallocated",
    ]
    assert "conversion_rate" in (home / "out" / "comparison.html").read_text()
    settings = Settings.from_environment()
    spec = find_portfolio(settings.portfolios, "desk").with_overrides({"conversion_rate": 0.002})
    loaded = load_range(settings, Window(parse_day("2025-02-10"), parse_day("2025-03-10")), specs=(spec,))
    daily = run_range(loaded, spec).run.daily
    name = "desk conversion_rate=0.002"
    assert results.loc[name, "days"] == len(daily)
    folders = (home / "home" / "sweeps").glob("*/daily.parquet")
    kept = [pd.read_parquet(path) for path in folders]
    closes = [float(frame["aum_close_usd"].iloc[-1]) for frame in kept if frame["portfolio"].iloc[0] == "desk"]
    assert float(daily["aum_close_usd"].iloc[-1]) in closes

    matrix.write_text(MATRIX.replace("0.002]", "0.002, 0.004]"))
    assert main(["sweep", str(matrix), "--workers", "1"]) == 0
    assert "2 runs made, 4 found finished" in capsys.readouterr().out


def test_a_run_that_fails_is_named_and_the_others_stay(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from defiyield_core.errors import LedgerError

    ordinary = sweep_module.run_alone

    def failing(market, spec, lists):
        if spec.policy == "equal_weight":
            raise LedgerError("2025-02-11: does not add up")
        return ordinary(market, spec, lists)

    monkeypatch.setattr(sweep_module, "run_alone", failing)
    matrix = home / "small.yaml"
    matrix.write_text(MATRIX)
    assert main(["sweep", str(matrix), "--workers", "1"]) == 1
    printed = capsys.readouterr().out
    assert "failed: equal_weight conversion_rate=0.002: 2025-02-11: does not add up" in printed and "desk" in printed
    assert main(["sweep", str(matrix), "--workers", "0"]) == 2

"""A run from a seed, and its command."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
import pytest

from defiyield_core.commands import hourly
from defiyield_core.errors import ConfigurationError
from defiyield_core.hourly.run import run_hourly
from defiyield_core.parameters import parameters
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.settings import Settings

SPEC = PortfolioSpec("desk", "", "optimiser", parameters(), {"USDC": 1e5})


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    hourly.register(parser.add_subparsers())
    arguments = parser.parse_args(["hourly", *words])
    return int(arguments.handler(arguments, Settings.from_environment({})))


def test_equal_seeds_give_equal_runs_of_the_market_that_was_asked_for():
    first, again, other = (run_hourly(SPEC, seed=seed, days=2) for seed in (4, 4, 5))
    pd.testing.assert_frame_equal(first.run.frame, again.run.frame)
    assert first.run.frame["aum_close_usd"].iloc[-1] != other.run.frame["aum_close_usd"].iloc[-1]
    assert len(first.run.frame) == 48 and first.metrics.days == 2
    assert 45 <= first.eligible_pools <= 60
    assert first.metrics.gas_usd == pytest.approx(first.run.frame["gas_usd"].sum()) and first.metrics.gas_usd > 0


def test_the_command_tells_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "out"
    assert command("baseline", "--days", "2", "--seed", "4", "--set", "min_pools=3", "--out", str(folder)) == 0
    text = capsys.readouterr().out
    assert "baseline on simulated:4" in text and "of 48 hours" in text and "hours/s" in text
    frame = pd.read_parquet(folder / "hourly.parquet")
    assert len(frame) == 48 and frame["portfolio"].unique().tolist() == ["baseline"]
    assert pd.read_parquet(folder / "positions.parquet")["date"].nunique() == 2
    assert pd.read_parquet(folder / "transactions.parquet")["gas_cost_usd"].sum() == pytest.approx(
        frame["gas_usd"].sum()
    )
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["nav_close_usd"] == pytest.approx(frame["aum_close_usd"].iloc[-1])
    assert sum(metrics["decided"].values()) == pytest.approx(1.0)
    assert json.loads((folder / "timings.json").read_text())["hours_per_second"] > 0


def test_every_hour_can_be_solved(capsys: pytest.CaptureFixture[str]):
    assert command("baseline", "--days", "1", "--solve-every-hour") == 0
    assert "100.0% by the optimiser" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("baseline", "--days", "0"), "from 1 to"),
        (("baseline", "--days", "4000"), "from 1 to"),
        (("baseline", "--days", "1", "--seed", "-1"), "seed"),
        (("nobody", "--days", "1"), "no portfolio 'nobody'"),
        (("equal_weight", "--days", "1"), "run the optimiser"),
    ],
)
def test_the_command_refuses(words: tuple[str, ...], message: str):
    with pytest.raises(ConfigurationError, match=message):
        command(*words)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        command("baseline", "--days", "1", "--out", str(blocked))

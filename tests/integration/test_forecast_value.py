"""What forecasts are worth: the same days as a backtest, one eligibility for all, foresight, capture, files."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defiyield_core.backtest.alone import lists_of, run_alone
from defiyield_core.backtest.engine import load_range, run_range
from defiyield_core.backtest.forecast_value import (
    FORESIGHT,
    forecast_value,
    gain_interval,
    markets_of,
    sized,
    unknown_share,
    value_json,
    write_value,
)
from defiyield_core.calendar import Window
from defiyield_core.commands import forecast_value as command
from defiyield_core.errors import ConfigurationError
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source

START = date(2025, 2, 4)
DAYS = Window(START, START + timedelta(days=27))
LATER = Window(START, DAYS.end + timedelta(days=14))
MODELS = ("persistence", "ewma")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    return Settings.from_environment({"DEFIYIELD_HOME": str(home)}, source="simulated:11")


@pytest.fixture(scope="module")
def spec(settings):
    return find_portfolio(settings.portfolios, "baseline").with_overrides({"forecaster": "ewma"})


@pytest.fixture(scope="module")
def loaded(settings, spec):
    specs = [spec.with_overrides({"forecaster": model}) for model in MODELS]
    return load_range(settings, LATER, specs=specs)


@pytest.fixture(scope="module")
def markets(loaded, spec):
    return markets_of(loaded, spec.parameters, MODELS)


@pytest.fixture(scope="module")
def value(settings, spec):
    return forecast_value(
        settings, open_source(settings.source), spec, DAYS, models=MODELS, books_usd=(1e5, 1e6), judged_by="ewma"
    )


def test_the_loop_books_what_a_backtest_books(loaded, markets, spec) -> None:
    stored = run_range(replace(loaded, window=DAYS), spec).run.daily
    mine = run_alone(markets["ewma"], spec, lists_of(loaded.warehouse), last=DAYS.end).daily
    pd.testing.assert_frame_equal(mine[list(stored)], stored, check_exact=True, check_dtype=False)


def test_runs_differ_by_their_forecasts_alone(markets) -> None:
    ewma = markets["ewma"]
    for name, market in markets.items():
        for same in ("depositable", "must_exit", "group", "observed_apy", "price_usd", "gas_price_gwei"):
            np.testing.assert_array_equal(getattr(market, same), getattr(ewma, same))
        assert np.array_equal(market.forecast_apy, ewma.forecast_apy, equal_nan=True) == (name == "ewma")
    assert list(markets) == [*MODELS, FORESIGHT]


def test_foresight_earns_more_than_any_forecast(value) -> None:
    for book in value.books_usd:
        best = value.row(FORESIGHT, book).money.net_apy
        assert best > max(value.row(model, book).money.net_apy for model in MODELS)


def test_every_run_has_every_day_and_starts_with_its_book(value) -> None:
    runs = value.daily.groupby(["forecast", "book_usd"])
    assert len(runs) == 6
    for (_, book), rows in runs:
        assert len(rows) == 28
        assert rows["aum_open_usd"].iloc[0] == pytest.approx(book, rel=1e-3)  # USDC is not always a dollar
    assert value.unknown_share["ewma"] == 0.0


def test_capture_is_the_share_of_what_foresight_gains(value) -> None:
    mine, naive, best = (value.row(name, 1e6) for name in ("ewma", "persistence", FORESIGHT))
    gain, most = mine.money.net_apy - naive.money.net_apy, best.money.net_apy - naive.money.net_apy
    assert mine.gain_apy == pytest.approx(gain, rel=1e-12)
    assert mine.capture == pytest.approx(gain / most, rel=1e-12)
    assert (naive.gain_apy, naive.capture, best.capture) == (0.0, 0.0, 1.0)


def test_the_interval_of_a_constant_gain_is_a_point_and_that_of_noise_holds_zero() -> None:
    low, high = gain_interval(np.full(90, 2e-4), np.full(90, 1e-4))
    assert low == pytest.approx(1.0002**365 - 1.0001**365, rel=1e-9) and high == pytest.approx(low, rel=1e-9)
    noise = np.random.default_rng(1).normal(0.0, 1e-3, 180)
    low, high = gain_interval(noise, noise[::-1].copy())
    assert low < 0 < high
    assert all(math.isnan(end) for end in gain_interval(np.full(55, 1e-4), np.zeros(55)))


def test_days_without_a_forecast_are_told(markets) -> None:
    market = markets["ewma"]
    blind = replace(market, forecast_apy=np.full_like(market.forecast_apy, np.nan))
    assert unknown_share(blind, DAYS) == 1.0


def test_the_portfolio_keeps_its_rules_at_every_size(spec) -> None:
    small = sized(spec, "persistence", 1e4)
    assert dict(small.wallet) == {"USDC": 1e4}
    assert small.parameters == spec.parameters.with_overrides({"forecaster": "persistence"})


def test_files_hold_every_run(value, tmp_path: Path) -> None:
    path = write_value(value, tmp_path / "new")
    content = json.loads(path.read_text())
    assert content == json.loads(json.dumps(value_json(value)))
    assert (content["start"], content["horizon_days"], content["eligibility_judged_by"]) == ("2025-02-04", 14, "ewma")
    assert [(run["forecast"], run["book_usd"]) for run in content["runs"][:3]] == [
        ("persistence", 1e5),
        ("ewma", 1e5),
        (FORESIGHT, 1e5),
    ]
    assert content["runs"][1]["net_apy"] == value.row("ewma", 1e5).money.net_apy
    assert content["runs"][1]["gain_low"] is None
    pd.testing.assert_frame_equal(pd.read_parquet(path.parent / "value.parquet"), value.daily, check_dtype=False)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_value(value, tmp_path / "file")


def test_the_printed_table_has_a_line_per_run(value) -> None:
    lines = [line for line in command.value_text(value).splitlines() if "28/28" in line]
    assert [line.split()[0] for line in lines[::3]] == ["$100,000", "$1,000,000"]
    assert "100%" in lines[2] and lines[0].split()[:2] == ["$100,000", "persistence"]


def test_the_command_writes_what_it_prints(settings, value, tmp_path: Path, monkeypatch, capsys) -> None:
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    asked = parser.parse_args(["value", "--start", "2025-02-04", "--end", str(DAYS.end), "--out", str(tmp_path)])
    seen = []
    monkeypatch.setattr(command, "forecast_value", lambda *given, **_: seen.append(given) or value)
    assert asked.handler(asked, settings) == 0
    assert (seen[0][2].name, seen[0][3]) == ("baseline", DAYS)
    assert command.value_text(value) in capsys.readouterr().out
    assert (tmp_path / "value.parquet").exists()


def test_wrong_questions_are_refused(settings, spec) -> None:
    source = open_source(settings.source)
    with pytest.raises(ConfigurationError, match="must be among the models"):
        forecast_value(settings, source, spec, DAYS, models=("ewma",))
    with pytest.raises(ConfigurationError, match="no forecaster 'oracle'"):
        forecast_value(settings, source, spec, DAYS, models=("persistence", "oracle"))

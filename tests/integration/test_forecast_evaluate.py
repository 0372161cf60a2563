"""`defiyield forecast evaluate`, as a person uses it: files, figures, and questions that are refused."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.cli import main
from defiyield_core.commands.forecast import MODELS, evaluated_window, summary_text
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.evaluation.evaluate import evaluate
from defiyield_core.forecasting.evaluation.inputs import Loaded, eligible_days, load, pool_facts
from defiyield_core.forecasting.registry import DEFAULT, FORECASTERS, find_forecaster
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source

START, END = "2025-01-20", "2025-03-30"
FIRST = ("target", "pool_id", "model", "origin", "target_date", "horizon_days", "forecast", "lower", "upper", "actual")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    return Settings.from_environment({"DEFIYIELD_HOME": str(home)}, source="simulated:7")


@pytest.fixture(scope="module")
def loaded(settings: Settings) -> Loaded:
    return load(settings, open_source(settings.source), Window(date.fromisoformat(START), date.fromisoformat(END)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEFIYIELD_HOME", str(tmp_path / "home"))
    return tmp_path


def run(home: Path, *more: str, source: str = "simulated:7") -> int:
    return main(["--source", source, "forecast", "evaluate", *more])


def test_the_files_and_the_words(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = home / "deep" / "out"
    assert run(home, "--start", START, "--end", END, "--out", str(out), "--models", "ewma,median_7d,ewma") == 0
    frame = pd.read_parquet(out / "scores.parquet")
    assert tuple(frame.columns[:11]) == (*FIRST, "lifetime_scale")
    assert set(frame["target"]) == {"apy", "mean_apy", "tvl", "gas"}
    assert set(frame["model"]) == {"persistence", "ewma", "median_7d"}
    assert set(frame["horizon_days"]) == {1, 7, 14, 30}
    assert frame["origin"].min() == pd.Timestamp(START) and frame["target_date"].max() <= pd.Timestamp(END)
    for origins, days in ((frame["origin"], 1), (frame.loc[frame["weekly"], "origin"], 7)):
        assert set(origins.drop_duplicates().sort_values().diff().dropna()) == {pd.Timedelta(days=days)}
    assert (frame["target_date"] - frame["origin"] == pd.to_timedelta(frame["horizon_days"], "D")).all()
    card = json.loads((out / "scorecard.json").read_text())
    assert (card["default_model"], card["start"], card["end"]) == (DEFAULT, START, END)
    assert card["weekly"]["origins"] == frame.loc[frame["weekly"], "origin"].nunique() == 10
    for name in ("pools.parquet", "by_pool.csv", "yardstick.parquet", "report.md", "report.html"):
        assert (out / name).stat().st_size > 0
    printed = capsys.readouterr().out
    assert f"only {card['origins']} origins could be scored, fewer than the 182" in printed and any(
        "fewer than the 182" in warning for warning in card["warnings"]
    )
    assert str(out / "scores.parquet") in printed and "Not scored" in printed
    mine = next(
        row for row in card["results"] if (row["target"], row["model"], row["horizon_days"]) == ("mean_apy", "ewma", 7)
    )
    assert f"{mine['relative_mae']:.3f}" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--start", "2025-13-01", "--end", END), "--start '2025-13-01' is not a day"),
        (("--start", START, "--end", "tomorrow"), "--end 'tomorrow' is not a day"),
        (("--start", END, "--end", START), f"--start {END} is after --end {START}"),
        (("--start", START, "--end", START), "an outcome has to follow"),
        (("--start", "2019-01-01", "--end", END), "has data from"),
        (("--start", "2030-01-01", "--end", "2030-06-01"), "has data from"),
        (("--start", START, "--end", END, "--models", "ewma,oracle"), "no forecaster 'oracle'"),
        (("--start", START, "--end", END, "--models", " , "), "none given"),
    ],
)
def test_wrong_questions_are_refused_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run(home, *words, "--out", str(home / "out")) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not (home / "out").exists()


def test_a_file_in_the_way_is_found_before_the_work(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setattr("defiyield_core.forecasting.evaluation.inputs.load", lambda *_: pytest.fail("worked first"))
    assert run(home, "--start", START, "--end", END, "--out", str(home / "file")) == 2
    told = capsys.readouterr().err
    assert "cannot be written" in told and told.count("\n") == 1


def test_missing_arguments_are_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), ("--start", START), ("--out", "x")):
        with pytest.raises(SystemExit) as stopped:
            run(home, *words)
        assert stopped.value.code == 2 and "required" in capsys.readouterr().err


def test_the_end_is_what_the_source_has() -> None:
    source = open_source("simulated:7")
    assert source.last_day is not None
    assert evaluated_window(source, START, None).end == source.last_day
    assert evaluated_window(source, START, "2029-01-01").end == source.last_day
    assert evaluated_window(source, START, END).end == date.fromisoformat(END)
    with pytest.raises(ConfigurationError, match="after the last day"):
        evaluated_window(source, str(source.last_day + timedelta(days=1)), None)


def test_the_default_models_exist_and_include_the_default() -> None:
    assert set(MODELS) <= set(FORECASTERS) and DEFAULT in MODELS
    assert not any(name.startswith("skforecast") for name in MODELS)


def test_the_history_ends_with_the_window_and_begins_with_the_source(settings: Settings, loaded: Loaded) -> None:
    days = loaded.history.days.astype(object)
    assert (days[0], days[-1]) == (open_source(settings.source).first_day, date.fromisoformat(END))
    facts = pool_facts(loaded.history)
    assert len(facts) == len(loaded.history.ids) and (facts["observed_days"] <= len(days)).all()
    assert (facts["symbol"] != "").all()


def test_eligibility_is_some_of_the_pools_on_known_days_alone(settings: Settings, loaded: Loaded) -> None:
    found = eligible_days(loaded, loaded.window)
    assert found.shape == (len(loaded.window), len(loaded.history.ids))
    assert 0.05 < found.mean() < 0.9
    shorter = Window(loaded.window.start, loaded.window.end - timedelta(days=30))
    less = load(settings, open_source(settings.source), shorter)
    place = pd.Index(loaded.history.ids).get_indexer(less.history.ids)
    np.testing.assert_array_equal(eligible_days(less, shorter), found[: len(shorter)][:, place])


def test_the_words_of_a_card_without_figures(loaded: Loaded) -> None:
    short = Loaded(
        loaded.context,
        Window(loaded.window.end - timedelta(days=2), loaded.window.end),
        loaded.history,
        loaded.gas_hourly,
    )
    found = evaluate(short, [find_forecaster("persistence")])
    assert found.card.origins == 2 and math.isnan(found.card.results[0].dm_p_value)
    text = summary_text(found)
    assert "2 origins, one every day" in text and "nan" not in text

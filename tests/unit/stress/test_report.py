"""A stress run as text, page and files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from defiyield_core.errors import ConfigurationError
from defiyield_core.reporting.page import PHONE, SCREEN
from defiyield_core.stress.cases import BOOTSTRAP, MARKET
from defiyield_core.stress.notes import LOSS, Telling
from defiyield_core.stress.outcomes import StressOutcome, StressRun
from defiyield_core.stress.outputs import write
from defiyield_core.stress.pictures import Spread, spread_chart
from defiyield_core.stress.report import terminal_text, worst_sentence
from tests.unit.stress.test_outcomes import START, outcome

RUN = StressRun(
    portfolio="my_book",
    start=START,
    end=START,
    references=(outcome("undisturbed", 0.0), replace(outcome("undisturbed, ewma", 0.0), forecaster="ewma")),
    outcomes=(
        outcome("gas x20 / all", 10.0),
        outcome("depeg <b> / DAI", 123_456.0, "depeg, lasting"),
        StressOutcome("pool gone", "TVL falls", "s", "t", START, failure="books do not balance"),
        replace(outcome("draw 1", 5.0, BOOTSTRAP), forecaster="ewma"),
        replace(outcome("draw 2", 9.0, BOOTSTRAP), forecaster="ewma"),
        replace(outcome("market 1", -40.0, MARKET), forecaster="ewma"),
    ),
    seconds=12.0,
)
TELLING = Telling("recorded:x", 3, "combination", lends=True)


def test_the_text_names_the_worst_loss_the_failures_and_what_was_cheaper():
    text = " ".join(terminal_text(RUN, TELLING).split())
    assert "Worst loss: $123,456 (12,345.6%) in depeg <b> / DAI." in text
    assert "pool gone: books do not balance" in text
    assert "combination forecasts with the models that the undisturbed run had trained" in text
    assert "simulated markets are forecast by ewma, not by the portfolio's combination" in text
    assert text.count("DISTRIBUTION") == 3


def test_what_does_not_apply_is_not_said():
    few = replace(RUN, references=RUN.references[:1], outcomes=RUN.outcomes[:1])
    text = terminal_text(few, Telling("recorded:x", 3, "ewma"))
    assert "lent" not in text
    assert "draws" not in text
    assert "FAILED" not in text
    assert LOSS[:40] in text


def test_the_percentiles_of_a_sort_are_of_its_cases_alone():
    lines = terminal_text(RUN, TELLING).splitlines()
    begin = lines.index("DISTRIBUTION  draws of the APY panel")
    (loss,) = [line for line in lines[begin : begin + 6] if line.startswith("Loss")]
    assert loss.split()[1:] == ["$5.20", "$6.00", "$7.00", "$8.00", "$8.80"]


def test_a_run_without_any_result_still_has_a_report(tmp_path):
    failed = replace(RUN, outcomes=RUN.failures)
    assert worst_sentence(failed) == "no case has a result."
    assert "books do not balance" in write(failed, TELLING, tmp_path).read_text()


def test_equal_runs_write_equal_files_whatever_time_they_took(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    write(RUN, TELLING, one)
    write(replace(RUN, seconds=99.0), TELLING, other)
    names = sorted(path.name for path in one.iterdir())
    assert names == ["cases.csv", "cases.parquet", "stress.html", "summary.json", "timings.json"]
    for name in names:
        assert ((one / name).read_bytes() == (other / name).read_bytes()) == (name != "timings.json")


def test_the_files_hold_every_case(tmp_path):
    write(RUN, TELLING, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["worst"][0]["loss_usd"] == 123_456.0
    assert summary["failures"] == {"pool gone": "books do not balance"}
    assert summary["quantiles"]["events"]["loss_usd"]["0.5"] == pytest.approx(61_733.0)
    assert [row["kind"] for row in summary["kinds"]][-1] == "all"
    frame = pd.read_parquet(tmp_path / "cases.parquet")
    assert frame["name"].tolist() == pd.read_csv(tmp_path / "cases.csv")["name"].tolist()
    assert len(frame) == 8


def test_the_page_stands_alone_and_escapes_names(tmp_path):
    page = write(RUN, TELLING, tmp_path).read_text()
    assert "depeg &lt;b&gt; / DAI" in page
    assert "<b>" not in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
    assert page.count("<svg") == 4
    assert "viewport" in page


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(RUN, TELLING, tmp_path / "file")


@pytest.mark.parametrize("style", [SCREEN, PHONE])
def test_a_picture_has_a_dot_per_case_and_ticks_that_can_be_read(style):
    groups = {"heavy": np.array([0.0, 900_000.0, 5_000.0]), "light": np.array([-250.0])}
    figure = spread_chart(Spread(groups, 0.0, "high", in_usd=True), style)
    axes = figure.axes[0]
    dots = sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o")
    assert dots == 4
    low, high = axes.get_xlim()
    assert low < -250.0 < 900_000.0 < high
    texts = [axes.xaxis.get_major_formatter()(tick) for tick in axes.get_xticks()]
    assert texts == (["-$100", "$0", "$100", "$1k", "$10k", "$100k"] if style is SCREEN else ["$0", "$10k"])

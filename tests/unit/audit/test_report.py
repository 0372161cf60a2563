"""What an audit says: sentences, files, the page."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from defiyield_core.audit.compare import Difference
from defiyield_core.audit.report import audit_json, audit_text, points, write_audit
from defiyield_core.audit.sheet import TITLES, audit_sheet
from defiyield_core.audit.trials import Trial, catalogue
from defiyield_core.audit.verdict import Audit, TrialResult, look_ahead_sentence, sensitivity_sentence
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError

WINDOW = Window(date(2024, 1, 1), date(2024, 12, 30))
TRIALS = {trial.name: trial for trial in catalogue(WINDOW, 1)}
CUT = next(iter(TRIALS.values()))
SPOT = Difference(date(2024, 3, 2), "asset_allocation_details", "pool-<b>", "apy_forecast", "0.05", "0.06", 3)
NUMBERS = {"stopped_pools": 6.0, "fallen_pools": 20.0, "held_dying_pools": 3.0, "parts_unknown_share": 0.013}


def result(trial: Trial, found: float, **changes: object) -> TrialResult:
    made = TrialResult(trial, WINDOW.start, WINDOW.end, 0.10, found, "info", "It costs <much>.", 1.5)
    return replace(made, **changes)  # type: ignore[arg-type]


def audit(*results: TrialResult) -> Audit:
    return Audit("base<line>", WINDOW.start, WINDOW.end, "hand", "abc", 0.10, 7, results, 2.0, 9.0, ("a & b",))


FAILED = result(CUT, 0.08, verdict="FAIL", difference=SPOT, sentence=look_ahead_sentence(SPOT, 60))
PASSED = result(CUT, 0.10, verdict="pass", sentence=look_ahead_sentence(None, 60))
COSTLY = result(TRIALS["stale_7d"], 0.09)


def said(name: str, lost: float, share: float) -> str:
    return sensitivity_sentence(TRIALS[name], lost, share, NUMBERS)


@pytest.mark.parametrize(
    ("name", "lost", "share", "words"),
    [
        ("stamps_1d_late", 0.0035, 0.035, "would cost 0.35 points (3.5% of the claim)."),
        ("stamps_1d_late", 0.02, 0.2, "lives on the newest day"),
        ("stamps_1d_early", -0.03, -0.3, "would add 3.00 points (30.0% of the claim). That is large"),
        ("stamps_1d_early", -0.003, -0.03, "could not make the claim"),
        ("stamps_1d_early", 0.03, 0.3, "could not make the claim"),
        ("without_dying_pools", 0.01, 0.1, "6 pools stopped reporting and 20 lost over 90 %"),
        ("without_dying_pools", 0.01, 0.1, "opposite bias cannot be measured"),
        ("rewards_unpaid", 0.0165, 0.165, "trust what is advertised, would cost 1.65 points"),
        ("rewards_left_out", 0.0165, 0.165, "decisions that know it, would cost 1.65 points"),
        ("rewards_unpaid", 0.0165, 0.165, "Of 1.3% of the rows neither part is known"),
        ("stale_1d", 0.00001, 0.0001, "Data 1 day old would change nothing that shows."),
        ("stale_7d", 0.02, 0.2, "Data 7 days old would cost 2.00 points (20.0% of the claim). Fresh data matter"),
        ("stale_7d", 0.02, float("nan"), "would cost 2.00 points."),
        ("stale_7d", float("nan"), float("nan"), "nothing can be said"),
    ],
)
def test_sentences(name: str, lost: float, share: float, words: str) -> None:
    assert words in said(name, lost, share)


def test_no_dead_pool_is_said_plainly() -> None:
    none = dict.fromkeys(NUMBERS, 0.0)
    assert "nothing to leave out" in sensitivity_sentence(TRIALS["without_dying_pools"], 0.0, 0.0, none)


def test_a_failure_names_day_pool_and_values() -> None:
    assert look_ahead_sentence(SPOT, 60) == (
        "Decisions depend on later data: 3 days of 60 differ; first on 2024-03-02: asset_allocation_details pool-<b>, "
        "apy_forecast is 0.06 and was 0.05."
    )


def test_shares_of_no_claim_are_unknown() -> None:
    nothing = result(TRIALS["stale_1d"], -0.01, claimed_apy=0.0)
    assert nothing.lost_apy == 0.01
    assert audit_json(audit(nothing))["trials"][0]["lost_share"] is None


def test_one_failure_fails_the_audit() -> None:
    assert audit(PASSED, COSTLY).passed
    assert not audit(PASSED, FAILED).passed
    assert not audit(result(CUT, float("nan"), verdict="not run")).passed
    assert audit(COSTLY).passed and audit(COSTLY).conclusion == "No look-ahead trial was run."


def test_points_are_signed() -> None:
    assert [points(value) for value in (0.0035, -0.0035, 0.000001)] == ["+0.35", "-0.35", "0.00"]


def test_the_text_has_a_row_for_every_trial_and_the_conclusion_last() -> None:
    lines = audit_text(audit(FAILED, COSTLY)).splitlines()
    row = next(line for line in lines if line.startswith(CUT.name))
    assert row.split()[1:] == ["10.00%", "8.00%", "+2.00", "+20.0%", "FAIL"]
    assert lines[-1] == "LOOK-AHEAD: 1 of 1 look-ahead trial did not pass."
    assert max(map(len, lines)) <= 100
    assert "cannot be measured" in " ".join(lines)


def test_files_say_the_same(tmp_path: Path) -> None:
    page = write_audit(audit(FAILED, COSTLY), tmp_path / "a" / "b")
    content = json.loads((page.parent / "audit.json").read_text())
    rows = list(csv.DictReader((page.parent / "audit.csv").open()))
    assert content["passed"] is False and content["net_apy"] == 0.10
    assert [trial["trial"] for trial in content["trials"]] == [row["trial"] for row in rows] == [CUT.name, "stale_7d"]
    assert content["trials"][0]["difference"]["where"] == "pool-<b>"
    assert content["trials"][0]["difference"]["day"] == "2024-03-02"
    assert content["trials"][1]["lost_apy"] == pytest.approx(0.01)
    assert float(rows[1]["lost_share"]) == pytest.approx(0.1)
    assert json.loads((page.parent / "timings.json").read_text())["trials"] == {CUT.name: 1.5, "stale_7d": 1.5}


def test_a_trial_without_a_number_is_null_in_json(tmp_path: Path) -> None:
    page = write_audit(audit(result(CUT, float("nan"), verdict="not run")), tmp_path)
    assert json.loads((page.parent / "audit.json").read_text())["trials"][0]["trial_apy"] is None


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_audit(audit(PASSED), tmp_path / "file" / "out")


def test_the_page_is_escaped_and_stands_alone() -> None:
    page = audit_sheet(audit(FAILED, COSTLY))
    assert "base&lt;line&gt;" in page and "pool-&lt;b&gt;" in page and "a &amp; b" in page
    assert "<line>" not in page and "<b>" not in page.replace("<b>9", "").replace("<b>10", "")
    assert "default-src 'none'" in page or "default-src &#x27;none&#x27;" in page
    assert not any(mark in page for mark in ("http://", "https://", "<script", "@import", "url("))


def test_the_page_warns_first_of_what_failed() -> None:
    page = audit_sheet(audit(PASSED, FAILED))
    assert page.index('role="alert"') < page.index("Do decisions look ahead?")
    assert 'role="alert"' not in audit_sheet(audit(PASSED, COSTLY))


def test_the_page_leaves_out_what_was_not_run() -> None:
    assert "Do decisions look ahead?" not in audit_sheet(audit(COSTLY))
    assert "hangs on what?" not in audit_sheet(audit(PASSED))


def test_every_sensitivity_trial_has_a_title() -> None:
    assert set(TITLES) == {name for name, trial in TRIALS.items() if trial.kind == "sensitivity"}

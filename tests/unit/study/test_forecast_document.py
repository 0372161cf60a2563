"""Where `make forecasts` puts its document."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from defiyield_core.forecasting.evaluation.scorecard import TUNED_THROUGH
from defiyield_core.reporting.document import Document, Picture
from tests.study.forecasts import TEST_SPAN, write


def test_links_are_relative_and_pictures_of_an_earlier_run_go(tmp_path: Path) -> None:
    kept, old = tmp_path / "img" / "study_paths.svg", tmp_path / "img" / "forecasts_old.png"
    kept.parent.mkdir()
    kept.touch()
    old.touch()
    picture = Picture("one", "A picture", lambda style: Figure(figsize=(1, 1)))
    path = write(Document("Title", "", "Lead.", (picture,)), tmp_path)
    assert path.read_text() == "# Title\n\nLead.\n\n![A picture](img/forecasts_one.png)\n"
    assert sorted(found.name for found in kept.parent.iterdir()) == ["forecasts_one.png", "study_paths.svg"]


def test_the_span_begins_after_the_days_of_tuning() -> None:
    assert TEST_SPAN.start > TUNED_THROUGH

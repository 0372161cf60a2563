"""Windows of days."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from defiyield_core.calendar import Window, end_of, parse_day
from defiyield_core.errors import ConfigurationError


def test_a_window_includes_both_its_ends():
    window = Window(date(2025, 2, 27), date(2025, 3, 2))
    assert len(window) == 4 and list(window)[-1] == date(2025, 3, 2)
    assert date(2025, 2, 28) in window and date(2025, 3, 3) not in window
    assert len(window.days()) == 4


def test_chunks_cover_the_window_once():
    window = Window(date(2025, 1, 1), date(2025, 1, 10))
    chunks = list(window.chunks(4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    assert [day for chunk in chunks for day in chunk] == list(window)


def test_a_backward_window_and_a_wrong_day_are_refused():
    with pytest.raises(ConfigurationError, match="after its end"):
        Window(date(2025, 1, 2), date(2025, 1, 1))
    with pytest.raises(ConfigurationError, match=r"--date 'soon'.*YYYY-MM-DD"):
        parse_day("soon", "--date")


def test_a_day_ends_within_itself():
    assert end_of(date(2025, 1, 1)) == datetime(2025, 1, 1, 23, 59, 59, 999999)

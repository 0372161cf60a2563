"""Which trials there are, on which days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from defiyield_core.audit.trials import DAYS_AFTER_A_CUT, FAMILIES, STALE_DAYS, catalogue, cut_days
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError

YEAR = Window(date(2024, 1, 1), date(2024, 12, 30))


def test_every_part_of_the_window_has_one_cut() -> None:
    for seed in range(20):
        cuts = cut_days(YEAR, 4, seed)
        part = (len(YEAR) - DAYS_AFTER_A_CUT) / 4
        assert [int((day - YEAR.start).days / part) for day in cuts] == [0, 1, 2, 3]


def test_the_seed_draws_the_days() -> None:
    assert cut_days(YEAR, 4, 7) == cut_days(YEAR, 4, 7)
    assert len({cut_days(YEAR, 4, seed) for seed in range(5)}) == 5


def test_after_every_cut_there_is_a_future() -> None:
    shortest = Window(YEAR.start, YEAR.start + timedelta(days=DAYS_AFTER_A_CUT))
    assert cut_days(shortest, 1, 3) == (YEAR.start,)
    last = max(cut_days(YEAR, 300, seed)[-1] for seed in range(30))
    assert last == YEAR.end - timedelta(days=DAYS_AFTER_A_CUT)


def test_all_that_an_audit_asks_is_asked_once() -> None:
    trials = catalogue(YEAR, 3)
    assert len({trial.name for trial in trials}) == len(trials)
    assert [sum(trial.family == family for trial in trials) for family in FAMILIES] == [3, 3, 2, 1, 2, 3]
    assert {trial.kind for trial in trials if trial.day is not None} == {"look_ahead"}
    assert {trial.kind for trial in trials if trial.day is None} == {"sensitivity"}
    assert tuple(trial.days for trial in trials if trial.family == "stale") == STALE_DAYS
    assert all(trial.asks.endswith("?") for trial in trials)


def test_only_takes_families_and_names() -> None:
    names = [trial.name for trial in catalogue(YEAR, 2, only=("stale_3d", "shift"))]
    assert names == ["stamps_1d_late", "stamps_1d_early", "stale_3d"]


@pytest.mark.parametrize(
    ("window", "cuts", "seed", "said"),
    [
        (Window(YEAR.start, YEAR.start + timedelta(days=16)), 4, 7, "17 days: an audit with 4 cuts needs 18"),
        (YEAR, 0, 7, "at least 1 cut"),
        (YEAR, 4, -1, "seed of at least 0"),
    ],
)
def test_cuts_that_cannot_be_made_are_refused(window: Window, cuts: int, seed: int, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        catalogue(window, cuts, seed)


def test_an_unknown_trial_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"--only luck: .* truncation, .*, stale_7d"):
        catalogue(YEAR, only=("luck",))

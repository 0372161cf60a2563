"""The journal: a run that goes on from it books the same rows, whatever happened to the file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.parameters import parameters
from defiyield_core.portfolio.books import PORTFOLIO_DAY_TABLES, Books
from defiyield_core.portfolio.journal import Journal
from defiyield_core.portfolio.loop import run_days
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import starting_state
from defiyield_core.warehouse.frames import check_write
from defiyield_core.warehouse.opening import open_warehouse
from tests.unit.portfolio.markets import FIRST, market

DAYS = 8
WINDOW = Window(FIRST, FIRST + timedelta(days=DAYS - 1))
SPEC = PortfolioSpec(
    "p",
    "",
    "optimiser",
    parameters("default", {"min_pools": 0}),
    {"USDC": 60_000.0, "DAI": 40_000.0},
    flows={FIRST + timedelta(days=4): {"USDT": 1234.5}},
)
LISTS = {name: open_warehouse("memory:").read(name) for name in ("blacklisted_tokens", "approved_protocols")}


class KilledError(Exception):
    pass


def moving():
    random = np.random.default_rng(5)
    apy = random.uniform(0.01, 0.4, (DAYS, 4))
    return market(
        DAYS, observed_apy=apy, filled_apy=apy, forecast_apy=apy, price_usd=random.uniform(0.99, 1.01, (DAYS, 3))
    )


def run(path: Path | None, *, resume: bool = False, name: str = "run", killed_on: int | None = None):
    """Frames of the run's tables, and how many days were taken from the journal."""
    seen = moving()
    books = Books(SPEC, seen, LISTS)
    start = starting_state(FIRST - timedelta(days=1), SPEC.wallet, seen)

    def on_day(day, row):
        if killed_on is not None and day == FIRST + timedelta(days=killed_on):
            raise KilledError

    journal = Journal(path, name, resume=resume) if path else None
    try:
        end = run_days(seen, SPEC, start, WINDOW, books, on_day=on_day, journal=journal)
    finally:
        if journal is not None:
            journal.close()
    frames = {w.table: check_write(w).frame for w in books.writes(WINDOW) if w.table in PORTFOLIO_DAY_TABLES}
    return frames, end.restored_days


def same(one, other):
    for name in PORTFOLIO_DAY_TABLES:
        pd.testing.assert_frame_equal(one[name], other[name], check_exact=True, obj=name)


@pytest.mark.parametrize("killed_on", [0, 3, DAYS - 1])
def test_going_on_after_a_kill_gives_the_rows_of_one_run(tmp_path, killed_on):
    path = tmp_path / "p.journal"
    with pytest.raises(KilledError):
        run(path, killed_on=killed_on)
    frames, restored = run(path, resume=True)
    assert restored == killed_on + 1
    whole, _ = run(None)
    same(frames, whole)


def test_a_damaged_end_costs_the_days_from_there_on(tmp_path):
    path = tmp_path / "p.journal"
    whole, _ = run(path)
    kept = path.read_bytes()
    lines = kept.splitlines(keepends=True)
    for damaged, days in (
        (kept[:-1], DAYS - 1),
        (kept[:-200], DAYS - 1),
        (b"".join(lines[:4]) + b"garbage\n" + b"".join(lines[5:]), 3),
        (b"".join(lines[:3]) + lines[3].replace(b"0.", b"1.", 1), 2),
        (lines[0], 0),
        (b"", 0),
        (b"\x00\xff\n" + kept, 0),
    ):
        path.write_bytes(damaged)
        frames, restored = run(path, resume=True)
        assert restored == days
        same(frames, whole)
        assert path.read_bytes() == kept


def test_without_resume_or_under_another_name_a_run_starts_afresh(tmp_path):
    path = tmp_path / "p.journal"
    run(path)
    assert run(path, resume=True, name="another")[1] == 0
    assert run(path, resume=True, name="another")[1] == DAYS
    assert run(path, resume=False, name="another")[1] == 0
    assert run(tmp_path / "none" / "p.journal", resume=True)[1] == 0

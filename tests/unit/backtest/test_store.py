"""Ids and the store of finished runs."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from defiyield_core.backtest.identity import portfolio_config, run_id
from defiyield_core.backtest.store import RunStore, fill
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import parameters
from defiyield_core.portfolio.spec import PortfolioSpec

SPEC = PortfolioSpec("p", "", "optimiser", parameters("default"), {"USDC": 1.0})
WINDOW = Window(date(2025, 3, 1), date(2025, 3, 9))


def test_anything_that_changes_a_decision_changes_the_id():
    changed = [
        (SPEC, WINDOW, "data"),
        (replace(SPEC, mode="compounded"), WINDOW, "data"),
        (replace(SPEC, policy="hold"), WINDOW, "data"),
        (replace(SPEC, wallet={"USDC": 2.0}), WINDOW, "data"),
        (SPEC.with_overrides({"conversion_rate": 0.001}), WINDOW, "data"),
        (replace(SPEC, flows={date(2025, 3, 2): {"USDC": 1.0}}), WINDOW, "data"),
        (SPEC, Window(WINDOW.start, date(2025, 3, 8)), "data"),
        (SPEC, WINDOW, "other data"),
    ]
    ids = [run_id(portfolio_config(spec), window, data) for spec, window, data in changed]
    assert len(set(ids)) == len(changed)
    assert ids[0] == run_id(portfolio_config(replace(SPEC, description="words")), WINDOW, "data")


def test_a_finished_run_appears_at_once_and_its_journals_go(tmp_path: Path):
    store = RunStore(tmp_path / "runs")
    assert store.finished("ab") is None
    with store.under_way("ab") as part:
        (part / "p.journal").write_text("x")
        with pytest.raises(ConfigurationError, match="another process"), store.under_way("ab"):
            pass

        def breaks(folder: Path) -> None:
            (folder / "half.txt").write_text("half")
            raise RuntimeError

        with pytest.raises(RuntimeError):
            store.finish("ab", breaks)
        assert store.finished("ab") is None and (part / "p.journal").exists()
        store.finish("ab", lambda folder: (folder / "a.txt").write_text("1"))
    assert store.finished("ab") is not None and not part.exists()
    store.finish("ab", lambda folder: (folder / "a.txt").write_text("2"))
    out = tmp_path / "out"
    fill(out, store.finished("ab"))
    assert [path.name for path in out.iterdir()] == ["a.txt"] and (out / "a.txt").read_text() == "2"


def test_two_that_finish_the_same_run_leave_one_whole_one(tmp_path: Path):
    store = RunStore(tmp_path)

    def slower(folder: Path) -> None:
        (folder / "a.txt").write_text("slow")
        store.finish("ab", lambda other: (other / "a.txt").write_text("fast"))
        (folder / "b.txt").write_text("slow")

    store.finish("ab", slower)
    found = store.finished("ab")
    assert found is not None and {path.name for path in found.iterdir()} == {"a.txt", "b.txt"}
    assert [path.name for path in tmp_path.iterdir()] == ["ab"]


def test_what_was_left_for_a_week_goes_and_a_used_run_stays(tmp_path: Path):
    store = RunStore(tmp_path, kept=1)
    for name in ("a1", "b2"):
        store.finish(name, lambda folder: (folder / "x").write_text(""))
        os.utime(tmp_path / name, (0, 0 if name == "a1" else 9))
    for name in ("c3.part", "d4.0123.new", "e5.part", "name.sweep"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0))
    os.utime(tmp_path / "e5.part")
    assert store.finished("a1") is not None
    store.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a1", "e5.part", "name.sweep"]


def test_only_the_newest_runs_are_kept_and_runs_under_way_always(tmp_path: Path):
    store = RunStore(tmp_path, kept=2)
    for age, name in enumerate(("a1", "b2", "c3")):
        os.utime(store.finish(name, lambda folder: (folder / "x").write_text("")), ns=(age * 10**9, age * 10**9))
    with store.under_way("d4"):
        store.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b2", "c3", "d4.part"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path):
    store = RunStore(tmp_path / "runs")
    done = store.finish("ab", lambda folder: (folder / "a.txt").write_text("1"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        fill(tmp_path / "file", done)

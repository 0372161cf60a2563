"""Rows of forecasts that are kept between runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from defiyield_core.forecasting import kept
from defiyield_core.forecasting.kept import kept_rows

ROWS = pd.DataFrame(
    {"date": pd.to_datetime(["2025-01-01", "2025-01-02"]), "pool_id": ["a", None], "apy": [0.1 + 0.2, float("nan")]}
)


def never() -> pd.DataFrame:
    raise AssertionError("computed again")


def test_equal_keys_give_the_same_rows_without_computing_them(tmp_path: Path) -> None:
    first = kept_rows(tmp_path, "pool_forecasts", ["data", 1], lambda: ROWS)
    again = kept_rows(tmp_path, "pool_forecasts", ["data", 1], never)
    pd.testing.assert_frame_equal(first, again, check_exact=True)


@pytest.mark.parametrize(("name", "decided_by"), [("pool_forecasts", ["data", 2]), ("forecast_models", ["data", 1])])
def test_another_key_is_computed(tmp_path: Path, name: str, decided_by: list[object]) -> None:
    kept_rows(tmp_path, "pool_forecasts", ["data", 1], lambda: ROWS)
    with pytest.raises(AssertionError, match="computed again"):
        kept_rows(tmp_path, name, decided_by, never)


def test_other_code_is_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_rows(tmp_path, "pool_forecasts", [], lambda: ROWS)
    monkeypatch.setattr(kept, "versions", lambda: {"lightgbm": "changed"})
    with pytest.raises(AssertionError, match="computed again"):
        kept_rows(tmp_path, "pool_forecasts", [], never)


def test_a_damaged_file_is_computed_again_and_replaced(tmp_path: Path) -> None:
    kept_rows(tmp_path, "pool_forecasts", [], lambda: ROWS)
    (file,) = tmp_path.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    again = kept_rows(tmp_path, "pool_forecasts", [], lambda: ROWS)
    pd.testing.assert_frame_equal(again, ROWS, check_exact=True)
    pd.testing.assert_frame_equal(kept_rows(tmp_path, "pool_forecasts", [], never), ROWS, check_exact=True)


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    pd.testing.assert_frame_equal(kept_rows(taken, "pool_forecasts", [], lambda: ROWS), ROWS)


def test_files_that_were_not_used_for_longest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "FILES_KEPT", 2)
    for number in range(4):
        kept_rows(tmp_path, "pool_forecasts", [number], lambda: ROWS)
    assert len(list(tmp_path.glob("*.parquet"))) == 2
    assert not list(tmp_path.glob(".*"))

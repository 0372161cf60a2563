"""Forecast rows that were computed before, by everything that decides them.

Belongs here: the key, the files. Does not belong here: forecasts, which of them are worth keeping.

    ROOT/<table>-<key>.parquet      key: sha256 of the data, the forecasters, the window, the code and its libraries
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pyarrow as pa

from defiyield_core.versions import versions

FILES_KEPT = 40


def kept_rows(root: Path, name: str, decided_by: object, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The rows of a table, from the file of exactly this key where there is one, else computed and kept.

    Args:
        decided_by: JSON values that decide the rows together with the code.
    """
    text = json.dumps([name, versions(), decided_by], sort_keys=True, default=str)
    path = root / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.parquet"
    found = _read(path)
    if found is not None:
        return found
    rows = compute()
    with suppress(OSError):  # a store that cannot be written costs time, not the run
        _write(path, rows)
    return rows


def _read(path: Path) -> pd.DataFrame | None:
    """None for a file that is not there or not whole."""
    try:
        rows = pd.read_parquet(path)
        os.utime(path)
    except (OSError, pa.ArrowInvalid):
        return None
    return rows


def _write(path: Path, rows: pd.DataFrame) -> None:
    """The file appears whole or not at all; the ones not used for longest go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{uuid4().hex}")
    rows.to_parquet(draft, index=False)
    draft.replace(path)
    files = sorted(path.parent.glob("*.parquet"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in files[FILES_KEPT:]:
        old.unlink(missing_ok=True)

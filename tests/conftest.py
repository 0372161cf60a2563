"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recorded_dir() -> Path:
    """The folder of recorded market data; a test that asks for it is skipped where it is missing."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("DEFIYIELD_RECORDED") or root.parent / "shared" / "data")
    if not (folder / "pools" / "pools.parquet").exists():
        pytest.skip(f"no recorded market data at {folder} (set DEFIYIELD_RECORDED to its folder)")
    return folder

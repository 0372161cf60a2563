"""Short ways to write frames and arrays."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from defiyield_core.panel import Panel, days_between

FIRST = date(2025, 1, 1)


def column(*values: float | None) -> np.ndarray:
    """One pool's (n_days, 1) values; None is a missing day."""
    return np.array([[np.nan if value is None else value] for value in values], dtype=float)


def panel_of(apy: np.ndarray, tvl: np.ndarray | None = None) -> Panel:
    """A panel that begins on FIRST with pools p0, p1, ..."""
    days = days_between(FIRST, FIRST + timedelta(days=len(apy) - 1))
    ids = np.array([f"p{index}" for index in range(apy.shape[1])], dtype=object)
    return Panel(days, ids, {"apy": apy, "tvl_usd": np.full_like(apy, 1e6) if tvl is None else tvl})


def day(offset: int) -> date:
    """FIRST and so many days."""
    return FIRST + timedelta(days=offset)


def stamp(offset: int) -> pd.Timestamp:
    """The same as a timestamp."""
    return pd.Timestamp(day(offset))

"""Fixtures of the universe tests."""

from __future__ import annotations

import numpy as np
import pytest

from defiyield_core.panel import Panel
from tests.unit.universe.frames import panel_of


@pytest.fixture(scope="session")
def random_panel() -> Panel:
    """80 days of 12 pools with gaps, vanished pools and a flagged value."""
    generator = np.random.default_rng(11)
    apy = 0.05 + 0.02 * generator.standard_normal((80, 12))
    tvl = np.exp(generator.normal(14, 2, (80, 12)))
    missing = generator.random((80, 12)) < 0.15
    missing[:30, 3] = True
    missing[40:, 5] = True
    apy[missing], tvl[missing] = np.nan, np.nan
    apy[20, 0] = 12.0
    return panel_of(apy, tvl)

"""Markets on disk."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from defiyield_core.backtest.shared import open_market, share_market
from tests.unit.portfolio.markets import market


def test_a_market_comes_back_as_it_was_and_cannot_be_written(tmp_path):
    reasons = np.array([["", "icebox", "", "group"], ["x", "", "", "icebox"]], dtype=object)
    apy = np.array([[0.1, np.nan, 0.3, 0.4], [0.2, 0.1, np.nan, 0.5]])
    before = market(2, reasons=reasons, observed_apy=apy)
    share_market(before, tmp_path / "m")
    after = open_market(tmp_path / "m")
    assert after.fingerprint() == before.fingerprint()
    assert {item.name for item in fields(after)} == {item.name for item in fields(before)}
    assert after.pools == before.pools and after.tokens == before.tokens
    assert after.observed_apy.dtype == before.observed_apy.dtype and after.flagged.dtype == bool
    with pytest.raises(ValueError, match="read-only"):
        after.observed_apy[0, 0] = 1.0
    assert after.as_of(after.days[1].astype(object)).reasons == ("x", "", "", "icebox")

"""Facts of tokens and pools are taken as of the end of each day."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import DataError
from defiyield_core.universe.facts import on_list, pool_days, token_days
from defiyield_core.universe.lists import add, remove, seed_frame
from tests.unit.universe.frames import FIRST, column, day, panel_of, stamp

WINDOW = Window(FIRST, day(2))
TOKENS = np.array(["SUSDE", "USDC", "USDE"], dtype=object)


def token_facts(approved: pd.DataFrame, iced: list[tuple[int, str, str]], prices: list[tuple[int, str, float]]):
    """Facts of the three tokens over three days."""
    icebox = pd.DataFrame(iced, columns=["date", "token", "status"])
    candles = pd.DataFrame(prices, columns=["date", "token", "market_cap_usd"])
    return token_days(
        TOKENS,
        WINDOW,
        approved=approved,
        blacklisted=seed_frame("blacklist"),
        icebox=icebox.assign(date=icebox["date"].map(stamp).astype("datetime64[ns]")),
        candles=candles.assign(date=candles["date"].map(stamp), close_usd=1.0),
        market_cap_age_days=3,
    )


def test_a_list_holds_from_the_day_of_a_change_on() -> None:
    noon_of_day_1 = datetime(2025, 1, 2, 12)
    entries = remove(seed_frame("tokens"), "tokens", "USDC", "ana", "why", noon_of_day_1)
    assert on_list(entries, "token", np.array(["USDC"], dtype=object), WINDOW)[:, 0].tolist() == [True, False, False]


def test_a_wrapper_is_in_the_icebox_when_what_it_wraps_is() -> None:
    approved = add(seed_frame("tokens"), "tokens", "SUSDE", "ana", "ok", datetime(2025, 1, 2), wraps="USDE")
    known = token_facts(
        approved, [(0, "USDE", "entered"), (1, "USDE", "held"), (2, "USDE", "left")], [(0, "USDE", 1e9)]
    )
    assert known.iceboxed[:, 2].tolist() == [True, True, False]
    assert known.iceboxed[:, 0].tolist() == [False, True, False]
    assert known.approved[:, 0].tolist() == [False, True, True]


def test_a_market_cap_is_used_for_three_days_and_a_price_remembered_for_ever() -> None:
    known = token_facts(seed_frame("tokens"), [], [(-3, "USDC", 7e9), (-9, "USDE", 8e9), (1, "SUSDE", 9e9)])
    assert known.market_cap_usd[0, 1] == 7e9 and np.isnan(known.market_cap_usd[1, 1])
    assert np.isnan(known.market_cap_usd[:, 2]).all()
    assert known.priced[:, 0].tolist() == [False, True, True]
    assert known.priced[:, 2].all()


def test_a_pool_without_raw_rows_is_refused() -> None:
    pools = pd.DataFrame(
        {"date": [stamp(0)], "pool_id": ["new"], "chain": "Ethereum", "protocol": "aave-v3", "tokens": '["USDC"]'}
    )
    with pytest.raises(DataError, match="new is in no raw row"):
        pool_days(pools, TOKENS, WINDOW, panel_of(column(0.1, 0.1, 0.1)), seed_frame("protocols"))

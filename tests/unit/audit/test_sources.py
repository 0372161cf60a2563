"""Sources with something hidden or spoiled: what changes, and what must not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.audit.sources import (
    RewardlessSource,
    ScrambledSource,
    ShiftedSource,
    ThroughSource,
    TruncatedSource,
    base_only,
    parts_unknown,
)
from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.sources.port import Fetched, Source
from tests.unit.audit.small import MARKET

SPAN = Window(date(2025, 2, 10), date(2025, 2, 16))
CUT = date(2025, 2, 13)
POOLS = tuple(listing["pool"] for listing in MARKET.tables().listings)
ASK: dict[str, Callable[[Source, Window], Fetched]] = {
    "raw_defillama_pools": lambda source, window: source.pool_snapshots(window),
    "raw_defillama_pool_history": lambda source, window: source.pool_history(window, POOLS),
    "raw_coinmarketcap_ohlcv": lambda source, window: source.token_ohlcv(window, ("USDC", "DAI")),
    "raw_ethgastracker_hourly_gas_data": lambda source, window: source.gas_hourly(window),
    "raw_etherscan_account_balances": lambda source, window: source.account_balances(window, ()),
    "raw_etherscan_account_transactions": lambda source, window: source.account_transactions(window, ()),
}
SPOILED = tuple(ASK)[:4]
each_table = pytest.mark.parametrize("name", ASK)
each_spoiled = pytest.mark.parametrize("name", SPOILED)


def until(frame: pd.DataFrame, day: date) -> pd.DataFrame:
    return frame[frame["date"] <= pd.Timestamp(day)].reset_index(drop=True)


@each_table
def test_a_truncated_source_has_the_days_before_and_none_after(name: str) -> None:
    source, whole = TruncatedSource(MARKET, CUT), ASK[name](MARKET, SPAN).frame
    pd.testing.assert_frame_equal(ASK[name](source, SPAN).frame, until(whole, CUT))
    assert source.last_day == CUT
    later = ASK[name](source, Window(CUT + timedelta(days=1), SPAN.end)).frame
    assert not len(later)
    assert list(later.columns) == list(whole.columns)


@each_spoiled
def test_scrambling_changes_everything_after_the_day_and_nothing_before(name: str) -> None:
    source, whole = ScrambledSource(MARKET, CUT, 1), ASK[name](MARKET, SPAN).frame
    kept = whole.copy()
    found = ASK[name](source, SPAN).frame
    pd.testing.assert_frame_equal(until(found, CUT), until(whole, CUT))
    pd.testing.assert_frame_equal(whole, kept)
    key = list(table(name).key)
    both = whole.merge(found, on=key, suffixes=("", "_now"))
    later = both[both["date"] > pd.Timestamp(CUT)]
    value = {"raw_coinmarketcap_ohlcv": "close", "raw_ethgastracker_hourly_gas_data": "eth_usd"}.get(name, "tvl_usd")
    assert len(later) > 0
    assert (later[value] != later[f"{value}_now"]).mean() > 0.95
    lost = 1 - len(found[found["date"] > pd.Timestamp(CUT)]) / len(whole[whole["date"] > pd.Timestamp(CUT)])
    assert lost < 0.4 and (lost > 0 or len(later) < 20)
    conform(table(name), found)


@each_spoiled
def test_scrambling_follows_its_seed(name: str) -> None:
    first, again, other = (ASK[name](ScrambledSource(MARKET, CUT, seed), SPAN).frame for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


@pytest.mark.parametrize("days", [1, -1])
@pytest.mark.parametrize("name", SPOILED[:2])
def test_shifted_rows_are_true_rows_of_another_day(name: str, days: int) -> None:
    by = timedelta(days=days)
    found = ASK[name](ShiftedSource(MARKET, days), SPAN).frame
    true = ASK[name](MARKET, Window(SPAN.start - by, SPAN.end - by)).frame
    for stamp in ("date", "valid_at", "seen_at"):
        assert ((found[stamp] - true[stamp]) == by).all()
    stamps = ["date", "valid_at", "seen_at"]
    pd.testing.assert_frame_equal(found.drop(columns=stamps), true.drop(columns=stamps))


def test_only_pools_are_shifted() -> None:
    for name in SPOILED[2:]:
        pd.testing.assert_frame_equal(ASK[name](ShiftedSource(MARKET, 1), SPAN).frame, ASK[name](MARKET, SPAN).frame)


def test_a_shift_stays_within_what_there_is() -> None:
    last = Window(MARKET.last_day, MARKET.last_day)
    assert not len(ShiftedSource(MARKET, -1).pool_snapshots(last).frame)
    first = Window(MARKET.first_day, MARKET.first_day)
    assert not len(ShiftedSource(MARKET, 1).pool_snapshots(first).frame)
    assert ShiftedSource(MARKET, -1).pool_snapshots(last).complete


@pytest.mark.parametrize(
    ("apy", "base", "reward", "without"),
    [
        (0.06, 0.04, 0.02, 0.04),
        (0.06, 0.04, np.nan, 0.04),
        (0.06, np.nan, 0.02, 0.04),
        (0.06, np.nan, np.nan, 0.06),
        (0.06, 0.0, 0.06, 0.0),
        (0.06, np.nan, -0.02, 0.06),
        (0.02, np.nan, 1.5, -1.0),
        (np.nan, 0.04, 0.02, np.nan),
    ],
)
def test_the_rate_without_rewards(apy: float, base: float, reward: float, without: float) -> None:
    found = base_only(*(np.array([value]) for value in (apy, base, reward)))
    assert found == pytest.approx([without], abs=1e-15, nan_ok=True)


def test_rows_of_which_neither_part_is_known() -> None:
    frame = pd.DataFrame(
        {
            "apy": [0.1, 0.1, 0.1, np.nan],
            "apy_base": [0.1, np.nan, np.nan, np.nan],
            "apy_reward": [np.nan, 0.1, *[np.nan] * 2],
        }
    )
    assert parts_unknown(frame).tolist() == [False, False, True, False]


@pytest.mark.parametrize("name", SPOILED[:2])
def test_a_source_without_rewards_pays_the_base(name: str) -> None:
    true, found = ASK[name](MARKET, SPAN).frame, ASK[name](RewardlessSource(MARKET), SPAN).frame
    rewarded = (true["apy_reward"] > 0) & true["apy_base"].notna()
    assert rewarded.any()
    assert (found.loc[rewarded, "apy"] == true.loc[rewarded, "apy_base"]).all()
    assert (found["apy"] <= true["apy"] + 1e-12)[true["apy"].notna()].all()
    assert not (found["apy_reward"] > 0).any()
    pd.testing.assert_series_equal(found["tvl_usd"], true["tvl_usd"])


def test_tokens_of_the_wallet_are_asked_for() -> None:
    asked = ThroughSource(MARKET, ("DAI",)).token_ohlcv(SPAN, ("USDC",)).frame
    assert {"DAI", "USDC"} <= set(asked["symbol"])
    assert "DAI" not in set(MARKET.token_ohlcv(SPAN, ("USDC",)).frame["symbol"])

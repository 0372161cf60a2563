"""Sources with something taken away or spoiled: another source's answers, changed as a trial wants them.

Belongs here: what a trial does to rows of raw tables. Does not belong here: which trials there are (see `trials`).
Frames of the other source are never changed in place.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.sources.port import Fetched, Source
from defiyield_core.sources.through import ThroughSource
from defiyield_core.units import BoolArray, FloatArray

POOLS, HISTORY = "raw_defillama_pools", "raw_defillama_pool_history"
CANDLES, GAS = "raw_coinmarketcap_ohlcv", "raw_ethgastracker_hourly_gas_data"
BALANCES, TRANSACTIONS = "raw_etherscan_account_balances", "raw_etherscan_account_transactions"
_STAMPS = ("date", "valid_at", "seen_at")
_RATES = ("apy", "apy_base", "apy_reward")
_SPREAD = 1.0
"""Standard deviation of the logarithm of the factors of scrambled values."""
_ROWS_LOST = 0.1
_LOWEST_APY, _HIGHEST_APY = -0.5, 5.0


class TruncatedSource(ThroughSource):
    """The other source as if its data ended on a day: what comes later is not even asked for."""

    def __init__(self, inner: Source, last_day: date) -> None:
        super().__init__(inner)
        self._last = last_day

    @property
    def name(self) -> str:
        """The other source's and the day."""
        return f"{self._inner.name} until {self._last}"

    @property
    def last_day(self) -> date:
        """The day."""
        return self._last

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools` up to the day."""
        cut = self._cut(window)
        return self._inner.pool_snapshots(cut) if cut else _nothing(POOLS)

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history` up to the day."""
        cut = self._cut(window)
        return self._inner.pool_history(cut, pool_ids) if cut else _nothing(HISTORY)

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        """Rows of `raw_coinmarketcap_ohlcv` up to the day."""
        cut = self._cut(window)
        return self._inner.token_ohlcv(cut, tokens) if cut else _nothing(CANDLES)

    def gas_hourly(self, window: Window) -> Fetched:
        """Rows of `raw_ethgastracker_hourly_gas_data` up to the day."""
        cut = self._cut(window)
        return self._inner.gas_hourly(cut) if cut else _nothing(GAS)

    def account_balances(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Rows of `raw_etherscan_account_balances` up to the day."""
        cut = self._cut(window)
        return self._inner.account_balances(cut, addresses) if cut else _nothing(BALANCES)

    def account_transactions(self, window: Window, addresses: Sequence[str]) -> Fetched:
        """Rows of `raw_etherscan_account_transactions` up to the day."""
        cut = self._cut(window)
        return self._inner.account_transactions(cut, addresses) if cut else _nothing(TRANSACTIONS)

    def _cut(self, window: Window) -> Window | None:
        return Window(window.start, min(window.end, self._last)) if window.start <= self._last else None


class ScrambledSource(ThroughSource):
    """The other source with nonsense after a day: values stand in other rows, times random factors, and rows are gone.

    TVL and rates of pools, candles, gas and the price of ETH are spoiled; stamps, names and balances stay. Rows up to
    the day are the other source's in any window; those after it depend on the seed and on the window asked for.
    Books cannot be kept on such days: a dollar token may cost what bitcoin did.
    """

    def __init__(self, inner: Source, after: date, seed: int) -> None:
        super().__init__(inner)
        self._after, self._seed = after, seed

    @property
    def name(self) -> str:
        """The other source's, the day and the seed."""
        return f"{self._inner.name} scrambled after {self._after} ({self._seed})"

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools`."""
        return self._spoiled(POOLS, self._inner.pool_snapshots(window), (("tvl_usd",), _RATES))

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history`."""
        return self._spoiled(HISTORY, self._inner.pool_history(window, pool_ids), (("tvl_usd",), _RATES))

    def token_ohlcv(self, window: Window, tokens: Sequence[str]) -> Fetched:
        """Rows of `raw_coinmarketcap_ohlcv`; a candle keeps its shape."""
        candle = ("open", "high", "low", "close", "volume_usd", "market_cap_usd")
        return self._spoiled(CANDLES, self._inner.token_ohlcv(window, tokens), (candle,))

    def gas_hourly(self, window: Window) -> Fetched:
        """Rows of `raw_ethgastracker_hourly_gas_data`."""
        groups = (("base_fee_gwei", "priority_fee_gwei"), ("eth_usd",))
        return self._spoiled(GAS, self._inner.gas_hourly(window), groups)

    def _spoiled(self, name: str, fetched: Fetched, groups: Sequence[Sequence[str]]) -> Fetched:
        """Columns of a group stay together: they come from one other row and take one factor."""
        later = np.flatnonzero(fetched.frame["date"].to_numpy() > np.datetime64(self._after))
        if not len(later):
            return fetched
        frame = fetched.frame.copy()
        random = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        for group in groups:
            other = later[random.permutation(len(later))]
            factor = np.exp(random.normal(0.0, _SPREAD, len(later)))
            for column in group:
                values = frame[column].to_numpy(dtype=float, copy=True)
                spoiled = values[other] * factor
                values[later] = np.clip(spoiled, _LOWEST_APY, _HIGHEST_APY) if column in _RATES else spoiled
                frame[column] = values
        kept = np.ones(len(frame), dtype=bool)
        kept[later] = random.random(len(later)) >= _ROWS_LOST
        return replace(fetched, frame=frame[kept].reset_index(drop=True))


class ShiftedSource(ThroughSource):
    """The other source with every row about pools stamped `days` later (earlier when negative).

    Prices, gas and accounts keep their days.
    """

    def __init__(self, inner: Source, days: int) -> None:
        super().__init__(inner)
        self._days = days

    @property
    def name(self) -> str:
        """The other source's and the shift."""
        return f"{self._inner.name} with pools {self._days:+d} d"

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools`."""
        asked = self._asked(window)
        return self._moved(self._inner.pool_snapshots(asked)) if asked else _nothing(POOLS)

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history`."""
        asked = self._asked(window)
        return self._moved(self._inner.pool_history(asked, pool_ids)) if asked else _nothing(HISTORY)

    def _asked(self, window: Window) -> Window | None:
        """The true days behind the stamps of a window, within what the other source has."""
        start = max(window.start - timedelta(days=self._days), self._inner.first_day)
        end = window.end - timedelta(days=self._days)
        if self._inner.last_day is not None:
            end = min(end, self._inner.last_day)
        return Window(start, end) if start <= end else None

    def _moved(self, fetched: Fetched) -> Fetched:
        by = pd.Timedelta(days=self._days)
        return replace(fetched, frame=fetched.frame.assign(**{name: fetched.frame[name] + by for name in _STAMPS}))


class RewardlessSource(ThroughSource):
    """The other source where pools pay nothing in reward tokens: see `base_only`."""

    @property
    def name(self) -> str:
        """The other source's, and what is missing."""
        return f"{self._inner.name} without rewards"

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools`."""
        return _rewardless(self._inner.pool_snapshots(window))

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history`."""
        return _rewardless(self._inner.pool_history(window, pool_ids))


def base_only(apy: FloatArray, base: FloatArray, reward: FloatArray) -> FloatArray:
    """The APY without reward tokens: the base where it is known, else the APY less the reward.

    Where neither part is known the APY stays: nothing says that it was a reward. A missing APY stays missing. Never
    below -1.
    """
    known = np.where(np.isfinite(base), base, apy - np.nan_to_num(np.maximum(reward, 0.0)))
    return np.where(np.isfinite(apy), np.maximum(known, -1.0), np.nan)


def parts_unknown(frame: pd.DataFrame) -> BoolArray:
    """Rows with an APY of which neither part is known."""
    return np.asarray(frame["apy"].notna() & frame["apy_base"].isna() & frame["apy_reward"].isna())


def _rewardless(fetched: Fetched) -> Fetched:
    apy, base, reward = (fetched.frame[name].to_numpy(dtype=float) for name in _RATES)
    stripped = {"apy": base_only(apy, base, reward), "apy_reward": np.where(np.isfinite(reward), 0.0, np.nan)}
    return replace(fetched, frame=fetched.frame.assign(**stripped))


def _nothing(name: str) -> Fetched:
    return Fetched(table(name).empty())

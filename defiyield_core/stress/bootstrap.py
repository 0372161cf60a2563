"""Block bootstrap of the APY panel: a market of the same pools, prices and gas whose rates came in another order.

Belongs here: which day's rates a day gets, and the source that gives them. Does not belong here: events (see `source`),
markets drawn from a model (see `sources.simulated`).

Days of a range are drawn in circular blocks: the rates of a day d are those that every pool had on day s(d), so that
what pools do together, and what a rate does from day to day within a block, is kept. What is drawn is the level of the
rates, not their change: a drawn panel has the range's own rates and no others, and steps where blocks meet. TVL, prices
and gas stay, and so does which pool has a row on which day.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from defiyield_core.calendar import DayArray, Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.sources.port import Fetched, Source
from defiyield_core.sources.through import ThroughSource
from defiyield_core.units import IntArray

RATES = ("apy", "apy_base", "apy_reward")
BLOCK_DAYS = 28


@dataclass(frozen=True)
class Resample:
    """One draw: days of `range` in blocks of `block_days`, from a seed.

    Raises:
        ConfigurationError: a block without a day or longer than the range, or a negative seed.
    """

    range: Window
    seed: int
    block_days: int = BLOCK_DAYS

    def __post_init__(self) -> None:
        if not 1 <= self.block_days <= len(self.range):
            raise ConfigurationError(f"blocks of {self.block_days} days: 1 to {len(self.range)} fit into {self.range}")
        if self.seed < 0:
            raise ConfigurationError(f"the seed of a draw is {self.seed}: a whole number of at least 0 is expected")

    def drawn(self) -> IntArray:
        """(n,) for each day of the range the place of the day in the range whose rates it gets."""
        count = len(self.range)
        random = np.random.default_rng([self.seed, self.block_days, count])
        begins = random.integers(0, count, math.ceil(count / self.block_days))
        places = (begins[:, None] + np.arange(self.block_days)).ravel()[:count] % count
        return np.asarray(places, dtype=np.int64)


class ResampledSource(ThroughSource):
    """The source port over another source, with the rates of a range drawn anew.

    A pool without a rate on the drawn day keeps the one it has: a young pool repeats what is known of it. Rows outside
    of the range are as they were. The answer for a day does not depend on the window that is asked for.
    """

    def __init__(self, inner: Source, resample: Resample) -> None:
        super().__init__(inner)
        self._resample = resample
        self._rates: dict[str, tuple[str, _Rates]] = {}

    @property
    def name(self) -> str:
        """The other source's name and the draw."""
        draw = self._resample
        return f"{self._inner.name} with rates of {draw.range} drawn by {draw.block_days} days, seed {draw.seed}"

    def pool_snapshots(self, window: Window) -> Fetched:
        """Rows of `raw_defillama_pools`."""
        return self._redrawn(window, "snapshots", self._inner.pool_snapshots)

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history` of these pools."""
        asked = "history of " + " ".join(pool_ids)
        return self._redrawn(window, asked, lambda days: self._inner.pool_history(days, pool_ids))

    def _redrawn(self, window: Window, what: str, ask: Callable[[Window], Fetched]) -> Fetched:
        """The answer for the window with drawn rates; the rates of the range are kept for the next window."""
        fetched, drawn = ask(window), self._resample.range
        if window.end < drawn.start or drawn.end < window.start:
            return fetched
        table, _, _ = what.partition(" ")
        known, rates = self._rates.get(table, ("", None))
        if rates is None or known != what:
            covered = window.start <= drawn.start and drawn.end <= window.end
            rates = _Rates(fetched.frame if covered else ask(drawn).frame, self._resample)
            self._rates[table] = what, rates
        return replace(fetched, frame=rates.redrawn(fetched.frame))


class _Rates:
    """The rates of a range by day and pool, (n_days, n_pools), looked up on drawn days."""

    def __init__(self, frame: pd.DataFrame, resample: Resample) -> None:
        self._days: DayArray = resample.range.days()
        self._drawn = resample.drawn()
        self._pools = pd.Index(frame["pool_id"].unique())
        self._has = np.zeros((len(self._days), len(self._pools)), dtype=bool)
        self._panels = {name: np.full(self._has.shape, np.nan) for name in RATES}
        row, column = self._places(frame)
        inside = (row >= 0) & (row < len(self._days))
        frame, row, column = frame[inside], row[inside], column[inside]
        self._has[row, column] = frame["apy"].notna().to_numpy()
        for name, panel in self._panels.items():
            panel[row, column] = frame[name].to_numpy(dtype=float)

    def _places(self, frame: pd.DataFrame) -> tuple[IntArray, IntArray]:
        days = frame["date"].to_numpy().astype("datetime64[D]")
        return (days - self._days[0]).astype(np.int64), self._pools.get_indexer(frame["pool_id"]).astype(np.int64)

    def redrawn(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows with the rates of their drawn days."""
        row, column = self._places(frame)
        inside = (row >= 0) & (row < len(self._days)) & (column >= 0)
        source = self._drawn[np.where(inside, row, 0)]
        column = np.where(inside, column, 0)
        # A row without a rate stays without one: a gap is part of the pool's own record.
        changed = inside & self._has[source, column] & frame["apy"].notna().to_numpy()
        result = frame.copy()
        for name, panel in self._panels.items():
            result[name] = np.where(changed, panel[source, column], frame[name].to_numpy(dtype=float))
        return result

"""The recorded source: real history replayed from a folder of parquet files.

Belongs here: which day its history begins and ends. Does not belong here: the files (`recorded_files`), windows and
payloads (`replay`), parsing (the modules of the APIs).
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np

from defiyield_core.errors import ConfigurationError
from defiyield_core.sources.recorded_files import REQUIRED, load_market
from defiyield_core.sources.replay import MarketTables, ReplaySource, first_day_override

DENSE_POOL_COUNT = 20
"""Stablecoin pools that must report on a day for the history to begin."""


class RecordedSource(ReplaySource):
    """A folder with `pools/` and `market/`, answered like the live APIs.

    Nothing is read before the first question. Rows are point in time: a snapshot of day D is built from the rows of D.

    Raises:
        ConfigurationError: there is no such folder, or a file it needs is missing.
    """

    kind = "recorded"

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).expanduser()
        if not self._folder.is_dir():
            raise ConfigurationError(f"the recorded folder {self._folder} does not exist")
        missing = [name for name in REQUIRED if not (self._folder / name).is_file()]
        if missing:
            raise ConfigurationError(
                f"the recorded folder {self._folder} lacks {', '.join(missing)}: it needs {', '.join(REQUIRED)}"
            )

    @property
    def name(self) -> str:
        """`recorded:` and the folder."""
        return f"recorded:{self._folder}"

    @property
    def first_day(self) -> date:
        """First day on which at least 20 stablecoin pools report, else the day of the first row.

        Rows after it never change it. DEFIYIELD_FIRST_DAY overrides it.
        """
        return first_day_override(self.last_day) or self._first_dense_day

    @property
    def last_day(self) -> date:
        """Last day of the pools' history."""
        return self.tables().pools.day[-1].item()

    def tables(self) -> MarketTables:
        """The folder's market, read at the first call."""
        return self._tables

    @cached_property
    def _tables(self) -> MarketTables:
        return load_market(self._folder.resolve())

    @cached_property
    def _first_dense_day(self) -> date:
        market = self._tables
        stable = np.array([listing["stablecoin"] for listing in market.listings])
        days, counts = np.unique(market.pools.day[stable[market.pools.pool]], return_counts=True)
        dense = days[counts >= DENSE_POOL_COUNT]
        return (dense[0] if len(dense) else market.pools.day[0]).item()

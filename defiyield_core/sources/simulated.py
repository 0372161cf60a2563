"""The simulated source: a seeded market that works on any machine, offline, without keys.

Belongs here: how long the market is and how it is named. Does not belong here: the market (`market_model`), windows and
payloads (`replay`), parsing (the modules of the APIs).
"""

from __future__ import annotations

import os
from datetime import date, timedelta

from defiyield_core.errors import ConfigurationError
from defiyield_core.sources.market_model import EPOCH, simulate_market
from defiyield_core.sources.replay import MarketTables, ReplaySource, first_day_override

DAYS_VARIABLE = "DEFIYIELD_SIMULATED_DAYS"
DEFAULT_DAYS = 34 + 120
"""Warm-up for the longest rolling window, and 120 days to decide on."""
MAX_DAYS = 5 * 365 + 1
MAX_POOLS = 5000


class SimulatedSource(ReplaySource):
    """A market drawn from a seed. Equal seeds give equal rows, whatever is asked and in which order.

    Args:
        seed: 0 or above.
        days: length from 1 January 2025 on, up to five years (default: DEFIYIELD_SIMULATED_DAYS, else 154). Longer
            markets begin with the same days, bit by bit.
        pools: how many pools (default: the whole catalogue).

    Raises:
        ConfigurationError: a value outside its bounds, or an environment variable that is no whole number.
    """

    kind = "simulated"

    def __init__(self, seed: int = 7, *, days: int | None = None, pools: int | None = None) -> None:
        self._seed = _bounded("the seed of a simulated market", seed, 0, 2**63 - 1)
        self._days = _bounded("the days of a simulated market", _days() if days is None else days, 1, MAX_DAYS)
        self._pools = None if pools is None else _bounded("the pools of a simulated market", pools, 1, MAX_POOLS)

    @property
    def name(self) -> str:
        """`simulated:` and the seed."""
        return f"simulated:{self._seed}"

    @property
    def first_day(self) -> date:
        """The market's first day, unless DEFIYIELD_FIRST_DAY says another."""
        return first_day_override(self.last_day) or EPOCH

    @property
    def last_day(self) -> date:
        """The market's last day."""
        return EPOCH + timedelta(days=self._days - 1)

    def tables(self) -> MarketTables:
        """The market, generated at the first call and kept for the process."""
        return simulate_market(self._seed, self._days, self._pools)


def _days() -> int:
    text = os.environ.get(DAYS_VARIABLE)
    if not text:
        return DEFAULT_DAYS
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{DAYS_VARIABLE} '{text}' is not a whole number of days") from None


def _bounded(what: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ConfigurationError(f"{what} must be from {low} to {high}, not {value}")
    return value

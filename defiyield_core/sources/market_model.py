"""The simulated market as a whole.

Belongs here: its calendar and the assembly of its parts. Does not belong here: how the parts move (`market_pools`,
`market_prices`) and what they are (`market_catalogue`).
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np

from defiyield_core.sources.market_catalogue import listing, pool_specs
from defiyield_core.sources.market_pools import pool_rows
from defiyield_core.sources.market_prices import coin_candles, eth_by_hour, gas_by_hour, token_candles
from defiyield_core.sources.replay import MarketTables

EPOCH = date(2025, 1, 1)
"""First day of every simulated market."""


@lru_cache(maxsize=4)
def simulate_market(seed: int, days: int, pools: int | None = None) -> MarketTables:
    """The market of a seed over its first `days` days.

    More days never change earlier ones. `pools` takes the first so many of the catalogue, or adds vaults to it.
    """
    calendar = np.datetime64(EPOCH, "D") + np.arange(days)
    specs = pool_specs(pools)
    eth = eth_by_hour(seed, days)
    return MarketTables(
        listings=tuple(listing(seed, spec) for spec in specs),
        pools=pool_rows(seed, specs, calendar),
        candles={**token_candles(seed, calendar), **coin_candles(seed, calendar, eth)},
        gas=gas_by_hour(seed, EPOCH, eth),
    )

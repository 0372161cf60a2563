"""Small markets made by hand: two USDC pools, one USDT pool, a two-sided pool, three tokens."""

from __future__ import annotations

from datetime import date

import numpy as np

from defiyield_core.history import MarketHistory, PoolBook
from defiyield_core.universe.eligibility import GONE_DAYS
from defiyield_core.universe.observations import absent_days

FIRST = date(2025, 3, 1)
TOKENS = ("DAI", "USDC", "USDT")
POOLS = ("p0-usdc", "p1-usdc", "p2-usdt", "p3-usdc-usdt")


def market(days: int = 5, **changes: np.ndarray) -> MarketHistory:
    """A calm market: 5, 6, 7 and 8 % APY, everything at one dollar, gas at 10 gwei and ETH at 2000 USD."""
    shape, tokens = (days, len(POOLS)), (days, len(TOKENS))
    apy = np.tile(np.array([0.05, 0.06, 0.07, 0.08]), (days, 1))
    values: dict[str, object] = {
        "days": np.arange(np.datetime64(FIRST, "D"), np.datetime64(FIRST, "D") + days),
        "pools": PoolBook(
            ids=POOLS,
            symbols=("USDC", "USDC", "USDT", "USDC-USDT"),
            protocols=("aave-v3", "morpho-blue", "aave-v3", "curve-dex"),
            chains=("Ethereum",) * 4,
            tokens=((1,), (1,), (2,), (1, 2)),
        ),
        "tokens": TOKENS,
        "observed_apy": apy,
        "filled_apy": apy.copy(),
        "filled_tvl_usd": np.full(shape, 1e8),
        "flagged": np.zeros(shape, dtype=bool),
        "group": np.ones(shape, dtype=np.int64),
        "depositable": np.ones(shape, dtype=bool),
        "must_exit": np.zeros(shape, dtype=bool),
        "reasons": np.full(shape, "", dtype=object),
        "forecast_apy": apy.copy(),
        "forecast_tvl_usd": np.full(shape, 1e8),
        "price_usd": np.ones(tokens),
        "price_age_days": np.zeros(tokens, dtype=np.int64),
        "iceboxed": np.zeros(tokens, dtype=bool),
        "approved": np.ones(tokens, dtype=bool),
        "pegged": np.ones(len(TOKENS), dtype=bool),
        "market_cap_usd": np.tile(np.array([5e9, 40e9, 100e9]), (days, 1)),
        "gas_price_gwei": np.full(days, 10.0),
        "eth_usd": np.full(days, 2000.0),
        "gas_age_days": np.zeros(days, dtype=np.int64),
    }
    values.update(changes)
    observed = np.isfinite(np.asarray(values["observed_apy"]))
    values.setdefault("absent_days", np.minimum(absent_days(observed), GONE_DAYS))
    return MarketHistory(**values)  # type: ignore[arg-type]

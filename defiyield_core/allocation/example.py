"""A problem to begin with: `defiyield allocate --example`, docs/problem.example.json.

Belongs here: one problem with a bit of everything, with round numbers. Does not belong here: tests' problems.
"""

from __future__ import annotations

from typing import Any


def _pool(
    pool_id: str, protocol: str, tokens: str, apy: float, tvl_usd: float, group: int, **more: Any
) -> dict[str, Any]:
    return {
        "pool_id": pool_id,
        "symbol": tokens,
        "protocol": protocol,
        "chain": "Ethereum",
        "tokens": tokens.split("-"),
        "apy": apy,
        "tvl_usd": tvl_usd,
        "group": group,
        **more,
    }


EXAMPLE: dict[str, Any] = {
    "as_of": "2026-01-31",
    "pools": [
        _pool(
            "aave-usdc",
            "aave-v3",
            "USDC",
            0.042,
            310e6,
            1,
            rate_curve={"total_supply_usd": 2.1e9, "kink": 0.9, "base_rate": 0.0, "slope1": 0.06, "slope2": 4.0},
        ),
        _pool("compound-usdt", "compound-v3", "USDT", 0.047, 48e6, 1),
        _pool("morpho-usdc", "morpho-blue", "USDC", 0.071, 22e6, 2),
        _pool("curve-usdc-usdt", "curve-dex", "USDC-USDT", 0.055, 9e6, 2),
        _pool("sky-usds", "sky-lending", "USDS", 0.065, 180e6, 1),
        _pool("euler-usdc", "euler-v2", "USDC", 0.098, 3e6, 3),
        _pool("fluid-usdt", "fluid-lending", "USDT", 0.031, 60e6, 1, depositable=False),
        _pool("old-gho", "retired-lender", "GHO", 0.02, 1.5e6, 3, depositable=False, must_exit=True),
    ],
    "token_prices": {"USDC": 1.0, "USDT": 0.9995, "USDS": 1.0002, "GHO": 0.998},
    "wallet": {"USDC": 600_000.0, "USDT": 20_000.0},
    "positions": [
        {"pool_id": "aave-usdc", "token": "USDC", "amount": 150_000.0},
        {"pool_id": "fluid-usdt", "token": "USDT", "amount": 200_000.0},
        {"pool_id": "old-gho", "token": "GHO", "amount": 30_000.0},
    ],
    "gas_usd": {"deposit": 1.8, "withdrawal": 2.1, "conversion": 1.5},
    "closed_tokens": ["GHO"],
    "forced_conversions": {"GHO": "USDC"},
    "parameters": {
        "horizon_days": 14,
        "min_pools": 4,
        "min_position_usd": 10_000,
        "group3_max_pct": 0.2,
        "gap_bps": 1e-4,
    },
}
"""A million dollars, a pool that must be left, a token that may not be kept, a pool closed to deposits."""

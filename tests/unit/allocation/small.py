"""Small problems written as their file would be, with round numbers: no gas, no conversion fee, loose caps unless
said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.allocation.problem_file import problem_from_json

LOOSE: dict[str, Any] = {
    "max_alloc_percentage": 1.0,
    "position_max_pct_total_assets": 1.0,
    "tvl_limit_percentage": 1.0,
    "position_max_pct_pool_tvl": 1.0,
    "group1_max_pct": 1.0,
    "group2_max_pct": 1.0,
    "group3_max_pct": 1.0,
    "min_pools": 0,
    "horizon_days": 365,
    "conversion_rate": 0.0,
}


def pool(pool_id: str, apy: float, tokens: str = "USDC", **given: Any) -> dict[str, Any]:
    """A pool of the file; `tokens` are separated by a dash."""
    return {"pool_id": pool_id, "apy": apy, "tokens": tokens.split("-"), "tvl_usd": 1e9, "group": 1} | given


def problem(
    pools: Sequence[Mapping[str, Any]],
    wallet: Mapping[str, float] | None = None,
    held: Mapping[tuple[str, str], float] | None = None,
    gas: tuple[float, float, float] = (0.0, 0.0, 0.0),
    prices: Mapping[str, float] | None = None,
    **parameters: Any,
) -> AllocationProblem:
    """`held` maps (pool, token) to an amount; `gas` is USD of a deposit, withdrawal and conversion leg."""
    names = {token for entry in pools for token in entry["tokens"]} | set(wallet or {})
    return problem_from_json(
        {
            "as_of": "2026-01-31",
            "pools": list(pools),
            "token_prices": dict.fromkeys(sorted(names), 1.0) | dict(prices or {}),
            "wallet": dict(wallet or {}),
            "positions": [
                {"pool_id": where, "token": token, "amount": amount} for (where, token), amount in (held or {}).items()
            ],
            "gas_usd": {"deposit": gas[0], "withdrawal": gas[1], "conversion": gas[2]},
            "parameters": LOOSE | parameters,
        }
    )


def positions_usd(given: AllocationProblem, decision: AllocationDecision) -> dict[str, float]:
    """Final value of each pool."""
    values = decision.positions @ given.token_prices
    return dict(zip(given.pool_ids, map(float, values), strict=True))


def kinds(decision: AllocationDecision) -> list[str]:
    """Types of the rows, in order."""
    return [row.type for row in decision.transactions]

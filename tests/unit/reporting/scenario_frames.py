"""Small scenarios made by code: a portfolio that earns a fixed rate and pays a fixed fee, on given days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.reporting.scenarios import Scenario

DAYS = 20


def daily_rows(
    returns: Sequence[float],
    *,
    fee_usd: float = 0.0,
    opening_usd: float = 1_000_000.0,
    idle_usd: float = 0.0,
    first: str = "2025-01-01",
    portfolio: str = "desk",
) -> pd.DataFrame:
    """`portfolio_daily` rows: each day grows by its return, and the first day pays the fee as gas."""
    rows, value = [], opening_usd
    for number, day in enumerate(pd.date_range(first, periods=len(returns))):
        gas, accrual = (fee_usd if number == 0 else 0.0), value * returns[number]
        closing = value + accrual - gas
        rows.append(
            {
                "portfolio": portfolio,
                "date": day,
                "run_id": f"r{number}",
                "aum_open_usd": value,
                "accrual_usd": accrual,
                "forecast_accrual_usd": accrual,
                "revaluation_usd": 0.0,
                "flows_usd": 0.0,
                "gas_usd": gas,
                "conversion_usd": 0.0,
                "aum_close_usd": closing,
                "idle_usd": idle_usd,
                "turnover_usd": 0.0,
                "n_positions": 2,
                "n_transactions": 3 if number == 0 else 0,
                "token_changes": 0,
                "weighted_apy": 0.05,
                "realised_apy": 0.05,
                "status": "ok",
                "reason": "",
                "no_data_pools": 0,
            }
        )
        value = closing
    return pd.DataFrame(rows)


def scenario(
    name: str,
    rate: float = 1e-4,
    *,
    fall: float = 0.0,
    fee_usd: float = 0.0,
    hhi: float | None = 0.25,
    parameters: Mapping[str, Any] | None = None,
    seed: int | None = None,
    days: int = DAYS,
    **changes: Any,
) -> Scenario:
    """A run that earns `rate` a day, but loses `fall` on its fifth."""
    returns = np.full(days, rate)
    returns[min(4, days - 1)] = -fall if fall else rate
    where = {name: changes.pop(name) for name in ("opening_usd", "idle_usd", "first") if name in changes}
    given: dict[str, Any] = {
        "name": name,
        "description": f"What {name} is.",
        "mode": "carry",
        "parameters": dict(parameters or {}),
        "wallet": {"USDC": 1_000_000.0},
        "seed": seed,
        "daily": daily_rows(returns.tolist(), fee_usd=fee_usd, **where),
        "solve_seconds": 0.5,
        "policy": "optimiser",
        "mean_hhi": hhi,
    }
    return Scenario(**{**given, **changes})


def positions(amounts: Mapping[str, float], days: int = DAYS, first: str = "2025-01-01") -> pd.DataFrame:
    """`asset_allocations` rows: the same USDC in each pool on all days."""
    rows = [
        {
            "portfolio": "desk",
            "date": day,
            "run_id": "r",
            "pool_id": pool,
            "token": "USDC",
            "amount": usd,
            "value_usd": usd,
        }
        for day in pd.date_range(first, periods=days)
        for pool, usd in amounts.items()
    ]
    return pd.DataFrame(rows)


def details(labels: Mapping[str, tuple[str, str]], days: int = DAYS, first: str = "2025-01-01") -> pd.DataFrame:
    """`asset_allocation_details` rows, as far as exports read them: protocol and symbol by pool."""
    rows = [
        {"date": day, "pool_id": pool, "protocol": protocol, "symbol": symbol}
        for day in pd.date_range(first, periods=days)
        for pool, (protocol, symbol) in labels.items()
    ]
    return pd.DataFrame(rows)


def transactions(first: str = "2025-01-01") -> pd.DataFrame:
    """`allocation_transactions` rows: a conversion and a deposit that cost, and a position that is held."""
    head = {"portfolio": "desk", "date": pd.Timestamp(first), "run_id": "r0", "fee_token": "USDC"}
    moves = [
        ("CONVERSION", "wallet", "wallet", "USDC", "DAI", 400.0, 1.0, 0.16),
        ("HOLD", "p1", "p1", "USDC", "USDC", 50.0, 0.0, 0.0),
        ("ALLOCATION", "wallet", "p2", "DAI", "DAI", 399.0, 2.0, 0.0),
    ]
    rows = []
    for seq, (kind, source, target, token, to_token, usd, gas, fee) in enumerate(moves, start=1):
        place = {"from_location": source, "to_location": target, "token": token, "to_token": to_token}
        costs = {"gas_cost_usd": gas, "conversion_cost_usd": fee, "total_cost_usd": gas + fee}
        rows.append({**head, "seq": seq, "type": kind, **place, "amount": usd, "amount_usd": usd, **costs})
    return pd.DataFrame(rows)

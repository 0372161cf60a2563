"""A decision as JSON: the answer of `defiyield allocate`.

Belongs here: which number goes into which field of `file_models.DecisionOut`. Does not belong here: computing any.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from defiyield_core.allocation.explain import explain
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem, Transaction


def decision_json(problem: AllocationProblem, decision: AllocationDecision) -> dict[str, Any]:
    """A decision as plain JSON values; a number that does not exist (the bound of an infeasible problem) is null."""
    told = explain(problem, decision)
    columns = (told.shadow_price_bps, told.marginal_apy, told.capacity_usd, told.break_even_apy)
    numbers = zip(*(map(_number, values.tolist()) for values in columns), strict=True)
    return {
        "as_of": problem.as_of.isoformat(),
        "status": decision.status,
        "reason": decision.reason,
        "engine": problem.parameters.engine,
        "aum_usd": problem.aum_usd,
        "objective_usd": _number(decision.objective_usd),
        "bound_usd": _number(decision.bound_usd),
        "gap_bps": _number(decision.gap_bps),
        "hold_objective_usd": _number(decision.hold_objective_usd),
        "gain_over_hold_usd": _number(decision.gain_over_hold_usd),
        "break_even_days": _number(told.break_even_days),
        "costs_usd": {"gas": float(decision.gas_usd), "conversion": float(decision.conversion_usd)},
        "wallet": dict(zip(problem.tokens, decision.wallet.tolist(), strict=True)),
        "positions": [
            {
                "pool_id": problem.pool_ids[pool],
                "token": problem.tokens[token],
                "amount": float(decision.positions[pool, token]),
                "amount_usd": float(decision.positions[pool, token] * problem.token_prices[token]),
            }
            for pool, token in np.argwhere(decision.positions > 0)
        ],
        "transactions": [_row(row) for row in decision.transactions],
        "pools": [
            {
                "pool_id": pool_id,
                "binding": binding,
                "shadow_price_bps": shadow,
                "marginal_apy": marginal,
                "capacity_usd": capacity,
                "break_even_apy": break_even,
            }
            for pool_id, binding, (shadow, marginal, capacity, break_even) in zip(
                problem.pool_ids, told.binding, numbers, strict=True
            )
        ],
        "notes": [*([decision.reason] if decision.reason else []), *decision.notes],
    }


def _row(row: Transaction) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "type": row.type,
        "from": row.from_location,
        "to": row.to_location,
        "token": row.token,
        "to_token": row.to_token,
        "amount": float(row.amount),
        "amount_usd": float(row.amount_usd),
        "gas_cost_usd": float(row.gas_cost_usd),
        "conversion_cost_usd": float(row.conversion_cost_usd),
        "total_cost_usd": float(row.total_cost_usd),
        "fee_token": row.fee_token,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

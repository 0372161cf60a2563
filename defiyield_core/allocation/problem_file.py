"""An allocation problem as a JSON file, and a decision as JSON.

Belongs here: the file's fields, their checks and the translation both ways. Does not belong here: rules of the
allocation. Rates are fractions; gas is USD per token leg. Parameters that are left out take the preset `seed` with
full_allocation off.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem, GasCosts
from defiyield_core.errors import AllocationError, ConfigurationError
from defiyield_core.parameters import Parameters, parameters
from defiyield_core.units import FloatArray

NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Name = Annotated[str, Field(min_length=1)]
Value = TypeVar("Value")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PoolIn(_Model):
    """A pool that money may be in, or go to."""

    pool_id: Name
    symbol: str = ""
    protocol: str = ""
    chain: str = ""
    tokens: Annotated[tuple[Name, ...], Field(min_length=1)]
    apy: Annotated[float, Field(ge=-1.0)]
    tvl_usd: NonNegative
    group: Annotated[int, Field(ge=1, le=3)]
    depositable: bool = True
    withdrawable: bool = True
    must_exit: bool = False


class PositionIn(_Model):
    """An amount of one token in one pool."""

    pool_id: Name
    token: Name
    amount: NonNegative


class GasIn(_Model):
    """USD of one token leg."""

    deposit: NonNegative
    withdrawal: NonNegative
    conversion: NonNegative


class ProblemIn(_Model):
    """The whole file."""

    as_of: date
    pools: tuple[PoolIn, ...]
    token_prices: dict[Name, Positive]
    wallet: dict[Name, NonNegative] = Field(default_factory=dict)
    positions: tuple[PositionIn, ...] = ()
    gas_usd: GasIn
    parameters: dict[str, Any] = Field(default_factory=dict)


def load_problem(path: Path | str) -> AllocationProblem:
    """Read and check a problem file; `-` reads standard input.

    Raises:
        AllocationError: naming the file, the field and what was expected.
    """
    path = Path(path)
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        raw = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise AllocationError(f"{path}: cannot be read ({reason})") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise AllocationError(f"{path}: not valid JSON ({error})") from None
    try:
        return problem_from_json(raw)
    except AllocationError as error:
        raise AllocationError(f"{path}: {error}") from None


def problem_from_json(raw: object) -> AllocationProblem:
    """The problem that a parsed JSON object describes.

    Raises:
        AllocationError: naming the field and what was expected.
    """
    if not isinstance(raw, dict):
        raise AllocationError("the problem must be a JSON object with as_of, pools, token_prices, gas_usd, ...")
    try:
        given = ProblemIn.model_validate(raw)
    except ValidationError as error:
        raise AllocationError("; ".join(_refusal(item) for item in error.errors()[:5])) from None
    spelling = {_canonical(token): token for token in given.token_prices}
    if len(spelling) < len(given.token_prices):
        raise AllocationError("token_prices: a token is listed twice (upper and lower case name the same token)")
    tokens = tuple(given.token_prices.values()), tuple(given.token_prices)
    prices, names = np.array(tokens[0], dtype=float), tokens[1]
    index = {_canonical(token): number for number, token in enumerate(names)}
    wallet = _wallet(given, index)
    members = tuple(_members(pool, index, f"pools.{number}.tokens") for number, pool in enumerate(given.pools))
    pools = {pool.pool_id: number for number, pool in enumerate(given.pools)}
    if len(pools) < len(given.pools):
        repeated = sorted({p.pool_id for p in given.pools if sum(q.pool_id == p.pool_id for q in given.pools) > 1})
        raise AllocationError(f"pools: pool_id {repeated} is listed twice")
    positions = _positions(given, pools, members, index)
    aum_usd = float(wallet @ prices + (positions @ prices).sum())
    problem = AllocationProblem(
        as_of=given.as_of,
        tokens=names,
        token_prices=prices,
        wallet=wallet,
        convertible_into=np.ones(len(names), dtype=bool),
        forced_target=np.full(len(names), -1, dtype=np.int64),
        pool_ids=tuple(pools),
        pool_symbols=tuple(pool.symbol or "-".join(pool.tokens) for pool in given.pools),
        pool_protocols=tuple(pool.protocol for pool in given.pools),
        pool_tokens=members,
        apy=_column([pool.apy for pool in given.pools], float),
        tvl_usd=_column([pool.tvl_usd for pool in given.pools], float),
        group=_column([pool.group for pool in given.pools], np.int64),
        depositable=_column([pool.depositable for pool in given.pools], bool),
        withdrawable=_column([pool.withdrawable for pool in given.pools], bool),
        must_exit=_column([pool.must_exit for pool in given.pools], bool),
        positions=positions,
        gas=GasCosts(given.gas_usd.deposit, given.gas_usd.withdrawal, given.gas_usd.conversion),
        parameters=_parameters(given.parameters, aum_usd),
    )
    problem.validate()
    return problem


def decision_json(problem: AllocationProblem, decision: AllocationDecision) -> dict[str, Any]:
    """A decision as plain JSON values; a number that does not exist (the bound of an infeasible problem) is null."""
    prices = problem.token_prices
    return {
        "as_of": problem.as_of.isoformat(),
        "status": decision.status,
        "reason": decision.reason,
        "aum_usd": problem.aum_usd,
        "objective_usd": _number(decision.objective_usd),
        "bound_usd": _number(decision.bound_usd),
        "gap_bps": _number(decision.gap_bps),
        "hold_objective_usd": _number(decision.hold_objective_usd),
        "gain_over_hold_usd": _number(decision.gain_over_hold_usd),
        "costs_usd": {"gas": decision.gas_usd, "conversion": decision.conversion_usd},
        "wallet": {token: float(amount) for token, amount in zip(problem.tokens, decision.wallet, strict=True)},
        "positions": [
            {
                "pool_id": problem.pool_ids[pool],
                "token": problem.tokens[token],
                "amount": float(decision.positions[pool, token]),
                "amount_usd": float(decision.positions[pool, token] * prices[token]),
            }
            for pool, token in np.argwhere(decision.positions > 0)
        ],
        "transactions": [
            {
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
            for row in decision.transactions
        ],
        "binding": dict(zip(problem.pool_ids, decision.binding, strict=True)),
        "notes": [*([decision.reason] if decision.reason else []), *decision.notes],
    }


def _wallet(given: ProblemIn, index: Mapping[str, int]) -> FloatArray:
    wallet = np.zeros(len(index))
    seen: set[int] = set()
    for token, amount in given.wallet.items():
        number = _token(token, index, "wallet")
        if number in seen:
            raise AllocationError(f"wallet: {token} is listed twice")
        seen.add(number)
        wallet[number] = amount
    return wallet


def _positions(
    given: ProblemIn, pools: Mapping[str, int], members: tuple[tuple[int, ...], ...], index: Mapping[str, int]
) -> FloatArray:
    positions = np.zeros((len(pools), len(index)))
    seen: set[tuple[int, int]] = set()
    for number, position in enumerate(given.positions):
        where = f"positions.{number}"
        if position.pool_id not in pools:
            raise AllocationError(f"{where}.pool_id: {position.pool_id} is not among the pools; list it there")
        pool, token = pools[position.pool_id], _token(position.token, index, f"{where}.token")
        if token not in members[pool]:
            raise AllocationError(f"{where}.token: {position.token} is not a token of pool {position.pool_id}")
        if (pool, token) in seen:
            raise AllocationError(f"{where}: {position.token} in pool {position.pool_id} is listed twice")
        seen.add((pool, token))
        positions[pool, token] = position.amount
    return positions


def _members(pool: PoolIn, index: Mapping[str, int], where: str) -> tuple[int, ...]:
    members = tuple(_token(token, index, where) for token in pool.tokens)
    if len(set(members)) < len(members):
        raise AllocationError(f"{where}: pool {pool.pool_id} lists a token twice")
    return members


def _token(token: str, index: Mapping[str, int], where: str) -> int:
    number = index.get(_canonical(token))
    if number is None:
        raise AllocationError(f"{where}: no price for {token}; add it to token_prices")
    return number


def _canonical(token: str) -> str:
    """Sources write USDe and USDE; both are one token."""
    return token.strip().upper()


def _parameters(overrides: Mapping[str, Any], aum_usd: float) -> Parameters:
    """Parameters of the file. `min_position_usd` may be given in dollars in place of `min_position_pct`."""
    values = {"full_allocation": False, **overrides}
    if "min_position_usd" in values:
        smallest = values.pop("min_position_usd")
        if isinstance(smallest, bool) or not isinstance(smallest, int | float) or not 0 <= smallest < math.inf:
            raise AllocationError(f"parameters.min_position_usd: a dollar amount of at least 0, not {smallest!r}")
        if "min_position_pct" in values:
            raise AllocationError("parameters: give min_position_usd or min_position_pct, not both")
        values["min_position_pct"] = min(smallest / aum_usd, 1.0) if aum_usd > 0 else 0.0
    try:
        return parameters("seed", values)
    except ConfigurationError as error:
        raise AllocationError(str(error)) from None


def _refusal(item: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "problem"
    got = f" (got {item['input']!r})" if not isinstance(item.get("input"), dict | list) else ""
    return f"{where}: {item['msg']}{got}"


def _column(values: list[Any], kind: type) -> np.ndarray:
    return np.array(values, dtype=kind).reshape(len(values))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

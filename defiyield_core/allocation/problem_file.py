"""An allocation problem as JSON: read from a file, written by the books.

Belongs here: rules between the file's fields, and the translation both ways. Does not belong here: each field on its
own (`file_models`), the answer (`decision_file`), rules of the allocation. Rates are fractions; gas is USD per token
leg. Parameters that are left out take the preset `seed` with full_allocation off.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from defiyield_core.allocation.curves import RateCurve
from defiyield_core.allocation.file_models import MOST_USD, PoolIn, ProblemIn
from defiyield_core.allocation.problem import WALLET, AllocationProblem, GasCosts
from defiyield_core.allocation.strict_json import parse_json
from defiyield_core.errors import AllocationError
from defiyield_core.parameters import PRESETS, Parameters
from defiyield_core.units import BoolArray, FloatArray, IntArray

_COMPACT = (",", ":")
_SHOWN = 5
"""Refused fields named at once."""


def load_problem(path: Path | str, overrides: Mapping[str, Any] | None = None) -> AllocationProblem:
    """Read and check a problem file; `-` reads standard input.

    Args:
        overrides: parameters in place of the file's.

    Raises:
        AllocationError: naming the file, the field and what was expected, in one line.
    """
    name = "standard input" if str(path) == "-" else str(path)
    try:
        text = sys.stdin.read() if str(path) == "-" else Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise AllocationError(f"{name}: cannot be read ({reason})") from None
    try:
        raw = parse_json(text)
        if overrides and isinstance(raw, dict) and isinstance(raw.get("parameters", {}), dict):
            raw["parameters"] = {**raw.get("parameters", {}), **overrides}
        return problem_from_json(raw)
    except AllocationError as error:
        raise AllocationError(f"{name}: {error}") from None


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
        raise AllocationError(_refusals(error)) from None
    tokens = tuple(given.token_prices)
    index = {_canonical(token): number for number, token in enumerate(tokens)}
    if len(index) < len(tokens):
        raise AllocationError("token_prices: a token is listed twice (upper and lower case name the same token)")
    prices = np.array(list(given.token_prices.values()), dtype=float)
    members = tuple(_members(pool, index, f"pools.{number}.tokens") for number, pool in enumerate(given.pools))
    pools = _pool_numbers(given.pools)
    wallet, positions = _wallet(given, index), _positions(given, pools, members, index)
    convertible = _convertible(given, index)
    problem = AllocationProblem(
        as_of=given.as_of,
        tokens=tokens,
        token_prices=prices,
        wallet=wallet,
        convertible_into=convertible,
        forced_target=_forced_targets(given, index, convertible),
        pool_ids=tuple(pools),
        pool_symbols=tuple("-".join(p.tokens) if p.symbol is None else p.symbol for p in given.pools),
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
        parameters=_parameters(given.parameters, _aum_usd(wallet, positions, prices)),
        rate_curves=_rate_curves(given.pools),
    )
    problem.validate()
    return problem


def problem_json(problem: AllocationProblem) -> dict[str, Any]:
    """The problem as plain JSON values, from which `problem_from_json` makes it again to the last bit.

    A rate curve whose total supply is below the pool's TVL is left out: no decision uses it.
    """
    return {**_market_json(problem), "parameters": problem.parameters.model_dump()}


def problem_text(problem: AllocationProblem) -> str:
    """`problem_json` as compact text."""
    market = json.dumps(_market_json(problem), separators=_COMPACT)
    return f'{market[:-1]},"parameters":{_parameters_text(problem.parameters)}}}'


@lru_cache(maxsize=8)
def _parameters_text(rules: Parameters) -> str:
    """Day after day the same, and half of the text."""
    return json.dumps(rules.model_dump(), separators=_COMPACT)


def _market_json(problem: AllocationProblem) -> dict[str, Any]:
    """All but the parameters, which come last."""
    tokens, pool_ids = problem.tokens, problem.pool_ids
    held = problem.positions.nonzero()
    amounts = zip(held[0].tolist(), held[1].tolist(), problem.positions[held].tolist(), strict=True)
    into = problem.forced_target.tolist()
    return {
        "as_of": problem.as_of.isoformat(),
        "pools": _pools_json(problem),
        "token_prices": dict(zip(tokens, problem.token_prices.tolist(), strict=True)),
        "wallet": dict(zip(tokens, problem.wallet.tolist(), strict=True)),
        "positions": [
            {"pool_id": pool_ids[pool], "token": tokens[token], "amount": amount} for pool, token, amount in amounts
        ],
        "gas_usd": {
            "deposit": float(problem.gas.deposit_usd),
            "withdrawal": float(problem.gas.withdrawal_usd),
            "conversion": float(problem.gas.conversion_usd),
        },
        "closed_tokens": [tokens[token] for token in (~problem.convertible_into).nonzero()[0]],
        "forced_conversions": {tokens[token]: tokens[target] for token, target in enumerate(into) if target >= 0},
    }


def _pools_json(problem: AllocationProblem) -> list[dict[str, Any]]:
    columns = zip(
        problem.pool_ids,
        problem.pool_symbols,
        problem.pool_protocols,
        problem.pool_tokens,
        problem.apy.tolist(),
        problem.tvl_usd.tolist(),
        problem.group.tolist(),
        problem.depositable.tolist(),
        problem.withdrawable.tolist(),
        problem.must_exit.tolist(),
        strict=True,
    )
    pools: list[dict[str, Any]] = [
        {
            "pool_id": pool_id,
            "symbol": symbol,
            "protocol": protocol,
            "tokens": [problem.tokens[token] for token in members],
            "apy": apy,
            "tvl_usd": tvl_usd,
            "group": group,
            "depositable": depositable,
            "withdrawable": withdrawable,
            "must_exit": must_exit,
        }
        for pool_id, symbol, protocol, members, apy, tvl_usd, group, depositable, withdrawable, must_exit in columns
    ]
    for pool, curve in problem.rate_curves.items():
        if curve.total_supply_usd >= pools[pool]["tvl_usd"]:
            pools[pool]["rate_curve"] = dict(vars(curve))
    return pools


def _pool_numbers(pools: tuple[PoolIn, ...]) -> dict[str, int]:
    numbers = {pool.pool_id: number for number, pool in enumerate(pools)}
    if len(numbers) < len(pools):
        repeated = sorted({pool.pool_id for number, pool in enumerate(pools) if numbers[pool.pool_id] != number})
        raise AllocationError(f"pools: pool_id {repeated} is listed twice")
    if WALLET in numbers:
        raise AllocationError(f"pools.{numbers[WALLET]}.pool_id: '{WALLET}' is the name of the wallet in plans")
    chains: dict[str, int] = {}
    for number, pool in enumerate(pools):
        if pool.chain.strip():
            chains.setdefault(pool.chain.strip().lower(), number)
    if len(chains) > 1:
        first, second, *_ = chains.values()
        raise AllocationError(
            f"pools.{second}.chain: {pools[second].chain}, but pools.{first} is on {pools[first].chain}: all pools must"
            " be on one chain, because there is no free bridge"
        )
    return numbers


def _rate_curves(pools: tuple[PoolIn, ...]) -> dict[int, RateCurve]:
    for number, pool in enumerate(pools):
        if pool.rate_curve is not None and pool.rate_curve.total_supply_usd < pool.tvl_usd:
            raise AllocationError(
                f"pools.{number}.rate_curve.total_supply_usd: {pool.rate_curve.total_supply_usd} is less than the"
                f" pool's available tvl_usd, {pool.tvl_usd}"
            )
    return {
        number: RateCurve(**pool.rate_curve.model_dump())
        for number, pool in enumerate(pools)
        if pool.rate_curve is not None
    }


def _wallet(given: ProblemIn, index: Mapping[str, int]) -> FloatArray:
    wallet = np.zeros(len(index))
    seen: set[int] = set()
    for token, amount in given.wallet.items():
        number = _token(token, index, f"wallet.{token}")
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


def _convertible(given: ProblemIn, index: Mapping[str, int]) -> BoolArray:
    convertible = np.ones(len(index), dtype=bool)
    for number, token in enumerate(given.closed_tokens):
        convertible[_token(token, index, f"closed_tokens.{number}")] = False
    return convertible


def _forced_targets(given: ProblemIn, index: Mapping[str, int], convertible: BoolArray) -> IntArray:
    targets = np.full(len(index), -1, dtype=np.int64)
    for name, into in given.forced_conversions.items():
        where = f"forced_conversions.{name}"
        token, target = _token(name, index, where), _token(into, index, where)
        if targets[token] >= 0:
            raise AllocationError(f"{where}: {name} is listed twice")
        if token == target or not convertible[target]:
            raise AllocationError(f"{where}: {into} may not be converted into; name another token")
        targets[token] = target
    return targets


def _token(token: str, index: Mapping[str, int], where: str) -> int:
    number = index.get(_canonical(token))
    if number is None:
        raise AllocationError(f"{where}: no price for {token}; add it to token_prices")
    return number


def _canonical(token: str) -> str:
    """Sources write USDe and USDE; both are one token."""
    return token.strip().upper()


def _aum_usd(wallet: FloatArray, positions: FloatArray, prices: FloatArray) -> float:
    aum_usd = float(wallet @ prices + (positions @ prices).sum())
    if not aum_usd <= MOST_USD:
        raise AllocationError(f"wallet, positions: worth {aum_usd:.3g} USD, more than the {MOST_USD:.0e} allowed")
    return aum_usd


def _parameters(overrides: Mapping[str, Any], aum_usd: float) -> Parameters:
    """Parameters of the file. `min_position_usd` may be given in dollars in place of `min_position_pct`."""
    values = {**PRESETS["seed"], "full_allocation": False, **overrides}
    if "min_position_usd" in values:
        smallest = values.pop("min_position_usd")
        if isinstance(smallest, bool) or not isinstance(smallest, int | float) or not 0 <= smallest < math.inf:
            raise AllocationError(f"parameters.min_position_usd: a dollar amount of at least 0, not {smallest!r}")
        if "min_position_pct" in values:
            raise AllocationError("parameters: give min_position_usd or min_position_pct, not both")
        values["min_position_pct"] = min(smallest / aum_usd, 1.0) if aum_usd > 0 else 0.0
    try:
        return Parameters.model_validate(values, strict=True)
    except ValidationError as error:
        raise AllocationError(_refusals(error, "parameters")) from None


def _refusals(error: ValidationError, *within: str) -> str:
    """The refused fields with what was expected and what was given; never more than one line."""
    items = error.errors(include_url=False)
    text = "; ".join(_refusal(item, within) for item in items[:_SHOWN])
    return text if len(items) <= _SHOWN else f"{text}; and {len(items) - _SHOWN} more"


def _refusal(item: Mapping[str, Any], within: tuple[str, ...]) -> str:
    where = ".".join(map(str, (*within, *item["loc"]))) or "problem"
    got = item.get("input")
    shown = "" if isinstance(got, dict | list) or item["type"] == "missing" else f" (got {_short(repr(got))})"
    return " ".join(f"{where}: {item['msg'].removeprefix('Value error, ')}{shown}".split())


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _column(values: list[Any], kind: type) -> np.ndarray:
    return np.array(values, dtype=kind).reshape(len(values))

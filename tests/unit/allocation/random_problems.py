"""Random allocation problems that look like a portfolio's day, for property tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from defiyield_core.allocation.problem import AllocationProblem, GasCosts
from defiyield_core.parameters import parameters

TOKENS = ("USDC", "USDT", "DAI", "USDS", "PYUSD", "GHO", "LUSD", "USDE")


@dataclass(frozen=True)
class Shape:
    """How large a random problem is and what happens in it."""

    pools: int = 20
    tokens: int = 5
    aum_usd: float = 1e6
    held_share: float = 0.0
    two_token_share: float = 0.2
    forced: bool = False
    gas_scale: float = 1.0
    preset: str = "default"


def random_problem(seed: int, shape: Shape, **overrides: Any) -> AllocationProblem:
    """A problem of `shape.pools` pools; `held_share` of AUM starts in positions, the rest mostly in one wallet
    token."""
    rng = np.random.default_rng(seed)
    n, m = shape.pools, shape.tokens
    prices = rng.uniform(0.995, 1.005, m)
    members = tuple(_members(rng, shape) for _ in range(n))
    positions = _positions(rng, shape, members) / prices
    wallet = rng.dirichlet(np.full(m, 0.3)) * shape.aum_usd * (1 - shape.held_share) / prices
    must_exit = (rng.random(n) < 0.05) & (positions.sum(axis=1) > 0)
    convertible = np.ones(m, dtype=bool)
    forced_target = np.full(m, -1, dtype=np.int64)
    if shape.forced and m > 1:
        convertible[m - 1] = False
        forced_target[m - 1] = 0
        must_exit |= np.array([m - 1 in tokens for tokens in members], dtype=bool)
    usd_per_unit = rng.uniform(1.0, 20.0) * shape.gas_scale * 3_000 * 1e-9
    return AllocationProblem(
        as_of=date(2026, 1, 1),
        tokens=TOKENS[:m],
        token_prices=prices,
        wallet=wallet,
        convertible_into=convertible,
        forced_target=forced_target,
        pool_ids=tuple(f"pool-{pool}" for pool in range(n)),
        pool_symbols=tuple("-".join(TOKENS[t] for t in tokens) for tokens in members),
        pool_protocols=tuple("aave-v3" for _ in range(n)),
        pool_tokens=members,
        apy=np.exp(rng.normal(np.log(0.06), 0.5, n)),
        tvl_usd=np.exp(rng.normal(np.log(2e7), 1.5, n)) * shape.aum_usd / 1e6,
        group=rng.integers(1, 4, n),
        depositable=rng.random(n) > 0.1,
        withdrawable=rng.random(n) > 0.05,
        must_exit=must_exit,
        positions=positions,
        gas=GasCosts(*(units * usd_per_unit for units in (220_000, 250_000, 180_000))),
        parameters=parameters(shape.preset, overrides),
    )


def _members(rng: np.random.Generator, shape: Shape) -> tuple[int, ...]:
    count = 2 if shape.tokens > 1 and rng.random() < shape.two_token_share else 1
    return tuple(sorted(rng.choice(shape.tokens, size=count, replace=False).tolist()))


def _positions(rng: np.random.Generator, shape: Shape, members: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """USD by pool and token: one to seven positions, the tokens of a pool a little out of balance."""
    positions = np.zeros((shape.pools, shape.tokens))
    if shape.held_share > 0 and shape.pools:
        held = rng.choice(shape.pools, size=min(shape.pools, int(rng.integers(1, 8))), replace=False)
        values = rng.dirichlet(np.full(len(held), 3.0)) * shape.aum_usd * shape.held_share
        for pool, value_usd in zip(held, values, strict=True):
            tokens = list(members[pool])
            positions[pool, tokens] = value_usd * rng.dirichlet(np.full(len(tokens), 50.0))
    return positions

"""Random markets of one step with a book in them, and what the exact engine makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from defiyield_core.allocation import AllocationDecision, solve
from defiyield_core.history import MarketHistory, PoolBook
from defiyield_core.hourly.gate import Moves, moves_of
from defiyield_core.hourly.holding import Book, hold_on
from defiyield_core.hourly.loop import state_of
from defiyield_core.hourly.market import StepMarket
from defiyield_core.hourly.prepared import PreparedMarket, prepare
from defiyield_core.parameters import Parameters, parameters
from defiyield_core.policies.port import Framed, frame_problem

TOKENS = ("DAI", "USDC", "USDT")
FIRST = np.datetime64("2025-03-01")


def rules(**overrides: Any) -> Parameters:
    """Parameters of a book of some pools: two positions, wide groups."""
    return parameters("default", {"min_pools": 2, "max_alloc_percentage": 0.5, **overrides})


def history(steps: int, members: tuple[tuple[int, ...], ...], **arrays: Any) -> MarketHistory:
    """A calm market of pools with these tokens, everything at one dollar and 5 % APY, unless `arrays` say otherwise."""
    pools, shape, tokens = len(members), (steps, len(members)), (steps, len(TOKENS))
    apy = np.asarray(arrays.pop("apy", np.full(shape, 0.05)))
    values: dict[str, Any] = {
        "days": FIRST + np.arange(steps),
        "pools": PoolBook(
            tuple(f"p{pool}" for pool in range(pools)),
            tuple("-".join(TOKENS[token] for token in tokens) for tokens in members),
            ("aave-v3",) * pools,
            ("Ethereum",) * pools,
            members,
        ),
        "tokens": TOKENS,
        "observed_apy": apy,
        "filled_apy": apy,
        "filled_tvl_usd": np.full(shape, 1e7),
        "flagged": np.zeros(shape, dtype=bool),
        "absent_days": np.zeros(shape, dtype=np.int64),
        "group": np.ones(shape, dtype=np.int64),
        "depositable": np.ones(shape, dtype=bool),
        "must_exit": np.zeros(shape, dtype=bool),
        "reasons": np.full(shape, "", dtype=object),
        "forecast_apy": apy,
        "forecast_tvl_usd": arrays.get("filled_tvl_usd", np.full(shape, 1e7)),
        "price_usd": np.ones(tokens),
        "price_age_days": np.zeros(tokens, dtype=np.int64),
        "iceboxed": np.zeros(tokens, dtype=bool),
        "approved": np.ones(tokens, dtype=bool),
        "pegged": np.ones(len(TOKENS), dtype=bool),
        "market_cap_usd": np.tile(np.array([5e9, 40e9, 100e9]), (steps, 1)),
        "gas_price_gwei": np.full(steps, 5.0),
        "eth_usd": np.full(steps, 3000.0),
        "gas_age_days": np.zeros(steps, dtype=np.int64),
    }
    return MarketHistory(**{**values, **arrays})


@dataclass(frozen=True)
class State:
    """A step, what could be moved at it, and the problem that the engine gets."""

    prepared: PreparedMarket
    moves: Moves
    framed: Framed

    @property
    def allowed_usd(self) -> float:
        """The gap that the parameters allow."""
        return float(self.moves.allowed_usd[0])

    def exact(self) -> AllocationDecision:
        """The decision of the optimiser."""
        return solve(self.framed.problem)

    def score_gain_usd(self, decision: AllocationDecision) -> float:
        """What the decision gains over holding, idle cash charged where the parameters charge it."""
        problem = self.framed.problem
        idle = float((decision.wallet - problem.wallet) @ problem.token_prices)
        return decision.gain_over_hold_usd - self.moves.idle_charge * idle


def state(book: Book, market: MarketHistory, chosen: Parameters) -> State:
    """The only step of a market, held from `book`."""
    steps = StepMarket(market, 1)
    prepared = prepare(steps, chosen)
    holding = hold_on(book, prepared, 0, 1)
    opened = holding.book_after(0, market.price_usd[0])
    framed = frame_problem(steps.view(0), state_of(opened, steps, 0), chosen)
    return State(prepared, moves_of(holding, prepared), framed)


def random_state(seed: int, **overrides: Any) -> State:
    """Four to nine pools of one or two tokens; most of the book is well placed, so that holding often is best."""
    rng = np.random.default_rng(seed)
    pools = int(rng.integers(4, 10))
    members = tuple(
        (int(rng.integers(3)),) if rng.random() < 0.8 else tuple(sorted(rng.choice(3, 2, replace=False).tolist()))
        for _ in range(pools)
    )
    apy = np.exp(rng.normal(np.log(0.06), rng.choice([0.02, 0.1, 0.4]), (1, pools)))
    price = rng.uniform(0.997, 1.003, (1, 3))
    market = history(
        1,
        members,
        apy=apy,
        filled_tvl_usd=np.exp(rng.normal(np.log(6e6), 1.0, (1, pools))),
        group=rng.integers(1, 4, (1, pools)),
        depositable=rng.random((1, pools)) > 0.15,
        price_usd=price,
        gas_price_gwei=np.exp(rng.normal(np.log(4.0), 1.0, 1)),
    )
    aum = float(np.exp(rng.uniform(np.log(2e4), np.log(2e6))))
    positions = np.zeros((pools, 3))
    places = rng.choice(pools, int(rng.integers(1, min(5, pools) + 1)), replace=False)
    best_first = np.sort(places) if rng.random() < 0.3 else np.argsort(-apy[0])[: len(places)]
    for pool, share in zip(best_first, rng.dirichlet(np.full(len(places), 4.0)), strict=True):
        positions[pool, list(members[pool])] = share * aum / len(members[pool]) / price[0, list(members[pool])]
    wallet = rng.dirichlet(np.ones(3)) * aum * rng.choice([0.0, 1e-6, 0.05, 0.5])
    return state(Book(wallet, positions, price[0]), market, rules(**overrides))

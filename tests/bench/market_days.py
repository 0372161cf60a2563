"""A portfolio's days in a market: the problems it met, and the CPU time its decisions took.

Belongs here: running the portfolio's own day transition over a loaded market. Does not belong here: tables of it (the
backtest of the package writes them).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem
from defiyield_core.backtest.engine import LoadedRange, decision_window, load_range
from defiyield_core.history import MarketHistory, load_market
from defiyield_core.policies.registry import policy_for
from defiyield_core.portfolio.day import close_day, open_day
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import starting_state
from defiyield_core.settings import Settings
from defiyield_core.sources.replay import ReplaySource


@dataclass(frozen=True)
class Days:
    """What a portfolio did over a window.

    Attributes:
        problems, decisions: of the days that were decided.
        policy_seconds: CPU time of framing and deciding. loop_seconds: of whole days, the view of the market, accrual
            and the checked identities included.
    """

    problems: tuple[AllocationProblem, ...]
    decisions: tuple[AllocationDecision, ...]
    policy_seconds: float
    loop_seconds: float

    @property
    def median_pools(self) -> int:
        """Pools of the middle problem."""
        return int(np.median([len(problem.pool_ids) for problem in self.problems]))


class _Timed:
    """A policy that adds up the CPU time of its answers."""

    def __init__(self, policy: Any) -> None:
        self.seconds = 0.0
        self._policy = policy

    def frame(self, *given: Any) -> Any:
        """The policy's frame."""
        return self._answer(self._policy.frame, given)

    def decide(self, *given: Any) -> Any:
        """The policy's decision."""
        return self._answer(self._policy.decide, given)

    def _answer(self, method: Any, given: tuple[Any, ...]) -> Any:
        begun = time.process_time()
        answer = method(*given)
        self.seconds += time.process_time() - begun
        return answer


def run_days(market: MarketHistory, spec: PortfolioSpec) -> Days:
    """Run the portfolio over all of the market's days from its starting wallet."""
    policy = _Timed(policy_for(spec.policy, spec.parameters, spec.policy_options))
    days = [day.item() for day in market.days]
    state = starting_state(days[0], spec.wallet, market)
    problems, decisions = [], []
    begun = time.process_time()
    for day in days:
        closed = close_day(open_day(state, market, day, spec.parameters, {}), market, policy, spec.parameters)
        state = closed.state
        if closed.decided is not None:
            problems.append(closed.decided.problem)
            decisions.append(closed.decided.decision)
    spent = time.process_time() - begun
    return Days(tuple(problems), tuple(decisions), policy.seconds, spent)


def load(source: ReplaySource, spec: PortfolioSpec, chains: Sequence[str] = ()) -> LoadedRange:
    """The source's days of decisions, judged for the portfolio on its own chain and on these."""
    specs = [spec, *(_on_chain(spec, chain) for chain in chains)]
    settings = Settings.from_environment({}, source=source.name)
    return load_range(settings, decision_window(source, spec, None, None), source=source, specs=specs)


def market_of(loaded: LoadedRange, spec: PortfolioSpec) -> MarketHistory:
    """The market as the portfolio sees it."""
    return load_market(loaded.warehouse, spec.parameters, loaded.window, held_tokens=spec.wallet)


def market_of_chains(loaded: LoadedRange, spec: PortfolioSpec, chains: Sequence[str]) -> MarketHistory:
    """The market as if these chains were one: a pool is open where it is open to a portfolio of its own chain."""
    markets = [market_of(loaded, _on_chain(spec, chain)) for chain in chains]
    return replace(
        markets[0],
        depositable=np.any([market.depositable for market in markets], axis=0),
        must_exit=np.all([market.must_exit for market in markets], axis=0),
    )


def chains_of(source: ReplaySource) -> tuple[str, ...]:
    """Chains of the source's pools, in alphabetical order."""
    return tuple(sorted({str(listing["chain"]) for listing in source.tables().listings if listing["chain"]}))


def _on_chain(spec: PortfolioSpec, chain: str) -> PortfolioSpec:
    return spec.with_overrides({"chain": chain})

"""Runs to hold a backtest against that no live portfolio could make, or that nobody would: what is shown beside it.

Belongs here: perfect foresight, the best single pool in hindsight, random portfolios, by the names under which a
backtest is compared with them. Does not belong here: how foresight is put into a market (see `foresight`), the loop.

- `perfect_foresight`: the portfolio itself, deciding with what is going to come as its forecasts. A bound.
- `best_pool_in_hindsight`: everything in the one pool that turned out best of those that were open on the first day,
  its rate diluted by our own money.
- `random:N`: N portfolios that draw their pools at random, within the same limits, once a month.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from defiyield_core.backtest.engine import LoadedRange, TimedRun, run_range
from defiyield_core.backtest.foresight import paid_growth, with_foresight
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.port import horizon_of
from defiyield_core.history import MarketHistory
from defiyield_core.parameters import Parameters
from defiyield_core.portfolio.day import diluted
from defiyield_core.portfolio.journal import Journal
from defiyield_core.portfolio.loop import OnDay
from defiyield_core.portfolio.runner import opening_of
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import starting_state
from defiyield_core.reporting.inputs import BEST_POOL, FORESIGHT
from defiyield_core.universe.eligibility import GONE_DAYS

PORTFOLIO = "portfolio"
RANDOM = "random"
RANDOM_COUNT = 10
MOST_RANDOM = 200


@dataclass(frozen=True)
class Companion:
    """A run beside another: a portfolio, and what it is told (`PORTFOLIO`: nothing but its own market)."""

    spec: PortfolioSpec
    kind: str = PORTFOLIO

    @property
    def name(self) -> str:
        """The name its rows have."""
        return self.spec.name


def is_hindsight(name: str) -> bool:
    """Whether a name to compare with is one of these and not that of a portfolio file."""
    return name.partition(":")[0] in (FORESIGHT, BEST_POOL, RANDOM)


def companions(name: str, spec: PortfolioSpec) -> list[Companion]:
    """What a name stands for, for a portfolio: its wallet, its rules, another way to choose.

    Raises:
        ConfigurationError: no number, or too large a one, of random portfolios.
    """
    kind, _, count = name.partition(":")
    if kind != RANDOM:
        if count:
            raise ConfigurationError(f"--compare {name}: only {RANDOM} takes a number")
        return [Companion(replace(spec, name=kind), kind)]
    if count and not (count.isdecimal() and 1 <= int(count) <= MOST_RANDOM):
        raise ConfigurationError(f"--compare {name}: expected {RANDOM}:N with N from 1 to {MOST_RANDOM}")
    seeds = range(1, int(count or RANDOM_COUNT) + 1)
    return [
        Companion(
            replace(spec, name=f"{RANDOM}_{seed}", policy="random_weights", policy_options={"seed": seed}), RANDOM
        )
        for seed in seeds
    ]


def run_companion(
    loaded: LoadedRange, one: Companion, on_day: OnDay | None = None, *, journal: Journal | None = None
) -> TimedRun:
    """Run it over the loaded range."""
    if one.kind == FORESIGHT:
        seen = with_foresight(loaded.market(one.spec), horizon_of(one.spec.parameters))
        return run_range(loaded, one.spec, on_day, market=seen, journal=journal)
    spec = one.spec
    if one.kind == BEST_POOL:
        spec = replace(spec, parameters=_diluting(spec.parameters))
        wallet = opening_of(loaded.warehouse, spec, loaded.window).wallet
        best = best_pool(loaded.market(spec), replace(spec, wallet=wallet))
        spec = replace(spec, policy="hold_pool" if best else "hold", policy_options={"pool_id": best} if best else {})
    return run_range(loaded, spec, on_day, journal=journal)


def _diluting(rules: Parameters) -> Parameters:
    """All of the money in one pool moves its rate, whatever the portfolio's own rules leave out of its books."""
    return rules.with_overrides({"accrual_dilution": "pro_rata"}) if rules.accrual_dilution == "as_decided" else rules


def best_pool(market: MarketHistory, spec: PortfolioSpec) -> str:
    """Id of the pool in which the starting wallet would have grown most; empty where there is none.

    Among the pools that are open to deposits on the first day and large enough for all of the wallet (the share of TVL
    that a position may be). Growth as the books accrue it: a flagged or missing rate pays nothing, a pool that is gone
    loses the haircut. Costs and prices play no part in the choice; the run that follows pays them.
    """
    worth_usd = starting_state(market.days[0].astype(object), spec.wallet, market).aum_usd
    value = np.full(len(market.pools.ids), worth_usd)
    room_usd = np.nan_to_num(market.filled_tvl_usd[0]) * spec.parameters.pool_tvl_share
    candidate = market.depositable[0] & (room_usd >= worth_usd)
    if not candidate.any():
        return ""
    growth = paid_growth(market)
    for t in range(1, len(market.days)):
        gone = (market.absent_days[t] >= GONE_DAYS) & (market.absent_days[t - 1] < GONE_DAYS)
        value = value * (1.0 + diluted(growth[t], value, market.filled_tvl_usd[t], spec.parameters))
        value = np.where(gone, value * (1.0 - spec.parameters.gone_haircut), value)
    return market.pools.ids[int(np.argmax(np.where(candidate, value, -np.inf)))]

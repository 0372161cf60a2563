"""What a policy is, and the problem that a view and a state make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem, GasCosts
from defiyield_core.history import MarketView
from defiyield_core.parameters import GAS_UNITS, Parameters
from defiyield_core.portfolio.state import PortfolioState
from defiyield_core.units import BoolArray, FloatArray, IntArray, gas_leg_usd
from defiyield_core.universe.eligibility import GONE_DAYS


@dataclass(frozen=True)
class Framed:
    """A day's problem and where its pools and tokens stand in the market's arrays.

    Attributes:
        pool_index: (n,) into the market's pools. token_index: (m,) into its tokens.
    """

    problem: AllocationProblem
    pool_index: IntArray
    token_index: IntArray


@dataclass(frozen=True)
class Decided:
    """A decision with the problem it answers and its indices into the market (see `Framed`)."""

    problem: AllocationProblem
    decision: AllocationDecision
    pool_index: IntArray
    token_index: IntArray


class Policy(Protocol):
    """Decides what the portfolio holds after today's close, in two steps.

    The second knows nothing but the problem: a stored problem, the policy's name, its options and its parameters give
    the decision again.
    """

    def frame(self, view: MarketView, state: PortfolioState) -> Framed:
        """The problem at the end of `view.day`: which pools and tokens the rule may use.

        The state is already accrued and revalued to that day.
        """
        ...

    def decide(self, problem: AllocationProblem) -> AllocationDecision:
        """The rule: the same problem gives the same decision."""
        ...


@dataclass(frozen=True)
class EligiblePoolsPolicy:
    """The first step of most policies: every pool that is open to deposits or held."""

    parameters: Parameters

    def frame(self, view: MarketView, state: PortfolioState) -> Framed:
        """The problem of `frame_problem`."""
        return frame_problem(view, state, self.parameters)


def decided(policy: Policy, view: MarketView, state: PortfolioState) -> Decided:
    """Both steps: the decision at the end of `view.day`, with its problem."""
    framed = policy.frame(view, state)
    return Decided(framed.problem, policy.decide(framed.problem), framed.pool_index, framed.token_index)


def gas_costs(view: MarketView, parameters: Parameters) -> GasCosts:
    """USD per token leg at the day's gas price (domain.md, section 1)."""
    units = GAS_UNITS[parameters.gas]
    per_unit = gas_leg_usd(1.0, view.gas_price_gwei, view.eth_usd)
    return GasCosts(
        deposit_usd=units["deposit"] * per_unit,
        withdrawal_usd=units["withdrawal"] * per_unit,
        conversion_usd=units["conversion"] * per_unit,
    )


def selected(view: MarketView, depositable: BoolArray, rule: str) -> BoolArray:
    """Depositable pools narrowed to the 30 smallest or 5 largest by forecast TVL (scenarios); `all` narrows nothing."""
    if rule == "all":
        return depositable
    candidates = np.flatnonzero(depositable)
    by_size = candidates[np.argsort(view.forecast_tvl_usd[candidates], kind="stable")]
    chosen = by_size[:30] if rule == "smallest_30" else by_size[-5:]
    narrowed = np.zeros_like(depositable)
    narrowed[chosen] = True
    return narrowed


def escape_token(view: MarketView) -> int:
    """The largest approved token on its peg with a price (by market cap, then by name); -1 when there is none."""
    safe = view.approved & view.on_peg & view.pegged & (view.price_usd > 0)
    if not safe.any():
        return -1
    candidates = np.flatnonzero(safe)
    caps = _known(view.market_cap_usd[candidates])
    return int(candidates[np.argmax(caps)])


def frame_problem(view: MarketView, state: PortfolioState, parameters: Parameters) -> Framed:
    """The allocation problem of the day: pools that are depositable or held, tokens they or the wallet need.

    Wallet tokens that are not approved stay outside. A token in the icebox is neither deposited nor converted into;
    under `exit` what is held of it leaves and is converted, under `hold` it is frozen.
    """
    held: BoolArray = np.asarray((state.positions > 0).any(axis=1))
    target = escape_token(view)
    exit_iced = parameters.icebox_policy == "exit" and target >= 0
    must_exit, withdrawable = _exits(view, state, parameters, exit_iced, held)
    depositable = selected(view, view.depositable & ~must_exit, parameters.pool_selection)
    pools = np.flatnonzero(depositable | held)
    frozen_tokens = ~view.on_peg if not exit_iced else np.zeros(len(view.tokens), dtype=bool)
    in_wallet = (state.wallet > 0) & view.approved & ~frozen_tokens
    needed: BoolArray = np.asarray(in_wallet | (state.positions > 0).any(axis=0))
    pool_list = pools.tolist()
    needed[[token for pool in pool_list for token in view.pools.tokens[pool]]] = True
    if exit_iced and (needed & ~view.on_peg).any():
        needed[target] = True
    tokens = np.flatnonzero(needed & (view.price_usd > 0))
    tvl_usd = np.where(np.isfinite(view.forecast_tvl_usd), view.forecast_tvl_usd, view.tvl_usd)[pools]
    problem = AllocationProblem(
        as_of=view.day,
        tokens=tuple(view.tokens[token] for token in tokens.tolist()),
        token_prices=view.price_usd[tokens],
        wallet=np.where(in_wallet, state.wallet, 0.0)[tokens],
        convertible_into=(view.approved & view.on_peg)[tokens],
        forced_target=_forced_targets(view, state, tokens, target if exit_iced else -1, parameters),
        pool_ids=tuple(view.pools.ids[pool] for pool in pool_list),
        pool_symbols=tuple(view.pools.symbols[pool] for pool in pool_list),
        pool_protocols=tuple(view.pools.protocols[pool] for pool in pool_list),
        pool_tokens=_pool_tokens(view, pools, tokens),
        apy=_known(view.forecast_apy[pools]),  # a held pool without a forecast is not assumed to earn
        tvl_usd=_known(tvl_usd),
        group=view.group[pools],
        depositable=depositable[pools],
        withdrawable=withdrawable[pools],
        must_exit=must_exit[pools],
        positions=state.positions[np.ix_(pools, tokens)],
        gas=gas_costs(view, parameters),
        parameters=parameters,
    )
    return Framed(problem, pools, tokens)


def _exits(
    view: MarketView, state: PortfolioState, parameters: Parameters, exit_iced: bool, held: BoolArray
) -> tuple[BoolArray, BoolArray]:
    """(P,) positions that must be left, and those that may be: under `hold` what holds an iceboxed token stays.

    Under `exit` without a token to flee to, such a position stays too, whatever else speaks against its pool: the view
    does not tell the icebox from the other hard reasons.
    """
    gone = held & (state.absent_days >= GONE_DAYS)
    holds_iced: BoolArray = np.asarray((state.positions[:, ~view.on_peg] > 0).any(axis=1))
    must_exit = held & (view.must_exit | gone)
    if parameters.icebox_policy == "exit" and not exit_iced:
        must_exit &= ~holds_iced | gone
    return must_exit, must_exit | exit_iced | ~holds_iced


def _known(values: FloatArray) -> FloatArray:
    """The values, 0 where there is none."""
    return np.where(np.isnan(values), 0.0, values)


def _pool_tokens(view: MarketView, pools: IntArray, tokens: IntArray) -> tuple[tuple[int, ...], ...]:
    place = {token: position for position, token in enumerate(tokens.tolist())}
    return tuple(tuple(place[token] for token in view.pools.tokens[pool] if token in place) for pool in pools.tolist())


def _forced_targets(
    view: MarketView, state: PortfolioState, tokens: IntArray, target: int, parameters: Parameters
) -> IntArray:
    """(m,) where the units of an iceboxed token go. Dust that is worth less than the gas of moving it stays."""
    forced = np.full(len(tokens), -1, dtype=np.int64)
    if target < 0 or target not in tokens:
        return forced
    exposure = (state.wallet + state.positions.sum(axis=0)) * view.price_usd
    gas = gas_costs(view, parameters).conversion_usd
    for position, token in enumerate(tokens):
        if not view.on_peg[token] and exposure[token] > max(gas, parameters.min_transaction_value):
            forced[position] = int(np.flatnonzero(tokens == target)[0])
    return forced

"""One day of a portfolio: open with yesterday's close, accrue, revalue, decide, execute, close.

Belongs here: the transition and its accounting identities. Does not belong here: rows of tables, loops over days.
Shapes: P pools, K tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from defiyield_core.allocation.curves import yields_for
from defiyield_core.errors import LedgerError
from defiyield_core.history import MarketHistory, MarketView
from defiyield_core.parameters import Parameters
from defiyield_core.policies.port import Decided, Policy, decided
from defiyield_core.portfolio.state import PortfolioState
from defiyield_core.units import BoolArray, FloatArray, Number, daily_growth, exact_sum
from defiyield_core.universe.eligibility import GONE_DAYS

IDENTITY_TOLERANCE_USD = 1e-6
ROUNDING_SHARE = 4e-15
"""Of AUM: some 20 roundings. Above 250 million USD double precision cannot hold the books to 1e-6."""
_STATUS = {"optimal": "ok", "held": "ok", "infeasible": "solver_infeasible", "timeout": "timeout"}


@dataclass(frozen=True)
class OpenedDay:
    """The state after accrual, flows and revaluation, before the decision.

    Attributes:
        accrual_usd, revaluation_usd, flows_usd: (K,) by token.
        pool_accrual_usd: (P,) by pool. forecast_accrual_usd: what yesterday's forecasts said.
        no_data: (P,) held pools without a row on the day.
    """

    state: PortfolioState
    aum_open_usd: float
    accrual_usd: FloatArray
    pool_accrual_usd: FloatArray
    forecast_accrual_usd: float
    revaluation_usd: FloatArray
    flows_usd: FloatArray
    no_data: BoolArray


@dataclass(frozen=True)
class ClosedDay:
    """A finished day. `decided` is None when missing data stopped the decision."""

    opened: OpenedDay
    state: PortfolioState
    view: MarketView
    decided: Decided | None
    status: str
    reason: str
    fees_usd: FloatArray

    @property
    def gas_usd(self) -> float:
        """Gas paid."""
        return self.decided.decision.gas_usd if self.decided else 0.0

    @property
    def conversion_usd(self) -> float:
        """Conversion fees paid."""
        return self.decided.decision.conversion_usd if self.decided else 0.0


def open_day(
    state: PortfolioState, market: MarketHistory, day: date, parameters: Parameters, flows: Mapping[str, float]
) -> OpenedDay:
    """Accrue the day's realised yield at yesterday's prices, revalue to the day's prices, book external flows.

    Growth of a position is `(1 + apy) ** (1/365) - 1` of the day's observed rate; none when it is missing or flagged.
    With `accrual_dilution` our own money takes part in it (see `diluted`).
    A pool that has been absent for the third day in a row loses the haircut for gone pools.
    """
    t = market.index_of(day)
    held = (state.positions > 0).any(axis=1)
    observed = np.isfinite(market.observed_apy[t])
    growth = np.where(observed & ~market.flagged[t], _daily_growth(market.observed_apy[t], observed), 0.0)
    position_usd = state.position_usd
    tvl_usd = market.filled_tvl_usd[t]
    growth = diluted(growth, position_usd, tvl_usd, parameters)
    gained = state.positions * growth[:, None]
    absent = np.where(held, market.absent_days[t], 0)
    gone_today = (absent >= GONE_DAYS) & (state.absent_days < GONE_DAYS)
    grown = state.positions + gained
    lost = np.where(gone_today[:, None], grown * parameters.gone_haircut, 0.0)
    positions = grown - lost
    price = market.price_usd[t]
    before_flows = state.wallet + grown.sum(axis=0)
    revaluation = before_flows * (price - state.price_usd) - lost.sum(axis=0) * price
    added = _flow_amounts(flows, market, state, day)
    expected = _daily_growth(state.forecast_apy, np.isfinite(state.forecast_apy))
    expected = diluted(expected, position_usd, tvl_usd, parameters)
    return OpenedDay(
        state=replace(
            state, day=day, wallet=state.wallet + added, positions=positions, price_usd=price.copy(), absent_days=absent
        ),
        aum_open_usd=state.aum_usd,
        accrual_usd=gained.sum(axis=0) * state.price_usd,
        pool_accrual_usd=(gained * state.price_usd).sum(axis=1),
        forecast_accrual_usd=exact_sum(position_usd * expected),
        revaluation_usd=np.where(before_flows > 0, revaluation, 0.0),
        flows_usd=added * price,
        no_data=held & ~observed,
    )


def _daily_growth(apy: FloatArray, known: BoolArray) -> FloatArray:
    """(P,) one day's growth at these rates; 0 where the rate is not known."""
    return daily_growth(np.where(known, apy, 0.0))


def diluted(growth: FloatArray, position_usd: FloatArray, tvl_usd: FloatArray, parameters: Parameters) -> FloatArray:
    """(P,) the day's growth of positions of V dollars in pools of T: `g T / (T + V)` where `accrual_dilution` asks.

    The pro-rata law of `allocation.curves` over one day; `rate_curve` accrues by it too, for no source tells the total
    supply. Growth stays as it is where the observed TVL contains our money (the observed rate is then ours already),
    where it is a loss, and where the TVL is missing: a gap in one column is no reason to book no yield, and the caps
    keep V small beside T. A pool of TVL 0 earns nothing: a rate that is paid on no money is no money, and that is what
    the law tends to.

    Args:
        position_usd: (P,) V, at yesterday's close. tvl_usd: (P,) T, the last observation, carried at most 3 days.
    """
    law = parameters.dilution if parameters.accrual_dilution == "as_decided" else parameters.accrual_dilution
    if law == "off" or parameters.tvl_includes_positions:
        return growth
    known = np.isfinite(tvl_usd)
    yields, _ = yields_for("pro_rata", growth, np.where(known, tvl_usd, 0.0), np.zeros_like(growth), position_usd, {})
    held = known & (position_usd > 0)
    return np.divide(yields.usd(position_usd), position_usd, out=growth.copy(), where=held)


def _flow_amounts(flows: Mapping[str, float], market: MarketHistory, state: PortfolioState, day: date) -> FloatArray:
    added = np.zeros(len(market.tokens))
    for token, amount in flows.items():
        index = market.tokens.index(token) if token in market.tokens else -1
        if index < 0 or (amount > 0 and not market.approved[market.index_of(day), index]):
            raise LedgerError(f"{day}: external flow of {token}, which is not an approved token")
        added[index] += amount
    short = np.flatnonzero(state.wallet + added < 0)
    if len(short):
        first = int(short[0])
        raise LedgerError(
            f"{day}: external flow takes {-added[first]:.2f} {market.tokens[first]} but the wallet holds "
            f"{state.wallet[first]:.2f}"
        )
    return added


def missing_data(view: MarketView, parameters: Parameters) -> str:
    """Why a decision must not be taken on this day; empty when it may."""
    if view.gas_age_days > parameters.max_gas_age_days or not np.isfinite(view.gas_price_gwei * view.eth_usd):
        return f"gas data is older than {parameters.max_gas_age_days} days"
    if int(view.price_age_days.min(initial=10_000)) > parameters.max_price_age_days:
        return f"token prices are older than {parameters.max_price_age_days} days"
    if not np.isfinite(view.apy).any():
        return "no pool has been observed within 3 days"
    return ""


def close_day(opened: OpenedDay, market: MarketHistory, policy: Policy, parameters: Parameters) -> ClosedDay:
    """Decide with what is known at the end of the day, execute at its prices and gas, and check the identities.

    Raises:
        LedgerError: an identity does not hold to 1e-6 USD (above 250 million USD: to the rounding of doubles).
    """
    view = market.as_of(opened.state.day)
    reason = missing_data(view, parameters)
    if reason:
        closed = held_day(opened, market, "data_missing", reason)
    else:
        answer = decided(policy, view, opened.state)
        status, reason = _STATUS[answer.decision.status], answer.decision.reason
        if status == "ok" and not view.depositable.any():
            status, reason = "no_pools", "no pool is open to deposits"
        closed = ClosedDay(
            opened,
            _executed(opened.state, view, answer),
            view,
            answer,
            status,
            reason,
            _fees_by_token(answer, market),
        )
    _assert_identity(closed)
    return closed


def held_day(opened: OpenedDay, market: MarketHistory, status: str, reason: str) -> ClosedDay:
    """A day without a decision: what is held stays, and the reason is kept."""
    view = market.as_of(opened.state.day)
    return ClosedDay(opened, opened.state, view, None, status, reason, np.zeros(len(market.tokens)))


def _executed(state: PortfolioState, view: MarketView, decided: Decided) -> PortfolioState:
    """The state after the plan; what is outside the problem stays as it is."""
    tokens, pools = decided.token_index, decided.pool_index
    wallet, positions = state.wallet.copy(), state.positions.copy()
    aside = wallet[tokens] - decided.problem.wallet
    wallet[tokens] = aside + decided.decision.wallet
    positions[np.ix_(pools, tokens)] = decided.decision.positions
    held = (positions > 0).any(axis=1)
    return replace(
        state,
        wallet=wallet,
        positions=positions,
        absent_days=np.where(held, state.absent_days, 0),
        forecast_apy=np.where(held, view.forecast_apy, np.nan),
    )


def _fees_by_token(decided: Decided, market: MarketHistory) -> FloatArray:
    fees = np.zeros(len(market.tokens))
    for row in decided.decision.transactions:
        if row.fee_token is not None:
            fees[market.tokens.index(row.fee_token)] += row.total_cost_usd
    return fees


def identity_tolerance_usd(value_usd: Number) -> Number:
    """How far two sides of an identity of this size may be apart: 1e-6 USD, or what floats of the size cannot tell."""
    return np.maximum(IDENTITY_TOLERANCE_USD, ROUNDING_SHARE * value_usd)


def _assert_identity(day: ClosedDay) -> None:
    opened = day.opened
    expected = (
        opened.aum_open_usd
        + exact_sum(opened.accrual_usd)
        + exact_sum(opened.revaluation_usd)
        + exact_sum(opened.flows_usd)
        - day.gas_usd
        - day.conversion_usd
    )
    gap = expected - day.state.aum_usd
    if not abs(gap) <= identity_tolerance_usd(opened.aum_open_usd):
        raise LedgerError(
            f"{day.state.day}: open + accrual + revaluation + flows - costs is {expected:.6f} USD but the close is "
            f"{day.state.aum_usd:.6f} USD ({gap:+.2e})"
        )
    if (day.state.wallet < 0).any() or (day.state.positions < 0).any():
        raise LedgerError(f"{day.state.day}: the close holds a negative amount")

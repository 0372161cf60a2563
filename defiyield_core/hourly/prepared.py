"""A step market with everything that parameters turn into arrays once, before the loop.

Belongs here: growth by step and over the horizon, gas by leg, which pools a step may deposit into, on which steps a
decision may be taken. Does not belong here: what is held (`holding`), deciding (`gate`, `loop`).
Shapes: T steps, P pools, K tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defiyield_core.hourly.market import StepMarket
from defiyield_core.parameters import GAS_UNITS, Parameters
from defiyield_core.units import BoolArray, FloatArray, IntArray, gas_leg_usd, growth_over
from defiyield_core.universe.eligibility import GONE_DAYS


@dataclass(frozen=True)
class PreparedMarket:
    """What the loop reads at every step.

    Attributes:
        growth, expected: (T, P) growth of one step at the observed and at the forecast rate; 0 where unknown.
        horizon_growth: (T, P) forecast growth over the horizon, 0 where there is no forecast.
        has_row: (T, P) the pool was observed. gone_now: (T, P) it counts as gone from this step on.
        must_leave: (T, P) a position must be left. is_open: (T, P) a deposit may be considered.
        tvl_usd: (T, P) that caps positions. is_safe: (T, K) approved and on its peg.
        deposit_usd, withdrawal_usd, conversion_usd: (T,) gas of one leg.
        decidable: (T,) data are fresh enough for a decision. has_pools: (T,) some pool is open to deposits.
        forecast_step: (T,) newest step up to this one at which a decision was possible, at least 0.
        token_weight: (P, K) share of a deposit that goes into each token. legs: (P,) tokens of each pool.
    """

    market: StepMarket
    parameters: Parameters
    growth: FloatArray
    expected: FloatArray
    horizon_growth: FloatArray
    has_row: BoolArray
    gone_now: BoolArray
    must_leave: BoolArray
    is_open: BoolArray
    tvl_usd: FloatArray
    is_safe: BoolArray
    deposit_usd: FloatArray
    withdrawal_usd: FloatArray
    conversion_usd: FloatArray
    decidable: BoolArray
    has_pools: BoolArray
    forecast_step: IntArray
    token_weight: FloatArray
    legs: FloatArray


def prepare(market: StepMarket, parameters: Parameters) -> PreparedMarket:
    """Work the arrays out."""
    rows, step_days = market.rows, 1.0 / market.steps_per_day
    has_row = np.isfinite(rows.observed_apy)
    forecast = np.nan_to_num(rows.forecast_apy)
    absent = rows.absent_days >= GONE_DAYS
    was_absent = np.concatenate([np.zeros((1, absent.shape[1]), dtype=bool), absent[:-1]])
    is_safe = rows.approved & ~rows.iceboxed
    member = _members(market)
    unsafe_pool = (~is_safe).astype(float) @ member.T > 0
    units = GAS_UNITS[parameters.gas]
    per_unit = gas_leg_usd(np.ones(len(market)), rows.gas_price_gwei, rows.eth_usd)
    decidable = _decidable(market, parameters)
    legs = member.sum(axis=1)
    tvl_usd = np.where(np.isfinite(rows.forecast_tvl_usd), rows.forecast_tvl_usd, rows.filled_tvl_usd)
    return PreparedMarket(
        market=market,
        parameters=parameters,
        growth=np.where(has_row & ~rows.flagged, growth_over(np.nan_to_num(rows.observed_apy), step_days), 0.0),
        expected=growth_over(forecast, step_days),
        horizon_growth=growth_over(forecast, parameters.horizon_days),
        has_row=has_row,
        gone_now=absent & ~was_absent,
        must_leave=rows.must_exit | absent,
        is_open=_selected(market, parameters.pool_selection) & ~unsafe_pool,
        tvl_usd=np.nan_to_num(tvl_usd),
        is_safe=is_safe,
        deposit_usd=units["deposit"] * per_unit,
        withdrawal_usd=units["withdrawal"] * per_unit,
        conversion_usd=units["conversion"] * per_unit,
        decidable=decidable,
        has_pools=np.asarray(rows.depositable.any(axis=1)),
        forecast_step=np.maximum.accumulate(np.where(decidable, np.arange(len(decidable)), 0)),
        token_weight=member / np.maximum(legs, 1.0)[:, None],
        legs=legs,
    )


def _members(market: StepMarket) -> FloatArray:
    """(P, K) 1 where the token is one of the pool's."""
    member = np.zeros((len(market.rows.pools.ids), len(market.rows.tokens)))
    for pool, tokens in enumerate(market.rows.pools.tokens):
        member[pool, list(tokens)] = 1.0
    return member


def _decidable(market: StepMarket, parameters: Parameters) -> BoolArray:
    """(T,) the rule of `portfolio.day.missing_data` for all steps."""
    rows = market.rows
    gas = (rows.gas_age_days <= parameters.max_gas_age_days) & np.isfinite(rows.gas_price_gwei * rows.eth_usd)
    prices = rows.price_age_days.min(axis=1, initial=10_000) <= parameters.max_price_age_days
    return np.asarray(gas & prices & np.isfinite(rows.filled_apy).any(axis=1))


def _selected(market: StepMarket, rule: str) -> BoolArray:
    """(T, P) depositable pools narrowed as `policies.port.selected` narrows them."""
    depositable = market.rows.depositable
    if rule == "all":
        return depositable
    size = np.where(depositable, market.rows.forecast_tvl_usd, np.inf if rule == "smallest_30" else -np.inf)
    place = np.argsort(np.argsort(size, axis=1, kind="stable"), axis=1)
    chosen = place < 30 if rule == "smallest_30" else place >= size.shape[1] - 5
    return np.asarray(depositable & chosen)

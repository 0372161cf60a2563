"""The certificate of inaction: holding is proven to be within `gap_bps` of the best plan, without a solver.

Belongs here: the bound, its proof, prices that make it tight. Does not belong here: the model that it relaxes
(`allocation.engines.milp`), the loop.

Let the score of a plan be what `allocation` maximises: growth of the final positions less gas and conversion fees less
`k` (`Limits.idle_charge`) times idle cash. Of its rules keep, for every pool p, `V_p = v_p + d_p - w_p`,
`0 <= d_p <= D_p`, `0 <= w_p <= v_p`, not both, and gas where either is used; for every conversion `0 <= c_ij <= C_ij`
and gas where it is used. Drop minimum sizes and the number of positions. Give the remaining rules prices of at least 0:
`b` to the budget (idle cash after every fee is at least 0), `a_t` to each token's wallet (at least 0 before fees),
`g_G` to each group's cap. With `q_t = a_t + b`, `f = 1 - k + b` and W_t the wallet, no plan scores more than

    hold + sum_t q_t W_t + sum_G g_G (cap_G - held_G) + sum_p gain_p + sum_ij gain_ij,

    gain_p  = max(0,
                  max over d in [0, D_p] of growth_p(v_p + d) - growth_p(v_p) + (k - g_G - q_in) d - f gas,
                  max over w in [0, v_p] of growth_p(v_p - w) - growth_p(v_p) - (k - g_G) w + q_out(w) - f gas)
    gain_ij = max(0, (q_j - q_i - f rate) C_ij - f gas)

Proof. Any plan keeps the priced rules, so adding price times slack (at least 0) to its score does not lower it. The sum
then falls apart into one term for each pool and each conversion, and each is at most its maximum over the rules that
were kept: 0 more than holding where the pool is left alone, else the better of the two lines. Prices may be anything,
so old ones give a bound too, only a looser one. As b may be anything up to the smallest q, and a larger b only makes
fees dearer, b is that smallest q.

Growth is linear or, with dilution, concave: the inner maxima are at an end, or where the slope meets the price. D_p is
0 where `allocation.limits` allows no deposit and at most the room under both caps; C_ij is at most what the wallet and
the positions can deliver of i, and at most what open pools can take of j (a conversion into anything else, or through a
third token, only costs).

Holding itself must be a plan: nothing is to be left or converted away, and the positions that count are as many as are
required (`holding_is_a_plan`). Caps never speak against holding, because they are never under what is held.
Shapes: B steps, P pools, K tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from defiyield_core.allocation.curves import LEAST_OTHERS
from defiyield_core.allocation.limits import DUST_SHARE, IDLE_CHARGE
from defiyield_core.hourly.holding import Holding, is_usual
from defiyield_core.hourly.prepared import PreparedMarket
from defiyield_core.units import BPS_PER_UNIT, BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class GatePrices:
    """Prices of cash by token (K,) and of the groups' caps (3,), all at least 0, in dollars of growth over the horizon
    (with the charge on idle cash in them: `q` and `g` of the proof)."""

    cash: FloatArray
    group: FloatArray


@dataclass(frozen=True)
class Moves:
    """What could be moved at each step of a holding: the coefficients of the bound.

    Attributes:
        value_usd, growth, room_usd: (B, P) positions, growth over the horizon, largest deposit (0: none).
        tvl_usd, others_usd: (B, P) T and O of `allocation.curves`; None without dilution.
        group: (B, P) 0, 1 or 2. group_slack_usd: (B, 3) room under the groups' caps.
        deposit_gas_usd, withdrawal_gas_usd: (B, P). conversion_gas_usd: (B,).
        price_usd: (B, K).
        is_plan: (B,) holding is a plan (see the module).
    """

    holding: Holding
    prepared: PreparedMarket
    value_usd: FloatArray
    growth: FloatArray
    room_usd: FloatArray
    tvl_usd: FloatArray | None
    others_usd: FloatArray | None
    group: IntArray
    group_slack_usd: FloatArray
    deposit_gas_usd: FloatArray
    withdrawal_gas_usd: FloatArray
    conversion_gas_usd: FloatArray
    price_usd: FloatArray
    is_plan: BoolArray

    def only(self, offset: int) -> Moves:
        """One step alone."""
        row = slice(offset, offset + 1)
        names = [item.name for item in fields(self) if item.name not in ("holding", "prepared")]
        values: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[row] for name in names
        }
        return replace(self, holding=self.holding.only(offset), **values)

    @property
    def idle_charge(self) -> float:
        """`k` of the proof."""
        return IDLE_CHARGE if self.prepared.parameters.full_allocation else 0.0

    @cached_property
    def conversions(self) -> tuple[IntArray, FloatArray]:
        """(n, 2) conversions from a token that is there into one that an open pool takes, and (B, n) the most of
        each."""
        holding = self.holding
        absorbed = self.room_usd @ self.prepared.token_weight
        supply = holding.token_usd + self.price_usd * (holding.factor @ holding.book.positions[holding.held])
        possible = holding.supplied[:, None] & np.asarray((absorbed > 0).any(axis=0))[None, :]
        np.fill_diagonal(possible, False)
        pairs = np.argwhere(possible)
        return pairs, np.minimum(supply[:, pairs[:, 0]], absorbed[:, pairs[:, 1]])

    @property
    def allowed_usd(self) -> FloatArray:
        """(B,) the gap that the parameters allow."""
        return self.prepared.parameters.gap_bps * self.holding.aum_usd / BPS_PER_UNIT


def moves_of(holding: Holding, prepared: PreparedMarket) -> Moves:
    """The coefficients of the bound for every step of a holding."""
    rules, rows = prepared.parameters, prepared.market.rows
    span = slice(holding.first, holding.first + len(holding))
    aum = holding.aum_usd[:, None]
    growth, is_open, tvl_usd = prepared.horizon_growth[span], prepared.is_open[span], prepared.tvl_usd[span]
    value = np.zeros(growth.shape)
    value[:, holding.held] = holding.value_usd
    tvl_cap = rules.pool_tvl_share * tvl_usd
    room = np.maximum(np.minimum(rules.position_cap_share * aum, tvl_cap) - value, 0.0)
    least = np.maximum(rules.min_transaction_value, DUST_SHARE * aum)
    group = rows.group[span] - 1
    held_sums = np.stack(
        [np.where(group[:, holding.held] == number, holding.value_usd, 0.0).sum(axis=1) for number in range(3)], axis=1
    )
    is_diluted = rules.dilution != "off"
    own = value if rules.tvl_includes_positions else 0.0
    return Moves(
        holding=holding,
        prepared=prepared,
        value_usd=value,
        growth=growth,
        room_usd=np.where(is_open & (room >= least), room, 0.0),
        tvl_usd=tvl_usd if is_diluted else None,
        others_usd=np.maximum(tvl_usd - own, LEAST_OTHERS * tvl_usd) if is_diluted else None,
        group=group,
        group_slack_usd=np.maximum(np.array(rules.group_caps) * aum - held_sums, 0.0),
        deposit_gas_usd=prepared.deposit_usd[span, None] * prepared.legs,
        withdrawal_gas_usd=prepared.withdrawal_usd[span, None] * prepared.legs[holding.held],
        conversion_gas_usd=prepared.conversion_usd[span],
        price_usd=rows.price_usd[span],
        is_plan=is_usual(holding, prepared) & _counts_are_met(holding, prepared, is_open, tvl_cap),
    )


def can_prove(prepared: PreparedMarket) -> bool:
    """Whether the gate knows the portfolio's rules: not `profit_optimization`, which solves two sets of them."""
    return not prepared.parameters.profit_optimization


def _counts_are_met(
    holding: Holding, prepared: PreparedMarket, is_open: BoolArray, tvl_cap_usd: FloatArray
) -> BoolArray:
    """(B,) as many positions count as `allocation.limits` requires: what is held counts where deposits are open."""
    rules = prepared.parameters
    if rules.required_pools == 0:
        return np.ones(len(holding), dtype=bool)
    counted = is_open[:, holding.held].sum(axis=1)
    minimum = np.maximum(rules.min_transaction_value, rules.min_position_pct * holding.aum_usd)
    large_enough = is_open & (tvl_cap_usd >= np.maximum(minimum, DUST_SHARE * holding.aum_usd)[:, None])
    large_enough[:, holding.held] = is_open[:, holding.held]
    return np.asarray(counted >= np.minimum(rules.required_pools, large_enough.sum(axis=1)))


@dataclass(frozen=True)
class Gains:
    """What each move adds at most at the given prices, its gas deducted: below 0 where it does not pay.

    A move that is used may be tiny: it never takes off more than its gas, however bad its rate.

    Attributes:
        deposit_usd: (B, P). withdrawal_usd: (B, H). excess_usd: (B,) by how much the best plan can beat holding at
            most, over the horizon; infinite where holding is no plan.
    """

    deposit_usd: FloatArray
    withdrawal_usd: FloatArray
    excess_usd: FloatArray


def gains_usd(moves: Moves, prices: GatePrices) -> Gains:
    """The bound at any prices (see the module)."""
    holding, prepared, charge = moves.holding, moves.prepared, moves.idle_charge
    cash, held = prices.cash, holding.held
    fee = 1.0 - charge + float(cash.min())
    kept = charge - prices.group[moves.group]
    deposit = _deposit_gain(moves, kept - prepared.token_weight @ cash) - fee * moves.deposit_gas_usd
    sold = holding.factor * ((moves.price_usd * cash) @ holding.book.positions[held].T)
    withdrawal = _withdrawal_gain(moves, sold, kept[:, held]) - fee * moves.withdrawal_gas_usd
    gain = np.maximum(deposit, 0.0)
    gain[:, held] = np.maximum(gain[:, held], withdrawal)
    total = gain.sum(axis=1) + holding.token_usd @ cash + moves.group_slack_usd @ prices.group
    total += _conversion_gain(moves, cash, fee)
    return Gains(deposit, withdrawal, np.where(moves.is_plan, total, np.inf))


def _deposit_gain(moves: Moves, worth: FloatArray) -> FloatArray:
    """(B, P) the most that a deposit adds before gas, a dollar of it being worth `worth` besides its growth."""
    if moves.tvl_usd is None or moves.others_usd is None:
        return np.maximum((moves.growth + worth) * moves.room_usd, 0.0)
    best = _best_position(moves, -worth)
    best = np.clip(best, moves.value_usd, moves.value_usd + moves.room_usd)
    change = _growth_usd(moves, best) - _growth_usd(moves, moves.value_usd)
    return np.asarray(change + worth * (best - moves.value_usd))


def _withdrawal_gain(moves: Moves, sold_usd: FloatArray, kept: FloatArray) -> FloatArray:
    """(B, H) the most that a withdrawal adds before gas; `sold_usd` is what the whole position's tokens are worth."""
    held, value = moves.holding.held, moves.holding.value_usd
    if moves.tvl_usd is None:
        return np.maximum(sold_usd - (moves.growth[:, held] + kept) * value, 0.0)
    rate = np.zeros(moves.value_usd.shape)
    rate[:, held] = np.divide(sold_usd, value, out=np.zeros_like(value), where=value > 0) - kept
    best = np.clip(_best_position(moves, rate), 0.0, moves.value_usd)
    change = _growth_usd(moves, best) - _growth_usd(moves, moves.value_usd)
    return np.asarray((change + rate * (moves.value_usd - best))[:, held])


def _best_position(moves: Moves, price: FloatArray) -> FloatArray:
    """(B, P) where the slope `g T O / (O + V)^2` meets the price; a linear growth at an end."""
    assert moves.tvl_usd is not None and moves.others_usd is not None
    earned = np.maximum(moves.growth, 0.0) * moves.tvl_usd * moves.others_usd
    meets = np.sqrt(np.divide(earned, price, out=np.full_like(earned, np.inf), where=price > 0)) - moves.others_usd
    return np.where(moves.growth > 0, meets, np.where(moves.growth > price, np.inf, 0.0))


def _growth_usd(moves: Moves, position_usd: FloatArray) -> FloatArray:
    assert moves.tvl_usd is not None and moves.others_usd is not None
    total = moves.others_usd + position_usd
    shared = np.divide(moves.tvl_usd, total, out=np.zeros_like(total), where=total > 0)
    return moves.growth * position_usd * np.where(moves.growth > 0, shared, 1.0)


def _conversion_gain(moves: Moves, cash: FloatArray, fee: float) -> FloatArray | float:
    """(B,) the most that conversions add; good prices leave no room for any."""
    spread = cash[None, :] - cash[:, None] - fee * moves.prepared.parameters.conversion_rate
    highest = float(spread[moves.holding.supplied].max(initial=0.0))
    if highest * float(moves.holding.aum_usd.max()) <= fee * float(moves.conversion_gas_usd.min()):
        return 0.0
    pairs, most = moves.conversions
    source, target = pairs.T
    gain = spread[source, target] * most - fee * moves.conversion_gas_usd[:, None]
    return np.asarray(np.maximum(gain, 0.0).sum(axis=1))


def completed(prices: GatePrices, prepared: PreparedMarket) -> GatePrices:
    """The prices with those of tokens that have none (NaN) as high as conversions into them allow: nothing is held of
    them, so that it costs nothing, and deposits of them gain least."""
    unknown = np.isnan(prices.cash)
    charge = IDLE_CHARGE if prepared.parameters.full_allocation else 0.0
    least = float(prices.cash[~unknown].min(initial=np.inf)) if not unknown.all() else 0.0
    ceiling = least + (1.0 - charge + least) * prepared.parameters.conversion_rate
    return GatePrices(np.where(unknown, ceiling, prices.cash), prices.group)

"""A decision explained: what binds, what it costs, what each candidate would have needed.

Belongs here: reading a decision and its dual prices. Does not belong here: finding them (`engines`), pages and
messages.

With `slope_p(V)` the growth over the horizon of the last dollar in pool p, a dollar in p is worth

    reduced_p = slope_p(V_p) - mean of cash[t] over the tokens of p - group[g(p)]

more than its next best use. Prices of cash and groups are those of the objective: what `full_allocation` charges idle
cash is taken out of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from defiyield_core.allocation import binding
from defiyield_core.allocation.binding import GROUP_CAP, RATE_TOLERANCE, RULE, Closing, binding_codes, words
from defiyield_core.allocation.break_even import break_even_growth, member_shares
from defiyield_core.allocation.curves import Yields
from defiyield_core.allocation.limits import GROUPS, Limits, limits_of, open_to_deposits
from defiyield_core.allocation.problem import AllocationDecision, AllocationProblem, Prices
from defiyield_core.units import BPS_PER_UNIT, DAYS_PER_YEAR, BoolArray, FloatArray, IntArray

_BISECTIONS = 60
_DIFFERENCE = 5e-5
"""APY that differs by less is written alike."""


@dataclass(frozen=True)
class Explanation:
    """What a decision tells. Shapes: n pools, m tokens. What is not known, or has no meaning, is NaN.

    Attributes:
        binding: n words, the constraint that holds the position where it is, or why it got nothing.
        shadow_price_bps: (n,) what a dollar more room under that constraint would add to the objective over the
            horizon, in basis points of that dollar: at a cap the reduced value above, at a minimum what a dollar less
            of it would add, at a group cap the group's price, for cash the price of cash. NaN for anything else.
        marginal_apy: (n,) annualised growth of the position's last dollar (its first, where there is none).
        capacity_usd: (n,) the largest position, up to its cap, whose last dollar earns at least what a dollar of the
            pool's tokens and of its group's room earns elsewhere; 0 where not even the first one does. NaN where the
            pool takes no deposits, and where nothing is priced.
        break_even_apy: (n,) forecast APY from which a deposit, or a larger one, would have been worth its costs
            (`break_even`). NaN where the pool is closed or full, and where nothing was optimised.
        apy: (n,) the forecast. is_held: (n,) the pool has a position after the decision.
        cash_bps: (m,) what a dollar more of each token in the wallet would add over the horizon.
        gain_over_hold_usd: what the decision promises above doing nothing.
        break_even_days: costs * horizon / (growth of the final book - growth of holding); NaN without costs or gain.
    """

    binding: tuple[str, ...]
    shadow_price_bps: FloatArray
    marginal_apy: FloatArray
    capacity_usd: FloatArray
    break_even_apy: FloatArray
    apy: FloatArray
    is_held: BoolArray
    cash_bps: FloatArray
    gain_over_hold_usd: float
    break_even_days: float

    @cached_property
    def reason(self) -> tuple[str, ...]:
        """One plain sentence a pool."""
        numbers = (self.is_held, self.apy, self.break_even_apy, self.shadow_price_bps)
        columns = zip(self.binding, *(values.tolist() for values in numbers), strict=True)
        return tuple(reason_of(*column) for column in columns)


def explain(problem: AllocationProblem, decision: AllocationDecision, limits: Limits | None = None) -> Explanation:
    """Explain a decision of a validated problem.

    Args:
        limits: of the problem, where they are known already.
    """
    limits = limits or limits_of(problem)
    horizon = problem.parameters.horizon_days
    final_usd, wallet_usd = decision.positions @ problem.token_prices, decision.wallet * problem.token_prices
    slope, idle_usd = limits.yields.slope(final_usd), float(wallet_usd.sum())
    nothing = np.full(len(final_usd), np.nan)
    shadow, capacity, needed, cash = nothing, nothing, nothing, np.full(len(wallet_usd), np.nan)
    share, is_open = member_shares(problem), open_to_deposits(problem)
    prices = None if decision.prices is None else _of_objective(decision.prices, limits.idle_charge)
    outcome = _outcome(decision, limits)
    if prices is not None:
        elsewhere, group_price = share @ prices.cash, prices.group[problem.group - 1]
        codes = binding_codes(problem, limits, Closing(final_usd, idle_usd, slope, elsewhere, prices.group))
        named, cash = words(codes), prices.cash * BPS_PER_UNIT
        shadow = _shadow_prices(codes, slope - elsewhere - group_price, elsewhere, group_price) * BPS_PER_UNIT
        capacity = np.where(is_open, _capacity(limits, elsewhere + group_price), np.nan)
    elif outcome:
        named = tuple(outcome[usd > 0] for usd in final_usd.tolist())
    else:
        named = words(binding_codes(problem, limits, Closing(final_usd, idle_usd, slope)))
    if not outcome:
        slack_usd = max(decision.bound_usd - decision.objective_usd, 0.0)
        fee = 1.0 if prices is None else max(prices.fee, 1.0)
        needed = break_even_growth(problem, limits, final_usd, wallet_usd, share, is_open, fee, slack_usd)
    return Explanation(
        binding=named,
        shadow_price_bps=shadow,
        marginal_apy=_annualised(slope, horizon),
        capacity_usd=capacity,
        break_even_apy=_annualised(needed, horizon),
        apy=problem.apy,
        is_held=final_usd > 0,
        cash_bps=cash,
        gain_over_hold_usd=decision.gain_over_hold_usd,
        break_even_days=_break_even_days(problem, decision, limits, final_usd),
    )


def is_by_rule(decision: AllocationDecision) -> bool:
    """Whether a policy's rule decided: nothing is proven about it, and it is no verdict of an engine either."""
    return decision.status in ("optimal", "held") and not np.isfinite(decision.bound_usd)


def reason_of(word: str, is_held: bool, apy: float, break_even_apy: float, shadow_price_bps: float) -> str:
    """The sentence about a pool, from what the warehouse keeps of it."""
    if is_held:
        return _held_sentence(word, apy, break_even_apy, shadow_price_bps)
    lead = _EMPTY.get(word)
    if lead is not None and word not in _COMPARED:
        return lead
    return f"{lead or 'not used'}: {_comparison(apy, break_even_apy)}"


_EMPTY = {
    "must exit": "left: the pool had to be exited",
    "not depositable": "closed: it takes no deposits",
    "pool TVL cap": "not used: its TVL cap leaves no room for the smallest transaction",
    "position cap": "not used: the position cap leaves no room for the smallest transaction",
    "sold: better used elsewhere": "sold",
    "number of positions": "not used, as many pools are held as allowed",
    "group 1 cap": "not used, group 1 is full",
    "group 2 cap": "not used, group 2 is full",
    "group 3 cap": "not used, group 3 is full",
    RULE: "not used: the policy's rule decides",
    "no decision: infeasible": "not decided: no plan keeps to the rules",
    "no decision: timeout": "not decided: no proof in time",
}
_COMPARED = {"sold: better used elsewhere", "number of positions", "group 1 cap", "group 2 cap", "group 3 cap"}
_HELD = {
    "must exit: not withdrawable": "stuck: it must be left, but allows no withdrawal",
    "not depositable": "kept: it takes no more deposits",
    "held: a move costs more than it gains": "kept: a move costs more than it gains",
    "reduced: better used elsewhere": "reduced: its dollars earn more elsewhere",
    "apy too low": "not larger: more would not earn its costs",
    "dilution": "not larger: more of our own money would lower its rate too far",
    RULE: "held: the policy's rule decides",
    "held: infeasible": "held: no plan keeps to the rules",
    "held: timeout": "held: no proof in time",
}


def _held_sentence(word: str, apy: float, break_even_apy: float, shadow_price_bps: float) -> str:
    sentence = _HELD.get(word)
    if sentence is not None:
        more = np.isfinite(break_even_apy) and word.startswith(("held: a move", "apy too low"))
        return f"{sentence} (more of it pays from {break_even_apy:.2%} on)" if more else sentence
    worth = f"{shadow_price_bps:.1f} bps" if np.isfinite(shadow_price_bps) else "an unknown amount"
    if word == "minimum position":
        return f"at its minimum: a dollar less would add {worth}"
    if word == "cash":
        return f"takes the cash there is: a dollar more of it would add {worth}"
    return f"at the {word}: a dollar more room would add {worth}"


def _comparison(apy: float, break_even_apy: float) -> str:
    if not np.isfinite(break_even_apy):
        return f"earns {apy:.2%}, and nothing may be moved into it"
    if break_even_apy - apy < _DIFFERENCE:
        return f"earns {apy:.2%}, no more than a move costs"
    return f"earns {apy:.2%}, a move pays from {break_even_apy:.2%} on"


def _outcome(decision: AllocationDecision, limits: Limits) -> tuple[str, ...]:
    """What stands in place of a constraint, for pools without and with a position; empty where one was optimised."""
    if decision.prices is not None:
        return ()
    if decision.status in ("infeasible", "timeout") or limits.aum_usd <= 0:
        return f"no decision: {decision.status}", f"held: {decision.status}"
    return (RULE, RULE) if is_by_rule(decision) else ()


def _of_objective(prices: Prices, idle_charge: float) -> Prices:
    """The prices without the charge on idle cash.

    A price is growth, far from 1, and a whole number of charges: those of the dollars that become idle, or no longer
    are, with the dollar that is priced.
    """
    if not idle_charge:
        return prices
    cash, group, fee = (
        price - idle_charge * np.round(price / idle_charge) for price in (prices.cash, prices.group, prices.fee - 1.0)
    )
    return Prices(cash, group, 1.0 + float(fee))


def _shadow_prices(codes: IntArray, reduced: FloatArray, elsewhere: FloatArray, group_price: FloatArray) -> FloatArray:
    """(n,) growth that a dollar more room adds, by the constraint that binds."""
    is_cap = (codes == binding.TVL_CAP) | (codes == binding.POSITION_CAP)
    is_group = (codes >= GROUP_CAP) & (codes < GROUP_CAP + len(GROUPS))
    shadow = np.where(is_cap, np.maximum(reduced, 0.0), np.nan)
    shadow = np.where(codes == binding.MINIMUM, np.maximum(-reduced, 0.0), shadow)
    return np.where(is_group, group_price, np.where(codes == binding.CASH, elsewhere, shadow))


def _capacity(limits: Limits, price: FloatArray) -> FloatArray:
    """(n,) the largest V, up to the cap, with slope(V) >= price; 0 without one."""
    yields, cap = limits.yields, limits.cap_usd
    linear = np.where(yields.growth >= price - RATE_TOLERANCE, cap, 0.0)
    if yields.is_linear.all():
        return linear
    earned = np.maximum(yields.growth, 0.0) * yields.tvl_usd * yields.others_usd
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = np.where(price > 0, np.sqrt(earned / price) - yields.others_usd, cap)
    capacity = np.where(yields.is_linear, linear, np.clip(shared, 0.0, cap))
    if yields.has_curve.any():
        capacity = np.where(yields.has_curve, _curve_capacity(yields, price, cap), capacity)
    return np.asarray(capacity)


def _curve_capacity(yields: Yields, price: FloatArray, cap: FloatArray) -> FloatArray:
    """By bisection on the piece past the kink where its first dollar earns the price, else on the one before it."""
    kink = np.minimum(yields.kink_usd(), cap)
    past = yields.slope(kink) >= price
    low, high = np.where(past, kink, 0.0), np.where(past, cap, kink)
    low = np.where(past | (yields.slope(np.zeros(len(cap))) >= price), low, np.nan)
    at_end = past & (yields.slope(cap) >= price)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = yields.slope(middle) >= price
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return np.where(at_end, cap, np.nan_to_num(low))


def _annualised(growth: FloatArray, days: float) -> FloatArray:
    with np.errstate(over="ignore"):  # over a horizon of seconds a rate may be beyond any number
        return np.asarray(np.maximum(1.0 + growth, 0.0) ** (DAYS_PER_YEAR / days) - 1.0)


def _break_even_days(
    problem: AllocationProblem, decision: AllocationDecision, limits: Limits, final_usd: FloatArray
) -> float:
    yields = limits.yields
    gain_usd = float(yields.usd(final_usd).sum() - yields.usd(limits.value_usd).sum())
    if decision.costs_usd <= 0 or gain_usd <= 0:
        return float("nan")
    return decision.costs_usd * problem.parameters.horizon_days / gain_usd

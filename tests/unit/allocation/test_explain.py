"""Explained decisions: worked numbers by hand, then shadow prices and break-even rates against the engine itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from defiyield_core.allocation import AllocationProblem, solve
from defiyield_core.allocation.explain import Explanation, explain, is_by_rule, reason_of
from defiyield_core.allocation.hold import hold
from defiyield_core.allocation.limits import limits_of
from defiyield_core.allocation.problem import AllocationDecision, Prices
from defiyield_core.allocation.targets import move_to
from tests.unit.allocation.random_problems import Shape, random_problem
from tests.unit.allocation.small import pool, positions_usd, problem

NAN = float("nan")


def closed_with(given: AllocationProblem, positions: dict[str, float], prices: Prices) -> AllocationDecision:
    """A proven decision that ends with these USDC positions and the rest in the wallet (tokens at one dollar)."""
    limits, final = limits_of(given), np.zeros_like(given.positions)
    usdc = given.tokens.index("USDC")
    for name, usd in positions.items():
        final[given.pool_ids.index(name), usdc] = usd
    wallet = np.zeros(len(given.tokens))
    wallet[usdc] = given.aum_usd - final.sum()
    objective = float(limits.yields.usd(final.sum(axis=1)).sum())
    return replace(
        hold(given, "optimal", bound_usd=objective),
        positions=final,
        wallet=wallet,
        objective_usd=objective,
        bound_usd=objective,
        prices=prices,
    )


def priced(cash: float, group: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Prices:
    """Prices of a problem of one token."""
    return Prices(np.array([cash]), np.array(group), 1.0 + cash)


def shown(explanation: Explanation, name: str) -> Any:
    """A column without its rounding."""
    return pytest.approx(getattr(explanation, name), abs=1e-9, nan_ok=True)


def test_a_cap_is_worth_what_the_pool_earns_above_the_best_other_use() -> None:
    given = problem([pool("a", 0.09, tvl_usd=25_000), pool("b", 0.05), pool("c", 0.03)], {"USDC": 100_000})
    told = explain(given, closed_with(given, {"a": 25_000, "b": 75_000}, priced(0.05)))
    assert told.binding == ("pool TVL cap", "cash", "apy too low")
    assert shown(told, "shadow_price_bps") == [400.0, 500.0, NAN]
    assert shown(told, "capacity_usd") == [25_000, 100_000, 0]
    assert np.isnan(told.break_even_apy[0])  # full
    assert told.break_even_apy[2] == pytest.approx(0.05)
    assert shown(told, "marginal_apy") == [0.09, 0.05, 0.03]
    assert told.cash_bps == pytest.approx(500)
    assert told.reason == (
        "at the pool TVL cap: a dollar more room would add 400.0 bps",
        "takes the cash there is: a dollar more of it would add 500.0 bps",
        "not used: earns 3.00%, a move pays from 5.00% on",
    )


def test_a_full_group_has_a_price_and_its_pools_compete_with_each_other() -> None:
    pools = [pool("a", 0.09, group=3), pool("b", 0.05), pool("d", 0.07, group=3)]
    given = problem(pools, {"USDC": 100_000}, group3_max_pct=0.3)
    told = explain(given, closed_with(given, {"a": 30_000, "b": 70_000}, priced(0.05, (0, 0, 0.04))))
    assert told.binding == ("group 3 cap", "cash", "group 3 cap")
    assert shown(told, "shadow_price_bps") == [400.0, 500.0, 400.0]
    assert shown(told, "capacity_usd") == [100_000, 100_000, 0]
    assert told.break_even_apy[2] == pytest.approx(0.09)
    assert told.reason[2] == "not used, group 3 is full: earns 7.00%, a move pays from 9.00% on"


def test_a_minimum_position_is_priced_by_what_a_dollar_less_would_add() -> None:
    pools = [pool("a", 0.09), pool("b", 0.04)]
    given = problem(pools, {"USDC": 10_000}, min_pools=2, min_position_usd=500)
    told = explain(given, closed_with(given, {"a": 9_500, "b": 500}, priced(0.09)))
    assert told.binding == ("cash", "minimum position")
    assert shown(told, "shadow_price_bps") == [900.0, 500.0]
    # Each of the two is needed, so nothing but what is above its minimum can move: a's.
    assert told.break_even_apy[1] == pytest.approx(0.09)
    assert told.reason[1] == "at its minimum: a dollar less would add 500.0 bps"


def test_a_reward_pool_has_room_until_its_last_dollar_earns_the_price() -> None:
    given = problem([pool("a", 0.12, tvl_usd=2e6), pool("b", 0.05)], {"USDC": 4e6}, dilution="pro_rata")
    price = 0.12 / 1.5**2
    told = explain(given, closed_with(given, {"a": 1e6, "b": 3e6}, priced(price)))
    assert told.capacity_usd[0] == pytest.approx(1e6)
    assert told.marginal_apy[0] == pytest.approx(price)
    dear = explain(given, closed_with(given, {"a": 1e6, "b": 3e6}, priced(0.13)))
    free = explain(given, closed_with(given, {"a": 1e6, "b": 3e6}, priced(0.0)))
    assert dear.capacity_usd[0] == 0 and free.capacity_usd[0] == 2e6


@pytest.mark.parametrize("utilisation", [0.7, 0.89, 0.93, 0.97])
@pytest.mark.parametrize("price", [0.0005, 0.002, 0.01, 0.03])
def test_a_lending_pools_capacity_is_the_largest_position_that_earns_the_price(
    utilisation: float, price: float
) -> None:
    curve = {"total_supply_usd": 100e6, "kink": 0.9, "base_rate": 0.0, "slope1": 0.05, "slope2": 6.0}
    entry = pool("a", 0.0352, tvl_usd=(1 - utilisation) * 100e6, rate_curve=curve)
    given = problem([entry, pool("b", 0.001)], {"USDC": 2e7}, dilution="rate_curve")
    told = explain(given, closed_with(given, {"b": 2e7}, priced(price)))
    limits = limits_of(given)
    grid = np.linspace(0.0, float(limits.cap_usd[0]), 20_001)
    slopes = np.array([limits.yields.slope(np.array([at, 0.0]))[0] for at in grid])
    enough = grid[slopes >= price]
    expected = enough.max() if len(enough) else 0.0
    assert told.capacity_usd[0] == pytest.approx(expected, abs=1.01 * (grid[1] - grid[0]))


def test_a_move_must_pay_the_withdrawal_and_the_deposit_out_of_what_it_earns() -> None:
    pools = [pool("low", 0.05), pool("high", 0.0505), pool("closed", 0.5, depositable=False)]
    given = problem(pools, held={("low", "USDC"): 10_000}, wallet={"USDC": 100}, gas=(8, 8, 8))
    decision = solve(given)
    told = explain(given, decision)
    assert told.binding == (
        "held: a move costs more than it gains",
        "costs: a move costs more than it gains",
        "not depositable",
    )
    assert decision.prices is not None
    assert told.break_even_apy[1] == pytest.approx(0.05 + 16 * decision.prices.fee / 10_000, abs=1e-7)
    assert np.isnan(told.break_even_apy[2]) and np.isnan(told.capacity_usd[2])
    assert told.gain_over_hold_usd == 0 and np.isnan(told.break_even_days)


def test_costs_are_earned_back_after_their_share_of_the_gain() -> None:
    given = problem([pool("a", 0.05)], {"USDC": 10_000}, gas=(8, 8, 8))
    told = explain(given, solve(given))
    assert told.break_even_days == pytest.approx(8 * 365 / (9_992 * 0.05), rel=1e-6)
    assert told.gain_over_hold_usd == pytest.approx(9_992 * 0.05 - 8, abs=1e-4)


def test_as_many_pools_as_allowed_is_a_reason_of_its_own() -> None:
    pools = [pool("a", 0.09), pool("b", 0.08), pool("c", 0.07)]
    given = problem(pools, {"USDC": 10_000}, max_pools=2, max_alloc_percentage=0.4)
    told = explain(given, solve(given))
    assert told.binding == ("position cap", "position cap", "number of positions")
    # In the place of b it would have to earn what b does.
    assert told.break_even_apy[2] == pytest.approx(0.08, abs=1e-5)


def test_what_idle_cash_is_charged_does_not_count_as_yield() -> None:
    given = problem([pool("a", 0.09, tvl_usd=25_000)], {"USDC": 100_000}, full_allocation=True)
    decision = solve(given)
    told = explain(given, decision)
    assert decision.wallet.sum() == pytest.approx(75_000, abs=1)
    assert told.shadow_price_bps == pytest.approx([900], abs=1e-3)
    assert told.cash_bps == pytest.approx([0], abs=1e-3)


def test_a_rule_is_named_and_priced_with_nothing() -> None:
    given = problem([pool("a", 0.09), pool("b", 0.05)], {"USDC": 10_000}, gas=(8, 8, 8))
    decision = move_to(given, np.array([0.0, 9_000.0]))
    told = explain(given, decision)
    assert is_by_rule(decision)
    assert told.binding == ("rule of the policy", "rule of the policy")
    for column in (told.shadow_price_bps, told.capacity_usd, told.break_even_apy, told.cash_bps):
        assert np.isnan(column).all()
    assert told.marginal_apy == pytest.approx([0.09, 0.05])
    assert told.break_even_days == pytest.approx(8 * 365 / 450)


def test_without_a_plan_every_position_says_that_it_is_held() -> None:
    pools = [pool("a", 0.05), pool("b", 0.04), pool("c", 0.03)]
    given = problem(pools, {"USDC": 100}, held={("a", "USDC"): 100}, min_pools=3, min_position_usd=200)
    decision = solve(given)
    told = explain(given, decision)
    assert decision.status == "infeasible" and not is_by_rule(decision)
    assert told.binding == ("held: infeasible", "no decision: infeasible", "no decision: infeasible")
    assert told.reason[0] == "held: no plan keeps to the rules"


Change = Callable[[float], AllocationProblem]


def objective(given: AllocationProblem) -> float:
    decision = solve(given)
    assert decision.status == "optimal"
    return decision.objective_usd


def slope_of(change: Change, step: float) -> float:
    """What a dollar more of something adds to the true optimum, in bps."""
    return (objective(change(step)) - objective(change(0.0))) / step * 1e4


def crowded(seed: int, **given: Any) -> Change:
    """Nine pools of three groups and a million dollars, without fixed costs; changed by `change` below."""
    rng = np.random.default_rng(seed)
    rates, sizes = rng.uniform(0.02, 0.15, 9), rng.uniform(1e5, 4e5, 9)

    def make(room_usd: float) -> AllocationProblem:
        entries = [
            pool(
                f"p{i}",
                float(rates[i]),
                tvl_usd=float(sizes[i]) + (room_usd if given.get("pool") == i else 0.0),
                group=i % 3 + 1,
            )
            for i in range(9)
        ]
        caps = {f"group{g}_max_pct": 0.4 + (room_usd / 1e6 if given.get("group") == g else 0.0) for g in (1, 2, 3)}
        smallest = 20_000 - (room_usd if given.get("minimum") else 0.0)
        cash = 1e6 + (room_usd if given.get("cash") else 0.0)
        caps = {name: share * 1e6 / cash for name, share in caps.items()}
        rules: dict[str, Any] = {"gap_bps": 1e-6, "min_pools": 8, "min_position_usd": smallest, **caps}
        return problem(entries, {"USDC": cash}, **rules)

    return make


@pytest.mark.parametrize("seed", range(4))
def test_shadow_prices_are_what_a_dollar_more_room_adds_to_the_optimum(seed: int) -> None:
    given = crowded(seed)(0.0)
    decision = solve(given)
    told, seen = explain(given, decision), set()
    for number, (word, price) in enumerate(zip(told.binding, told.shadow_price_bps, strict=True)):
        if word == "pool TVL cap":
            assert slope_of(crowded(seed, pool=number), 500.0) == pytest.approx(price, abs=0.05)
        elif word.startswith("group"):
            assert slope_of(crowded(seed, group=given.group[number]), 500.0) == pytest.approx(price, abs=0.05)
        elif word == "cash":
            assert slope_of(crowded(seed, cash=True), 500.0) == pytest.approx(price, abs=0.05)
        seen.add(word)
    at_minimum = np.array([word == "minimum position" for word in told.binding])
    if at_minimum.any():  # one number sets them all
        together = told.shadow_price_bps[at_minimum].sum()
        assert slope_of(crowded(seed, minimum=True), 500.0) == pytest.approx(together, abs=0.1)
    assert "pool TVL cap" in seen and len(seen) >= 3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dilution", ["off", "pro_rata"])
def test_no_candidate_earns_more_than_its_break_even(seed: int, dilution: str) -> None:
    shape = Shape(pools=30, held_share=(0.0, 0.9, 1.0)[seed % 3], gas_scale=(0.3, 3.0)[seed % 2])
    given = random_problem(seed, shape, dilution=dilution)
    told = explain(given, solve(given))
    known = np.isfinite(told.break_even_apy)
    assert known.any()
    assert (told.break_even_apy[known] >= given.apy[known] - 1e-6).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rules", [{}, {"max_pools": 6}, {"dilution": "pro_rata"}])
def test_a_candidate_that_earns_a_little_more_than_its_break_even_is_used(seed: int, rules: dict[str, Any]) -> None:
    given = random_problem(seed, Shape(pools=20, held_share=(0.0, 0.9, 1.0)[seed % 3]), gap_bps=1e-4, **rules)
    decision = solve(given)
    told = explain(given, decision)
    before = positions_usd(given, decision)
    empty = ~told.is_held & np.isfinite(told.break_even_apy)
    assert empty.any()
    for number in np.flatnonzero(empty)[np.argsort(told.break_even_apy[empty])][:3]:
        apy = given.apy.copy()
        apy[number] = told.break_even_apy[number] + 5e-4
        better = replace(given, apy=apy)
        name = given.pool_ids[number]
        assert before[name] == 0 and positions_usd(better, solve(better))[name] > 0


@pytest.mark.parametrize(
    ("word", "is_held", "apy", "needed", "sentence"),
    [
        ("apy too low", False, 0.041, 0.053, "not used: earns 4.10%, a move pays from 5.30% on"),
        (
            "costs: a move costs more than it gains",
            False,
            0.05,
            0.05001,
            "not used: earns 5.00%, no more than a move costs",
        ),
        ("sold: better used elsewhere", False, 0.02, 0.06, "sold: earns 2.00%, a move pays from 6.00% on"),
        ("group 2 cap", False, 0.07, NAN, "not used, group 2 is full: earns 7.00%, and nothing may be moved into it"),
        ("must exit", False, 0.07, NAN, "left: the pool had to be exited"),
        ("held: a move costs more than it gains", True, 0.05, 0.06, "kept: a move costs more than it gains"),
    ],
)
def test_reasons_are_plain_sentences(word: str, is_held: bool, apy: float, needed: float, sentence: str) -> None:
    assert reason_of(word, is_held, apy, needed, NAN).startswith(sentence)

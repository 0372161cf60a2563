"""Own-deposit dilution: the curves by worked numbers, and decisions against an independent optimum."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.allocation import AllocationProblem, solve
from defiyield_core.allocation.curves import RateCurve, linear_yields, yields_for
from defiyield_core.allocation.limits import limits_of
from tests.unit.allocation.random_problems import Shape, random_problem
from tests.unit.allocation.small import kinds, pool, positions_usd, problem

KINKED = RateCurve(total_supply_usd=100e6, kink=0.9, base_rate=0.0, slope1=0.05, slope2=6.0)


def curve_yields(utilisation: float, curve: RateCurve = KINKED, included: float = 0.0) -> Callable[[float], float]:
    """Rate of a pool of 3.52 % at this utilisation, by our position in USD."""
    tvl = np.array([(1 - utilisation) * curve.total_supply_usd])
    yields, unknown = yields_for(
        "rate_curve", np.array([0.0352]), tvl, np.array([included]), np.array([30e6]), {0: curve}
    )
    assert unknown == ()
    return lambda position: float(yields.usd(np.array([position]))[0]) / position


def test_a_reward_is_shared_with_the_others_in_the_pool() -> None:
    yields, _ = yields_for("pro_rata", np.array([0.10]), np.array([9e6]), np.array([0.0]), np.array([1e6]), {})
    assert yields.usd(np.array([1e6]))[0] == pytest.approx(0.10 * 1e6 * 0.9)
    assert yields.slope(np.array([1e6]))[0] == pytest.approx(0.10 * 0.81)


def test_what_the_observed_rate_includes_already_does_not_dilute_it_again() -> None:
    yields, _ = yields_for("pro_rata", np.array([0.10]), np.array([9e6]), np.array([1e6]), np.array([2e6]), {})
    assert yields.usd(np.array([1e6]))[0] == pytest.approx(0.10 * 1e6)
    assert yields.usd(np.array([2e6]))[0] == pytest.approx(0.10 * 2e6 * 9 / 10)


def test_a_lending_rate_below_its_kink_falls_faster_than_a_shared_reward() -> None:
    # A tenth more supply: utilisation 80 % -> 72.7 %, and the rate goes with its square.
    assert curve_yields(0.80)(10e6) == pytest.approx(0.0352 * (0.8 / 1.1 / 0.8) ** 2)
    assert curve_yields(0.80)(10e6) < 0.0352 / 1.1


def test_a_lending_rate_above_its_kink_collapses_to_the_kink() -> None:
    above = curve_yields(0.95)
    observed = 0.95 * (0.05 * 0.9 + 6.0 * 0.05)
    used = 0.95 / 1.10
    assert above(10e6) == pytest.approx(0.0352 * used * 0.05 * used / observed)
    assert above(10e6) < 0.0352 / 5
    at_kink = 100e6 * 0.95 / 0.9 - 100e6
    assert above(at_kink) == pytest.approx(0.0352 * 0.9 * 0.045 / observed)


@pytest.mark.parametrize("utilisation", [0.5, 0.8, 0.89, 0.93, 0.97])
@pytest.mark.parametrize("included", [0.0, 2e6])
def test_slopes_are_the_derivatives_of_the_curves(utilisation: float, included: float) -> None:
    curve = KINKED
    tvl = np.array([(1 - utilisation) * 100e6, 5e6, 5e6])
    growth = np.array([0.04, 0.05, -0.01])
    own = np.full(3, included)
    yields, unknown = yields_for("rate_curve", growth, tvl, own, np.full(3, 20e6), {0: curve})
    assert unknown == (1,)
    for position in (1e5, 1e6, 9e6):
        at = np.full(3, position)
        numeric = (yields.usd(at + 1.0) - yields.usd(at - 1.0)) / 2
        assert yields.slope(at) == pytest.approx(numeric, rel=1e-4)


def test_where_the_supply_is_unknown_the_pool_is_pro_rata_and_the_decision_says_so() -> None:
    given = problem([pool("a", 0.1, tvl_usd=1e6)], {"USDC": 1e5}, dilution="rate_curve")
    decision = solve(given)
    assert any("pro_rata in 1 pools" in note for note in decision.notes)
    assert decision.objective_usd == pytest.approx(0.1 * 1e5 / 1.1)


def test_without_dilution_growth_is_proportional() -> None:
    yields = linear_yields(np.array([0.1, -0.2]))
    assert yields.usd(np.array([10.0, 10.0])).tolist() == [1.0, -2.0]
    assert yields.kink_usd().tolist() == [0.0, 0.0]


def test_two_diluted_pools_are_filled_until_their_last_dollars_earn_the_same() -> None:
    pools = [pool("a", 0.12, tvl_usd=2e6), pool("b", 0.08, tvl_usd=6e6)]
    given = problem(pools, {"USDC": 1e6}, dilution="pro_rata")
    decision = solve(given)
    final = decision.positions @ given.token_prices
    slopes = limits_of(given).yields.slope(final)
    assert final.sum() == pytest.approx(1e6)
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-4)
    # 0.12 (2/(2+x))^2 = 0.08 (6/(7-x))^2, in millions
    share = np.sqrt(0.12 / 0.08) * 2 / 6
    assert final[0] == pytest.approx((share * 7e6 - 2e6) / (1 + share), rel=1e-3)


def best_by_enumeration(given: AllocationProblem) -> float:
    """All cash in one token, no positions: every set of pools, filled by one price (bisection), gas off."""
    limits = limits_of(given)
    cash = given.aum_usd
    best = 0.0
    n = len(given.pool_ids)
    for size in range(1, n + 1):
        for chosen in itertools.combinations(range(n), size):
            here = np.isin(np.arange(n), chosen)
            gas = float(limits.deposit_gas_usd[here].sum())
            filled = _filled(given, here, cash - gas)
            best = max(best, float(limits.yields.usd(filled).sum()) - gas)
    return best


def _filled(given: AllocationProblem, here: np.ndarray, cash: float) -> np.ndarray:
    limits = limits_of(given)
    growth, tvl = limits.growth, given.tvl_usd
    low, high = 0.0, float(growth.max())
    for _ in range(200):
        price = (low + high) / 2
        wanted = tvl * (np.sqrt(np.maximum(growth / max(price, 1e-18), 1.0)) - 1.0)
        filled = np.where(here, np.minimum(wanted, limits.room_usd), 0.0)
        low, high = (price, high) if filled.sum() > cash else (low, price)
    return filled


@pytest.mark.parametrize("seed", range(12))
def test_with_fixed_costs_the_decision_is_the_best_of_every_set_of_pools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pools = [pool(f"p{i}", float(rng.uniform(0.02, 0.15)), tvl_usd=float(rng.uniform(2e5, 3e6))) for i in range(6)]
    gas = float(rng.choice([0.0, 20.0, 200.0]))
    given = problem(
        pools, {"USDC": 5e5}, gas=(gas, gas, gas), horizon_days=30, dilution="pro_rata", max_alloc_percentage=0.6
    )
    decision = solve(given)
    assert decision.status == "optimal"
    assert decision.objective_usd == pytest.approx(best_by_enumeration(given), abs=0.011e-4 * given.aum_usd)


@pytest.mark.parametrize("held", [0.0, 3e6, 9e6])
@pytest.mark.parametrize("gas", [0.0, 500.0])
@pytest.mark.parametrize("rival", [0.002, 0.006, 0.02])
def test_a_pool_above_its_kink_is_decided_as_a_fine_search_decides(held: float, gas: float, rival: float) -> None:
    spiking = pool("spike", 0.05, tvl_usd=5e6)
    cash = 12e6 - held
    given = problem(
        [spiking, pool("calm", rival)],
        {"USDC": cash},
        held={("spike", "USDC"): held} if held else {},
        gas=(gas, gas, gas),
        dilution="rate_curve",
        tvl_limit_percentage=1.0,
        min_transaction_value=1.0,
    )
    given = replace(given, rate_curves={0: KINKED})
    decision = solve(given)
    assert decision.status == "optimal"
    assert decision.objective_usd >= _fine_search(given, held) - 0.011e-4 * given.aum_usd


def _fine_search(given: AllocationProblem, held: float) -> float:
    limits, cash, gas = limits_of(given), float(given.wallet_usd.sum()), given.gas.deposit_usd
    best = float(limits.yields.usd(np.array([held, 0.0])).sum())
    for spike in np.linspace(0.0, float(limits.cap_usd[0]), 4001):
        moved = gas if abs(spike - held) > 1 else 0.0
        for rest in (True, False):
            calm = cash + held - spike - moved - gas if rest else 0.0
            if calm < 0 or cash + held - spike - moved < 0:
                continue
            value = float(limits.yields.usd(np.array([spike, calm])).sum()) - moved - (gas if rest else 0.0)
            best = max(best, value)
    return best


@pytest.mark.parametrize("law", ["pro_rata", "rate_curve"])
@pytest.mark.parametrize("seed", range(15))
def test_random_diluted_books_are_proven_and_never_worse_than_holding(law: str, seed: int) -> None:
    given = random_problem(seed, Shape(pools=12, held_share=0.6), dilution=law, min_pools=0, full_allocation=False)
    rng = np.random.default_rng(seed)
    supply = given.tvl_usd / rng.uniform(0.03, 0.5, 12)
    curves = {
        i: RateCurve(float(supply[i]), float(rng.uniform(0.7, 0.95)), 0.0, 0.05, float(rng.uniform(1.0, 6.0)))
        for i in range(12)
        if rng.random() < 0.7
    }
    given = replace(given, rate_curves=curves, must_exit=np.zeros(12, dtype=bool))
    decision = solve(given)
    assert decision.status == "optimal" and decision.gap_bps <= 0.01
    assert decision.objective_usd >= decision.hold_objective_usd - 0.01e-4 * given.aum_usd
    # Dilution only takes away: the plain problem's optimum is an upper bound.
    plain = solve(replace(given, parameters=given.parameters.with_overrides({"dilution": "off"})))
    assert decision.objective_usd <= plain.bound_usd + 1e-9 * given.aum_usd


def test_dilution_turns_a_tempting_small_pool_away() -> None:
    pools = [pool("small", 0.15, tvl_usd=1e6), pool("large", 0.06, tvl_usd=1e9)]
    plain = problem(pools, {"USDC": 1e6}, horizon_days=30)
    diluted = problem(pools, {"USDC": 1e6}, horizon_days=30, dilution="pro_rata")
    assert positions_usd(plain, solve(plain))["small"] == pytest.approx(1e6)
    small = positions_usd(diluted, solve(diluted))["small"]
    ratio = (1.15 ** (30 / 365) - 1) / (1.06 ** (30 / 365) - 1)
    assert small == pytest.approx(1e6 * (np.sqrt(ratio) - 1), rel=1e-2)
    assert "ALLOCATION" in kinds(solve(diluted))

"""The loop over steps: the same money as the daily loop, the certificate along a path, what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from defiyield_core.allocation import solve
from defiyield_core.errors import ConfigurationError
from defiyield_core.history import MarketHistory
from defiyield_core.hourly.branch import is_proven
from defiyield_core.hourly.gate import completed, gains_usd, moves_of
from defiyield_core.hourly.holding import Book, hold_on
from defiyield_core.hourly.loop import executed, run_steps, state_of
from defiyield_core.hourly.market import StepMarket, daily_market
from defiyield_core.hourly.prepared import prepare
from defiyield_core.hourly.pricing import Pricer
from defiyield_core.hourly.programme import Solver
from defiyield_core.hourly.run import simulated_days, simulated_hours
from defiyield_core.parameters import parameters
from defiyield_core.policies.port import frame_problem
from defiyield_core.policies.registry import policy_for
from defiyield_core.portfolio.day import close_day, open_day
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.portfolio.state import starting_state
from defiyield_core.reporting.metrics import performance
from tests.unit.hourly.states import history, rules

MONEY = ("aum_open_usd", "accrual_usd", "forecast_accrual_usd", "revaluation_usd", "gas_usd", "conversion_usd")


def spec_of(usd: float = 1e6, **overrides: Any) -> PortfolioSpec:
    return PortfolioSpec("desk", "", "optimiser", parameters("default", overrides), {"USDC": usd})


@pytest.fixture(scope="module")
def days() -> MarketHistory:
    """Ninety days in which pools open and die, a token loses its peg and the source is down for a day."""
    return simulated_days(spec_of(), seed=5, days=90, pools=60)


@pytest.fixture(scope="module")
def hours() -> StepMarket:
    """Six days of hours of some twenty pools."""
    return simulated_hours(spec_of(), seed=3, days=6, pools=24)


def daily_loop(market: MarketHistory, spec: PortfolioSpec) -> Iterator[dict[str, float]]:
    """The days of the daily loop, in the columns of the step loop."""
    state = starting_state(market.days[0].astype(date) - timedelta(days=1), spec.wallet, market)
    policy = policy_for("optimiser", spec.parameters, {})
    for day in market.days.tolist():
        opened = open_day(state, market, day, spec.parameters, {})
        closed = close_day(opened, market, policy, spec.parameters)
        state = closed.state
        yield {
            "aum_open_usd": opened.aum_open_usd,
            "accrual_usd": opened.accrual_usd.sum(),
            "forecast_accrual_usd": opened.forecast_accrual_usd,
            "revaluation_usd": opened.revaluation_usd.sum(),
            "gas_usd": closed.gas_usd,
            "conversion_usd": closed.conversion_usd,
            "aum_close_usd": state.aum_usd,
            "idle_usd": state.wallet_usd,
            "n_positions": (state.positions > 0).any(axis=1).sum(),
            "no_data_pools": opened.no_data.sum(),
            "status": closed.status,
        }


@pytest.mark.parametrize(
    "overrides",
    [{}, {"accrual_dilution": "pro_rata", "gone_haircut": 0.1}, {"prices": "pegged", "icebox_policy": "hold"}],
)
def test_steps_of_a_day_are_the_days_of_the_daily_loop(days: MarketHistory, overrides: dict[str, Any]):
    spec = spec_of(**overrides)
    expected = pd.DataFrame(daily_loop(days, spec))
    every = run_steps(daily_market(days), spec, gate=False).frame
    assert set(every["proof"]) <= {"solver", ""} and (expected["gas_usd"] > 0).sum() > 10
    assert every["aum_close_usd"].to_numpy() == pytest.approx(expected["aum_close_usd"].to_numpy(), rel=2e-5)
    # To the last digits up to the first day, if any, on which two plans are equally good within the gap.
    other = np.flatnonzero(np.abs(every["gas_usd"] - expected["gas_usd"]) > 1e-6)
    same = slice(0, int(other[0]) if len(other) else len(expected))
    assert same.stop > 40
    for name in ("aum_close_usd", *MONEY, "idle_usd"):
        found, wanted = every[name].to_numpy()[same], expected[name].to_numpy(dtype=float)[same]
        assert found == pytest.approx(wanted, rel=1e-9, abs=2e-4), name
    for name in ("n_positions", "no_data_pools", "status"):
        assert every[name].tolist()[same] == expected[name].tolist()[same], name
    # Holding within the gap instead of deciding may move a little money elsewhere, never much of it.
    gated = run_steps(daily_market(days), spec)
    assert gated.gated_share > 0.05
    assert gated.frame["aum_close_usd"].iloc[-1] == pytest.approx(expected["aum_close_usd"].iloc[-1], rel=2e-4)


def test_the_identities_hold_at_every_hour_and_hours_join(hours: StepMarket):
    run = run_steps(hours, spec_of())
    frame = run.frame
    assert len(frame) == 144 and frame["date"].is_monotonic_increasing and not frame["date"].duplicated().any()
    closing = frame["aum_open_usd"] + frame["accrual_usd"] + frame["revaluation_usd"]
    closing -= frame["gas_usd"] + frame["conversion_usd"]
    assert np.abs(closing - frame["aum_close_usd"]).max() < 1e-6
    assert np.abs(frame["aum_open_usd"].to_numpy()[1:] - frame["aum_close_usd"].to_numpy()[:-1]).max() < 1e-6
    ends = frame.set_index("date")["aum_close_usd"].iloc[23::24].to_numpy()
    held = run.positions.groupby("date")["value_usd"].sum().to_numpy()
    assert held + frame["idle_usd"].iloc[23::24].to_numpy() == pytest.approx(ends)
    assert run.transactions.groupby("date")["gas_cost_usd"].sum().sum() == pytest.approx(frame["gas_usd"].sum())
    assert sum(run.shares.values()) == pytest.approx(1.0) and run.steps_per_second > 0


def test_the_gate_loses_nothing_against_solving_every_hour(hours: StepMarket):
    gated, every = run_steps(hours, spec_of()), run_steps(hours, spec_of(), gate=False)
    assert gated.gated_share > 0.7
    assert set(every.frame["proof"]) == {"solver"}
    lost = every.frame["aum_close_usd"].iloc[-1] - gated.frame["aum_close_usd"].iloc[-1]
    assert abs(lost) < 1e-6 * 1e6
    decided = gated.frame.loc[gated.frame["proof"].isin(("certificate", "prices"))]
    assert (decided["gap_usd"] <= 0.01 * decided["aum_close_usd"] / 1e4).all()


@pytest.mark.parametrize("usd", [5e4, 1e6])
def test_along_a_path_no_held_hour_could_have_gained_more_than_the_gap(hours: StepMarket, usd: float):
    spec = spec_of(usd)
    prepared = prepare(hours, spec.parameters)
    start = starting_state(hours.day(0) - timedelta(days=1), spec.wallet, hours.rows)
    book, prices, solver = Book(start.wallet, start.positions, start.price_usd), None, Solver()
    pricer = Pricer(solver)
    proven = {"certificate": 0, "prices": 0, "branches": 0}
    for step in range(72):
        holding = hold_on(book, prepared, step, 1)
        moves, opened = moves_of(holding, prepared), holding.book_after(0, hours.rows.price_usd[step])
        framed = frame_problem(hours.view(step), state_of(opened, hours, step), spec.parameters)
        decision, allowed = solve(framed.problem), float(moves.allowed_usd[0])
        claims = {"certificate": prices is not None and _excess(moves, completed(prices, prepared)) <= allowed}
        priced = pricer.price(moves)
        if priced is not None:
            prices = priced.prices
            claims["prices"] = priced.excess_usd <= allowed
            claims["branches"] = is_proven(solver, moves, priced)
        for name, claimed in claims.items():
            proven[name] += claimed
            assert not claimed or decision.gain_over_hold_usd <= allowed * (1 + 1e-6), (step, name)
        book = executed(opened, framed, decision)
    assert all(count > 20 for count in proven.values())


def _excess(moves: Any, prices: Any) -> float:
    return float(gains_usd(moves, prices).excess_usd[0])


def test_later_hours_do_not_change_earlier_ones(hours: StepMarket):
    whole = run_steps(hours, spec_of()).frame
    rng = np.random.default_rng(1)
    arrays = {item.name: getattr(hours.rows, item.name) for item in fields(hours.rows)}
    cut = {
        name: values[:72]
        for name, values in arrays.items()
        if isinstance(values, np.ndarray) and len(values) == len(hours)
    }
    shorter = run_steps(StepMarket(replace(hours.rows, **cut), 24), spec_of()).frame
    pd.testing.assert_frame_equal(shorter, whole[:72])
    scrambled = hours.rows.forecast_apy.copy()
    scrambled[72:] = rng.permuted(scrambled[72:], axis=1)
    mixed = run_steps(StepMarket(replace(hours.rows, forecast_apy=scrambled), 24), spec_of()).frame
    pd.testing.assert_frame_equal(mixed[:72], whole[:72])
    assert not mixed[72:].equals(whole[72:])


def test_what_must_be_left_is_left_at_once_though_the_gate_held_before():
    steps = 6
    must_exit = np.zeros((steps, 3), dtype=bool)
    must_exit[3:, 0] = True
    depositable = ~must_exit
    market = history(steps, ((1,), (1,), (1,)), apy=np.tile([0.06, 0.05, 0.05], (steps, 1)), must_exit=must_exit)
    spec = PortfolioSpec("desk", "", "optimiser", rules(group1_max_pct=1.0), {"USDC": 1e5})
    frame = run_steps(StepMarket(replace(market, depositable=depositable), 1), spec).frame
    assert frame["proof"].tolist()[:4] == ["solver", "prices", "certificate", "solver"]
    assert frame["n_transactions"].gt(0).tolist() == [True, False, False, True, False, False]


def test_hours_without_data_hold_and_say_so():
    age = np.array([0, 0, 9, 9, 0])
    market = history(5, ((1,), (1,)), gas_age_days=age)
    spec = PortfolioSpec("desk", "", "optimiser", rules(), {"USDC": 1e5})
    frame = run_steps(StepMarket(market, 1), spec).frame
    assert frame["status"].tolist() == ["ok", "ok", "data_missing", "data_missing", "ok"]
    assert (frame["proof"] == "").tolist() == [False, False, True, True, False]
    assert (frame["accrual_usd"].to_numpy()[1:] > 0).all()


def test_a_pool_that_is_gone_costs_its_haircut_once():
    absent = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [3, 0]])
    apy = np.where(absent > 0, np.nan, 0.05)
    market = history(5, ((1,), (1,)), observed_apy=apy, absent_days=absent, must_exit=absent >= 3)
    spec = PortfolioSpec("desk", "", "optimiser", rules(group1_max_pct=1.0, gone_haircut=0.2), {"USDC": 1e5})
    run = run_steps(StepMarket(market, 1), spec)
    held = run.positions.set_index(["date", "pool_id"])["value_usd"]
    before = held[market.days[2], "p0"]
    lost = run.frame["revaluation_usd"].to_numpy()
    assert lost[3] == pytest.approx(-0.2 * before) and lost[[0, 1, 2, 4]] == pytest.approx(0.0, abs=1e-6)
    assert (market.days[3], "p0") not in held.index


def test_an_empty_portfolio_stays_empty(hours: StepMarket):
    frame = run_steps(hours, spec_of(0.0)).frame
    assert (frame["aum_close_usd"] == 0).all() and (frame["status"] == "ok").all()


def test_figures_of_hours_are_those_of_their_days(hours: StepMarket):
    run = run_steps(hours, spec_of())
    metrics = performance(run.frame, periods_per_year=hours.steps_per_year)
    growth = run.frame["aum_close_usd"].iloc[-1] / run.frame["aum_open_usd"].iloc[0]
    assert metrics.days == 6 and metrics.net_apy == pytest.approx(growth ** (365 / 6) - 1)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"policy": "hold"}, "optimiser"),
        ({"flows": {date(2025, 3, 2): {"USDC": 1.0}}}, "flows"),
        ({"addresses": ("0x1",)}, "addresses"),
        ({"mode": "compounded"}, "modes"),
    ],
)
def test_portfolios_that_need_days_are_refused(change: dict[str, Any], word: str):
    market = StepMarket(history(2, ((1,),)), 1)
    with pytest.raises(ConfigurationError, match=word):
        run_steps(market, replace(spec_of(), **change))

"""Cases over a short simulated market: sharing changes nothing, and any number of processes gives the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest

from defiyield_core.backtest.engine import load_range, run_range
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.recorded import RecordedSource
from defiyield_core.stress import runner
from defiyield_core.stress.bootstrap import Resample, ResampledSource
from defiyield_core.stress.branch import affected, alone, run_undisturbed
from defiyield_core.stress.cases import Case, bootstrap_cases, catalogue, market_cases
from defiyield_core.stress.events import (
    ApyCollapse,
    Event,
    GasSpike,
    MissingData,
    PoolTarget,
    TokenDepeg,
    TvlFall,
    WithdrawalFreeze,
)
from defiyield_core.stress.exposure import exposure_of
from defiyield_core.stress.freeze import POLICY, frozen_withdrawals, with_freezes
from defiyield_core.stress.runner import case_days, run_case, run_cases
from defiyield_core.stress.source import StressedSource
from tests.unit.stress.small import MARKET, SETTINGS, SPEC, WINDOW

EVENT_DAY = date(2025, 2, 14)
AAVE = PoolTarget(protocols=("aave-v3",))
EVENTS: dict[str, tuple[Event, ...]] = {
    "depeg and freeze": (
        TokenDepeg(day=EVENT_DAY, days=3, tokens=("USDC",), depth=0.1),
        WithdrawalFreeze(day=EVENT_DAY, days=5, target=AAVE),
    ),
    "tvl, apy and gas": (
        TvlFall(day=EVENT_DAY, days=None),
        ApyCollapse(day=EVENT_DAY, days=3),
        GasSpike(day=EVENT_DAY, days=5),
    ),
    "prices missing": (MissingData(day=EVENT_DAY, days=5, what="prices"),),
    "everything missing, then pools": (
        MissingData(day=EVENT_DAY, days=3, what="everything"),
        MissingData(day=EVENT_DAY + timedelta(days=5), days=4, what="pools", target=AAVE),
    ),
    "before the window": (ApyCollapse(day=WINDOW.start - timedelta(days=9), days=12),),
}


@pytest.fixture(scope="module")
def run_of(base):
    """Days of the case of some events, computed once."""
    found: dict[str, pd.DataFrame] = {}

    def days(name: str) -> pd.DataFrame:
        if name not in found:
            found[name] = case_days(base, Case(name, "k", events=EVENTS[name]))
        return found[name]

    return days


def plainly(spec, source) -> pd.DataFrame:
    """The whole range loaded and run, with nothing shared."""
    with alone(SETTINGS) as settings:
        return run_range(load_range(settings, WINDOW, source=source, specs=(spec,)), spec).run.daily


@pytest.mark.parametrize("name", EVENTS)
def test_a_case_is_the_whole_range_run_on_the_stressed_source(run_of, name):
    """Only ids of decisions before a freeze differ: they are of the policy without it."""
    freezes = [event for event in EVENTS[name] if isinstance(event, WithdrawalFreeze)]
    expected = plainly(with_freezes(SPEC, freezes), StressedSource(MARKET, EVENTS[name]))
    pd.testing.assert_frame_equal(
        run_of(name).drop(columns="run_id"), expected.drop(columns="run_id"), check_exact=True
    )


@pytest.mark.parametrize("name", [name for name in EVENTS if name != "before the window"])
def test_the_books_before_an_event_are_the_undisturbed_ones_and_after_it_are_not(base, run_of, name):
    found, before = run_of(name), base.daily["date"] < pd.Timestamp(EVENT_DAY)
    assert before.sum() == (EVENT_DAY - WINDOW.start).days
    pd.testing.assert_frame_equal(found[before], base.daily[before], check_exact=True)
    assert not found.drop(columns="run_id").equals(base.daily.drop(columns="run_id"))


def test_a_draw_of_rates_is_the_whole_range_run_on_it(base):
    (case,) = bootstrap_cases(WINDOW, [4], 7)
    expected = plainly(SPEC, ResampledSource(MARKET, Resample(WINDOW, 4, 7)))
    pd.testing.assert_frame_equal(case_days(base, case), expected, check_exact=True)
    assert not expected["aum_close_usd"].equals(base.daily["aum_close_usd"])


def test_an_event_after_the_range_changes_nothing_and_nothing_is_the_ordinary_backtest(base):
    assert base.daily["aum_close_usd"].equals(plainly(SPEC, MARKET)["aum_close_usd"])
    late = GasSpike(day=WINDOW.end + timedelta(days=1), days=3)
    outcome = run_case(base, Case("late", "gas", events=(late,)))
    assert (outcome.loss_usd, outcome.final_nav_usd) == (0.0, base.daily["aum_close_usd"].iloc[-1])


def test_only_what_an_event_touches_is_computed_again():
    assert affected(frozenset()) == ()
    steps = [step.name for step in affected(GasSpike(day=EVENT_DAY, days=1).touches)]
    assert steps[0] == "raw_gas_hourly"
    assert {"gas_fees", "gas_forecasts"} <= set(steps)
    assert not {"raw_pools", "raw_token_ohlcv", "pools", "icebox_tokens"} & set(steps)
    assert {"pool_daily_metrics", "pool_groups", "eligible_pools"} <= {
        step.name for step in affected(TvlFall(day=EVENT_DAY, days=1).touches)
    }


def held(days: pd.DataFrame, moment: date, column: str) -> float:
    return float(days.loc[days["date"] == pd.Timestamp(moment), column].iloc[0])


def test_a_depeg_loses_its_depth_of_what_is_held_of_the_token(base, run_of):
    tokens = base.frames["daily_ledger"]
    eve = tokens[tokens["date"] == pd.Timestamp(EVENT_DAY - timedelta(days=1))].set_index("token")["value_usd"]
    value, days = float(eve["USDC"]), run_of("depeg and freeze")
    fall = held(base.daily, EVENT_DAY, "revaluation_usd") - held(days, EVENT_DAY, "revaluation_usd")
    assert fall == pytest.approx(0.1 * value, rel=2e-3)
    assert fall > 10_000


def test_rates_of_nothing_earn_nothing(run_of):
    accrual = run_of("tvl, apy and gas").set_index("date")["accrual_usd"]
    assert (accrual[pd.date_range(EVENT_DAY, periods=3)] == 0.0).all()
    assert (
        accrual[[pd.Timestamp(EVENT_DAY - timedelta(days=1)), pd.Timestamp(EVENT_DAY + timedelta(days=3))]] > 0
    ).all()


def test_gas_costs_more_while_it_is_dear(base):
    first = base.daily["date"].iloc[0].date()
    dear = case_days(base, Case("g", "k", events=(GasSpike(day=first, days=1),)))
    assert held(dear, first, "gas_usd") > 5 * held(base.daily, first, "gas_usd") > 0


def test_missing_prices_stop_decisions_and_not_the_books(run_of):
    days = run_of("prices missing").set_index("date")
    stopped = days.index[days["status"] == "data_missing"]
    assert list(stopped) == list(pd.date_range(EVENT_DAY + timedelta(days=2), periods=3))
    assert (days.loc[stopped, "accrual_usd"] > 0).all()
    assert (days.loc[stopped, "n_transactions"] == 0).all()


SHUT = WithdrawalFreeze(day=EVENT_DAY, days=4, target=PoolTarget(protocols=("aave-v3", "morpho-blue")))


@pytest.fixture(scope="module")
def collapsed():
    """A market in which rates collapse on the day of the freeze, so that rules would leave the shut pools.

    Under it every pool of Aave is gone for good two days later: who holds it must leave, as soon as it can.
    """
    events = (
        ApyCollapse(day=EVENT_DAY, days=None, target=SHUT.target),
        MissingData(day=EVENT_DAY - timedelta(days=1), days=None, what="pools", target=AAVE),
    )
    with alone(SETTINGS) as settings:
        yield load_range(settings, WINDOW, source=StressedSource(MARKET, events), specs=(SPEC,))


@pytest.mark.parametrize("policy", ["optimiser", "older_rule", "threshold"])
def test_nothing_leaves_or_enters_a_frozen_pool_even_when_it_must(collapsed, policy):
    spec = replace(SPEC, policy=policy)
    run_range(collapsed, with_freezes(spec, [SHUT]))
    assert _moves(collapsed).empty
    run_range(collapsed, spec)
    assert (_moves(collapsed)["type"] == "WITHDRAWAL").any()


def _moves(loaded) -> pd.DataFrame:
    """Deposits into and withdrawals from the frozen pools on the days of the freeze."""
    pools = loaded.warehouse.read("pools")
    shut = set(pools.loc[pools["protocol"].isin(SHUT.target.protocols), "pool_id"])
    rows = loaded.warehouse.read("allocation_transactions", Window(SHUT.day, SHUT.last_day))
    rows = rows[rows["type"].isin(["WITHDRAWAL", "ALLOCATION"])]
    return rows[rows["from_location"].isin(shut) | rows["to_location"].isin(shut)]


def test_freezes_are_options_of_a_policy_that_can_be_written_down():
    freezes = (
        WithdrawalFreeze(day=EVENT_DAY, days=None, target=PoolTarget(("p",), ("aave-v3",)), deposits_open=True),
        WithdrawalFreeze(day=EVENT_DAY, days=2),
    )
    spec = with_freezes(replace(SPEC, policy="threshold", policy_options={"gain": 1}), freezes)
    assert spec.policy == POLICY
    options = {**spec.policy_options, "policy": "optimiser", "options": {}}
    assert frozen_withdrawals(SPEC.parameters, **options).freezes == freezes
    assert with_freezes(SPEC, ()) is SPEC
    with pytest.raises(ConfigurationError, match="not understood"):
        frozen_withdrawals(SPEC.parameters, policy="optimiser", options={}, freezes=[{"day": "today"}])


def test_workers_give_what_one_process_gives_in_the_order_of_the_cases(base, exposure):
    freeze = catalogue(WINDOW, exposure, 5, 1, ("withdrawals freeze",))
    cases = [*freeze, *bootstrap_cases(WINDOW, [1], 9, "persistence")]
    told: list[str] = []
    together = run_cases(SETTINGS, SPEC, WINDOW, cases, 2, base=base, on_case=lambda one: told.append(one.name))
    alone_ = run_cases(SETTINGS, SPEC, WINDOW, cases, 1, base=base)
    assert together.outcomes == alone_.outcomes
    assert together.references == alone_.references
    assert told == ["undisturbed", "undisturbed, persistence", *(case.name for case in cases)]
    assert [one.loss_usd for one in together.references] == [0.0, 0.0]
    assert together.baseline.final_nav_usd == base.daily["aum_close_usd"].iloc[-1]
    assert not together.failures
    drawn, reference = together.outcomes[-1], together.references[-1]
    assert drawn.loss_usd == pytest.approx(reference.final_nav_usd - drawn.final_nav_usd)
    assert reference.final_nav_usd != together.baseline.final_nav_usd


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (TvlFall(day=EVENT_DAY, days=1, target=PoolTarget(protocols=("aave",))), "no protocol aave"),
        (TvlFall(day=EVENT_DAY, days=1, target=PoolTarget(pools=("p",))), "no pool p"),
        (TokenDepeg(day=EVENT_DAY, days=1, tokens=("NONE",), depth=0.1), "candle of the token NONE"),
    ],
)
def test_a_case_that_would_change_nothing_fails_by_name(base, event, said):
    outcome = run_case(base, Case("typo", "k", events=(event,)))
    assert (outcome.name, outcome.loss_usd == outcome.loss_usd) == ("typo", False)
    assert said in outcome.failure


def test_a_defect_in_one_case_leaves_the_others(base, monkeypatch):
    def broken(case_base, case):
        if case.name == "bad":
            raise ZeroDivisionError("of nothing")
        return case_base.daily

    monkeypatch.setattr(runner, "case_days", broken)
    run = run_cases(SETTINGS, SPEC, WINDOW, [Case("bad", "k"), Case("good", "k")], 1, base=base)
    assert [one.failure for one in run.outcomes] == ["defect: ZeroDivisionError('of nothing')", ""]


def test_other_markets_are_runs_of_their_own_over_as_many_days(base):
    (other,) = (run_case(base, case) for case in market_cases([12]))
    assert other.loss_usd == base.daily["aum_close_usd"].iloc[-1] - other.final_nav_usd != 0.0
    assert not other.failure


def test_a_market_of_the_same_seed_is_the_same_and_takes_the_place_of_older_days(base):
    """As if the undisturbed data were older than any simulated market."""
    back = timedelta(days=400)
    older = replace(base, first_day=base.first_day - back, window=Window(WINDOW.start - back, WINDOW.end - back))
    (case,) = market_cases([11])
    pd.testing.assert_frame_equal(case_days(older, case), base.daily, check_exact=True)


def test_what_cannot_be_run_is_refused(base):
    case = Case("one", "k", events=(GasSpike(day=EVENT_DAY, days=1),))
    for cases, workers, window, said in (
        ([case, case], 1, WINDOW, "stand there twice"),
        ([case], 0, WINDOW, "at least 1"),
        ([case], 1, Window(WINDOW.start, EVENT_DAY), "not of this request"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            run_cases(SETTINGS, SPEC, window, cases, workers, base=base)


class NoLastDay(StressedSource):
    """As a live market: it goes on."""

    last_day = None


def test_a_live_source_and_a_portfolio_that_begins_anew_each_day_are_refused():
    with pytest.raises(ConfigurationError, match="no last day"):
        run_undisturbed(SETTINGS, SPEC, WINDOW, NoLastDay(MARKET, ()))
    with pytest.raises(ConfigurationError, match="mode independent"):
        run_undisturbed(SETTINGS, replace(SPEC, mode="independent"), WINDOW, MARKET)


@pytest.mark.slow
@pytest.mark.recorded
def test_cases_of_the_recorded_market_are_whole_runs(recorded_dir):
    settings = Settings.from_environment({}, source=f"recorded:{recorded_dir}")
    spec = find_portfolio(settings.portfolios, "baseline").with_overrides({"forecaster": "ewma"})
    window = Window(date(2024, 11, 1), date(2024, 11, 20))
    base = run_undisturbed(settings, spec, window)
    (case,) = catalogue(window, exposure_of(base), 7, 1, ("depeg, recovers",))
    with alone(settings) as lean:
        source = StressedSource(RecordedSource(recorded_dir), case.events)
        expected = run_range(load_range(lean, window, source=source, specs=(spec,)), spec).run.daily
    pd.testing.assert_frame_equal(case_days(base, case), expected, check_exact=True)
    assert run_case(base, case).loss_usd > 0


def test_steps_compute_for_no_other_portfolio_and_leave_no_models_of_a_case(tmp_path):
    settings = replace(SETTINGS, models=tmp_path)
    with alone(settings) as kept, alone(settings, keep_models=False) as scratch:
        assert kept.models == tmp_path
        assert scratch.models != tmp_path
        assert list(kept.portfolios.iterdir()) == []
    assert not kept.portfolios.exists()

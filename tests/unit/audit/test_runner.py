"""Audits over a short simulated market: an honest run passes, and one that looks ahead is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defiyield_core.audit import runner
from defiyield_core.audit.market import SHOWN, split
from defiyield_core.audit.runner import run_audit
from defiyield_core.audit.verdict import Audit
from defiyield_core.backtest.engine import load_range, run_range
from defiyield_core.backtest.foresight import with_foresight
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.forecasting.registry import FORECASTERS, find_forecaster
from defiyield_core.history import MarketHistory
from defiyield_core.reporting.metrics import performance
from defiyield_core.settings import Settings
from defiyield_core.sources.through import ThroughSource
from defiyield_core.universe.eligibility import GONE_DAYS
from tests.unit.audit.small import MARKET, SETTINGS, SPEC, WINDOW, Peeking, Smoothing, with_forecaster

LOOK_AHEAD = ("truncation", "scrambling")
audited = partial(run_audit, SETTINGS, window=WINDOW, source=MARKET, cuts=1)


@pytest.fixture(scope="module")
def whole() -> Audit:
    return audited(SPEC)


@pytest.fixture(scope="module")
def bench():
    with runner._apart(SETTINGS) as lean:
        made = runner._bench(lean, lean, ThroughSource(MARKET), SPEC, WINDOW, 7, lambda market: market)
    return replace(made, lean=SETTINGS, scratch=SETTINGS)


def found(audit: Audit, name: str):
    return next(result for result in audit.results if result.trial.name == name)


def test_an_honest_run_passes(whole: Audit) -> None:
    assert whole.passed
    assert [result.verdict for result in whole.look_ahead] == ["pass", "pass"]
    for result in whole.look_ahead:
        assert result.claimed_apy == result.trial_apy
        assert result.lost_apy == 0 and result.difference is None
    assert len(whole.sensitivity) == 8
    assert {result.verdict for result in whole.sensitivity} == {"info"}
    assert whole.conclusion == "No look-ahead was found: 2 look-ahead trials, all passed."


def test_the_claim_is_that_of_the_backtest(whole: Audit, tmp_path: Path) -> None:
    settings = replace(SETTINGS, portfolios=tmp_path)
    plain = run_range(load_range(settings, WINDOW, source=MARKET, specs=(SPEC,)), SPEC).run.daily
    assert whole.net_apy == performance(plain).net_apy
    assert all(result.claimed_apy == whole.net_apy for result in whole.sensitivity)


def test_what_is_lost_is_the_claim_less_the_trial(whole: Audit) -> None:
    for result in whole.sensitivity:
        assert result.lost_apy == pytest.approx(whole.net_apy - result.trial_apy, abs=1e-15)
        assert result.lost_share == pytest.approx(result.lost_apy / whole.net_apy, rel=1e-12)
        assert f"{abs(result.lost_apy) * 100:.2f} points" in result.sentence or "nothing" in result.sentence


def test_two_ways_to_a_day_of_delay_agree(whole: Audit) -> None:
    late, stale = found(whole, "stamps_1d_late"), found(whole, "stale_1d")
    assert late.trial_apy == pytest.approx(stale.trial_apy, abs=2e-4)
    assert late.lost_apy > 0.001


def test_older_data_and_lost_rewards_cost(whole: Audit) -> None:
    assert found(whole, "stale_7d").lost_apy > found(whole, "stale_1d").lost_apy > 0
    assert found(whole, "rewards_unpaid").lost_apy > 0
    assert 0 < found(whole, "rewards_unpaid").numbers["parts_unknown_share"] < 0.2


@pytest.fixture
def peeking(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], str]:
    def register(ahead: int) -> str:
        name = f"peeking_{ahead}"
        monkeypatch.setitem(FORECASTERS, name, lambda: Peeking(ahead, name))
        return name

    find_forecaster.cache_clear()
    return register


def test_a_forecaster_that_looks_ahead_is_caught(peeking: Callable[[int], str]) -> None:
    ahead = 3
    audit = audited(with_forecaster(peeking(ahead)), only=LOOK_AHEAD)
    assert not audit.passed
    assert audit.conclusion == "LOOK-AHEAD: 2 of 2 look-ahead trials did not pass."
    for result in audit.look_ahead:
        assert result.verdict == "FAIL"
        assert result.difference is not None and result.trial.day is not None
        # What it took from after the cut shows on the days whose forecast reaches beyond it, not before.
        assert result.difference.day == result.trial.day - timedelta(days=ahead - 1)
        assert result.difference.table == "asset_allocation_details"
        assert result.difference.where in set(MARKET.pool_snapshots(WINDOW).frame["pool_id"])
        assert str(result.difference.day) in result.sentence and result.difference.where in result.sentence


def test_perfect_foresight_is_caught() -> None:
    (result,) = audited(SPEC, only=("truncation",), shows=lambda market: with_foresight(market, 14)).results
    assert result.verdict == "FAIL"
    assert result.difference.day >= result.trial.day - timedelta(days=14)


def tomorrow(market: MarketHistory) -> MarketHistory:
    """The market whose views show pools as they are a day later."""
    later = np.minimum(np.arange(len(market.days)) + 1, len(market.days) - 1)
    return split(market, replace(market, **{name: getattr(market, name)[later] for name in SHOWN}))


def test_a_market_that_shows_tomorrow_is_caught() -> None:
    (result,) = audited(SPEC, only=("scrambling",), shows=tomorrow).results
    assert result.verdict == "FAIL"
    assert result.difference.day == result.trial.day


def test_a_source_that_revises_the_past_is_caught_by_truncation() -> None:
    audit = audited(SPEC, source=Smoothing(MARKET), only=("truncation",))
    assert not audit.passed


def test_a_trial_that_cannot_be_run_is_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise DataError("the cut table is gone")

    monkeypatch.setattr(runner, "TruncatedSource", broken)
    told = []
    audit = audited(SPEC, only=("truncation", "dying"), on_trial=told.append)
    assert [result.verdict for result in audit.results] == ["not run", "info"]
    assert not audit.passed and tuple(told) == audit.results
    assert "the cut table is gone" in audit.results[0].sentence


class Endless(ThroughSource):
    """The market as a live source."""

    last_day = None


def test_a_live_source_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no last day"):
        audited(SPEC, source=Endless(MARKET))


def test_a_window_that_is_too_short_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="an audit with 1 cuts needs 15"):
        audited(SPEC, window=Window(WINDOW.start, WINDOW.start + timedelta(days=10)))


def test_two_equal_sides_change_nothing(bench) -> None:
    trial, own = bench.run_on(split(bench.market, bench.market)), bench.base.run.daily
    names = ["portfolio", "run_id"]
    pd.testing.assert_frame_equal(trial.drop(columns=names), own.drop(columns=names))


def test_shifted_decisions_see_another_day_and_books_the_same(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[MarketHistory] = []
    monkeypatch.setattr(bench, "run_on", lambda market: seen.append(market) or bench.base.run.daily, raising=False)
    true = bench.market
    for trial in (one for one in runner.catalogue(WINDOW, 1) if one.family == "shift"):
        runner._shifted(bench, trial)
        both = seen[-1]
        assert (both.observed_apy == true.observed_apy)[np.isfinite(true.observed_apy)].all()
        assert (both.price_usd == true.price_usd).all()
        for day in (WINDOW.start + timedelta(days=offset) for offset in (5, 12)):
            view, other = both.as_of(day), true.as_of(day - timedelta(days=trial.days))
            for name in ("forecast_apy", "forecast_tvl_usd", "apy", "tvl_usd", "group"):
                np.testing.assert_array_equal(getattr(view, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("days", [1, 3])
def test_stale_books_accrue_what_pools_paid(bench, days: int) -> None:
    trial = next(one for one in runner.catalogue(WINDOW, 1) if one.name == f"stale_{days}d")
    daily, _ = runner._stale(bench, trial)
    held = bench.loaded.warehouse.read("asset_allocations", scope={"portfolio": "baseline_trial"})
    paid = MARKET.pool_history(WINDOW, tuple(held["pool_id"].unique())).frame.set_index(["date", "pool_id"])["apy"]
    for row in daily.itertuples():
        before = held[held["date"] == row.date - timedelta(days=1)]
        rates = np.array([paid.get((row.date, pool), np.nan) for pool in before["pool_id"]])
        growth = np.where(rates <= 10, (1 + np.nan_to_num(rates)) ** (1 / 365) - 1, 0.0)
        assert row.accrual_usd == pytest.approx(float((before["value_usd"] * growth).sum()), abs=1e-6)


def test_unpaid_rewards_change_no_decision_of_the_first_day(bench) -> None:
    trusting, knowing = (one for one in runner.catalogue(WINDOW, 1) if one.family == "rewards")
    first = pd.Timestamp(WINDOW.start)
    own = bench.decided["asset_allocations"]
    for trial, same in ((trusting, True), (knowing, False)):
        daily, _ = runner._rewards(bench, trial)
        held = bench.loaded.warehouse.read("asset_allocations", scope={"portfolio": "baseline_trial"})
        pools, expected = (set(frame.loc[frame["date"] == first, "pool_id"]) for frame in (held, own))
        assert (pools == expected) is same
        assert daily["accrual_usd"].sum() < bench.base.run.daily["accrual_usd"].sum()


def test_pools_that_die_are_never_held(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    market = bench.market
    dead = market.pools.ids.index(bench.decided["asset_allocations"]["pool_id"].mode()[0])
    absent = market.absent_days.copy()
    absent[-1, dead] = GONE_DAYS
    monkeypatch.setitem(bench.__dict__, "market", replace(market, absent_days=absent))
    trial = next(one for one in runner.catalogue(WINDOW, 1) if one.family == "dying")
    daily, numbers = runner._without_dying(bench, trial)
    assert (numbers["stopped_pools"], numbers["held_dying_pools"]) == (1, 1)
    held = bench.loaded.warehouse.read("asset_allocations", scope={"portfolio": "baseline_trial"})
    assert len(held) and market.pools.ids[dead] not in set(held["pool_id"])
    assert performance(daily).net_apy != performance(bench.base.run.daily).net_apy


def test_moved_forecasts_end_with_the_newest_ones() -> None:
    days = pd.date_range("2025-03-01", periods=4)
    window = Window(days[0].date(), days[-1].date())
    forecasts = pd.DataFrame({"date": days, "apy": [0.1, 0.2, 0.3, 0.4]})
    for shift, expected in ((1, {2: 0.1, 3: 0.2, 4: 0.3}), (-1, {1: 0.2, 2: 0.3, 3: 0.4, 4: 0.4})):
        moved = runner._moved(forecasts, shift, window)
        assert dict(zip(moved["date"].dt.day, moved["apy"], strict=True)) == expected


def test_models_of_made_up_markets_do_not_reach_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "model_store", property(lambda own: own.models))
    settings = replace(SETTINGS, home=tmp_path, models=tmp_path / "models")
    model = settings.models / "lightgbm" / "2025-02-03" / "apy_14d_abc"
    model.mkdir(parents=True)
    (model / "manifest.json").write_text("{}")
    model.with_name("apy_7d_abc").mkdir()
    with runner._apart(settings, horizon_days=14) as apart:
        assert apart.models != settings.models
        copied = apart.models / model.relative_to(settings.models)
        assert (copied / "manifest.json").read_text() == "{}"
        assert [path.name for path in copied.parent.iterdir()] == [model.name]
        (copied / "more").write_text("nonsense")
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
    assert [path.name for path in model.iterdir()] == ["manifest.json"]

"""Which cases there are, how many of each sort, and at what they are aimed."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.errors import ConfigurationError
from defiyield_core.stress.cases import BOOTSTRAP, EVENT_KINDS, MARKET, TEMPLATES, catalogue
from defiyield_core.stress.exposure import Exposure
from defiyield_core.stress.plan import WORDS, mix, plan
from tests.unit.stress.small import WINDOW

DAY = date(2025, 2, 14)


def test_a_hundred_cases_are_of_every_kind_and_drawn_from_their_seed(exposure):
    cases = plan(WINDOW, exposure, seed=3, draw_forecaster="ewma")
    assert len(cases) == 100
    assert len({case.name for case in cases}) == 100
    counts = Counter(case.kind for case in cases)
    assert (counts[BOOTSTRAP], counts[MARKET]) == (24, 12)
    assert set(counts) == {*EVENT_KINDS, BOOTSTRAP, MARKET}
    assert cases == plan(WINDOW, exposure, seed=3, draw_forecaster="ewma")
    other = plan(WINDOW, exposure, seed=4, draw_forecaster="ewma")
    assert all(one.name not in {case.name for case in cases} for one in other if one.is_redrawn)
    assert {case.forecaster for case in cases if case.is_redrawn} == {"ewma"}
    assert {case.forecaster for case in cases if not case.is_redrawn} == {""}


@pytest.mark.parametrize("count", [1, 7, 31, 33, 250])
def test_any_number_of_cases_is_that_number(exposure, count):
    assert len(plan(WINDOW, exposure, 1, count)) == count


def test_cases_can_be_narrowed(exposure):
    kinds = {case.kind for case in plan(WINDOW, exposure, 1, 20, only=["depeg", "gas"])}
    assert kinds == {"depeg, recovers", "depeg, lasting", "gas"}
    assert {case.kind for case in plan(WINDOW, exposure, 1, 5, only=["bootstrap"])} == {BOOTSTRAP}
    assert (mix(30, ["bootstrap", "market"]).draws, mix(30, ["bootstrap", "market"]).markets) == (20, 10)
    assert mix(9, ["market"]).markets == 9
    assert {kind for word in WORDS for kind in mix(10, [word]).kinds} == set(EVENT_KINDS)


def test_blocks_fit_into_a_short_window(exposure):
    (case,) = plan(WINDOW, exposure, 1, 1, only=["bootstrap"])
    assert case.resample is not None
    assert case.resample.block_days == len(WINDOW) // 2


@pytest.mark.parametrize(("only", "count", "said"), [(["luck"], 10, "luck"), ([], 0, "0 cases"), ([], 1001, "1001")])
def test_a_mix_that_cannot_be_is_refused(only, count, said):
    with pytest.raises(ConfigurationError, match=said):
        mix(count, only)


def test_events_begin_after_the_first_day_and_a_case_with_its_first_event(exposure):
    cases = catalogue(WINDOW, exposure, 3, 2 * len(TEMPLATES))
    assert all(case.day in WINDOW and case.day > WINDOW.start for case in cases)
    assert all(min(event.day for event in case.events) == case.day == case.begin for case in cases)


def test_days_of_a_template_are_spread_over_the_window(exposure):
    cases = catalogue(WINDOW, exposure, 3, 4 * len(TEMPLATES))
    quarter = (len(WINDOW) - 1) / 4
    for place in range(0, len(cases), 4):
        days = [(case.day - WINDOW.start).days - 1 for case in cases[place : place + 4]]
        assert [int(day // quarter) for day in days] == pytest.approx([0, 1, 2, 3], abs=1)
        assert len(set(days)) == 4


def test_events_are_aimed_at_what_was_held_the_day_before(base, exposure):
    state = base.frames["portfolio_state"].assign(value=lambda f: f["amount"] * f["price_usd"])
    eve = state[(state["date"] == pd.Timestamp(DAY - timedelta(days=1))) & (state["location"] != "wallet")]
    by_pool = eve.groupby("location")["value"].sum().sort_values(ascending=False)
    assert exposure.pools.loc[pd.Timestamp(DAY - timedelta(days=1))].max() == pytest.approx(by_pool.iloc[0])
    largest = exposure.largest("pools", DAY, 0)
    assert largest in by_pool.index[np.isclose(by_pool, by_pool.iloc[0])]
    assert exposure.largest("pools", DAY, 99) in by_pool.index
    assert exposure.largest("pools", WINDOW.start, 0) in set(state["location"])
    assert exposure.with_wrappers("NONE") == ("NONE",)
    assert exposure.labels[largest].endswith(largest[:8])


def test_dust_is_not_aimed_at():
    days = pd.DatetimeIndex([DAY])
    tokens = pd.DataFrame({"DUST": [0.4], "LESS": [30.0], "MORE": [60.0]}, index=days)
    held = Exposure(pools=tokens, protocols=tokens, tokens=tokens, wrappers={}, labels={})
    after = DAY + timedelta(days=1)
    assert [held.largest("tokens", after, rank) for rank in (0, 1, 2)] == ["MORE", "LESS", "LESS"]
    assert held.largest("tokens", after + timedelta(days=1), 1) == "MORE"


@pytest.mark.parametrize(("seed", "count"), [(-1, 100), (1, 0), (1, 100_000)])
def test_a_catalogue_that_cannot_be_is_refused(exposure, seed, count):
    with pytest.raises(ConfigurationError, match="cases"):
        catalogue(WINDOW, exposure, seed, count)

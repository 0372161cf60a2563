"""Events: when they hold, whom they concern, and what is refused."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pytest

from defiyield_core.errors import ConfigurationError
from defiyield_core.stress.events import (
    CANDLES,
    EVERY_POOL,
    GAS,
    HISTORY,
    SNAPSHOTS,
    ApyCollapse,
    GasSpike,
    MissingData,
    PoolTarget,
    TokenDepeg,
    TvlFall,
    WithdrawalFreeze,
)
from tests.unit.stress.small import day, days


def test_an_event_holds_on_its_days_and_no_others():
    event = GasSpike(day=day(2), days=3)
    assert event.holds(days(0, 6).days()).tolist() == [False, False, True, True, True, False, False]
    assert event.last_day == day(4)
    assert [event.overlaps(day(a), day(b)) for a, b in ((0, 1), (0, 2), (4, 9), (5, 9))] == [False, True, True, False]


def test_an_event_without_days_lasts_for_good():
    event = TvlFall(day=day(2), days=None)
    assert event.holds(days(0, 4).days()).tolist() == [False, False, True, True, True]
    assert event.last_day == date.max


def test_a_target_hits_pools_and_protocols_and_everything_when_empty():
    pools = np.array(["p1", "p2", "p3"], dtype=object)
    protocols = np.array(["aave-v3", "morpho-blue", None], dtype=object)
    assert PoolTarget(pools=("p3",), protocols=("aave-v3",)).hits(pools, protocols).tolist() == [True, False, True]
    assert EVERY_POOL.hits(pools, protocols).all()
    assert not PoolTarget(protocols=("aave",)).hits(pools, protocols).any()


def test_events_name_the_tables_they_change():
    pools = {SNAPSHOTS, HISTORY}
    assert TvlFall(day=day(0), days=1).touches == pools
    assert TokenDepeg(day=day(0), days=1, tokens=("DAI",), depth=0.1).touches == {CANDLES}
    assert WithdrawalFreeze(day=day(0), days=1).touches == set()
    assert MissingData(day=day(0), days=1, what="gas").touches == {GAS}
    assert MissingData(day=day(0), days=1, what="everything").touches == {*pools, CANDLES, GAS}


def test_plain_values_are_json_and_tell_events_apart():
    freeze = WithdrawalFreeze(day=day(0), days=None, target=PoolTarget(protocols=("aave-v3",)))
    depeg = TokenDepeg(day=day(0), days=2, tokens=("DAI",), depth=0.1)
    assert json.loads(json.dumps(freeze.plain())) == {
        "event": "WithdrawalFreeze",
        "day": "2025-03-01",
        "days": None,
        "target": {"pools": [], "protocols": ["aave-v3"]},
        "deposits_open": False,
    }
    assert depeg.plain()["tokens"] == ["DAI"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: GasSpike(day=day(0), days=0), "at least 1"),
        (lambda: GasSpike(day=day(0), days=1, factor=0.0), "factor above 0"),
        (lambda: GasSpike(day=day(0), days=1, factor=float("nan")), "factor above 0"),
        (lambda: TvlFall(day=day(0), days=1, share=1.1), "at most 1"),
        (lambda: ApyCollapse(day=day(0), days=1, share=float("nan")), "share above 0"),
        (lambda: TokenDepeg(day=day(0), days=1, tokens=("DAI",), depth=1.0), "has no price"),
        (lambda: TokenDepeg(day=day(0), days=1, tokens=(), depth=0.1), "needs tokens"),
        (lambda: MissingData(day=day(0), days=1, what="news"), "choose one of pools"),
        (lambda: MissingData(day=day(0), days=1, what="gas", target=PoolTarget(pools=("p",))), "have a target"),
        (lambda: MissingData(day=day(0), days=1, what="pools", tokens=("DAI",)), "have tokens"),
    ],
)
def test_nonsense_is_refused(make, said):
    with pytest.raises(ConfigurationError, match=said):
        make()

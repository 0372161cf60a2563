"""What DefiLlama says, as rows."""

from __future__ import annotations

import copy
import gzip
import json
import math
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.calendar import Window, end_of
from defiyield_core.contracts import table
from defiyield_core.contracts.schema import conform
from defiyield_core.errors import SourceError
from defiyield_core.sources import defillama
from defiyield_core.sources.port import Fetched
from tests.unit.sources.conftest import chart_answer, chart_point, pool_entry, pools_answer

DAY = date(2025, 6, 1)
SEEN = datetime(2025, 6, 2, 1, 30)
WINDOW = Window(date(2025, 5, 30), DAY)


def pools(*entries: Any) -> Fetched:
    return defillama.parse_pools(pools_answer(*entries), day=DAY, seen_at=SEEN, source="test")


def chart(*points: Any, window: Window = WINDOW) -> Fetched:
    return defillama.parse_chart(chart_answer(*points), pool_id="p", window=window, seen_at=SEEN, source="test")


def quickest(parse: Callable[[], Fetched]) -> tuple[float, Fetched]:
    """Seconds of the best of three runs, so that a busy machine fails no test."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        fetched = parse()
        times.append(time.perf_counter() - begin)
    return min(times), fetched


def test_percent_becomes_a_fraction_and_dollars_stay() -> None:
    row = pools(pool_entry("a", apy=6.5, apyBase=4.5, apyReward=2.0, tvlUsd=1234.5)).frame.iloc[0]
    assert (row["apy"], row["apy_base"], row["apy_reward"]) == (0.065, 0.045, 0.02)
    assert row["tvl_usd"] == 1234.5
    assert row["apy_mean_30d"] == 0.0525
    assert row["predicted_probability"] == 84.0


def test_a_null_reward_is_null_and_not_zero() -> None:
    row = pools(pool_entry("a", apyReward=None, apy=None)).frame.iloc[0]
    assert math.isnan(row["apy_reward"])
    assert math.isnan(row["apy"])


def test_a_snapshot_describes_the_end_of_its_day() -> None:
    row = pools(pool_entry("a")).frame.iloc[0]
    assert row["valid_at"] == pd.Timestamp(end_of(DAY))
    assert row["seen_at"] == pd.Timestamp(SEEN)
    assert row["date"] == pd.Timestamp(DAY)


def test_a_snapshot_seen_within_its_day_describes_the_moment_it_was_seen() -> None:
    noon = datetime(2025, 6, 1, 12)
    answer = pools_answer(pool_entry("a"))
    row = defillama.parse_pools(answer, day=DAY, seen_at=noon, source="test").frame.iloc[0]
    assert row["valid_at"] == pd.Timestamp(noon)


def test_an_apy_over_1000_percent_is_kept_and_one_below_minus_100_is_refused() -> None:
    fetched = pools(
        pool_entry("high", apy=250_000.0), pool_entry("total loss", apy=-100.0), pool_entry("low", apy=-101)
    )
    assert fetched.frame.set_index("pool_id")["apy"].to_dict() == {"high": 2500.0, "total loss": -1.0}
    assert fetched.refused == {"apy is below -1": 1}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"apy": math.nan}, "apy is not finite"),
        ({"apy": math.inf}, "apy is not finite"),
        ({"apy": 10**400}, "apy is not finite"),
        ({"apy": "4.5"}, "apy is not a number"),
        ({"apyBase": [1]}, "apyBase is not a number"),
        ({"apyReward": True}, "apyReward is not a number"),
        ({"tvlUsd": None}, "tvlUsd is missing"),
        ({"tvlUsd": -1}, "tvlUsd is negative"),
        ({"pool": 7}, "pool is not a text"),
        ({"pool": "  "}, "pool is not a text"),
        ({"chain": None}, "chain is not a text"),
        ({"project": {}}, "project is not a text"),
        ({"symbol": False}, "symbol is not a text"),
        ({"stablecoin": "yes"}, "stablecoin is not true or false"),
    ],
)
def test_an_entry_that_cannot_be_used_is_counted_and_the_others_stay(fields: dict[str, Any], reason: str) -> None:
    fetched = pools(pool_entry("good"), {**pool_entry("bad"), **fields}, pool_entry("fine"))
    assert set(fetched.frame["pool_id"]) == {"good", "fine"}
    assert fetched.refused == {reason: 1}


def test_an_entry_with_two_faults_is_refused_once() -> None:
    assert sum(pools(pool_entry("bad", apy="x", tvlUsd=-1, chain=3)).refused.values()) == 1


def test_entries_that_are_no_objects_are_counted() -> None:
    fetched = pools(None, 3, "x", [], pool_entry("good"))
    assert len(fetched.frame) == 1
    assert fetched.refused == {"not an object": 4}


def test_of_two_entries_of_a_pool_the_first_usable_one_stays() -> None:
    fetched = pools(
        pool_entry("a", tvlUsd=-5), pool_entry("a", tvlUsd=1.0), pool_entry("a", tvlUsd=2.0), pool_entry("b")
    )
    assert fetched.frame.set_index("pool_id")["tvl_usd"]["a"] == 1.0
    assert fetched.refused == {"tvlUsd is negative": 1, "duplicate pool": 1}


def test_fields_that_only_describe_become_null_when_their_type_is_wrong() -> None:
    odd = pool_entry(
        "a", predictions="{'predictedClass': 'Down'}", sigma="high", count=[], poolMeta=5, apyMean30d=math.nan
    )
    row = pools(odd).frame.iloc[0]
    assert row["predicted_class"] is None
    assert row["pool_meta"] is None
    assert np.isnan(row[["sigma", "observations", "apy_mean_30d"]].to_numpy(dtype=float)).all()


def test_unknown_fields_are_ignored() -> None:
    expected = pools(pool_entry("a")).frame
    pd.testing.assert_frame_equal(pools(pool_entry("a", brandNew={"x": [1]}, another=None)).frame, expected)


def test_token_lists_keep_their_order_and_spelling() -> None:
    row = pools(pool_entry("a", underlyingTokens=["0xAb", "USDC"], rewardTokens=[])).frame.iloc[0]
    assert json.loads(row["underlying_tokens"]) == ["0xAb", "USDC"]
    assert json.loads(row["reward_tokens"]) == []


def test_an_empty_list_is_no_rows() -> None:
    fetched = pools()
    assert list(fetched.frame.columns) == list(table("raw_defillama_pools").column_names)
    assert len(fetched.frame) == 0


@pytest.mark.parametrize("payload", [None, [], "x", 3, {}, {"data": None}, {"data": {"a": 1}}, {"data": "[]"}])
def test_a_payload_of_another_shape_is_an_error(payload: object) -> None:
    with pytest.raises(SourceError, match="DefiLlama"):
        defillama.parse_pools(payload, day=DAY, seen_at=SEEN, source="test")
    with pytest.raises(SourceError, match="chart/p"):
        defillama.parse_chart(payload, pool_id="p", window=WINDOW, seen_at=SEEN, source="test")


def test_a_reported_failure_is_an_error_with_its_message() -> None:
    with pytest.raises(SourceError, match="reported 'pool not found'"):
        defillama.parse_chart(
            {"status": "error", "message": "pool\nnot found"}, pool_id="p", window=WINDOW, seen_at=SEEN, source="test"
        )


def test_parsing_changes_nothing_in_the_payload() -> None:
    payload = pools_answer(pool_entry("a"), pool_entry("b", apy="x"))
    before = copy.deepcopy(payload)
    defillama.parse_pools(payload, day=DAY, seen_at=SEEN, source="test")
    assert payload == before


def test_twenty_thousand_pools_are_parsed_in_a_second() -> None:
    payload = pools_answer(*(pool_entry(f"pool-{number}", apy=number / 1e3) for number in range(20_000)))
    seconds, fetched = quickest(lambda: defillama.parse_pools(payload, day=DAY, seen_at=SEEN, source="test"))
    assert len(fetched.frame) == 20_000
    assert seconds < 1.0


def test_of_several_rows_in_a_day_the_latest_stays_whatever_their_order() -> None:
    fetched = chart(
        chart_point("2025-06-01T23:01:00.000Z", apy=3.0),
        chart_point("2025-06-01T01:00:00.000Z", apy=1.0),
        chart_point("2025-05-31T12:00:00.000Z", apy=9.0),
    )
    assert fetched.frame["apy"].tolist() == [0.09, 0.03]
    assert fetched.refused == {"superseded by a later row of its day": 1}


def test_a_refused_row_does_not_supersede_a_good_one() -> None:
    fetched = chart(
        chart_point("2025-06-01T01:00:00.000Z", apy=1.0), chart_point("2025-06-01T23:00:00.000Z", apy=math.inf)
    )
    assert fetched.frame["apy"].tolist() == [0.01]
    assert fetched.refused == {"apy is not finite": 1}


def test_rows_outside_the_window_are_left_out_without_being_counted() -> None:
    fetched = chart(
        chart_point("2025-05-29T23:59:59.999Z"),
        chart_point("2025-05-30T00:00:00.000Z"),
        chart_point("2025-06-01T23:59:59.999Z"),
        chart_point("2025-06-02T00:00:00.000Z", apy="broken, but not asked for"),
    )
    assert fetched.frame["date"].tolist() == [pd.Timestamp("2025-05-30"), pd.Timestamp("2025-06-01")]
    assert fetched.refused == {}


def test_a_chart_row_is_valid_at_its_own_moment_within_its_day() -> None:
    row = chart(chart_point("2025-06-01T23:01:02.345Z")).frame.iloc[0]
    assert row["valid_at"] == pd.Timestamp("2025-06-01T23:01:02.345")
    assert row["valid_at"] <= pd.Timestamp(end_of(DAY))


def test_a_moment_in_another_zone_is_of_its_utc_day() -> None:
    assert chart(chart_point("2025-06-01T01:00:00+02:00")).frame["date"].tolist() == [pd.Timestamp("2025-05-31")]


@pytest.mark.parametrize("moment", [None, "yesterday", 1748736000, "", "9999-99-99T00:00:00Z", {}])
def test_a_row_without_a_moment_is_refused(moment: Any) -> None:
    fetched = chart(chart_point(moment), chart_point("2025-06-01T12:00:00Z"))
    assert len(fetched.frame) == 1
    assert fetched.refused == {"timestamp is not a moment": 1}


def test_a_missing_tvl_in_a_chart_is_null() -> None:
    assert math.isnan(chart(chart_point("2025-06-01T12:00:00Z", tvlUsd=None)).frame["tvl_usd"].iloc[0])


def test_a_batch_is_the_charts_one_by_one() -> None:
    payloads = {
        "a": chart_answer(chart_point("2025-05-30T10:00:00Z", apy=1.0), None, chart_point("2025-06-01T10:00:00Z")),
        "b": chart_answer(),
        "c": chart_answer(chart_point("2025-06-01T10:00:00Z", apy=3.0), chart_point("2025-06-01T11:00:00Z", apy=4.0)),
    }
    batch = defillama.parse_charts(payloads, window=WINDOW, seen_at=SEEN, source="test")
    alone = [
        defillama.parse_chart(payload, pool_id=pool, window=WINDOW, seen_at=SEEN, source="test")
        for pool, payload in payloads.items()
    ]
    together = pd.concat([one.frame for one in alone if len(one.frame)]).sort_values(["date", "pool_id"])
    pd.testing.assert_frame_equal(batch.frame, together.reset_index(drop=True))
    assert batch.refused == {"not an object": 1, "superseded by a later row of its day": 1}


def test_a_year_of_150_charts_is_parsed_in_a_second() -> None:
    moments = pd.date_range("2024-06-02", periods=365).strftime("%Y-%m-%dT23:01:02.345Z")
    points = [chart_point(moment) for moment in moments]
    payloads = {f"pool-{number}": chart_answer(*points) for number in range(150)}
    year = Window(date(2024, 6, 2), DAY)
    seconds, fetched = quickest(lambda: defillama.parse_charts(payloads, window=year, seen_at=SEEN, source="test"))
    assert len(fetched.frame) == 150 * 365
    assert seconds < 1.0


PERCENT = st.one_of(st.none(), st.floats(-200, 1e7), st.sampled_from([math.nan, math.inf, "5", True, [], 10**400]))
MOMENTS = [f"2025-0{m}-{d:02}T{h:02}:00:00.000Z" for m in (5, 6) for d in (1, 2, 30) for h in (0, 23)]
POINTS = st.lists(
    st.fixed_dictionaries(
        {
            "timestamp": st.sampled_from(MOMENTS),
            "apy": PERCENT,
            "tvlUsd": st.one_of(st.none(), st.floats(-10, 1e12), st.just("x")),
        }
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(POINTS)
def test_one_day_alone_has_the_rows_that_it_has_in_a_long_window(points: list[dict[str, Any]]) -> None:
    long = chart(*points, window=Window(date(2025, 5, 1), date(2025, 6, 30))).frame
    for day in Window(date(2025, 5, 29), date(2025, 6, 2)):
        alone = chart(*points, window=Window(day, day)).frame
        same = long[long["date"] == pd.Timestamp(day)].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, same)


@settings(max_examples=25, deadline=None)
@given(POINTS)
def test_every_row_is_kept_or_counted_once_and_meets_its_contract(points: list[dict[str, Any]]) -> None:
    fetched = chart(*points, window=Window(date(2025, 5, 1), date(2025, 6, 30)))
    assert len(fetched.frame) + sum(fetched.refused.values()) == len(points)
    conform(table("raw_defillama_pool_history"), fetched.frame)
    assert not fetched.frame.duplicated(["date", "pool_id"]).any()
    known = fetched.frame["apy"].dropna()
    assert ((known >= -1.0) & np.isfinite(known)).all()


def coins(*prices: Any, coin: str = "ethereum:0xabc", **fields: Any) -> Fetched:
    payload = {"coins": {coin: {"symbol": "X", "confidence": 0.99, "decimals": 6, "prices": list(prices), **fields}}}
    return defillama.parse_coin_prices(
        payload, window=WINDOW, seen_at=SEEN, source="test", tokens={"ethereum:0xABC": "USDC"}
    )


def test_a_coin_price_is_a_close_without_high_or_low() -> None:
    row = coins({"timestamp": 1748818770, "price": 0.9991}).frame.iloc[0]  # 2025-06-01 22:59:30
    assert (row["symbol"], row["quote_currency"], row["close"]) == ("USDC", "USD", 0.9991)
    assert row["date"] == pd.Timestamp(DAY)
    assert row["valid_at"] == pd.Timestamp("2025-06-01T22:59:30")
    assert np.isnan(row[["open", "high", "low", "market_cap_usd"]].to_numpy(dtype=float)).all()


def test_prices_that_cannot_be_used_are_counted() -> None:
    bad = [{"timestamp": 1748818770, "price": price} for price in (0, -1, None, "1", math.nan)]
    fetched = coins(*bad, {"timestamp": "soon", "price": 1}, 7, {"timestamp": 1748818771, "price": 1.0})
    assert fetched.frame["close"].tolist() == [1.0]
    assert sum(fetched.refused.values()) == 7


def test_a_price_of_little_confidence_is_refused() -> None:
    fetched = coins({"timestamp": 1748818770, "price": 1.0}, confidence=0.4)
    assert fetched.refused == {"confidence under 0.5": 1}


def test_a_coin_without_prices_is_counted_and_an_unexpected_one_named_by_its_address() -> None:
    address = "0x" + "12" * 20
    fetched = coins({"timestamp": 1748818770, "price": 1.0}, coin=f"ethereum:{address}")
    assert fetched.frame["symbol"].tolist() == [f"ethereum:{address}"]
    assert coins(prices=None).refused == {"not an object": 1}


@pytest.mark.parametrize("payload", [None, [], {}, {"coins": []}])
def test_a_price_payload_of_another_shape_is_an_error(payload: object) -> None:
    with pytest.raises(SourceError, match="DefiLlama coins"):
        defillama.parse_coin_prices(payload, window=WINDOW, seen_at=SEEN, source="test")


@pytest.mark.recorded
def test_recorded_snapshots_are_kept_whole(recorded_dir: Path) -> None:
    samples = recorded_dir / "api_samples"
    files = sorted((samples / "defillama_pools_rebuilt").glob("*.json.gz"))
    files.append(samples / "defillama_pools_fixture" / "defillama_pools.json")
    assert len(files) > 10
    for file in files:
        payload = json.loads(gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes())
        fetched = defillama.parse_pools(payload, day=DAY, seen_at=SEEN, source="recorded")
        assert len(fetched.frame) == len(payload["data"])
        assert fetched.refused == {}
        apy_percent = {entry["pool"]: entry["apy"] for entry in payload["data"]}
        parsed = fetched.frame.set_index("pool_id")["apy"]
        assert np.allclose(parsed, pd.Series(apy_percent).reindex(parsed.index) / 100.0, rtol=1e-15, equal_nan=True)

"""What ethgastracker says, as gas prices."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import SourceError
from defiyield_core.sources import ethgastracker
from defiyield_core.sources.port import Fetched
from tests.unit.sources.conftest import gas_answer, gas_hour

SEEN = datetime(2025, 6, 2, 1)
WINDOW = Window(date(2025, 6, 1), date(2025, 6, 1))


def average(*hours: Any) -> Fetched:
    return ethgastracker.parse_average(gas_answer(*hours), window=WINDOW, seen_at=SEEN, source="test")


def latest(**fields: Any) -> Fetched:
    block = {
        "timestamp": 1748779200,  # 2025-06-01 12:00
        "ethPrice": 2500,
        "baseFee": 1_500_000_000,
        "oracle": {"normal": {"priorityFee": 800_000_000}},
        **fields,
    }
    return ethgastracker.parse_latest({"data": block}, window=WINDOW, seen_at=SEEN, source="test")


def test_the_tip_is_what_the_median_price_pays_on_top_of_the_base_fee() -> None:
    row = average(gas_hour("2025-06-01T08:00:00+00:00", baseFee=2.0, median=3.5)).frame.iloc[0]
    assert (row["base_fee_gwei"], row["priority_fee_gwei"], row["eth_usd"]) == (2.0, 1.5, 2500.0)
    assert row["valid_at"] == pd.Timestamp("2025-06-01T08:00")


def test_a_median_under_the_base_fee_is_no_tip() -> None:
    assert average(gas_hour("2025-06-01T08:00:00Z", median=1.0)).frame["priority_fee_gwei"].tolist() == [0.0]


def test_hours_come_out_ascending_and_only_those_of_the_window() -> None:
    hours = ("2025-06-02T00:00:00Z", "2025-06-01T23:00:00Z", "2025-06-01T00:00:00Z", "2025-05-31T23:00:00Z")
    fetched = average(*(gas_hour(hour) for hour in hours))
    assert fetched.frame["valid_at"].dt.hour.tolist() == [0, 23]
    assert fetched.refused == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"baseFee": None}, "baseFee is missing"),
        ({"median": "2"}, "median is not a number"),
        ({"baseFee": -1.0}, "baseFee is negative"),
        ({"ethPrice": 0}, "ethPrice is not above 0"),
        ({"ethPrice": math.inf}, "ethPrice is not finite"),
        ({"period": 5}, "period is not a moment"),
    ],
)
def test_an_hour_that_cannot_be_used_is_counted(fields: dict[str, Any], reason: str) -> None:
    fetched = average(gas_hour("2025-06-01T08:00:00Z"), {**gas_hour("2025-06-01T09:00:00Z"), **fields})
    assert len(fetched.frame) == 1
    assert fetched.refused == {reason: 1}


def test_an_hour_from_the_future_is_refused() -> None:
    answer = gas_answer(gas_hour("2025-06-01T08:00:00Z"))
    fetched = ethgastracker.parse_average(answer, window=WINDOW, seen_at=datetime(2025, 6, 1, 7), source="test")
    assert fetched.refused == {"later than the moment it was seen": 1}


def test_of_two_rows_of_an_hour_the_last_stays() -> None:
    fetched = average(gas_hour("2025-06-01T08:00:00Z"), gas_hour("2025-06-01T08:00:00Z", baseFee=9.0))
    assert fetched.frame["base_fee_gwei"].tolist() == [9.0]
    assert fetched.refused == {"second row of an hour": 1}


def test_latest_is_in_wei() -> None:
    row = latest().frame.iloc[0]
    assert (row["base_fee_gwei"], row["priority_fee_gwei"]) == (1.5, 0.8)
    assert row["valid_at"] == pd.Timestamp("2025-06-01T12:00")


def test_a_latest_block_without_an_oracle_or_outside_the_window_is_no_row() -> None:
    assert latest(oracle=None).refused == {"tip is missing": 1}
    assert len(latest(timestamp=1748908800).frame) == 0


@pytest.mark.parametrize("payload", [None, [], {}, {"data": []}, {"data": {"data": 3}}, {"data": {}}])
def test_a_payload_of_another_shape_is_an_error(payload: object) -> None:
    with pytest.raises(SourceError, match="ethgastracker"):
        ethgastracker.parse_average(payload, window=WINDOW, seen_at=SEEN, source="test")


@pytest.mark.recorded
def test_recorded_hours_are_gwei_and_the_recorded_block_is_wei(recorded_dir: Path) -> None:
    samples, window = recorded_dir / "api_samples", Window(date(2024, 8, 1), date(2024, 8, 31))
    hours = ethgastracker.parse_average(
        json.loads((samples / "ethgastracker_average.json").read_text()), window=window, seen_at=SEEN, source="x"
    )
    block = ethgastracker.parse_latest(
        json.loads((samples / "ethgastracker_latest.json").read_text()), window=window, seen_at=SEEN, source="x"
    )
    assert len(hours.frame) == 2
    assert hours.refused == block.refused == {}
    for row in (*hours.frame.itertuples(), *block.frame.itertuples()):
        assert 0.5 < row.base_fee_gwei < 5.0  # a quiet August
        assert 0.1 < row.priority_fee_gwei < 5.0
        assert 2_000 < row.eth_usd < 3_000

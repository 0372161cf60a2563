"""When a person is asked to look."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd

from defiyield_core.calendar import Window
from defiyield_dagster.plausibility import count_drops, jumps, missing_days, outcome_findings

START = date(2025, 3, 1)
WEEK = Window(START, START + timedelta(days=6))


def test_a_day_without_rows_is_named_and_how_old_the_newest_is() -> None:
    days = [START, START + timedelta(days=1), START + timedelta(days=3)]
    found = missing_days(days, Window(START, START + timedelta(days=5)), "gas")
    assert [str(finding) for finding in found] == [
        "2025-03-03: gas has no rows",
        "2025-03-05: gas has no rows; the newest is of 2025-03-04, 1 days before",
        "2025-03-06: gas has no rows; the newest is of 2025-03-04, 2 days before",
    ]


def test_a_third_fewer_pools_than_the_week_before_is_reported_and_a_quarter_fewer_is_not() -> None:
    counts = dict.fromkeys(WEEK, 100)
    last = WEEK.end
    assert not count_drops(counts | {last: 75}, WEEK, "pools")
    (found,) = count_drops(counts | {last: 67}, WEEK, "pools")
    assert str(found) == "2025-03-07: pools: 67 after a median of 100 in the week before"


def test_the_first_day_has_nothing_to_be_compared_with() -> None:
    assert not count_drops({START: 1}, WEEK, "pools")


def metrics(now: list[float], before: list[float], apy_change: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "date": pd.Timestamp(START),
            "tvl_usd": now,
            "tvl_change_1d_usd": [a - b for a, b in zip(now, before, strict=True)],
            "apy_change_1d": apy_change,
        }
    )


def test_a_jump_of_one_pool_of_ten_is_its_own_affair() -> None:
    assert not jumps(metrics([3e6] + [1e6] * 9, [1e6] * 10, [0.2] + [0.0] * 9), Window(START, START))


def test_when_most_pools_jump_at_once_the_day_is_reported() -> None:
    found = [str(f) for f in jumps(metrics([2e6] * 4, [1e6] * 4, [0.06, 0.06, 0.06, 0.0]), Window(START, START))]
    assert found == [
        "2025-03-01: TVL of all pools went from 4,000,000 to 8,000,000 USD",
        "2025-03-01: 4 of 4 pools jumped in TVL by more than half",
        "2025-03-01: 3 of 4 pools jumped in APY by more than 5 points",
    ]


def test_pools_under_the_smallest_usable_size_do_not_count() -> None:
    assert not jumps(metrics([9e4] * 4, [1e4] * 4, [0.5] * 4), Window(START, START))


def test_a_portfolio_day_that_did_not_end_ok_is_reported_with_its_reason() -> None:
    daily = pd.DataFrame(
        {
            "date": [pd.Timestamp(START)],
            "status": ["data_missing"],
            "reason": ["gas is 4 days old"],
            "no_data_pools": [1],
            "idle_usd": [60.0],
            "aum_close_usd": [100.0],
        }
    )
    assert [finding.text for finding in outcome_findings(daily)] == [
        "data_missing: gas is 4 days old; the portfolio held",
        "1 held pools have no row",
        "60% of the money lies idle",
    ]

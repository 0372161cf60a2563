"""Forecast steps over a market that models are trained on: windows, lean runs, frozen days, risk-adjusted decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import DataError
from defiyield_core.forecasting.matured import in_time
from defiyield_core.history import load_market
from defiyield_core.parameters import parameters
from defiyield_core.pipeline.forecast_inputs import pool_history
from defiyield_core.pipeline.forecast_steps import needed_forecasts, with_frozen
from defiyield_core.pipeline.registry import STEP_BY_NAME, STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.universe.lists import seed_lists
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite

DAYS = Window(date(2025, 3, 28), date(2025, 4, 4))
FORECASTS = ("forecast_models", "pool_forecasts", "gas_forecasts", "gas_hour_forecasts")
SETTINGS = Settings.from_environment({}, source="simulated:7", warehouse="memory:")


def processed(yardsticks: bool = True) -> StepContext:
    """A simulated market, ingested and processed over the days."""
    source = open_source(SETTINGS.source)
    context = StepContext(open_warehouse("memory:"), source, SETTINGS, yardsticks=yardsticks)
    seed_lists(context.warehouse)
    for step in STEPS:
        if step.phase in ("ingest", "process"):
            execute(step, context, DAYS)
    return context


def forecast(context: StepContext, windows: Iterable[Window]) -> dict[str, pd.DataFrame]:
    """The forecast tables after the steps ran over the windows."""
    for window in windows:
        for name in ("forecast_models", "pool_forecasts", "gas_forecasts"):
            execute(STEP_BY_NAME[name], context, window)
    return {name: context.warehouse.read(name) for name in FORECASTS}


@pytest.fixture(scope="module")
def context() -> StepContext:
    return processed()


@pytest.fixture(scope="module")
def whole(context: StepContext) -> dict[str, pd.DataFrame]:
    return forecast(context, [DAYS])


def test_models_are_trained_and_day_by_day_gives_the_rows_of_the_whole_window(whole: dict[str, pd.DataFrame]) -> None:
    models = whole["forecast_models"]
    assert set(models["model"]) == {"combination"} and set(models["horizon_days"]) == {1, 7, 14, 30}
    assert (models["trained_through"] <= models["date"]).all()
    assert models["trained_through"].nunique() == 2  # the days cross a Monday
    assert (models["observed_through"] == models["trained_through"]).all()
    daily = forecast(processed(), DAYS.chunks(1))
    for name in FORECASTS:
        pd.testing.assert_frame_equal(daily[name], whole[name], check_exact=True, obj=name)


def test_bounds_enclose_the_points_and_the_risk_adjusted_apy_lies_between(whole: dict[str, pd.DataFrame]) -> None:
    rows = whole["pool_forecasts"]
    for low, point, high in (
        ("apy_lower", "apy", "apy_upper"),
        ("apy_at_lower", "apy_at", "apy_at_upper"),
        ("tvl_lower_usd", "tvl_usd", "tvl_upper_usd"),
        ("apy_lower", "risk_adjusted_apy", "apy"),
    ):
        assert ((rows[low] <= rows[point]) & (rows[point] <= rows[high])).all(), point
    assert (rows["apy_lower"] < rows["apy_upper"]).mean() > 0.9
    gas = whole["gas_forecasts"]
    assert (gas["lower_gwei"] <= gas["gas_price_gwei"]).all() and (gas["gas_price_gwei"] <= gas["upper_gwei"]).all()


def test_a_lean_run_forecasts_only_what_portfolios_use_and_the_same_numbers(whole: dict[str, pd.DataFrame]) -> None:
    lean = forecast(processed(yardsticks=False), [DAYS])["pool_forecasts"]
    rows = whole["pool_forecasts"]
    same = rows[(rows["model"] == "combination") & (rows["horizon_days"] == 14)].reset_index(drop=True)
    assert set(lean["model"]) == {"combination"} and set(lean["horizon_days"]) == {14}
    points = ["date", "pool_id", "apy", "apy_at", "tvl_usd"]
    pd.testing.assert_frame_equal(lean[points], same[points], check_exact=True)
    assert lean["apy_lower"].isna().all()


def test_a_lean_run_has_bounds_when_a_portfolio_decides_by_them(context: StepContext) -> None:
    cautious = parameters("default", {"forecast_apy": "risk_adjusted"})
    lean = replace(context, yardsticks=False, also=(cautious,))
    assert all(one.lookback_days > 500 for one in needed_forecasts(lean).forecasters)
    assert needed_forecasts(replace(lean, also=())).history_days < needed_forecasts(lean).history_days


def test_decisions_expect_the_point_or_the_risk_adjusted_apy(
    context: StepContext, whole: dict[str, pd.DataFrame]
) -> None:
    execute(STEP_BY_NAME["eligible_pools"], context, DAYS)
    point = load_market(context.warehouse, parameters("default"), DAYS)
    cautious = load_market(context.warehouse, parameters("default", {"forecast_apy": "risk_adjusted"}), DAYS)
    rows = whole["pool_forecasts"]
    row = rows[(rows["model"] == "combination") & (rows["horizon_days"] == 14)].iloc[0]
    place = point.index_of(row["date"].date()), point.pools.ids.index(row["pool_id"])
    assert point.forecast_apy[place] == row["apy"]
    assert cautious.forecast_apy[place] == row["risk_adjusted_apy"] == (row["apy"] + row["apy_lower"]) / 2
    np.testing.assert_array_equal(point.depositable, cautious.depositable)


def test_forecasts_without_bounds_cannot_be_risk_adjusted() -> None:
    lean = processed(yardsticks=False)
    forecast(lean, [DAYS])
    execute(STEP_BY_NAME["eligible_pools"], lean, DAYS)
    with pytest.raises(DataError, match="have no bounds"):
        load_market(lean.warehouse, parameters("default", {"forecast_apy": "risk_adjusted"}), DAYS)


@dataclass(frozen=True)
class Live:
    """A source without a last day."""

    name: str = "live"
    first_day: date = DAYS.start
    last_day: None = None


def test_on_a_live_source_forecasts_are_frozen_from_the_second_day_after() -> None:
    def rows(apy: float, days: Iterable[date], model: str = "ewma") -> pd.DataFrame:
        one = {"pool_id": "a", "model": model, "horizon_days": 1, "apy": apy, "tvl_usd": 1.0, "observed_age_days": 0}
        return pd.DataFrame([{"date": pd.Timestamp(day), **one} for day in days])

    warehouse = open_warehouse("memory:")
    warehouse.replace([TableWrite("pool_forecasts", rows(0.1, list(DAYS)[:5]), DAYS)])
    now = datetime(2025, 4, 2, 1)  # the day that ended is 1 April: it and later days are open
    live = StepContext(warehouse, Live(), SETTINGS, now=lambda: now)  # type: ignore[arg-type]
    kept = with_frozen(live, "pool_forecasts", rows(0.2, DAYS), DAYS).set_index("date")["apy"].sort_index()
    frozen = [0.1] * 4  # 28 to 31 March
    assert kept.tolist() == frozen + [0.2] * (len(DAYS) - 4)
    added = with_frozen(live, "pool_forecasts", rows(0.3, DAYS, "new"), DAYS)
    assert (added["model"] == "new").sum() == len(DAYS) and (added["apy"] == 0.1).sum() == 4
    replayed = StepContext(warehouse, open_source("simulated:7"), SETTINGS, now=lambda: now)
    assert (with_frozen(replayed, "pool_forecasts", rows(0.2, DAYS), DAYS)["apy"] == 0.2).all()


def test_what_a_frozen_day_lacks_is_added_and_told_as_late() -> None:
    def rows(apy: float, pools: str) -> pd.DataFrame:
        one = {"date": pd.Timestamp(DAYS.start), "model": "ewma", "horizon_days": 1, "tvl_usd": 1.0}
        return pd.DataFrame([one | {"pool_id": pool, "apy": apy, "observed_age_days": 0} for pool in pools])

    warehouse, day = open_warehouse("memory:"), Window(DAYS.start, DAYS.start)
    midnight = datetime.combine(DAYS.start, datetime.min.time())

    def run(apy: float, pools: str, after: timedelta) -> dict[str, list[object]]:
        live = StepContext(warehouse, Live(), SETTINGS, now=lambda: midnight + after)  # type: ignore[arg-type]
        warehouse.replace(
            [TableWrite("pool_forecasts", with_frozen(live, "pool_forecasts", rows(apy, pools), day), day)]
        )
        stored = warehouse.read("pool_forecasts")
        return {
            "apy": stored["apy"].tolist(),
            "after": [moment - midnight for moment in stored["made_at"]],
            "in_time": in_time(stored).tolist(),
        }

    hours = [timedelta(hours=count) for count in (25, 47, 48, 480)]
    assert run(0.1, "a", hours[0]) == {"apy": [0.1], "after": hours[:1], "in_time": [True]}
    assert run(0.2, "ab", hours[1]) == {"apy": [0.2] * 2, "after": hours[1:2] * 2, "in_time": [True] * 2}
    third = run(0.3, "abc", hours[2])
    assert third == {"apy": [0.2, 0.2, 0.3], "after": [hours[1]] * 2 + [hours[2]], "in_time": [True, True, False]}
    fourth = run(0.4, "abcd", hours[3])
    assert fourth["apy"] == [0.2, 0.2, 0.3, 0.4] and fourth["after"] == [*third["after"], hours[3]]


def test_replayed_forecasts_tell_no_moment(whole: dict[str, pd.DataFrame]) -> None:
    for name in ("pool_forecasts", "gas_forecasts", "gas_hour_forecasts"):
        assert whole[name]["made_at"].isna().all()


def test_labels_are_known_from_the_first_snapshot_whatever_days_are_read_with_it() -> None:
    context = processed(yardsticks=False)
    raw = context.warehouse.read("raw_defillama_pools")
    ids, middle = sorted(raw["pool_id"].unique()), date(2025, 4, 1)
    kept = raw[(raw["date"] >= pd.Timestamp(middle)) | ~raw["pool_id"].isin(ids[::2])]
    everything = Window(raw["date"].min().date(), DAYS.end)
    context.warehouse.replace([TableWrite("raw_defillama_pools", kept, everything)])
    whole = pool_history(context, DAYS, 60)
    assert len(whole.ids) and (whole.labels["protocol"] != "").all()
    late = np.isin(whole.ids, ids[::2])
    day_of = int((np.datetime64(middle) - whole.days[0]).astype(int))
    assert 0 < late.sum() < len(late)
    assert not whole.labelled[:day_of, late].any() and whole.labelled[day_of:, late].all()
    assert (whole.labelled[:, ~late] | ~np.isfinite(whole.series["apy"][:, ~late])).all()
    early = pool_history(context, Window(DAYS.start, date(2025, 3, 31)), 60)
    place = [list(whole.ids).index(pool) for pool in early.ids]
    np.testing.assert_array_equal(early.labelled, whole.labelled[: len(early.days), place])
    assert (early.labels["protocol"][np.isin(early.ids, ids[::2])] == "").all()


def test_labels_and_prices_come_from_raw_rows_of_any_age(context: StepContext) -> None:
    last = Window(DAYS.end, DAYS.end)
    history = pool_history(context, last, 60)
    assert len(history.days) == 61 and history.days[-1].astype(object) == DAYS.end
    assert {"protocol", "chain", "symbol", "token"} == set(history.labels)
    assert all((labels != "").all() for labels in history.labels.values())
    assert {"gas_price_gwei", "eth_usd", "btc_usd", "USDC"} <= set(history.market)
    pools = context.warehouse.read("pools", last).set_index("pool_id")
    known = dict(zip(history.ids, history.labels["protocol"], strict=True))
    assert all(known[pool] == row["protocol"] for pool, row in pools.iterrows())

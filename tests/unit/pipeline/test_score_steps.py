"""The steps that score stored forecasts: what is read, what is frozen, and that days do not depend on later ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.forecasting.matured_card import card_rows
from defiyield_core.pipeline.registry import STEP_BY_NAME, STEPS
from defiyield_core.pipeline.score_steps import LONGEST_HORIZON_DAYS, SCORE_STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite

FIRST, N_DAYS = date(2025, 1, 1), 90
EVERYTHING = Window(FIRST, FIRST + timedelta(days=N_DAYS - 1))
POOLS = ("p-a", "p-b", "p-c", "p-late")
HORIZONS = (1, 7, 14)
TABLES = ("forecast_scores", "forecast_scorecard")


def day(offset: int) -> date:
    return FIRST + timedelta(days=offset)


def market() -> dict[str, pd.DataFrame]:
    """Raw charts and gas, and forecasts of three models as they might have been stored."""
    random = np.random.default_rng(4)
    charts, gas, pools, gas_made = [], [], [], []
    apy = dict(zip(POOLS, (0.03, 0.05, 0.08, 0.2), strict=True))
    for offset, today in enumerate(EVERYTHING):
        stamp = pd.Timestamp(today)
        moment = stamp + pd.Timedelta("23:00:00")
        told = {"date": stamp, "valid_at": moment, "seen_at": moment, "source": "test"}
        price = float(random.exponential(10))
        gas.append(told | {"base_fee_gwei": price, "priority_fee_gwei": 1.0, "eth_usd": 3e3})
        for place, pool in enumerate(POOLS):
            if pool == "p-late" and offset < 40:
                continue
            apy[pool] = abs(apy[pool] + 0.004 * random.standard_normal())
            seen = {
                "pool_id": pool,
                "apy": apy[pool],
                "apy_base": apy[pool],
                "tvl_usd": 1e6 * (place + random.random()),
            }
            if random.random() < 0.9:
                charts.append(told | seen)
            for model in ("combination", "ewma", "persistence"):
                for horizon in HORIZONS:
                    pools.append(_made(stamp, model, horizon, pool, apy[pool], random))
        for model in ("ewma", "persistence"):
            made = {"date": stamp, "model": model, "horizon_days": 7, "gas_price_gwei": price, "eth_usd": 3e3}
            gas_made.append(made | {"lower_gwei": 0.5 * price, "upper_gwei": 2.0 * price})
    frames = map(pd.DataFrame, (charts, gas, pools, gas_made))
    names = ("raw_defillama_pool_history", "raw_ethgastracker_hourly_gas_data", "pool_forecasts", "gas_forecasts")
    return dict(zip(names, frames, strict=True))


def _made(
    stamp: pd.Timestamp, model: str, horizon: int, pool: str, apy: float, random: np.random.Generator
) -> dict[str, object]:
    point = apy + 0.001 * random.standard_normal()
    key = {"date": stamp, "pool_id": pool, "model": model, "horizon_days": horizon, "observed_age_days": 0}
    bounds = {
        "apy_lower": 0.8 * point,
        "apy_upper": 1.2 * point,
        "apy_at_lower": 0.7 * point,
        "apy_at_upper": 1.4 * point,
    }
    return key | bounds | {"apy": point, "apy_at": point, "tvl_usd": 2e6, "tvl_lower_usd": 1e6, "tvl_upper_usd": 3e6}


def filled(rows: dict[str, pd.DataFrame], portfolios: Path | None = None) -> StepContext:
    warehouse = open_warehouse("memory:")
    warehouse.replace([TableWrite(name, frame, EVERYTHING) for name, frame in rows.items() if len(frame)])
    settings = Settings.from_environment({}, source="simulated:1", warehouse="memory:")
    if portfolios is not None:
        settings = Settings(settings.source, "memory:", portfolios, portfolios)
    return StepContext(warehouse, open_source("simulated:1"), settings)


def run(context: StepContext, windows: Iterable[Window]) -> dict[str, pd.DataFrame]:
    for window in windows:
        for step in SCORE_STEPS:
            execute(step, context, window)
    return {name: context.warehouse.read(name) for name in TABLES}


@pytest.fixture(scope="module")
def rows() -> dict[str, pd.DataFrame]:
    return market()


@pytest.fixture(scope="module")
def whole(rows: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return run(filled(rows), [EVERYTHING])


def until(frame: pd.DataFrame, last: date) -> pd.DataFrame:
    return frame[frame["date"] <= pd.Timestamp(last)].reset_index(drop=True)


def test_scores_come_last_and_read_what_they_name() -> None:
    assert STEPS[-2:] == SCORE_STEPS
    assert SCORE_STEPS[0].upstream[:2] == ("pool_forecasts", "gas_forecasts")
    assert SCORE_STEPS[1].upstream == ("forecast_scores",)


def test_forecasts_are_scored_as_they_were_stored(
    rows: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame]
) -> None:
    stored = rows["pool_forecasts"].set_index(["date", "pool_id", "model", "horizon_days"])
    chart = rows["raw_defillama_pool_history"].set_index(["date", "pool_id"])
    scores = whole["forecast_scores"]
    tvl = scores[scores["target"] == "tvl"]
    assert (tvl["date"] - tvl["origin"]).dt.days.tolist() == tvl["horizon_days"].tolist()
    for row in scores[scores["target"] == "apy"].sample(50, random_state=1).itertuples():
        made = stored.loc[(row.origin, row.pool_id, row.model, row.horizon_days)]
        assert (row.forecast, row.lower, row.upper) == (made.apy_at, made.apy_at_lower, made.apy_at_upper)
        assert row.actual == chart.loc[(row.date, row.pool_id)].apy
    assert set(scores["target"]) == {"apy", "mean_apy", "tvl", "gas"}
    # Every forecast of a day that was observed has its row, and no other.
    due = rows["pool_forecasts"].assign(
        date=lambda made: made["date"] + pd.to_timedelta(made["horizon_days"], unit="D"),
    )
    observed = due.merge(rows["raw_defillama_pool_history"][["date", "pool_id"]], on=["date", "pool_id"])
    assert len(observed) == len(tvl)


def test_a_window_gives_the_rows_of_its_days_one_by_one(
    rows: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame]
) -> None:
    single = [Window(one, one) for one in Window(day(40), day(65))]  # a pool begins, weeks become enough
    daily = run(filled(rows), [Window(FIRST, day(39)), *single, *Window(day(66), EVERYTHING.end).chunks(11)])
    for name in TABLES:
        pd.testing.assert_frame_equal(daily[name], whole[name], check_exact=True, obj=name)


@pytest.mark.parametrize("last", [20, 44, 77])
def test_rows_of_a_day_do_not_change_whatever_comes_later(
    rows: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame], last: int
) -> None:
    random = np.random.default_rng(last)
    scrambled = {}
    for name, frame in rows.items():
        later = (frame["date"] > pd.Timestamp(day(last))).to_numpy()
        changed = frame.copy()
        for column in ("apy", "tvl_usd", "base_fee_gwei", "gas_price_gwei"):
            if column in changed:
                changed.loc[later, column] = random.random(int(later.sum())) * 30
        scrambled[name] = changed[~(later & (random.random(len(changed)) < 0.3))]
    seen = run(filled(scrambled), [EVERYTHING])
    for name in TABLES:
        pd.testing.assert_frame_equal(until(seen[name], day(last)), until(whole[name], day(last)), check_exact=True)
        assert not seen[name].equals(whole[name])


def test_an_absurd_outcome_counts_as_missing(rows: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame]) -> None:
    chart = rows["raw_defillama_pool_history"].copy()
    row = chart[(chart["pool_id"] == "p-b") & (chart["date"] >= pd.Timestamp(day(50)))].index[0]
    moment = chart.loc[row, "date"]
    chart.loc[row, "apy"] = 11.0
    seen = run(filled(rows | {"raw_defillama_pool_history": chart}), [EVERYTHING])["forecast_scores"]

    def there(frame: pd.DataFrame) -> list[str]:
        return sorted(frame[(frame["date"] == moment) & (frame["pool_id"] == "p-b")]["target"].unique())

    assert there(whole["forecast_scores"]) == ["apy", "mean_apy", "tvl"]
    assert there(seen) == ["mean_apy", "tvl"]
    assert (seen["actual"][seen["target"] == "mean_apy"] < 1.0).all()


def test_long_horizons_are_scored_while_a_portfolio_uses_them(rows: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    made = rows["pool_forecasts"]
    longer = made[made["horizon_days"] == 1].assign(horizon_days=LONGEST_HORIZON_DAYS + 15)
    stored = rows | {"pool_forecasts": pd.concat([made, longer], ignore_index=True)}
    (tmp_path / "p.yaml").write_text("name: p\nwallet: {USDC: 1}\n")
    last = [Window(EVERYTHING.end, EVERYTHING.end)]
    assert set(run(filled(stored, tmp_path), last)["forecast_scores"]["horizon_days"]) == set(HORIZONS)
    (tmp_path / "p.yaml").write_text("name: p\nwallet: {USDC: 1}\noverrides: {horizon_days: 45}\n")
    assert set(run(filled(stored, tmp_path), last)["forecast_scores"]["horizon_days"]) == {*HORIZONS, 45}


def test_a_silent_source_is_told_and_a_first_day_is_not(rows: dict[str, pd.DataFrame]) -> None:
    step = STEP_BY_NAME["forecast_scores"]
    chart, gas = (rows[name] for name in ("raw_defillama_pool_history", "raw_ethgastracker_hourly_gas_data"))
    silent = rows | {
        "raw_defillama_pool_history": chart[chart["date"] < pd.Timestamp(day(60))],
        "raw_ethgastracker_hourly_gas_data": gas[gas["date"] < pd.Timestamp(day(40))],
    }
    result = step.compute(filled(silent), Window(day(80), day(81)))
    assert not len(result.writes[0].frame)
    assert any("no outcome was observed" in warning for warning in result.warnings)
    assert result.numbers["due"] == result.numbers["outcome_not_observed"] > 0
    first = step.compute(filled(rows), Window(FIRST, FIRST))
    assert first.numbers == {"rows": 0.0, "due": 0.0, "outcome_not_observed": 0.0} and not first.warnings
    assert not len(STEP_BY_NAME["forecast_scorecard"].compute(filled({}), EVERYTHING).writes[0].frame)


def test_the_card_is_that_of_all_scores_at_once_and_never_has_all_of_them_in_memory(
    rows: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = filled(rows)
    execute(STEP_BY_NAME["forecast_scores"], context, EVERYTHING)
    scores = context.warehouse.read("forecast_scores")
    last = Window(day(80), EVERYTHING.end)
    lengths, read = [], type(context.warehouse).read

    def spied(self: object, table: str, *args: object, **options: object) -> pd.DataFrame:
        frame = read(self, table, *args, **options)  # type: ignore[arg-type]
        if options.get("scope"):  # a memory warehouse reads its days like this, too
            lengths.append(len(frame))
        return frame

    monkeypatch.setattr(type(context.warehouse), "read", spied)
    result = STEP_BY_NAME["forecast_scorecard"].compute(context, last).writes[0].frame
    assert max(lengths) < 0.15 * len(scores) and sum(lengths) == len(scores)
    pd.testing.assert_frame_equal(result, card_rows(scores, last), check_exact=True)


def test_a_live_forecast_made_two_days_late_is_not_scored(rows: dict[str, pd.DataFrame]) -> None:
    made = rows["pool_forecasts"].copy()
    stamps = made["date"] + pd.Timedelta(hours=25)
    late = (made["pool_id"] == "p-b").to_numpy()
    last_moment = (made["pool_id"] == "p-a").to_numpy()
    stamps[late] = made["date"][late] + pd.Timedelta(days=2)
    stamps[last_moment] = made["date"][last_moment] + pd.Timedelta(hours=48) - pd.Timedelta(microseconds=1)
    step = STEP_BY_NAME["forecast_scores"]
    everything = step.compute(filled(rows), EVERYTHING)
    result = step.compute(filled(rows | {"pool_forecasts": made.assign(made_at=stamps)}), EVERYTHING)
    frame = everything.writes[0].frame
    kept = frame[frame["pool_id"] != "p-b"].reset_index(drop=True)
    pd.testing.assert_frame_equal(result.writes[0].frame, kept, check_exact=True)
    assert result.numbers["due"] < everything.numbers["due"]


def test_the_card_tells_how_the_default_model_stands(rows: dict[str, pd.DataFrame]) -> None:
    context = filled(rows)
    execute(STEP_BY_NAME["forecast_scores"], context, EVERYTHING)
    result = STEP_BY_NAME["forecast_scorecard"].compute(context, EVERYTHING)
    frame = result.writes[0].frame
    card = frame[(frame["date"] == pd.Timestamp(EVERYTHING.end)) & (frame["model"] == "combination")]
    by_horizon = card[card["target"] == "apy"].set_index("horizon_days")["relative_mae"]
    assert {f"relative_mae_{horizon}d": by_horizon[horizon] for horizon in HORIZONS}.items() <= result.numbers.items()

"""The scorecard: its figures recomputed from the table of scores, and panels that are hard to score."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.baselines import Ewma, Median, OptimisedSes, Persistence
from defiyield_core.forecasting.combination import Combination
from defiyield_core.forecasting.evaluation import classifier
from defiyield_core.forecasting.evaluation.evaluate import Evaluation, evaluate_history, writable, write
from defiyield_core.forecasting.evaluation.scorecard import (
    Result,
    Run,
    Scorecard,
    by_pool_frame,
    fewest_judged_days,
    fewest_origins,
    judged_pools,
    scorecard,
    to_json,
)
from defiyield_core.forecasting.evaluation.scores import COLUMNS, Scores
from defiyield_core.forecasting.port import History
from tests.unit.forecasting.small import market, quick

START = 100
BASELINES = (Persistence(), Ewma(), Median(), OptimisedSes())


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "_TREES", 5)


def span(history: History, first: int = START) -> Window:
    days = history.days.astype(object)
    return Window(days[first], days[-1])


@pytest.fixture(scope="module")
def history() -> History:
    return market(290)


@pytest.fixture(scope="module")
def found(history: History) -> Evaluation:
    half = np.arange(12) % 2 == 0
    eligible = np.tile(half, (290 - START, 1))
    return evaluate_history(history, span(history), (*BASELINES, Combination(Ewma())), eligible)


def result(card: Scorecard, target: str, model: str, horizon: int) -> Result:
    return next(r for r in card.results if (r.target, r.model, r.horizon_days) == (target, model, horizon))


def rows_of(frame: pd.DataFrame, target: str, model: str, horizon: int) -> pd.DataFrame:
    kept = (frame["target"] == target) & (frame["model"] == model) & (frame["horizon_days"] == horizon)
    return frame[kept].set_index(["origin", "pool_id"]).sort_index()


@pytest.fixture(scope="module")
def stored(found: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Scores, pools and card as they are read back from the files."""
    paths = write(found, tmp_path_factory.mktemp("out") / "new")
    card = json.loads(paths["scorecard"].read_text())
    return pd.read_parquet(paths["scores"]), pd.read_parquet(paths["pools"]), card


def figure(card: dict, target: str, model: str, horizon: int) -> dict:
    return next(
        row for row in card["results"] if (row["target"], row["model"], row["horizon_days"]) == (target, model, horizon)
    )


@pytest.mark.parametrize(("target", "horizon"), [("apy", 1), ("apy", 14), ("mean_apy", 7), ("tvl", 30)])
def test_the_error_over_that_of_persistence_can_be_recomputed_from_the_files(stored, target: str, horizon: int) -> None:
    frame, pools, card = stored
    frame = frame[(frame["target"] == target) & (frame["horizon_days"] == horizon)]
    error = (frame["forecast"] - frame["actual"]).abs()
    by_pool = error.groupby([frame["model"], frame["pool_id"]]).mean().unstack("pool_id")
    judged = pools.loc[(pools["observed_days"] >= 120) & (pools["median_tvl_usd"] > 500_000), "pool_id"]
    ratio = (by_pool.loc["combination"] / by_pool.loc["persistence"]).reindex(judged).dropna()
    mine = figure(card, target, "combination", horizon)
    assert mine["relative_mae"] == pytest.approx(ratio.median(), rel=1e-9)
    assert mine["share_of_pools_better"] == pytest.approx((ratio < 1).mean(), rel=1e-12)
    assert len(ratio) == card["pools"]["judged"] == 11


def test_error_skill_and_coverage_can_be_recomputed_from_the_files(stored) -> None:
    frame, _, card = stored
    own, naive = (rows_of(frame, "mean_apy", model, 7) for model in ("combination", "persistence"))
    mine = figure(card, "mean_apy", "combination", 7)
    error, reference = ((rows["forecast"] - rows["actual"]).abs() for rows in (own, naive))
    assert mine["mae_pp"] == pytest.approx(100 * error.mean(), rel=1e-12)
    assert mine["mae_median_pp"] == pytest.approx(100 * error.groupby("pool_id").mean().median(), rel=1e-12)
    weights = own.groupby("pool_id")["tvl_usd"].mean()
    weighted = (error.groupby("pool_id").mean() * weights).sum() / weights.sum()
    assert mine["mae_tvl_weighted_pp"] == pytest.approx(100 * weighted, rel=1e-12)
    assert mine["skill"] == pytest.approx(1 - error.sum() / reference.sum(), rel=1e-9)
    assert mine["skill_low"] < mine["skill"] < mine["skill_high"]
    assert mine["coverage"] == pytest.approx(own["actual"].between(own["lower"], own["upper"]).mean(), rel=1e-12)
    width = (own["upper"] - own["lower"]).groupby("pool_id").mean().median()
    assert mine["width_pp"] == pytest.approx(100 * width, rel=1e-12)
    scaled = (error / own["lifetime_scale"]).groupby("pool_id").mean().median()
    assert mine["mase"] == pytest.approx(scaled, rel=1e-12)
    squared = ((error / own["lifetime_rms"]) ** 2).groupby("pool_id").mean() ** 0.5
    assert mine["rmsse"] == pytest.approx(squared.median(), rel=1e-12)
    assert (mine["pairs"], mine["pools"]) == (len(own), own.index.get_level_values("pool_id").nunique())


def test_pools_are_ranked_among_the_eligible_ones(stored) -> None:
    frame, _, card = stored
    own = rows_of(frame, "apy", "ewma", 7)
    own = own[own["eligible"]]
    ranks = own.groupby("origin").apply(lambda day: day["forecast"].corr(day["actual"], method="spearman"))
    mine = figure(card, "apy", "ewma", 7)
    assert mine["rank_correlation"] == pytest.approx(ranks.mean(), rel=1e-9)

    def regret(day: pd.DataFrame) -> float:
        chosen = day.sort_values("forecast", ascending=False)["actual"].head(5).mean()
        return float(day["actual"].nlargest(5).mean() - chosen) if len(day) > 5 else math.nan

    assert mine["regret_top5_pp"] == pytest.approx(100 * own.groupby("origin").apply(regret).mean(), rel=1e-9)
    assert figure(card, "tvl", "ewma", 7)["rank_correlation"] is None


def test_tvl_is_in_percent_of_the_pool(stored) -> None:
    frame, _, card = stored
    own = rows_of(frame, "tvl", "ewma", 7)
    size = own.groupby("pool_id")["tvl_usd"].transform("mean")
    error = 100 * (own["forecast"] - own["actual"]).abs() / size
    assert figure(card, "tvl", "ewma", 7)["mae_pp"] == pytest.approx(error.mean(), rel=1e-12)


def test_persistence_is_its_own_reference(found: Evaluation) -> None:
    mine = result(found.card, "apy", "persistence", 7)
    assert (mine.relative_mae, mine.skill, mine.skill_low, mine.skill_high) == (1.0, 0.0, 0.0, 0.0)
    assert math.isnan(mine.dm_p_value)


def test_gas_is_on_the_card_in_gwei(found: Evaluation) -> None:
    mine = result(found.card, "gas", "ewma", 7)
    own = rows_of(found.scores.frame, "gas", "ewma", 7)
    assert mine.mae_pp == pytest.approx((own["forecast"] - own["actual"]).abs().mean(), rel=1e-12)
    naive = rows_of(found.scores.frame, "gas", "persistence", 7)
    ratio = mine.mae_pp / (naive["forecast"] - naive["actual"]).abs().mean()
    assert mine.relative_mae == pytest.approx(ratio, rel=1e-12)
    assert "gas" not in {row.pool_id for row in found.card.by_pool}


def test_the_frame_alone_gives_the_card_again(found: Evaluation, history: History, stored) -> None:
    frame, pools, _ = stored
    window = span(history)
    again = scorecard(
        Scores(frame, found.scores.skipped), pools, Run("combination", window.start, window.end, 1), found.probabilities
    )
    assert to_json(again) == to_json(found.card)


def test_the_head_of_the_card(found: Evaluation) -> None:
    card = to_json(found.card)
    assert (card["default_model"], card["step_days"], card["origins"]) == ("combination", 1, 189)
    assert (card["start"], card["tuned_through"]) == ("2024-04-10", "2024-11-30")
    assert card["pools"] == {"seen": 12, "scored": 12, "judged": 11, "fewest_days": 120}
    assert sum(card["skipped"].values()) == sum(row["pairs"] for row in card["skipped_by"]) > 0
    assert any("days on which models were tuned" in warning for warning in card["warnings"])
    assert not any("fewer than" in warning for warning in card["warnings"])
    assert {row["model"] for row in card["yardsticks"]} >= {"defillama_forest", "combination", "persistence"}


def test_rows_by_pool_are_those_of_judged_pools(found: Evaluation) -> None:
    everywhere = by_pool_frame(found.scores, found.pools)
    assert set(everywhere["pool_id"]) - {row.pool_id for row in found.card.by_pool} == {"p05"}
    one = next(
        r for r in found.card.by_pool if (r.pool_id, r.target, r.horizon_days, r.model) == ("p01", "apy", 7, "ewma")
    )
    own = rows_of(found.scores.frame, "apy", "ewma", 7).xs("p01", level="pool_id")
    assert one.mae_pp == pytest.approx(100 * (own["forecast"] - own["actual"]).abs().mean(), rel=1e-12)
    assert (one.symbol, one.protocol, one.pairs) == ("p01", "curve", len(own))


def test_the_weekly_card_has_a_seventh_of_the_origins(found: Evaluation) -> None:
    assert found.weekly is not None and found.weekly.weekly is None
    daily, weekly = found.scores.frame, found.weekly.scores.frame
    assert (found.card.step_days, found.weekly.card.step_days) == (1, 7)
    assert weekly["weekly"].all() and 0 < daily["weekly"].mean() < 0.2
    pd.testing.assert_frame_equal(daily[daily["weekly"]].reset_index(drop=True), weekly, check_exact=True)


def test_fewer_origins_than_half_a_year_has_are_warned_about(history: History) -> None:
    part = history.between(150, 289)
    found = evaluate_history(part, span(part, 100), BASELINES[:2])
    assert found.card.origins == 39
    assert any(f"fewer than the {fewest_origins(1)}" in warning for warning in found.card.warnings)
    assert (fewest_origins(1), fewest_origins(7)) == (182, 26)


def test_judged_pools_worked() -> None:
    pools = pd.DataFrame(
        {
            "pool_id": list("abcd"),
            "observed_days": [120, 119, 300, 300],
            "median_tvl_usd": [600_000.0, 1e9, 500_000.0, math.nan],
        }
    )
    assert judged_pools(pools) == {"a"}
    assert fewest_judged_days(pools) == 120
    assert judged_pools(pools.assign(observed_days=[80, 79, 100, 90])) == {"a"}
    assert fewest_judged_days(pools.iloc[:0]) == 1


def test_persistence_is_needed(history: History) -> None:
    with pytest.raises(ConfigurationError, match="have to include persistence"):
        evaluate_history(history, span(history), (Ewma(),))


def test_a_folder_that_cannot_be_made_is_refused(found: Evaluation, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        writable(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(found, tmp_path / "file")


def changed(history: History, **series: Callable[[np.ndarray], np.ndarray]) -> History:
    return replace(
        history, series={name: series.get(name, np.copy)(values.copy()) for name, values in history.series.items()}
    )


def only(history: History, pools: list[int]) -> History:
    return History(
        history.days,
        history.ids[pools],
        {name: values[:, pools] for name, values in history.series.items()},
        {name: values[pools] for name, values in history.labels.items()},
        history.market,
    )


def with_some(values: np.ndarray) -> np.ndarray:
    values[:, 0] = 0.0  # nothing, always
    values[:, 1] = 0.05  # the same, always
    values[:, 2] = values[:, 6]  # a duplicate
    values[:, 7] -= 0.08  # below 0
    values[60:75] = np.nan  # a gap of all pools
    return values


def ended(values: np.ndarray, day: int) -> np.ndarray:
    values[day:] = np.nan
    return values


HARD = {
    "thirty days before": lambda: (market(90), 30),
    "sixty days before": lambda: (market(240), 60),
    "one day before": lambda: (market(60), 1),
    "five pools": lambda: (only(market(120), [0, 3, 4, 5, 6]), 60),
    "one pool": lambda: (only(market(120), [0]), 60),
    "no labels, no market": lambda: (replace(market(120), labels={}, market={}), 60),
    "APY and TVL alone": lambda: (
        replace(market(120), series={name: market(120).series[name] for name in ("apy", "tvl_usd")}),
        60,
    ),
    "still, doubled and negative": lambda: (changed(market(120), apy=with_some), 60),
    "nothing but zeros": lambda: (changed(market(120), apy=np.zeros_like), 60),
    "no TVL": lambda: (changed(market(120), tvl_usd=lambda tvl: np.full_like(tvl, np.nan)), 60),
    "TVL of 0": lambda: (changed(market(120), tvl_usd=np.zeros_like), 60),
    "all ended": lambda: (
        changed(market(120), apy=lambda apy: np.where(np.arange(120)[:, None] < 70, apy, np.nan)),
        60,
    ),
    "never any": lambda: (changed(market(120), apy=lambda apy: np.full_like(apy, np.nan)), 60),
    "two days": lambda: (market(62), 60),
}


@pytest.mark.parametrize("case", HARD)
def test_hard_panels_give_a_card(case: str, tmp_path) -> None:
    history, first = HARD[case]()
    member = quick() if len(history.days) <= 120 else Ewma()
    found = evaluate_history(history, span(history, first), (*BASELINES[:2], Combination(member)))
    card = json.loads(json.dumps(to_json(found.card), allow_nan=False))
    write(found, tmp_path)
    frame = pd.read_parquet(tmp_path / "scores.parquet")
    assert tuple(frame.columns) == (*COLUMNS, "weekly")
    assert np.isfinite(frame[["forecast", "actual"]].to_numpy(dtype=float)).all()
    assert ((frame["lower"] <= frame["forecast"]) & (frame["forecast"] <= frame["upper"])).all()
    assert card["pools"]["scored"] == frame.loc[frame["pool_id"] != "gas", "pool_id"].nunique()
    for row in card["results"]:
        assert row["pairs"] > 0 and (row["mae_pp"] is None or row["mae_pp"] >= 0.0)
        assert row["coverage"] is None or 0.0 <= row["coverage"] <= 1.0
    assert card["warnings"] or case == "sixty days before"


def test_zero_yield_is_no_failure_and_no_success() -> None:
    history = changed(market(120), apy=np.zeros_like)
    card = evaluate_history(history, span(history, 60), (*BASELINES[:2], Combination(quick()))).card
    mine = result(card, "apy", "combination", 7)
    assert mine.mae_pp == pytest.approx(0.0, abs=1e-4)
    assert math.isnan(mine.relative_mae) and math.isnan(mine.mase)


def test_no_scores_at_all_give_an_empty_card() -> None:
    empty = Scores(
        pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS}),
        pd.DataFrame(columns=["target", "horizon_days", "reason", "pairs"]),
    )
    pools = pd.DataFrame({"pool_id": [], "symbol": [], "protocol": [], "observed_days": [], "median_tvl_usd": []})
    day = date(2025, 1, 1)
    card = scorecard(empty, pools, Run("combination", day, day + timedelta(days=7), 7))
    assert (card.results, card.by_pool, card.yardsticks, card.origins) == ((), (), (), 0)
    assert any("no pair" in warning for warning in card.warnings)

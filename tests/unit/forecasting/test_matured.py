"""Stored forecasts against what came: exact rows, and cards that do not depend on the days computed with them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.contracts.checks import violations
from defiyield_core.forecasting import matured_card
from defiyield_core.forecasting.evaluation.significance import pooled_skill
from defiyield_core.forecasting.matured import SCALE_DAYS, days_before, gas_scores, naive_scale, pool_scores
from defiyield_core.forecasting.matured_card import CARD_DAYS, DRAWS, card_rows, weeks_together
from defiyield_core.panel import Panel, days_between

FIRST = date(2025, 1, 1)


def day(offset: int) -> date:
    return FIRST + timedelta(days=offset)


def stamp(offset: int) -> pd.Timestamp:
    return pd.Timestamp(day(offset))


def forecast(offset: int, pool: str, horizon: int, **values: float) -> dict[str, object]:
    bounds = dict.fromkeys(
        ("apy_lower", "apy_upper", "apy_at", "apy_at_lower", "apy_at_upper", "tvl_lower_usd", "tvl_upper_usd"), np.nan
    )
    row = {"date": stamp(offset), "pool_id": pool, "model": "ewma", "horizon_days": horizon, "apy": 0.05}
    return row | {"tvl_usd": 1e6, "made_at": pd.NaT} | bounds | values


def panel(apy: dict[str, list[float]], tvl: float = 2e6) -> Panel:
    ids = np.array(sorted(apy), dtype=object)
    values = np.array([apy[name] for name in ids]).T
    days = days_between(FIRST, day(len(values) - 1))
    return Panel(days, ids, {"apy": values, "tvl_usd": np.where(np.isnan(values), np.nan, tvl)})


def test_each_point_is_held_against_its_own_outcome() -> None:
    observed = panel({"a": [0.01, 0.02, 0.04, 0.03, 0.06]})
    row = forecast(1, "a", 2, apy_at=0.05, apy_at_lower=0.01, apy_at_upper=0.07, apy_lower=0.02, apy_upper=0.08)
    found = pool_scores(pd.DataFrame([row]), observed, Window(day(3), day(3)))
    rows = found.rows.set_index("target")
    assert dict(found.due) == {"apy": 1, "mean_apy": 1, "tvl": 1}
    assert rows["actual"].to_dict() == {"apy": 0.03, "mean_apy": (0.04 + 0.03) / 2, "tvl": 2e6}
    assert rows["forecast"].to_dict() == {"apy": 0.05, "mean_apy": 0.05, "tvl": 1e6}
    assert rows.loc["apy", ["lower", "upper"]].tolist() == [0.01, 0.07]
    assert rows.loc["mean_apy", ["lower", "upper"]].tolist() == [0.02, 0.08]
    assert rows.loc["tvl", ["lower", "upper"]].isna().all()
    assert set(rows["date"]) == {stamp(3)} and set(rows["origin"]) == {stamp(1)}
    # One change up to the origin: 0.02 - 0.01. TVL did not move.
    assert rows["naive_scale"].to_dict() == {"apy": 0.01, "mean_apy": 0.01, "tvl": 0.0}
    assert not violations(table("forecast_scores"), found.rows)


def test_a_mean_needs_half_of_its_days_and_a_value_its_own_day() -> None:
    gap = np.nan
    observed = panel({"a": [0.01, 0.02, gap, gap, 0.04, gap, gap, gap, gap]})
    rows = [forecast(1, "a", 3, apy_at=0.05), forecast(1, "a", 2, apy_at=0.05), forecast(3, "a", 2, apy_at=0.05)]
    found = pool_scores(pd.DataFrame(rows), observed, Window(FIRST, day(8)))
    kept = {(row.target, row.horizon_days, row.origin): row.actual for row in found.rows.itertuples()}
    # Of t+1 .. t+3 one of three is observed; of t+1, t+2 none; of the last one of two.
    assert kept == {("apy", 3, stamp(1)): 0.04, ("tvl", 3, stamp(1)): 2e6, ("mean_apy", 2, stamp(3)): 0.04}
    assert sum(found.due.values()) == 9


def test_a_forecast_without_that_point_or_of_an_unknown_pool_has_no_row() -> None:
    observed = panel({"a": [0.01, 0.02, 0.03]})
    rows = [forecast(0, "a", 1), forecast(0, "nobody", 1, apy_at=0.01)]
    found = pool_scores(pd.DataFrame(rows), observed, Window(day(1), day(2)))
    assert found.rows["target"].tolist() == ["mean_apy", "tvl"]
    assert found.due["apy"] == 1


def test_only_what_matures_inside_the_window_is_scored() -> None:
    observed = panel({"a": [0.01] * 8})
    rows = pd.DataFrame([forecast(offset, "a", horizon) for offset in range(8) for horizon in (1, 3)])
    found = pool_scores(rows, observed, Window(day(4), day(5))).rows
    tvl = found[found["target"] == "tvl"]
    assert sorted(zip(tvl["date"], tvl["origin"], strict=True)) == [
        (stamp(4), stamp(1)),
        (stamp(4), stamp(3)),
        (stamp(5), stamp(2)),
        (stamp(5), stamp(4)),
    ]


def test_gas_is_a_mean_over_the_horizon() -> None:
    gas = Panel(days_between(FIRST, day(3)), np.array(["gas"], dtype=object), {"gas_price_gwei": np.c_[[4.0, 6, 9, 3]]})
    row = {"date": stamp(1), "model": "ewma", "horizon_days": 2, "gas_price_gwei": 5.0, "lower_gwei": 2.0}
    row |= {"made_at": pd.NaT}
    found = gas_scores(pd.DataFrame([row | {"upper_gwei": 8.0}]), gas, Window(day(2), day(3))).rows
    assert found[["date", "target", "pool_id", "actual", "naive_scale"]].values.tolist() == [
        [stamp(3), "gas", "gas", 6.0, 2.0]
    ]
    assert gas_scores(pd.DataFrame([row]).assign(upper_gwei=8.0).head(0), gas, Window(day(2), day(3))).rows.empty


def test_the_naive_scale_does_not_depend_on_the_first_day_given() -> None:
    random = np.random.default_rng(3)
    values = random.random((200, 4))
    values[random.random(values.shape) < 0.2] = np.nan
    whole = naive_scale(values)
    np.testing.assert_array_equal(naive_scale(values[100:])[SCALE_DAYS:], whole[100 + SCALE_DAYS :])
    changes = np.abs(np.diff(values[139 - SCALE_DAYS : 140, 2]))
    assert whole[139, 2] == pytest.approx(np.nanmean(changes))
    assert days_before(30) == 30 + SCALE_DAYS


def scores(n_days: int, pools: int = 5, horizon: int = 1, seed: int = 1) -> pd.DataFrame:
    """Random scores of persistence and a model that is better on some pools."""
    random = np.random.default_rng(seed)
    rows = []
    for offset in range(n_days):
        for pool in range(pools):
            actual = random.random()
            for model, spread in (("combination", 0.05 * (1 + pool)), ("persistence", 0.15)):
                if random.random() < 0.9:
                    point = actual + spread * random.standard_normal()
                    half = 1.2815515655446004 * spread
                    key = {"date": stamp(offset), "target": "apy", "pool_id": f"p{pool}", "model": model}
                    values = {"forecast": point, "lower": point - half, "upper": point + half, "actual": actual}
                    rows.append(key | {"horizon_days": horizon, "naive_scale": 0.1} | values)
    return pd.DataFrame(rows)


def test_a_card_is_what_the_definitions_say() -> None:
    found = scores(220)
    last = 215
    cards = card_rows(found, Window(day(last), day(last))).set_index("model")
    assert cards.index.tolist() == ["combination", "persistence"]
    inside = found[(found["date"] <= stamp(last)) & (found["date"] > stamp(last - CARD_DAYS))]
    recent = inside[inside["date"] > stamp(last - 28)]

    def errors(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.assign(error=(rows["forecast"] - rows["actual"]).abs())
        return rows.pivot(index=["date", "pool_id"], columns="model", values="error")

    mine = inside[inside["model"] == "combination"]
    card = cards.loc["combination"]
    assert card["pairs"] == len(mine) and card["pools"] == 5
    assert card["mae"] == pytest.approx((mine["forecast"] - mine["actual"]).abs().mean())
    assert card["mase"] == pytest.approx(10 * card["mae"])
    assert card["width"] == pytest.approx((mine["upper"] - mine["lower"]).mean())
    hit = (mine["lower"] <= mine["actual"]) & (mine["actual"] <= mine["upper"])
    assert card["coverage"] == pytest.approx(hit.mean())
    assert card["recent_coverage"] == pytest.approx(hit[mine["date"] > stamp(last - 28)].mean())
    both = errors(inside).dropna()
    assert card["skill"] == pytest.approx(1 - both["combination"].sum() / both["persistence"].sum())
    by_pool = both.groupby("pool_id").sum()
    assert card["relative_mae"] == pytest.approx((by_pool["combination"] / by_pool["persistence"]).median())
    near = errors(recent).dropna().sum()
    assert card["recent_relative_mae"] == pytest.approx(near["combination"] / near["persistence"])
    assert card["skill_low"] < card["skill"] < card["skill_high"]
    persistence = cards.loc["persistence"]
    assert persistence[["skill", "skill_low", "skill_high"]].tolist() == [0.0, 0.0, 0.0]
    assert persistence[["relative_mae", "recent_relative_mae"]].tolist() == [1.0, 1.0]
    assert not violations(table("forecast_scorecard"), cards.reset_index())


def test_the_interval_is_that_of_the_bootstrap_over_pools_and_weeks() -> None:
    found = scores(CARD_DAYS, pools=30)
    end = CARD_DAYS - 1
    card = card_rows(found, Window(day(end), day(end))).set_index("model").loc["combination"]
    error = (found["forecast"] - found["actual"]).abs()
    wide = found.assign(error=error).pivot(index=["date", "pool_id"], columns="model", values="error").dropna()
    week = (wide.index.get_level_values("date") - stamp(0)).days // 7
    by_week = wide.groupby([week, wide.index.get_level_values("pool_id")]).sum()
    mine, theirs = (by_week[name].unstack().to_numpy() for name in ("combination", "persistence"))
    other = pooled_skill(mine, theirs, 1, draws=4 * DRAWS)
    assert card["skill"] == pytest.approx(other.value)
    width = other.high - other.low
    assert abs(card["skill_low"] - other.low) < 0.15 * width
    assert abs(card["skill_high"] - other.high) < 0.15 * width


@pytest.mark.parametrize(("horizon", "weeks"), [(1, 1), (2, 2), (7, 2), (8, 2), (9, 3), (14, 3), (30, 6)])
def test_weeks_stay_together_that_share_days_of_outcomes(horizon: int, weeks: int) -> None:
    assert weeks_together(horizon) == weeks
    first_of_week, last_of_earlier = 7 * weeks, 6  # outcomes of daily origins: t-h+1 .. t
    assert first_of_week - horizon + 1 > last_of_earlier - 1


def test_there_is_no_interval_before_enough_weeks_are_known() -> None:
    few = card_rows(scores(27), Window(day(26), day(26)))
    assert few["skill"].notna().all() and few.loc[few["model"] == "combination", "skill_low"].notna().all()
    fewer = card_rows(scores(21), Window(day(20), day(20))).set_index("model").loc["combination"]
    assert np.isnan(fewer["skill_low"]) and np.isfinite(fewer["skill"])
    long = card_rows(scores(80, horizon=30), Window(day(76), day(76))).set_index("model").loc["combination"]
    assert np.isnan(long["skill_low"])


def sorted_cards(cards: pd.DataFrame) -> pd.DataFrame:
    return cards.sort_values(list(table("forecast_scorecard").key), ignore_index=True)


def test_a_card_alone_is_bit_for_bit_that_of_a_long_window_whatever_comes_later() -> None:
    found = pd.concat([scores(230), scores(230, horizon=7, seed=2)], ignore_index=True)
    # A pool and a model that only the later days know: they must not move a bit of the earlier cards.
    late = found[found["date"] > stamp(200)]
    another = late[late["pool_id"] == "p2"].assign(pool_id="p2b")
    newer = late[late["model"] == "combination"].assign(model="a new one")
    found = pd.concat([found, another, newer], ignore_index=True)
    whole = card_rows(found, Window(day(150), day(229)))
    for offset in (150, 190, 200, 229):
        until = found[(found["date"] <= stamp(offset)) & (found["date"] > stamp(offset - CARD_DAYS))]
        shuffled = until.sample(frac=1.0, random_state=offset)
        alone = card_rows(shuffled, Window(day(offset), day(offset)))
        same = whole[whole["date"] == stamp(offset)]
        pd.testing.assert_frame_equal(sorted_cards(alone), sorted_cards(same), check_exact=True)


def test_without_persistence_nothing_is_said_about_skill() -> None:
    found = scores(60)
    cards = card_rows(found[found["model"] != "persistence"], Window(day(59), day(59)))
    assert cards["mae"].notna().all()
    assert cards[["skill", "skill_low", "skill_high", "relative_mae", "recent_relative_mae"]].isna().all(axis=None)


def test_a_perfect_persistence_leaves_the_quotients_out() -> None:
    found = scores(60)
    calm = found["model"] == "persistence"
    found.loc[calm, "forecast"] = found.loc[calm, "actual"]
    card = card_rows(found, Window(day(59), day(59))).set_index("model").loc["combination"]
    assert np.isnan([card["relative_mae"], card["skill"], card["skill_low"], card["recent_relative_mae"]]).all()
    assert not violations(table("forecast_scorecard"), card_rows(found, Window(day(59), day(59))))


def test_days_with_nothing_behind_them_have_no_card() -> None:
    cards = card_rows(scores(3), Window(day(-2), day(CARD_DAYS + 4)))
    assert (cards["date"].min(), cards["date"].max()) == (stamp(0), stamp(2 + CARD_DAYS - 1))
    assert card_rows(scores(3).head(0), Window(day(0), day(1))).empty


def test_parts_of_any_kind_give_the_card_of_the_whole_and_leave_no_draws_behind() -> None:
    found = pd.concat([scores(230), scores(230, horizon=7, seed=2)], ignore_index=True)
    window = Window(day(200), day(229))
    parts = (found.iloc[place::7].sample(frac=1.0, random_state=place) for place in range(7))
    pd.testing.assert_frame_equal(card_rows(parts, window), card_rows(found, window), check_exact=True)
    assert matured_card._draws_of_pools.cache_info().currsize == 0
    assert card_rows(iter(()), window).empty


def test_draws_take_as_many_pools_and_weeks_as_there_are() -> None:
    assert (matured_card._draws_of_pools(7).sum(axis=1) == 7).all()
    weeks = matured_card._draws_of_weeks(10, 3)
    assert weeks.shape == (DRAWS, 10) and (weeks.sum(axis=1) == 10).all()

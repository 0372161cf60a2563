"""When forecasts, scores and models are wrong, and when a person is asked to look."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.forecasting.tables import model_rows
from defiyield_core.panel import Panel, days_between
from defiyield_core.pipeline.step import StepContext
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite
from defiyield_dagster.forecast_rules import (
    FORECAST_PLAUSIBILITY,
    IMPOSSIBLE,
    clones,
    disordered,
    early_scores,
    odd_cards,
    old_models,
    prescient_models,
    strays,
    unscored,
)
from tests.unit.forecasting.small import market as market_of_models
from tests.unit.forecasting.small import quick

SETTINGS = Settings.from_environment({}, source="simulated:1", warehouse="memory:")
START = date(2025, 3, 1)
TODAY = START + timedelta(days=59)


def market() -> Panel:
    """60 days of four pools: two are twins by all that was seen of them."""
    days = days_between(START, TODAY)
    wave = 0.01 * np.sin(np.arange(60))
    apy = np.column_stack([0.05 + wave, 0.08 + wave, 0.03 + wave, 0.03 + wave])
    tvl = np.column_stack([np.full(60, size) for size in (1e6, 2e6, 3e6, 3e6)])
    return Panel(days, np.array(["a", "b", "twin-1", "twin-2"], dtype=object), {"apy": apy, "tvl_usd": tvl})


def persisted(model: str = "persistence", horizon: int = 7) -> pd.DataFrame:
    """The forecasts of persistence on the last day."""
    seen = market()
    values = {"apy": seen["apy"][-1], "apy_at": seen["apy"][-1], "tvl_usd": seen["tvl_usd"][-1]}
    key = {"date": pd.Timestamp(TODAY), "pool_id": seen.ids, "model": model, "horizon_days": horizon}
    return pd.DataFrame(key | values)


def texts(findings: object) -> list[str]:
    return [str(finding) for finding in findings]  # type: ignore[attr-defined]


class TestClones:
    def test_equal_observations_are_no_copy(self) -> None:
        assert not clones(persisted(), market())

    @pytest.mark.parametrize(("column", "what"), [("apy", "APY"), ("tvl_usd", "TVL")])
    def test_the_forecast_of_another_pool_is_named_once_for_all_horizons(self, column: str, what: str) -> None:
        rows = pd.concat([persisted("combination", 1), persisted("combination", 7)], ignore_index=True)
        copied = rows["pool_id"] == "b"
        rows.loc[copied, column] = rows.loc[rows["pool_id"] == "a", column].to_numpy()
        assert texts(clones(rows, market())) == [f"{TODAY}: combination forecasts the same {what} of a = b"]
        rows.loc[copied, column] = np.nextafter(rows.loc[copied, column], 1.0)
        assert not clones(rows, market())

    def test_a_copy_of_both_is_told_of_both(self) -> None:
        rows = persisted()
        rows.loc[1, ["apy", "tvl_usd"]] = rows.loc[0, ["apy", "tvl_usd"]]
        assert [text.split("same ")[1] for text in texts(clones(rows, market()))] == ["APY of a = b", "TVL of a = b"]

    def test_many_forecasts_end_at_zero(self) -> None:
        assert not clones(persisted().assign(apy=0.0, tvl_usd=0.0), market())

    def test_another_model_or_day_may_say_the_same(self) -> None:
        rows = pd.concat([persisted(), persisted("ewma"), persisted(horizon=1)], ignore_index=True)
        assert not clones(rows, market())


class TestStrays:
    def test_forecasts_near_what_was_seen_pass(self) -> None:
        rows = persisted()
        rows["apy"] += 0.05
        rows["tvl_usd"] *= 2.9
        assert not strays(rows, market())

    @pytest.mark.parametrize(
        ("column", "value", "said"),
        [
            ("apy", 0.2, "a forecast apy far from its 60 days"),
            ("apy_at", 0.2, "a forecast apy_at far from its 60 days"),
            ("apy", -0.001, "a negative forecast apy, which it never had"),
            ("tvl_usd", 3.1e6, "a forecast TVL far from its 60 days"),
            ("tvl_usd", 0.3e6, "a forecast TVL far from its 60 days"),
        ],
    )
    def test_what_leaves_the_range_is_named(self, column: str, value: float, said: str) -> None:
        rows = persisted()
        rows.loc[0, column] = value
        assert texts(strays(rows, market())) == [f"{TODAY}: persistence: a with {said}"]

    def test_a_pool_that_was_negative_may_be_forecast_so(self) -> None:
        seen = market()
        seen["apy"][10, 0] = -0.01
        rows = persisted()
        rows.loc[0, "apy"] = -0.001
        assert not strays(rows, seen)

    def test_many_pools_are_counted_after_the_first_five(self) -> None:
        rows = pd.concat([persisted().head(1)] * 8, ignore_index=True).assign(apy=9.0)
        seen = market()
        ids = np.array([f"p{place}" for place in range(8)], dtype=object)
        wide = Panel(seen.days, ids, {name: np.repeat(seen[name][:, :1], 8, axis=1) for name in ("apy", "tvl_usd")})
        (found,) = strays(rows.assign(pool_id=ids), wide)
        assert "p0, p1, p2, p3, p4 and 3 more with" in str(found)

    def test_a_pool_that_nobody_observed_is_left_to_other_rules(self) -> None:
        assert not strays(persisted().assign(pool_id="unknown"), market())
        assert not clones(persisted().assign(pool_id="unknown", apy=0.1, tvl_usd=1.0), market())


def card(**changes: object) -> pd.DataFrame:
    usual = {"date": pd.Timestamp(TODAY), "target": "apy", "model": "combination", "horizon_days": 7, "pairs": 5000}
    usual |= {"skill": 0.1, "skill_low": 0.05, "skill_high": 0.2, "recent_coverage": 0.8, "recent_relative_mae": 0.9}
    usual |= {"coverage": 0.8}
    return pd.DataFrame([usual | changes])


class TestCards:
    def test_a_good_card_passes(self) -> None:
        assert not odd_cards(card(), ["combination"])

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"recent_coverage": 0.69}, "bounds of 80 % held 69.0% of the outcomes of 28 days"),
            ({"recent_coverage": 0.91}, "bounds of 80 % held 91.0% of the outcomes of 28 days"),
            (
                {"recent_relative_mae": 1.01},
                "error of 28 days is 1.01 of that of persistence, after 0.90 over 182 days",
            ),
            (
                {"skill": -0.05, "skill_high": -0.01, "recent_relative_mae": 1.0},
                "worse than persistence: skill -5.0%, at most -1.0%",
            ),
        ],
    )
    def test_what_is_odd_is_said(self, changes: dict[str, object], said: str) -> None:
        assert texts(odd_cards(card(**changes), ["combination"])) == [f"{TODAY}: combination apy 7 d: {said}"]
        assert not odd_cards(card(**changes), ["ewma"])

    def test_few_pairs_say_nothing_about_28_days_and_no_interval_nothing_about_skill(self) -> None:
        assert not odd_cards(card(recent_coverage=0.2, recent_relative_mae=3.0, pairs=999), ["combination"])
        assert not odd_cards(card(skill=-0.05, skill_high=np.nan), ["combination"])
        assert not odd_cards(card(recent_coverage=np.nan, recent_relative_mae=np.nan), ["combination"])

    def test_long_horizons_are_judged_by_182_days(self) -> None:
        assert not odd_cards(card(horizon_days=30, recent_coverage=0.4, recent_relative_mae=2.0), ["combination"])
        (found,) = odd_cards(card(horizon_days=30, coverage=0.65), ["combination"])
        assert "held 65.0% of the outcomes of 182 days" in str(found)

    def test_a_spell_is_told_once(self) -> None:
        days = [card(date=pd.Timestamp(TODAY - timedelta(days=back)), recent_coverage=0.6) for back in range(3)]
        (found,) = odd_cards(pd.concat(days), ["combination"])
        assert found.day == TODAY and str(found).endswith("(and on 2 more days)")


def test_days_on_which_forecasts_matured_unscored_are_named() -> None:
    made = pd.DataFrame({"date": [pd.Timestamp(START)] * 2, "horizon_days": [1, 7]})
    window = Window(START, START + timedelta(days=10))
    first, last = START + timedelta(days=1), START + timedelta(days=7)
    assert [finding.day for finding in unscored(made, [], window)] == [first, last]
    assert [finding.day for finding in unscored(made, [first], window)] == [last]
    assert not unscored(made, [first, last], window)
    assert not unscored(made, [first], Window(START, START + timedelta(days=6)))


def models(*ages: int) -> pd.DataFrame:
    today = pd.Timestamp(TODAY)
    frame = pd.DataFrame(
        {"date": today, "model": "combination", "point": "apy", "horizon_days": 7}, index=range(len(ages))
    )
    return frame.assign(trained_through=[today - pd.Timedelta(days=age) for age in ages], observed_through=pd.NaT)


def test_a_model_that_missed_two_refits_is_old() -> None:
    assert not old_models(models(0, 7, 14))
    assert texts(old_models(models(0, 15, 20))) == [
        f"{TODAY}: combination apy 7 d: has learnt nothing for 20 days",
    ]


def test_a_model_refitted_on_nothing_new_is_old() -> None:
    silent = market_of_models()
    days = len(silent.days)
    series = {
        name: np.where(np.arange(days)[:, None] < days - 20, values, np.nan) for name, values in silent.series.items()
    }
    for history, expected in ((silent, []), (replace(silent, series=series), ["has learnt nothing for 20 days"])):
        rows = model_rows(history, days - 1, [quick(window_days=140)], (7,))
        assert (rows["date"] - rows["trained_through"]).dt.days.max() < 7
        assert [finding.text.split(": ")[1] for finding in old_models(rows)] == expected


def test_a_late_forecast_needs_no_score() -> None:
    core = StepContext(open_warehouse("memory:"), open_source("simulated:1"), SETTINGS)
    row = {"date": pd.Timestamp(START), "pool_id": "a", "model": "ewma", "horizon_days": 1, "apy": 0.1, "tvl_usd": 1.0}
    day, next_day = Window(START, START), START + timedelta(days=1)
    for hours, expected in ((47, [next_day]), (48, [])):
        made = pd.DataFrame(
            [row | {"observed_age_days": 0, "made_at": pd.Timestamp(START) + pd.Timedelta(hours=hours)}]
        )
        core.warehouse.replace([TableWrite("pool_forecasts", made, day)])
        found = FORECAST_PLAUSIBILITY["forecast_scores"].evaluate(core, Window(next_day, next_day))
        assert [finding.day for finding in found] == expected


def test_a_model_from_the_future_and_a_score_before_its_day_are_errors() -> None:
    assert not prescient_models(models(0, 1))
    assert texts(prescient_models(models(0, -1))) == [
        f"{TODAY}: forecast_models.trained_through is after the day of the forecast in 1 rows",
    ]
    score = {"date": pd.Timestamp(TODAY), "origin": pd.Timestamp(TODAY) - pd.Timedelta(days=7), "horizon_days": 7}
    assert not early_scores(pd.DataFrame([score]))
    assert len(early_scores(pd.DataFrame([score | {"horizon_days": 8}]))) == 1


@pytest.mark.parametrize(
    ("name", "triple"),
    [
        ("pool_forecasts", ("apy_lower", "apy", "apy_upper")),
        ("pool_forecasts", ("apy_at_lower", "apy_at", "apy_at_upper")),
        ("pool_forecasts", ("tvl_lower_usd", "tvl_usd", "tvl_upper_usd")),
        ("pool_forecasts", ("apy_lower", "risk_adjusted_apy", "apy_upper")),
        ("gas_forecasts", ("lower_gwei", "gas_price_gwei", "upper_gwei")),
        ("gas_hour_forecasts", ("lower_gwei", "gas_price_gwei", "upper_gwei")),
        ("forecast_scores", ("lower", "forecast", "upper")),
    ],
)
def test_a_point_outside_its_bounds_is_an_error(name: str, triple: tuple[str, str, str]) -> None:
    from defiyield_core.contracts import table

    columns = [column.name for column in table(name).columns if column.type == "double"]
    rows = pd.DataFrame([dict.fromkeys(columns, np.nan) | dict(zip(triple, (1.0, 2.0, 3.0), strict=True))] * 3)
    rows["date"] = pd.Timestamp(TODAY)
    assert not disordered(name, rows)
    rows.loc[0, triple[1]] = 0.9
    rows.loc[1, triple[1]] = 3.1
    (found,) = disordered(name, rows)
    assert found.text == f"{name}.{triple[1]} lies outside of {triple[0]} and {triple[2]} in 2 rows"
    assert found in IMPOSSIBLE[name][0](rows)
    rows[triple[2]] = np.nan  # a bound that is missing bounds nothing
    assert disordered(name, rows)[0].text.endswith("in 1 rows")

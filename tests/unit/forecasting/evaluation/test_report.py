"""The forecast report: everything from the numbers, and plain words where forecasts do not help."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from defiyield_core.backtest.forecast_value import FORESIGHT, ForecastValue, ValueRow
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.evaluation import report_findings as findings
from defiyield_core.forecasting.evaluation.classifier import Yardstick
from defiyield_core.forecasting.evaluation.evaluate import Evaluation
from defiyield_core.forecasting.evaluation.report import forecast_report, write_report
from defiyield_core.forecasting.evaluation.scorecard import PoolRow, Pools, Result, Scorecard
from defiyield_core.forecasting.evaluation.scores import Scores
from defiyield_core.reporting.document import html, markdown
from defiyield_core.reporting.metrics import performance

MODEL = "combination"
POOLS = ("p-largest", "p-best", "p-middle", "p-worst")
RATIOS = {"p-largest": 0.95, "p-best": 0.5, "p-middle": 0.9, "p-worst": 1.25}


def result(target: str, model: str, horizon: int, relative: float, **changes: float) -> Result:
    """A row; good in every respect unless changed."""
    values = {
        "pools": 4,
        "pairs": 104,
        "mae_pp": 1.2,
        "mae_median_pp": 0.8,
        "mae_tvl_weighted_pp": 0.5,
        "mase": 1.1,
        "rmsse": 0.9,
        "pinball": 0.2,
        "coverage": 0.81,
        "width_pp": 3.0,
        "rank_correlation": 0.95 if model == MODEL else 0.90,
        "regret_top5_pp": 0.5 if model == MODEL else 0.8,
        "relative_mae": relative,
        "share_of_pools_better": 0.75,
        "skill": 0.2,
        "skill_low": 0.1,
        "skill_high": 0.3,
        "dm_statistic": -3.0,
        "dm_p_value": 0.004,
    }
    return Result(target=target, model=model, horizon_days=horizon, **(values | changes))  # type: ignore[arg-type]


def results() -> list[Result]:
    return [
        result(target, model, horizon, relative)
        for target in ("apy", "mean_apy", "tvl")
        for horizon in (1, 7)
        for model, relative in ((MODEL, 0.85), ("ewma", 0.95), ("persistence", 1.0))
    ]


def card(*changed: Result, **fields: object) -> Scorecard:
    """A card on which the model is better everywhere, except where rows are given."""
    taken = {(row.target, row.model, row.horizon_days): row for row in (*results(), *changed)}
    made = Scorecard(
        default_model=MODEL,
        start=date(2024, 12, 1),
        end=date(2025, 6, 5),
        step_days=7,
        origins=26,
        tuned_through=date(2024, 11, 30),
        pools=Pools(130, 4, 3),
        results=tuple(taken.values()),
        yardsticks=(Yardstick("defillama_forest", 0.63, 0.21, 900, 0.7), Yardstick(MODEL, 0.71, 0.19, 900, 0.7)),
        skipped={"outcome not observed": 17},
        skipped_by=(),
        by_pool=tuple(
            PoolRow(pool, "USDC" if pool != "p-worst" else "A|B*<C>", "aave-v3", target, horizon, MODEL, 26, 1.0, ratio)
            for pool, ratio in RATIOS.items()
            for target in ("apy", "mean_apy")
            for horizon in (1, 7)
        ),
        warnings=(),
    )
    return replace(made, **fields)


def scores() -> Scores:
    """Weekly forecasts of four pools a week ahead."""
    rows = [
        {
            "target": "apy",
            "pool_id": pool,
            "model": MODEL,
            "origin": day,
            "target_date": day + pd.Timedelta(days=7),
            "horizon_days": 7,
            "forecast": 0.05,
            "lower": 0.03,
            "upper": 0.09,
            "actual": 0.05 + 0.01 * np.sin(number),
            "tvl_usd": 9e8 if pool == "p-largest" else 1e6,
        }
        for pool in POOLS
        for number, day in enumerate(pd.date_range("2024-12-01", periods=26, freq="7D"))
    ]
    return Scores(pd.DataFrame(rows), pd.DataFrame(columns=["target", "horizon_days", "reason", "pairs"]))


def found(chosen: Scorecard, rows: Scores | None = None) -> Evaluation:
    """An evaluation with the card."""
    return Evaluation(scores() if rows is None else rows, pd.DataFrame(), pd.DataFrame(), chosen)


def book(net_apy: float, gas_usd: float) -> pd.DataFrame:
    """A book of a million over a year: one growth, all gas on the first day."""
    growth = ((1.0 + net_apy) * 1e6 + gas_usd) ** (1 / 365) / 1e6 ** (1 / 365) - 1.0
    rows, opening = [], 1e6
    for day in pd.date_range("2024-06-06", periods=365):
        accrual = opening * growth
        gas = gas_usd if not rows else 0.0
        rows.append((day, opening, accrual, gas, opening + accrual - gas))
        opening += accrual - gas
    frame = pd.DataFrame(rows, columns=["date", "aum_open_usd", "accrual_usd", "gas_usd", "aum_close_usd"])
    zeros = ("forecast_accrual_usd", "revaluation_usd", "flows_usd", "conversion_usd", "idle_usd", "turnover_usd")
    return frame.assign(portfolio="baseline", status="ok", **dict.fromkeys(zeros, 0.0))


def value_row(forecast: str, net_apy: float, gas_usd: float, low: float, high: float, capture: float) -> ValueRow:
    return ValueRow(forecast, 1e6, performance(book(net_apy, gas_usd)), 5.0, net_apy - 0.05, low, high, capture)


def value(model: ValueRow) -> ForecastValue:
    naive, best = value_row("persistence", 0.05, 900.0, 0, 0, 0.0), value_row(FORESIGHT, 0.07, 100.0, 0.01, 0.03, 1.0)
    unknown = dict.fromkeys(("persistence", model.forecast, FORESIGHT), 0.0)
    rows = (naive, model, best)
    return ForecastValue("baseline", date(2024, 6, 6), date(2025, 6, 5), 14, MODEL, unknown, rows, pd.DataFrame())


GAINS = value_row(MODEL, 0.06, 400.0, 0.004, 0.02, 0.5)


def text(chosen: Scorecard, earned: ForecastValue | None = None) -> str:
    return markdown(forecast_report(found(chosen), earned), "{}.png".format)


def test_the_errors_stand_in_a_table_by_model_and_horizon() -> None:
    said = text(card(result("apy", MODEL, 7, 0.8374)))
    assert "| model | 1 day | 7 days |\n| --- | ---: | ---: |\n| `combination` | 0.850 | 0.837 |" in said
    assert said.index("`combination` | 0.850") < said.index("`ewma` | 0.950") < said.index("`persistence` | 1.000")
    assert "APY on the last day: 0.850 at 1, 0.837 at 7" in said.split("## What was done")[0]


def test_what_was_done_is_told() -> None:
    said = text(card(warnings=("only 3 origins",)))
    for words in (
        "26 origins, every 7 days from 2024-12-01 on, outcomes up to 2025-06-05",
        "tuning ended on 2024-11-30",
        "130 stablecoin pools seen, 4 scored",
        "medians over the 3 pools",
        "outcome not observed: 17 pairs",
        "Read with care:\n\n- only 3 origins",
    ):
        assert words in said


def test_a_model_that_is_better_everywhere_has_nothing_against_it_but_its_worst_pool() -> None:
    limits = text(card(), value(GAINS)).split("## Where it does not help")[1].split("## Every figure")[0]
    assert "Looked for and not found" in limits
    headings = re.findall("^### (.*)$", limits, re.MULTILINE)
    assert headings == ["Pools on which persistence is better"]
    assert "1 day: 1 of 4; 7 days: 1 of 4" in limits
    assert "| A\\|B\\*\\<C\\>, aave-v3 (p-worst) | 0.20 | 1.00 | 1.250 | 26 |" in limits
    assert "1 pool is worse at every horizon: A\\|B\\*\\<C\\>, aave-v3 (p-worst)." in limits


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.01, 0.3, "the interval of the skill contains 0"),
        (float("nan"), float("nan"), "skill 20.0%, its interval is not known"),
        (-0.3, -0.01, "worse than persistence, skill 20.0% (-30.0% to -1.0%)"),
    ],
)
def test_skill_that_may_be_chance_is_told(low: float, high: float, words: str) -> None:
    said = findings.unproven(card(result("mean_apy", MODEL, 7, 0.9, skill_low=low, skill_high=high)))
    assert len(said) == 1 and said[0].startswith("Mean APY over the horizon, 7 days ahead: ") and words in said[0]


def test_what_is_no_better_than_persistence_or_another_model_is_told() -> None:
    found = card(
        result("apy", MODEL, 7, 0.97, dm_p_value=0.2, coverage=0.7, rank_correlation=0.9, regret_top5_pp=0.9),
        result("tvl", MODEL, 1, 0.85, coverage=0.9, dm_p_value=float("nan"), rank_correlation=float("nan")),
    )
    assert findings.beaten(found) == [
        "APY on the last day, 7 days ahead: the baseline `ewma` has 0.950, `combination` 0.970."
    ]
    assert [line.split(":")[1] for line in findings.insignificant(found)] == [
        " p = 0.200 (statistic -3.00).",
        " p is not known (statistic -3.00).",
    ]
    assert [line.split(": ")[1] for line in findings.off_coverage(found)] == [
        "70.0% of outcomes are inside.",
        "90.0% of outcomes are inside.",
    ]
    assert findings.no_better_choice(found) == [
        "APY on the last day, 7 days ahead: rank correlation 0.900, persistence 0.900.",
        "APY on the last day, 7 days ahead: regret of the top 5 0.90 points, persistence 0.80.",
    ]


def test_the_mean_over_one_day_is_not_told_twice() -> None:
    worse = {"skill_low": -0.1}
    found = card(result("apy", MODEL, 1, 0.9, **worse), result("mean_apy", MODEL, 1, 0.9, **worse))
    assert [line.split(":")[0] for line in findings.unproven(found)] == ["APY on the last day, 1 day ahead"]


def test_points_lost_and_pools_on_which_persistence_is_perfect() -> None:
    row = PoolRow("x", "USDC", "aave", "apy", 7, MODEL, 9, 1.0, 1.25)
    assert findings.points_lost(row) == pytest.approx(0.2)
    perfect = replace(row, pool_id="y", mae_pp=1e-5, relative_mae=float("inf"))
    found = card(by_pool=(perfect, row, replace(row, pool_id="z", relative_mae=float("nan"))))
    assert [one.pool_id for one in findings.worse_pools(found, "apy", 7)] == ["x", "y"]
    assert findings.ratio(float("inf")) == "∞"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (value_row(MODEL, 0.045, 0.0, 0.001, 0.02, -0.25), "earns 50 bps a year less than persistence"),
        (value_row(MODEL, 0.052, 0.0, 0.001, 0.02, 0.1), "only 10% of what foresight gains"),
        (value_row(MODEL, 0.06, 0.0, 0.001, 0.02, float("nan")), "even foresight gains less than a basis point"),
        (value_row(MODEL, 0.06, 0.0, float("nan"), float("nan"), 0.5), "too few days for an interval"),
        (value_row(MODEL, 0.06, 0.0, -0.001, 0.02, 0.5), "reaches below 0: -10 bps to +200 bps"),
    ],
)
def test_sizes_at_which_it_earns_little_are_told(model: ValueRow, words: str) -> None:
    said = findings.value_findings(value(model), MODEL)
    assert len(said) == 1 and said[0].startswith("$1,000,000: ") and words in said[0]
    assert findings.value_findings(value(GAINS), MODEL) == []


def test_the_value_is_told_with_where_it_comes_from() -> None:
    said = text(card(), value(GAINS))
    assert "| `combination` | 6.00% | +100 bps | 50% | +40 bps to +200 bps |" in said
    assert "- $1,000,000: 100 bps a year more than persistence, foresight +200 bps." in said
    assert "$500 less went into fees" in said
    assert "What it earns" not in text(card())


def test_the_yardstick_says_who_is_better() -> None:
    assert "orders pools better than the classifier (AUC 0.710 against 0.630)" in findings.yardstick_finding(card())
    worse = card(yardsticks=(Yardstick("defillama_forest", 0.8, 0.1, 9, 0.7), Yardstick(MODEL, 0.7, 0.2, 9, 0.7)))
    assert "no better than the classifier" in findings.yardstick_finding(worse)
    assert findings.yardstick_finding(card(yardsticks=())) == ""


def test_the_pools_shown_are_the_largest_the_best_the_median_and_the_worst() -> None:
    document = forecast_report(found(card()))
    drawn = next(picture for picture in document.pictures if picture.name == "pools").draw
    titles = [path.title for path in drawn.args[0]]  # type: ignore[attr-defined]
    assert [title.split("(")[1] for title in titles] == [
        "largest, 0.95)",
        "best, 0.50)",
        "worst, 1.25)",
    ]


def test_files_and_pictures_are_written_and_the_page_needs_no_network(tmp_path: Path) -> None:
    page = write_report(found(card()), tmp_path / "new", value(GAINS)).read_text()
    names = {"error_by_horizon", "coverage", "error_by_pool", "pools", "value"}
    assert {path.stem for path in (tmp_path / "new").glob("*.png")} == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "new").glob("*.png"))
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (tmp_path / "new" / "report.md").read_text())
    assert sorted(links) == sorted(f"{name}.png" for name in names)
    assert page.count("<svg") == 2 * len(names)
    assert not re.search(r"""(src|href)=["']?https?:""", page) and "A|B*&lt;C&gt;" in page
    assert write_report(found(card()), tmp_path / "new", value(GAINS)).read_text() == page
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_report(found(card()), tmp_path / "file")


def test_the_daily_card_is_the_report_and_the_weekly_one_stands_beside_it() -> None:
    worse = [result(target, MODEL, horizon, 1.01) for target in ("apy", "mean_apy") for horizon in (1, 7)]
    both = replace(found(card(step_days=1, origins=180)), weekly=found(card(*worse)))
    written = markdown(forecast_report(both), "{}.png".format)
    assert "180 origins, every day" in written
    head, _, tail = written.partition("The same with an origin every 7 days")
    assert "| `combination` | 0.850 | 0.850 |" in head and "| `combination` | 1.010 | 1.010 |" in tail


def test_a_card_without_results_still_gives_a_report() -> None:
    empty = card(results=(), by_pool=(), yardsticks=(), skipped={}, warnings=("no pair could be scored",))
    empty = replace(empty, results=())
    nothing = Scores(scores().frame.iloc[:0], pd.DataFrame())
    document = forecast_report(found(empty, nothing))
    assert "no pair could be scored" in markdown(document, str) and "was not scored" in html(document)
    assert document.pictures == ()

"""Figures of a case in worked numbers, and their distribution."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.stress.outcomes import StressOutcome, StressRun, figures

START = date(2025, 1, 1)


def books(*closes: float, status: str = "ok") -> pd.DataFrame:
    """Rows of `portfolio_daily` that open with 1,000 USD and close with these."""
    opens = (1000.0, *closes[:-1])
    zero = [0.0] * len(closes)
    names = ["accrual", "forecast_accrual", "flows", "gas", "conversion", "idle", "turnover"]
    return pd.DataFrame(
        {
            "portfolio": "p",
            "date": pd.date_range(START, periods=len(closes)),
            "aum_open_usd": opens,
            "revaluation_usd": [b - a for a, b in zip(opens, closes, strict=True)],
            "aum_close_usd": closes,
            "n_positions": 1,
            "status": ["ok"] * (len(closes) - 1) + [status],
            **{f"{name}_usd": zero for name in names},
        }
    )


def test_figures_in_worked_numbers():
    found = figures(books(1100.0, 880.0, 990.0, status="data_missing"), books(1010.0, 1020.0, 1030.0))
    assert found["final_nav_usd"] == 990.0
    assert found["max_drawdown"] == pytest.approx(0.2)
    assert found["worst_day_return"] == pytest.approx(-0.2)
    assert found["worst_day"] == date(2025, 1, 2)
    assert found["days_not_ok"] == 1
    assert found["loss_usd"] == pytest.approx(40.0)
    assert found["loss_share"] == pytest.approx(40.0 / 1030.0)
    assert found["deepest_loss_usd"] == pytest.approx(140.0)
    assert found["net_apy"] == pytest.approx(0.99 ** (365 / 3) - 1.0)


def outcome(name: str, loss: float, kind: str = "gas", **changes) -> StressOutcome:
    values = {
        "net_apy": 0.1 - loss / 1000,
        "final_nav_usd": 1000.0 - loss,
        "max_drawdown": loss / 1000,
        "worst_day_return": -loss / 1000,
        "worst_day": START,
        "loss_usd": loss,
        "loss_share": loss / 1000,
        "deepest_loss_usd": 2 * loss,
    }
    return StressOutcome(name, kind, "s", "t", START, **{**values, **changes})


RUN = StressRun(
    portfolio="p",
    start=START,
    end=START,
    references=(outcome("undisturbed", 0.0), replace(outcome("undisturbed, ewma", 0.0), forecaster="ewma")),
    outcomes=(
        outcome("g1", 10.0),
        outcome("d1", 300.0, "depeg", days_not_ok=2),
        StressOutcome("x", "depeg", "s", "t", START, failure="books do not balance"),
        outcome("d2", 100.0, "depeg", days_not_ok=3),
        outcome("g2", -5.0),
    ),
    seconds=1.0,
)


def test_the_worst_come_first_and_failures_are_set_aside():
    assert [one.name for one in RUN.worst(3)] == ["d1", "d2", "g1"]
    assert [one.name for one in RUN.failures] == ["x"]
    assert len(RUN.finished) == 4


def test_quantiles_are_of_the_finished_cases():
    found = RUN.quantiles("loss_usd", (0.0, 0.5, 1.0))
    assert found == {0.0: -5.0, 0.5: 55.0, 1.0: 300.0}
    assert RUN.quantiles("net_apy", (0.0,))[0.0] == pytest.approx(-0.2)
    assert RUN.quantiles("loss_usd", (1.0,), ["gas"]) == {1.0: 10.0}


def test_the_summary_has_a_row_per_kind_and_one_over_all():
    rows = RUN.summary_rows()
    assert [(row["kind"], row["cases"], row["worst_case"]) for row in rows] == [
        ("depeg", 2, "d1"),
        ("gas", 2, "g1"),
        ("all", 4, "d1"),
    ]
    assert rows[0]["median_loss_usd"] == 200.0
    assert rows[0]["deepest_loss_usd"] == 600.0
    assert rows[0]["days_not_ok"] == 3
    assert rows[0]["lowest_net_apy"] == pytest.approx(-0.2)
    assert rows[0]["median_net_apy"] == pytest.approx(-0.1)
    assert rows[1]["worst_loss_usd"] == 10.0


def test_the_frame_has_every_outcome_and_can_be_written(tmp_path):
    frame = RUN.frame()
    assert frame["name"].tolist() == ["undisturbed", "undisturbed, ewma", "g1", "d1", "x", "d2", "g2"]
    assert frame["loss_usd"].isna().sum() == 1
    frame.to_parquet(tmp_path / "cases.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "cases.parquet"), frame)


def test_a_run_of_failures_has_no_figures():
    failed = replace(RUN, outcomes=RUN.failures)
    assert failed.summary_rows() == []
    assert failed.worst() == ()
    assert all(value != value for value in failed.quantiles().values())


def test_a_case_of_fewer_days_is_refused():
    with pytest.raises(DataError, match="1 days cannot be held against a run of 2"):
        figures(books(1000.0), books(1000.0, 1000.0))


def test_an_unknown_figure_is_refused():
    with pytest.raises(ConfigurationError, match="no figure 'luck'"):
        RUN.quantiles("luck")

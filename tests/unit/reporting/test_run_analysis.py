"""What a report works out once, and its figures as JSON values."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.parameters import parameters
from defiyield_core.reporting.analysis import analyse
from defiyield_core.reporting.inputs import FORESIGHT, ReportInputs
from defiyield_core.reporting.metrics import performance
from defiyield_core.reporting.run_metrics import ATTRIBUTED, run_metrics
from tests.unit.reporting.sample_company import FORESIGHT_USD, RANDOM_USD, report_in_company
from tests.unit.reporting.sample_frames import START, sample_report


@pytest.fixture(scope="module")
def report() -> ReportInputs:
    return report_in_company()


@pytest.fixture(scope="module")
def metrics(report) -> dict:
    return run_metrics(report)


def with_diluting_books(report: ReportInputs) -> ReportInputs:
    chosen = json.loads(parameters("default").with_overrides({"dilution": "pro_rata"}).model_dump_json())
    return dataclasses.replace(report, parameters=chosen)


def test_regret_and_capture_count_from_the_first_benchmark(report, metrics):
    found = analyse(report)
    own, aave, best = (performance(report.daily[name]).net_apy for name in ("baseline", "hold_aave_usdc", FORESIGHT))
    assert found.reference == metrics["capture_reference"] == "hold_aave_usdc"
    assert metrics["regret_usd"] == pytest.approx(60 * FORESIGHT_USD)
    assert metrics["regret_apy"] == pytest.approx(best - own)
    assert metrics["capture"] == pytest.approx((own - aave) / (best - aave))
    assert metrics["foresight_net_apy"] == best


def test_without_foresight_regret_is_not_known_and_nothing_is_said(report):
    alone = run_metrics(sample_report(5))
    assert all(alone[name] is None for name in ("regret_usd", "regret_apy", "regret_worst_day", "capture"))
    assert analyse(sample_report(5)).regret_gap == ""


def test_foresight_with_other_money_is_refused_in_a_sentence(report):
    richer = report.daily[FORESIGHT].assign(aum_open_usd=lambda rows: rows["aum_open_usd"] + 5_000.0)
    found = analyse(dataclasses.replace(report, daily={**report.daily, FORESIGHT: richer}))
    assert found.regret is None
    assert "it opens 5,000.00 USD apart" in found.regret_gap and found.regret_gap.endswith(".")


def test_regret_is_refused_where_every_day_begins_with_cash(report):
    found = analyse(dataclasses.replace(report, run_info={"mode": "compounded"}))
    assert found.regret is None and "every day begins with cash" in found.regret_gap


def test_random_portfolios_are_one_field(report):
    found = analyse(report)
    assert [item.portfolio for item in found.figures] == ["baseline", "hold_aave_usdc", "equal_weight", FORESIGHT]
    assert found.randoms is not None and found.randoms.beaten == sum(more < 0 for more in RANDOM_USD)
    own = report.daily["baseline"]["aum_close_usd"].to_numpy()
    number = np.arange(1, 61)
    assert found.randoms.nav[1] == pytest.approx(own + np.median(RANDOM_USD) * number)
    assert found.randoms.nav[0] == pytest.approx(own + np.quantile(RANDOM_USD, 0.05) * number)
    assert found.randoms.worth == pytest.approx(found.randoms.nav)
    low, middle, high = found.randoms.quantiles("net_apy")
    assert low < middle < high


def test_a_figure_that_no_random_portfolio_has_is_unknown():
    randoms = analyse(report_in_company(5)).randoms
    assert randoms is not None
    assert all(math.isnan(value) for value in randoms.quantiles("best_30_days"))


def test_every_attribution_adds_up_to_the_gain_to_the_cent(report, metrics):
    own = report.daily["baseline"]
    gain = round((own["aum_close_usd"].iloc[-1] - own["aum_open_usd"].iloc[0]) * 100)
    assert metrics["attribution_total_cents"] == gain
    for name in ATTRIBUTED:
        assert sum(metrics[f"attribution_by_{name}_cents"].values()) == gain
    by_cause = metrics["attribution_by_cause_cents"]
    assert by_cause["gas"] == pytest.approx(-100 * own["gas_usd"].sum(), abs=1)
    assert metrics["attribution_gap"] == ""


def test_values_are_plain_json_and_hold_every_figure_of_the_rows(report, metrics):
    text = json.dumps(metrics, allow_nan=False)
    assert json.loads(text) == metrics
    own = performance(report.daily["baseline"]).as_dict()
    assert {name: metrics[name] for name in own} == own
    assert run_metrics(report, analyse(report)) == metrics


def test_concentration_is_that_of_pools_and_of_their_protocols(metrics):
    assert 0 < metrics["hhi_mean"] < metrics["protocol_hhi_mean"] <= 1
    assert 1 <= metrics["effective_protocols"] < metrics["effective_pools"] <= 7


def test_books_that_do_not_dilute_lose_nothing_to_dilution(metrics):
    assert metrics["dilution_drag"] == metrics["dilution_cost_usd"] == 0.0


def test_dilution_is_unknown_without_tvl_or_parameters(report):
    for lacking in (with_diluting_books(report), dataclasses.replace(report, parameters={})):
        assert run_metrics(lacking)["dilution_drag"] is None


def test_dilution_is_what_the_own_share_took_from_the_accrual(report):
    keys = report.positions[["date", "pool_id"]].assign(date=lambda rows: rows["date"] + pd.Timedelta(days=1))
    tvl = keys.assign(tvl_usd_filled=1e7)
    found = analyse(dataclasses.replace(with_diluting_books(report), tvl=tvl))
    accrual = found.own.accrual_usd
    # No position is above a quarter of a million, so that no rate lost more than 2.6 %.
    assert 0.005 * accrual < found.dilution_usd < 0.027 * accrual
    assert found.dilution_drag > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda report: {"ledger": None}, "ledger of these days is not at hand"),
        (lambda report: {"ledger": report.ledger.iloc[:0]}, "ledger of these days is not at hand"),
        (lambda report: {"run_info": {"mode": "independent"}}, "decided from cash"),
        (lambda report: {"positions": report.positions[report.positions["token"] != "DAI"]}, "cannot be proved"),
        (lambda report: {"transactions": report.transactions.iloc[:3]}, "cannot be proved"),
    ],
)
def test_what_cannot_be_attributed_is_said_in_one_sentence(report, change, words):
    found = analyse(dataclasses.replace(report, **change(report)))
    assert found.attribution is None
    assert words in found.attribution_gap and found.attribution_gap.endswith(".")
    assert run_metrics(dataclasses.replace(report, **change(report)))["attribution_total_cents"] is None


def test_a_report_that_begins_in_the_middle_needs_the_day_before():
    whole = sample_report(20)
    first = pd.Timestamp(START + timedelta(days=8))

    def later(frame: pd.DataFrame, day: pd.Timestamp = first) -> pd.DataFrame:
        return frame[frame["date"] >= day]

    before = first - pd.Timedelta(days=1)
    parts = {name: later(getattr(whole, name)) for name in ("positions", "details", "transactions")}
    daily = {name: later(rows) for name, rows in whole.daily.items()}
    opening = whole.positions[whole.positions["date"] == before]
    part = dataclasses.replace(whole, daily=daily, **parts, ledger=later(whole.ledger, before))
    assert part.window == Window(first.date(), START + timedelta(days=19))
    assert analyse(dataclasses.replace(part, positions_before=opening)).attribution is not None
    assert "day before" in analyse(dataclasses.replace(part, positions_before=None)).attribution_gap

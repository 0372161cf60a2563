"""Sections of the tear sheet and lines of the summary: what they say about a run in company and alone."""

from __future__ import annotations

import dataclasses
import re
from html import unescape

import numpy as np
import pytest

from defiyield_core.reporting import ReportInputs, summary_text, tear_sheet
from defiyield_core.reporting.analysis import analyse
from defiyield_core.reporting.plots import worth_usd
from defiyield_core.reporting.survivorship import SIMULATED, SURVIVORSHIP
from tests.unit.reporting.sample_company import report_in_company
from tests.unit.reporting.sample_frames import sample_report


@pytest.fixture(scope="module")
def report() -> ReportInputs:
    return report_in_company()


@pytest.fixture(scope="module")
def page(report: ReportInputs) -> str:
    return tear_sheet(report)


def section(page: str, heading: str) -> str:
    """Text of a section without its pictures and markup."""
    (found,) = re.findall(rf"<h2>{heading}.*?(?=<h2>|<footer>)", page, flags=re.DOTALL)
    text = re.sub(r"<svg.*?</svg>|<wbr>", "", found, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split()).replace(" ,", ",")


def dollars(text: str) -> list[float]:
    return [float(word.replace("$", "").replace(",", "")) for word in re.findall(r"[+-]?\$[\d,]+\.\d\d", text)]


def test_the_sheet_has_every_section_in_its_order(page):
    headings = [re.sub(r"<[^>]+>.*", "", each) for each in re.findall(r"<h2>(.*?)</h2>", page)]
    assert [heading.strip() for heading in headings] == [
        "Performance against benchmarks",
        "Risk and return",
        "What it cost",
        "Contribution",
        "Realised against forecast APY",
        "Positions at the close of",
        "Transactions of",
        "Where the money was",
        "Worst days",
        "Outcome of days",
        "Parameters",
        "What this does not tell",
    ]


def test_a_bound_is_marked_as_one_and_random_portfolios_are_one_row(page):
    text = section(page, "Performance against benchmarks")
    tables = text.split("Net of gas")[0].split("Portfolios side by side")[1:]
    for each in tables:
        assert each.count("perfect_foresight bound: knows later days") == 1
        assert each.count("5 random portfolios medians") == 1
    assert len(tables) == 4  # one for screens, three of fewer columns for phones
    assert "random_1" not in page
    assert "baseline earned more than 4 of the 5." in text
    assert "5 random portfolios, 5% to 95%" in page


def test_contributions_are_shown_to_the_cent_and_add_up(page, report):
    own = report.daily["baseline"]
    gain = own["aum_close_usd"].iloc[-1] - own["aum_open_usd"].iloc[0]
    text = section(page, "Contribution")
    parts = re.split(r"By (?:cause|pool|protocol|token|chain) Contribution Share", text)[1:]
    assert len(parts) == 5
    for part in parts:
        *amounts, total = dollars(part)
        assert total == pytest.approx(gain, abs=0.005)
        assert sum(amounts) == pytest.approx(total, abs=1e-6)


def test_many_pools_are_the_largest_and_the_sum_of_the_rest(report, monkeypatch):
    monkeypatch.setattr("defiyield_core.reporting.sheet.contribution.POOLS", 3)
    text = section(tear_sheet(report), "Contribution").split("By pool")[1].split("By protocol")[0]
    *amounts, total = dollars(text)
    assert len(amounts) == 4 and "other pools" in text
    assert sum(amounts) == pytest.approx(total, abs=1e-6)


def test_what_cannot_be_attributed_is_one_sentence_on_the_page(report):
    found = section(tear_sheet(dataclasses.replace(report, ledger=None)), "Contribution")
    assert found == "Contribution The ledger of these days is not at hand, so that no profit can be attributed."


def test_costs_are_told_in_dollars_and_in_basis_points(page, report):
    own = analyse(report).own
    text = section(page, "What it cost")
    assert f"Gas ${own.gas_usd:,.2f} {own.gas_drag * 1e4:.1f} bps" in text
    assert f"Idle money ${own.idle_cost_usd:,.2f} {own.idle_drag * 1e4:.1f} bps" in text
    together = own.gas_usd + own.conversion_usd + own.idle_cost_usd
    assert f"Together ${together:,.2f}" in text
    assert "not modelled" in text


def test_risk_is_told_with_its_days(page, report):
    own = analyse(report).own
    text = section(page, "Risk and return")
    assert f"Sharpe return over its deviation; high where yield hardly moves {own.sharpe:,.1f}" in text
    assert (
        f"{own.max_drawdown_peak_day} to {own.max_drawdown_day}, recovered on {own.max_drawdown_recovery_day}" in text
    )
    assert f"Worst 30 days in a row, the last on {own.worst_30_days_last_day} +{own.worst_30_days:.2%}" in text


def test_regret_and_capture_stand_beside_the_error_of_the_forecasts(page, report):
    found = analyse(report)
    text = section(page, "Realised against forecast APY")
    assert f"${found.error.mean_absolute_usd:,.2f}" in text
    assert "Regret that a run knowing the coming rates earned more, net of costs $1,800.00" in text
    assert f"to that of foresight {found.regret.capture:.0%}" in text


def test_a_run_without_foresight_or_random_portfolios_says_nothing_of_them():
    page = tear_sheet(sample_report(10))
    assert "foresight" not in page and "random" not in page


def test_foresight_that_cannot_be_compared_is_one_sentence(report):
    late = report.daily["perfect_foresight"].assign(flows_usd=7.0)
    page = tear_sheet(dataclasses.replace(report, daily={**report.daily, "perfect_foresight": late}))
    assert "The run with perfect foresight cannot be compared: " in section(page, "Realised against forecast APY")


def test_one_day_is_a_whole_sheet():
    page = tear_sheet(sample_report(1))
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "fewer than 30 days so far" in page


def test_money_put_in_is_no_growth(report):
    assert "external flows excluded</h3>" not in tear_sheet(sample_report(3))
    own = report.daily["baseline"]
    more = np.where(np.arange(len(own)) >= 30, 5e5, 0.0)
    flows = own.assign(
        flows_usd=np.where(np.arange(len(own)) == 30, 5e5, 0.0),
        aum_close_usd=own["aum_close_usd"] + more,
        aum_open_usd=own["aum_open_usd"] + np.append(0.0, more[:-1]),
    )
    paid_in = dataclasses.replace(report, daily={**report.daily, "baseline": flows})
    assert tear_sheet(paid_in).count("external flows excluded</h3>") == 1
    from_cash = tear_sheet(dataclasses.replace(paid_in, run_info={"mode": "independent"}))
    assert from_cash.count("external flows excluded</h3>") == 1 and "<h3>Net asset value</h3>" not in from_cash
    assert worth_usd(flows)[:30] == pytest.approx(own["aum_close_usd"].to_numpy()[:30])
    assert np.abs(np.diff(worth_usd(flows))).max() < 5_000


def test_survivorship_is_stated_in_every_sheet_and_summary(report):
    for source, said, short in (
        ("recorded:x", SURVIVORSHIP, "Survivorship: pools that died before the data was recorded are not in it"),
        ("simulated:7", SIMULATED, "Survivorship: the market is simulated, and pools that end stay"),
    ):
        named = dataclasses.replace(report, run_info={"source": source})
        assert said in section(tear_sheet(named), "What this does not tell")
        assert short in summary_text(named)


def test_the_summary_tells_luck_foresight_risk_and_drags_within_the_width(report):
    found = analyse(report)
    text = summary_text(report, width=80)
    assert max(map(len, text.split("\n"))) <= 80
    flat = " ".join(text.split())
    assert "perfect_fore" in flat and "random_1" not in flat
    assert "baseline earned more than 4 of 5 random portfolios" in flat
    assert f"Perfect foresight earned $1,800.00 more ({found.regret.apy * 1e4:.0f} bps a year)" in flat
    assert f"baseline went {found.regret.capture:.0%} of the way there from hold_aave_usdc." in flat
    assert f"Sharpe {found.own.sharpe:,.1f}, Sortino {found.own.sortino:,.1f}" in flat
    assert f"Drags gas {found.own.gas_drag * 1e4:.1f} bps, conversion" in flat
    assert summary_text(report, width=80, analysis=found) == text


def test_an_analysis_at_hand_gives_the_same_page(report, page):
    assert tear_sheet(report, analyse(report)) == page

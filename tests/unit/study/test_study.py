"""Figures, sentences and portfolios of the study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from defiyield_core.policies.registry import POLICIES, policy_for
from tests.study.cases import BOOKS_USD, EXACT, RULES, Case, dilution_cases, portfolio, rule_cases
from tests.study.figures import Figures, check_diluted, figures_of, ranked, regrets
from tests.study.report import study_text, table
from tests.study.runs import Ran

DAYS = 73


def ran(rule_key: str, book_usd: float, daily_growth: float, gas_usd: float = 0.0) -> Ran:
    """A book that grows by the same share every day and pays all its gas on the first."""
    rule = next(rule for rule in RULES if rule.key == rule_key)
    rows, opening = [], book_usd
    for day in pd.date_range("2025-01-01", periods=DAYS):
        gas = gas_usd if not rows else 0.0
        accrual = opening * daily_growth
        closing = opening + accrual - gas
        rows.append(
            {
                "portfolio": rule_key,
                "date": day,
                "aum_open_usd": opening,
                "accrual_usd": accrual,
                "forecast_accrual_usd": accrual,
                "revaluation_usd": 0.0,
                "flows_usd": 0.0,
                "gas_usd": gas,
                "conversion_usd": 0.0,
                "aum_close_usd": closing,
                "idle_usd": 0.0,
                "turnover_usd": 0.0,
                "n_positions": 4,
                "n_transactions": 5 if not rows else 0,
                "status": "ok",
            }
        )
        opening = closing
    case = Case("rules", rule, book_usd, portfolio(f"{rule_key}_{book_usd:.0f}", rule, book_usd))
    return Ran(case, pd.DataFrame(rows))


def figures(rule_key: str, book_usd: float = 1e6, daily_growth: float = 1e-4, gas_usd: float = 0.0) -> Figures:
    return figures_of(ran(rule_key, book_usd, daily_growth, gas_usd), "default")


def test_a_book_without_costs_earns_its_growth_compounded() -> None:
    found = figures("exact")
    assert found.money.net_apy == pytest.approx(1.0001**365 - 1)
    assert found.growth[-1] == pytest.approx(1.0001**DAYS)
    assert (found.mean_positions, found.trading_days) == (4.0, 1)


def test_costs_are_stated_in_basis_points_a_year() -> None:
    # 73 days are a fifth of a year: 100 USD of about a million in that time are 5 bps a year.
    found = figures("exact", gas_usd=100.0)
    assert found.yearly_bps(found.money.gas_usd) == pytest.approx(5.0, rel=0.01)


def test_regret_is_what_the_rule_ends_below_the_optimiser_at_the_same_size() -> None:
    runs = [
        figures("exact", 1e6, 1e-4),
        figures("gas_blind", 1e6, 1e-4, gas_usd=500.0),
        figures("exact", 1e5, 2e-4),
        figures("gas_blind", 1e5, 1e-4),
    ]
    large, small = regrets(runs, "exact", ("gas_blind",))
    assert large.usd == pytest.approx(500.0 * 1.0001 ** (DAYS - 1))
    assert large.costs_usd == pytest.approx(500.0)
    assert large.apy == pytest.approx(runs[0].money.net_apy - runs[1].money.net_apy)
    assert small.book_usd == 1e5
    assert small.apy == pytest.approx(1.0002**365 - 1.0001**365)
    assert small.costs_usd == 0.0


def test_the_highest_net_apy_ranks_first() -> None:
    runs = [figures("threshold", daily_growth=1e-4), figures("exact", daily_growth=3e-4), figures("waterfall")]
    assert [run.rule for run in ranked(runs)] == ["exact", "threshold", "waterfall"]


def test_a_table_has_as_many_cells_in_every_line() -> None:
    text = table(["rule", "a", "b"], [["x", "1", "2"], ["y", "3", "4"]])
    assert [line.count("|") for line in text.splitlines()] == [4, 4, 4, 4]
    assert text.splitlines()[1] == "| --- | ---: | ---: |"


def all_figures(exact_growth: float) -> list[Figures]:
    return [
        figures(rule.key, book_usd, exact_growth if rule is EXACT else 1e-4, gas_usd=10.0 if rule is EXACT else 40.0)
        for book_usd in BOOKS_USD
        for rule in RULES
    ]


def diluted() -> list[Figures]:
    found = []
    for case in dilution_cases():
        run = ran("exact", case.book_usd, 1e-4 if case.label.endswith("off|off") else 9e-5)
        found.append(figures_of(Ran(case, run.daily), "default"))
    return found


def test_the_text_says_where_the_optimiser_stands_whichever_way_it_went() -> None:
    ahead = study_text(all_figures(2e-4), diluted())
    assert ahead.count("`exact` has the highest net APY") == len(BOOKS_USD)
    assert "In no row did the other rule end ahead." in ahead
    behind = study_text(all_figures(5e-5), diluted())
    assert behind.count(f"`exact` is number {len(RULES)} of {len(RULES)} by net APY") == len(BOOKS_USD)
    assert "the rule ended ahead" in behind


def test_the_text_says_what_dilution_hides() -> None:
    promised, real = (1.0001**365 - 1), (1.00009**365 - 1)
    text = study_text(all_figures(2e-4), diluted())
    assert f"({(real - promised) * 1e4:.0f} bps)" in text
    assert text.count("decisions that know of it") == 2


def test_books_that_do_not_feel_dilution_are_refused() -> None:
    check_diluted(diluted())
    deaf = [replace(run, money=replace(run.money, accrual_usd=1.0)) for run in diluted()]
    with pytest.raises(ValueError, match="accrual_dilution changed nothing"):
        check_diluted(deaf)


def test_a_day_without_a_decision_is_told() -> None:
    broken = ran("exact", BOOKS_USD[0], 2e-4)
    broken.daily.loc[3, "status"] = "timeout"
    runs = [figures_of(broken, "small_book"), *all_figures(2e-4)[1:]]
    assert "`exact` held on 1 day without a decision (timeout 1)." in study_text(runs, diluted())


def test_every_portfolio_has_a_name_of_its_own_and_the_preset_of_its_size() -> None:
    cases = [*rule_cases(), *dilution_cases()]
    assert len({case.spec.name for case in cases}) == len(cases)
    for case in cases:
        assert case.spec.parameters.min_pools == (1 if case.book_usd < 50_000 else 5)
        assert case.spec.wallet == {"USDC": case.book_usd}


def test_every_rule_is_a_policy_that_takes_its_options() -> None:
    for case in rule_cases():
        assert case.spec.policy in POLICIES
        assert policy_for(case.spec.policy, case.spec.parameters, case.spec.policy_options) is not None


def test_dilution_is_always_accrued_as_it_is_said_to_be() -> None:
    laws = [(case.spec.parameters.dilution, case.spec.parameters.accrual_dilution) for case in dilution_cases()]
    assert laws == [("off", "off"), ("off", "pro_rata"), ("pro_rata", "pro_rata")] * 2


def test_the_plots_are_the_same_files_for_the_same_numbers(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.study.plots import draw

    runs = all_figures(2e-4)
    first = draw(runs, tmp_path_factory.mktemp("a"))
    again = draw(runs, tmp_path_factory.mktemp("b"))
    assert [path.name for path in first] == ["study_net_apy.svg", "study_paths.svg"]
    for one, other in zip(first, again, strict=True):
        assert one.read_text() == other.read_text()
        assert "</svg>" in one.read_text()
    assert np.isfinite([run.money.net_apy for run in runs]).all()

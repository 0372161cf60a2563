"""Rows of the benchmark report, and the problems that are measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defiyield_core.allocation import solve
from defiyield_core.allocation.limits import limits_of
from tests.bench.__main__ import report, verdict
from tests.bench.bench_allocation import solved
from tests.bench.measure import Measurement, median_and_maximum
from tests.bench.random_books import KINDS, daily, diluted, first, scattered, with_engine


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [
        (15.0, "<= 15 ms", True),
        (15.1, "<= 15 ms", False),
        (5.0, "< 5 s", False),
        (300.0, ">= 300 days/s", True),
        (9.9, ">= 10 times", False),
        (1.0, "> 1", False),
    ],
)
def test_a_target_is_met_or_missed_to_the_last_digit(value: float, target: str, met: bool) -> None:
    assert Measurement("x", value, "ms", target).met is met


def test_nothing_is_met_where_nothing_was_asked_for() -> None:
    row = Measurement("x", 1.0, "ms")
    assert row.met is None
    assert verdict(row) == ""


def test_a_target_that_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="x: the target 'fast'"):
        _ = Measurement("x", 1.0, "ms", "fast").met


def test_a_nan_meets_no_target() -> None:
    assert Measurement("x", float("nan"), "ms", "<= 15 ms").met is False


def test_median_and_maximum_say_how_many_they_are_of() -> None:
    median, maximum = median_and_maximum("solve", [3.0, 1.0, 2.0], "<= 2 ms", "< 3 ms")
    assert (median.what, median.value, median.met) == ("solve: median of 3", 2.0, True)
    assert (maximum.what, maximum.value, maximum.met) == ("solve: maximum of 3", 3.0, False)


def test_the_report_marks_what_was_missed() -> None:
    rows = [Measurement("a", 2.0, "ms", "<= 1 ms"), Measurement("b", 2.0, "ms", "<= 3 ms"), Measurement("c", 2.0, "ms")]
    text = report({"bench_allocation": rows})
    assert "## Allocation" in text
    assert "| a | 2.000 | ms | <= 1 ms | no |" in text
    assert "| b | 2.000 | ms | <= 3 ms | yes |" in text
    assert "| c | 2.000 | ms |  |  |" in text


def test_a_module_that_is_run_alone_leaves_the_sections_of_the_others() -> None:
    both = report({"bench_allocation": [Measurement("a", 2.0, "ms")], "bench_sweep": [Measurement("b", 3.0, "s")]})
    again = report({"bench_allocation": [Measurement("a", 5.0, "ms")]}, both)
    assert "| a | 5.000 |" in again and "| a | 2.000 |" not in again and "| b | 3.000 |" in again
    assert again.index("## Sweep") < again.index("## Allocation") and again.count("# Benchmarks") == 1
    assert report({}, again) == again


def test_every_kind_of_problem_is_a_million_dollars_and_the_same_for_one_seed() -> None:
    for make in KINDS:
        problem = make(3, 12)
        again = make(3, 12)
        assert problem.aum_usd == pytest.approx(1e6, rel=0.01)
        assert np.array_equal(problem.positions, again.positions)
        assert np.array_equal(problem.apy, again.apy)


def test_the_kinds_differ_in_what_is_held() -> None:
    held = [int((make(3, 12).position_usd > 0).sum()) for make in (first, daily, scattered)]
    assert held[0] == 0
    assert held[1] > 0
    assert scattered(3, 12).position_usd.sum() == pytest.approx(9e5, rel=0.01)


def test_another_engine_and_dilution_change_the_parameters_and_nothing_else() -> None:
    problem = first(1, 10)
    other = with_engine(problem, "cvxpy")
    assert other.parameters.engine == "cvxpy"
    assert other.parameters.with_overrides({"engine": "highs"}) == problem.parameters
    shared = diluted(problem, "pro_rata", 1)
    assert shared.parameters.dilution == "pro_rata"
    assert not shared.rate_curves
    assert np.array_equal(shared.apy, problem.apy)


def test_every_pool_of_a_curve_problem_has_a_curve_that_is_used() -> None:
    problem = diluted(first(1, 10), "rate_curve", 1)
    yields = limits_of(problem).yields
    assert yields.has_curve.sum() > 0
    for pool, curve in problem.rate_curves.items():
        lent = 1.0 - problem.tvl_usd[pool] / curve.total_supply_usd
        assert 0.5 <= lent <= 0.97


def test_only_proven_decisions_are_measured() -> None:
    problem = first(1, 8)
    assert solve(problem).status == "optimal"
    found = solved([problem, problem])
    assert len(found.times_ms) == 2
    assert found.objectives_usd == [solve(problem).objective_usd] * 2
    impossible = with_engine(problem, "highs").parameters.with_overrides({"min_pools": 8, "min_position_pct": 0.5})
    with pytest.raises(AssertionError, match="infeasible"):
        solved([replace(problem, parameters=impossible)])

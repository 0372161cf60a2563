"""CPU time of a whole decision: limits, certificate, model, solver, plan and re-evaluation.

Random problems of three kinds (see `random_books`), every day of the recorded year as a portfolio met it, and the
decisions of a simulated year. Every measured problem must be solved to the gap that is asked for. Comparisons of two
solvers are of the same problems in the same run; CP-SAT stands beside them for information.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from defiyield_core.allocation import AllocationProblem, solve
from defiyield_core.allocation.problem import AllocationDecision
from defiyield_core.parameters import parameters
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.sources.recorded import RecordedSource
from defiyield_core.sources.simulated import SimulatedSource
from defiyield_core.units import to_bps
from tests.bench.market_days import Days, chains_of, load, market_of, market_of_chains, run_days
from tests.bench.measure import Measurement, median_and_maximum, recorded_folder
from tests.bench.random_books import KINDS, diluted, with_engine

PROBLEMS = 40
WHOLE_PROBLEMS = 10
WHOLE_SECONDS = 5.0
"""How many problems CP-SAT gets, and how long for each: it counts in whole units and does not prove every one."""
GAP_BPS = 0.01
YEAR_DAYS = 365
WARMUP_DAYS = 34
BOOKS_USD = (1e6, 1e5)
MEDIANS = {50: "<= 15 ms", 200: "<= 30 ms", 1_000: "<= 150 ms"}
MAXIMA = {50: "<= 100 ms"}
BASELINE = PortfolioSpec("baseline", "as the portfolio file", "optimiser", parameters("default"), {"USDC": 1e6})


def run() -> list[Measurement]:
    """All rows."""
    return [*random_rows(), *dilution_rows(), *engine_rows(), *simulated_year(), *recorded_rows()]


def random_rows() -> list[Measurement]:
    """Median and maximum over 40 problems of each kind and size."""
    rows = []
    for pools in (20, 50, 200, 1_000):
        for make in KINDS:
            times = solved([make(seed, pools) for seed in range(PROBLEMS)]).times_ms
            label = f"random, {make.__name__}, {pools:,} pools x 5 tokens"
            rows += median_and_maximum(label, times, MEDIANS.get(pools, ""), MAXIMA.get(pools, ""))
    return rows


def dilution_rows() -> list[Measurement]:
    """The same problems with our own deposits lowering the rates, fixed costs included."""
    rows = []
    for law in ("pro_rata", "rate_curve"):
        for pools in (50, 200):
            for make in KINDS:
                times = solved([diluted(make(seed, pools), law, seed) for seed in range(PROBLEMS)]).times_ms
                target = "<= 40 ms" if (law, pools) == ("pro_rata", 50) else ""
                rows += median_and_maximum(f"dilution {law}, {make.__name__}, {pools} pools x 5 tokens", times, target)
    return rows


def engine_rows() -> list[Measurement]:
    """The other solvers beside HiGHS at 50 pools; the ratio is of the two medians."""
    rows = []
    for make in KINDS:
        problems = [make(seed, 50) for seed in range(PROBLEMS)]
        own = solved(problems)
        what = f"{make.__name__}, 50 pools x 5 tokens"
        rows += _beside(what, problems, own, "cvxpy", ">= 10 times")
        rows += _whole(what, problems[:WHOLE_PROBLEMS], own)
    return rows


def _whole(what: str, problems: Sequence[AllocationProblem], own: Solved) -> list[Measurement]:
    """CP-SAT, for information: a problem that it does not prove counts with the time that it took."""
    times_ms, apart = [], []
    for problem, objective_usd in zip(problems, own.objectives_usd, strict=False):
        given = with_engine(problem, "cp_sat", time_limit_seconds=WHOLE_SECONDS)
        begun = time.process_time()
        decision = solve(given)
        times_ms.append((time.process_time() - begun) * 1e3)
        if decision.status == "optimal":
            apart.append(abs(to_bps(decision.objective_usd - objective_usd, problem.aum_usd)))
    label = f"engine cp_sat, {what}"
    ratio = statistics.median(times_ms) / statistics.median(own.times_ms[: len(problems)])
    rows = [
        *median_and_maximum(label, times_ms),
        Measurement(f"{label}: median, times that of highs", ratio, "times"),
        Measurement(f"{label}: proven in {WHOLE_SECONDS:g} s, of {len(problems)}", len(apart), "problems"),
    ]
    if apart:
        rows.append(Measurement(f"{label}: largest difference of the proven objectives", max(apart), "bps"))
    return rows


def _beside(
    what: str, problems: Sequence[AllocationProblem], own: Solved, engine: str, target: str = ""
) -> list[Measurement]:
    """Another engine on problems that HiGHS has solved. Two plans of one gap each are at most two gaps apart."""
    other = solved([with_engine(problem, engine) for problem in problems])
    label = f"engine {engine}, {what}"
    ratio = statistics.median(other.times_ms) / statistics.median(own.times_ms)
    apart = max(
        abs(to_bps(mine - theirs, problem.aum_usd))
        for mine, theirs, problem in zip(own.objectives_usd, other.objectives_usd, problems, strict=True)
    )
    return [
        *median_and_maximum(label, other.times_ms),
        Measurement(f"{label}: median, times that of highs", ratio, "times", target),
        Measurement(f"{label}: largest difference of the objectives", apart, "bps", f"<= {2 * GAP_BPS} bps"),
    ]


def simulated_year() -> list[Measurement]:
    """Decisions a second in a simulated year of some 50 eligible pools, at two sizes of the book."""
    source = SimulatedSource(days=WARMUP_DAYS + YEAR_DAYS)
    loaded = load(source, BASELINE)
    rows = []
    for book_usd in BOOKS_USD:
        spec = replace(BASELINE, wallet={"USDC": book_usd})
        days = run_days(market_of(loaded, spec), spec)
        count = len(days.problems)
        label = f"{count} days, {source.name}, {days.median_pools} pools, ${book_usd:,.0f}"
        target = ">= 300 days/s" if book_usd == 1e6 else ""
        rows += [
            Measurement(f"frame and decide ({label})", count / days.policy_seconds, "days/s", target),
            Measurement(f"whole days, no tables ({label})", count / days.loop_seconds, "days/s"),
            Measurement(f"settled by the certificate ({label})", certified(days.decisions), "days"),
        ]
    return rows


def recorded_rows() -> list[Measurement]:
    """Every decided day of the recorded year, each with the book that the portfolio had then."""
    folder = recorded_folder()
    if folder is None:
        return [Measurement("recorded days: skipped, there is no recorded data", 0, "days")]
    source = RecordedSource(folder)
    chains = chains_of(source)
    loaded = load(source, BASELINE, chains)
    rows = []
    for book_usd in BOOKS_USD:
        spec = replace(BASELINE, wallet={"USDC": book_usd})
        rows += _recorded(f"Ethereum, ${book_usd:,.0f}", run_days(market_of(loaded, spec), spec))
        every = run_days(market_of_chains(loaded, spec, chains), spec)
        rows += _recorded(f"all chains as one, ${book_usd:,.0f}", every)
    return rows


def _recorded(what: str, days: Days) -> list[Measurement]:
    label = f"recorded days, {what}, {days.median_pools} pools"
    rows = median_and_maximum(label, solved(days.problems).times_ms, "<= 15 ms", "<= 100 ms")
    rows.append(Measurement(f"{label}: settled by the certificate", certified(days.decisions), "days"))
    some = days.problems[:: max(1, len(days.problems) // PROBLEMS)]
    return [*rows, *_beside(label, some, solved(some), "cvxpy")]


def certified(decisions: Sequence[AllocationDecision]) -> int:
    """Decisions that needed no search: a certificate proves that nothing should move."""
    return sum(decision.proof == "certificate" for decision in decisions)


@dataclass(frozen=True)
class Solved:
    """CPU milliseconds and objectives of problems, in their order."""

    times_ms: list[float]
    objectives_usd: list[float]


def solved(problems: Sequence[AllocationProblem]) -> Solved:
    """Solve each problem once, after the first one was solved to warm up.

    Raises:
        AssertionError: one of them is not optimal within the gap.
    """
    _proven(problems[0])
    found = Solved([], [])
    for problem in problems:
        begun = time.process_time()
        decision = _proven(problem)
        found.times_ms.append((time.process_time() - begun) * 1e3)
        found.objectives_usd.append(decision.objective_usd)
    return found


def _proven(problem: AllocationProblem) -> AllocationDecision:
    decision = solve(problem)
    if decision.status != "optimal" or not decision.gap_bps <= GAP_BPS:
        raise AssertionError(
            f"a benchmark problem is {decision.status} with a gap of {decision.gap_bps} bps: {decision.reason}"
        )
    return decision

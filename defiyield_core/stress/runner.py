"""Running cases: each against the undisturbed run, in parallel processes, in a fixed order.

Belongs here: one case, many cases, the processes. Does not belong here: what a case is (see `cases`), figures (see
`outcomes`), what is shared (see `branch`).

The undisturbed run is computed once and sent to the processes; a case then computes the days from its first event on
(see `branch`). Processes are spawned, not forked: solvers and model libraries keep threads that a fork would not copy.
Results do not depend on how many processes there are.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from multiprocessing import get_context
from typing import Any

import pandas as pd

from defiyield_core.backtest.engine import load_range, run_range
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError, DataError, DefiYieldError
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.settings import Settings
from defiyield_core.sources.market_model import EPOCH
from defiyield_core.sources.port import Source
from defiyield_core.sources.simulated import SimulatedSource
from defiyield_core.stress.bootstrap import ResampledSource
from defiyield_core.stress.branch import Undisturbed, UndisturbedSource, alone, load_branch, run_undisturbed
from defiyield_core.stress.cases import Case
from defiyield_core.stress.events import CANDLES, EVERY_POOL, SNAPSHOTS, WithdrawalFreeze
from defiyield_core.stress.freeze import with_freezes
from defiyield_core.stress.outcomes import StressOutcome, StressRun, figures
from defiyield_core.stress.source import StressedSource

BASELINE = "undisturbed"
OnCase = Callable[[StressOutcome], None]
Bases = Mapping[str, Undisturbed]


def run_cases(
    settings: Settings,
    spec: PortfolioSpec,
    window: Window,
    cases: Sequence[Case],
    workers: int = 2,
    *,
    source: Source | None = None,
    base: Undisturbed | None = None,
    on_case: OnCase | None = None,
) -> StressRun:
    """The undisturbed run and then every case, over as many days.

    A case with a forecaster of its own is held against an undisturbed run with that forecaster. One that ends in an
    error is an outcome with its `failure`; the others go on.

    Args:
        workers: processes; 1 runs everything in this one.
        source: of the undisturbed run (default: that of the portfolio or the settings).
        base: the undisturbed run of this portfolio over this window, if it was run already (for a catalogue).
        on_case: told of every outcome in order, undisturbed ones first.

    Raises:
        ConfigurationError: two cases of one name, no worker, a base of another portfolio or window, or a portfolio
            whose days do not follow from one another.
    """
    repeated = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if repeated:
        raise ConfigurationError(f"cases need names of their own: {', '.join(repeated[:3])} stand there twice")
    check_workers(workers)
    if base is not None and (base.spec, base.window) != (spec, window):
        raise ConfigurationError(f"the undisturbed run is of {base.spec.name} over {base.window}, not of this request")
    begun = time.perf_counter()
    bases = _references(base or run_undisturbed(settings, spec, window, source), cases)
    references = [_outcome(_label(name), one, one.daily) for name, one in bases.items()]
    outcomes = []
    for outcome in chain(references, _outcomes(bases, cases, workers)):
        outcomes.append(outcome)
        if on_case is not None:
            on_case(outcome)
    return StressRun(
        portfolio=spec.name,
        start=window.start,
        end=window.end,
        references=tuple(outcomes[: len(bases)]),
        outcomes=tuple(outcomes[len(bases) :]),
        seconds=time.perf_counter() - begun,
        warnings=bases[""].warnings,
    )


def check_workers(workers: int) -> None:
    """Refuse a number of processes that cannot be.

    Raises:
        ConfigurationError: fewer than 1.
    """
    if workers < 1:
        raise ConfigurationError(f"{workers} workers: at least 1 is needed")


def _references(base: Undisturbed, cases: Sequence[Case]) -> Bases:
    """The undisturbed run by the forecaster of cases; the portfolio's own is ''."""
    bases = {"": base}
    for name in dict.fromkeys(case.forecaster for case in cases):
        if name and name == base.spec.parameters.forecaster:
            bases[name] = base
        elif name:
            other = base.spec.with_overrides({"forecaster": name})
            bases[name] = run_undisturbed(base.settings, other, base.window, UndisturbedSource(base))
    return bases


def _label(forecaster: str) -> Case:
    name = f"{BASELINE}, {forecaster}" if forecaster else BASELINE
    return Case(name, BASELINE, target="all", forecaster=forecaster)


def run_case(base: Undisturbed, case: Case) -> StressOutcome:
    """The figures of one case, or why it has none.

    Args:
        base: the undisturbed run under the case's forecaster.
    """
    try:
        return _outcome(case, base, case_days(base, case))
    except DefiYieldError as error:
        return StressOutcome(**_labels(case), failure=str(error))
    except Exception as error:  # a defect of ours that one case meets must not lose the others; it is told by name
        return StressOutcome(**_labels(case), failure=f"defect: {error!r}")


def case_days(base: Undisturbed, case: Case) -> pd.DataFrame:
    """Rows of `portfolio_daily` of a case over the whole window; over its own days for another market.

    Raises:
        DataError: an event names a pool, protocol or token that the data do not know.
        DefiYieldError: whatever stopped the pipeline or the books.
    """
    if case.market_seed is not None:
        return _market_days(base, case.market_seed)
    _require_known(base, case)
    if case.begin > base.window.end:
        return base.daily
    spec = with_freezes(base.spec, [event for event in case.events if isinstance(event, WithdrawalFreeze)])
    lent = None if case.is_redrawn else base.lent
    with alone(base.settings, keep_models=False) as settings:
        loaded = load_branch(base, settings, _changed(UndisturbedSource(base), case), case.touches, case.begin, lent)
        run_range(loaded, spec)
    return loaded.warehouse.read("portfolio_daily", base.window, scope={"portfolio": spec.name})


def _market_days(base: Undisturbed, seed: int) -> pd.DataFrame:
    """The portfolio in a simulated market: as many days, after as many days of history as the undisturbed run has.

    The days are the same where that market has begun by then. External flows keep their place in the window.
    """
    shift = max(EPOCH - base.first_day, timedelta(0))
    window = Window(base.window.start + shift, base.window.end + shift)
    flows = {day + shift: tokens for day, tokens in base.spec.flows.items()}
    spec = replace(base.spec, first_day=None, flows=flows)
    source = SimulatedSource(seed, days=(window.end - EPOCH).days + 1)
    with alone(base.settings, keep_models=False) as settings:
        return run_range(load_range(settings, window, source=source, specs=(spec,)), spec).run.daily


def _require_known(base: Undisturbed, case: Case) -> None:
    """Refuse a case whose events would silently change nothing."""
    listed = base.frames[SNAPSHOTS]
    for event in case.events:
        target = getattr(event, "target", EVERY_POOL)
        for what, names, known in (
            ("pool", target.pools, listed["pool_id"]),
            ("protocol", target.protocols, listed["project"]),
            ("candle of the token", getattr(event, "tokens", ()), base.frames[CANDLES]["symbol"]),
        ):
            missing = [name for name in names if not (known == name).any()]
            if missing:
                raise DataError(f"case {case.name}: there is no {what} {', '.join(missing)} in {base.source_name}")


def _changed(source: Source, case: Case) -> Source:
    drawn = ResampledSource(source, case.resample) if case.resample else source
    return StressedSource(drawn, case.events) if case.events else drawn


def _labels(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in ("name", "kind", "severity", "target", "day", "forecaster")}


def _outcome(case: Case, base: Undisturbed, daily: pd.DataFrame) -> StressOutcome:
    return StressOutcome(**_labels(case), **figures(daily, base.daily))


def _outcomes(bases: Bases, cases: Sequence[Case], workers: int) -> Iterator[StressOutcome]:
    """Outcomes in the order of the cases, each as soon as it and those before it are there."""
    processes = min(workers, len(cases))
    if processes <= 1:
        yield from (run_case(bases[case.forecaster], case) for case in cases)
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_adopt, initargs=(bases,))
    with pool:
        try:
            yield from pool.map(_run_adopted, cases)
        except BrokenProcessPool as error:
            raise ConfigurationError(
                f"one of {processes} processes was ended from outside, perhaps for want of memory: use fewer --workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_adopted: dict[str, Undisturbed] = {}
"""The undisturbed runs of a worker process, by forecaster."""


def _adopt(bases: Bases) -> None:
    _adopted.clear()
    _adopted.update(bases)


def _run_adopted(case: Case) -> StressOutcome:
    return run_case(_adopted[case.forecaster], case)

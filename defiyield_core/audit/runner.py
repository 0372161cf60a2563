"""Running an audit: the claimed run once, then every trial against it.

Belongs here: loading markets for trials, running the portfolio on them, keeping models of made-up markets out of the
store. Does not belong here: what trials there are (see `trials`), what they show (see `verdict`).

Look-ahead trials go the whole way, source to decision, and hide or spoil the future at the source. Sensitivity trials
run on markets with two sides (see `market`): decisions see a changed one while the books accrue the true one.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from defiyield_core.audit.compare import decisions, first_difference
from defiyield_core.audit.market import dying_pools, paying, shown, stale, without_pools
from defiyield_core.audit.sources import (
    HISTORY,
    RewardlessSource,
    ScrambledSource,
    ShiftedSource,
    ThroughSource,
    TruncatedSource,
    parts_unknown,
)
from defiyield_core.audit.trials import (
    CUTS,
    DYING,
    REWARDS,
    SEED,
    SHIFT,
    STALE,
    STALE_DAYS,
    TRUNCATION,
    Trial,
    catalogue,
)
from defiyield_core.audit.verdict import Audit, TrialResult, look_ahead_sentence, sensitivity_sentence
from defiyield_core.backtest.engine import LoadedRange, TimedRun, load_range, run_range
from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError, DefiYieldError
from defiyield_core.forecasting.port import horizon_of
from defiyield_core.history import MarketHistory, load_market
from defiyield_core.pipeline.registry import DECISION_STEPS
from defiyield_core.pipeline.step import StepContext, execute
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.reporting.metrics import performance
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.sources.port import Source
from defiyield_core.universe.lists import seed_lists
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite

LEAD_DAYS = max(STALE_DAYS)
"""Days loaded before the window, for what decisions may see late."""
NONSENSE_DAYS = 28
"""Days of nonsense that a scrambled run gets to see after its cut; truncation is against the whole window."""
_FORECAST_STEPS = ("forecast_models", "pool_forecasts")

Shows = Callable[[MarketHistory], MarketHistory]
OnTrial = Callable[[TrialResult], None]


def run_audit(
    settings: Settings,
    spec: PortfolioSpec,
    window: Window,
    *,
    source: Source | None = None,
    cuts: int = CUTS,
    seed: int = SEED,
    only: Sequence[str] = (),
    on_trial: OnTrial | None = None,
    shows: Shows = lambda market: market,
) -> Audit:
    """Run the portfolio over the window and put the result to the trials.

    A trial that ends in an error of ours is `not run`, with its reason; the others go on.

    Args:
        source: in place of the portfolio's or the settings'. cuts, seed, only: see `catalogue`.
        on_trial: told of every result.
        shows: makes the market that decisions see of the one that was loaded, in the audited run and in the look-ahead
            trials (for instance one with other forecasts, which may look ahead).

    Raises:
        ConfigurationError: a live source (its past cannot be asked for again), too short a window, an unknown trial.
        DefiYieldError: whatever stopped the audited run itself.
    """
    chosen = source or open_source(spec.source or settings.source)
    if chosen.last_day is None:
        raise ConfigurationError(f"source {chosen.name} has no last day: audit a recorded or a simulated one")
    trials = catalogue(window, cuts, seed, only)
    begun = time.perf_counter()
    with _apart(settings) as lean, _apart(settings, horizon_days=horizon_of(spec.parameters)) as scratch:
        bench = _bench(lean, scratch, ThroughSource(chosen, spec.wallet), spec, window, seed, shows)
        base_seconds = time.perf_counter() - begun
        results = []
        for trial in trials:
            results.append(_result(bench, trial))
            if on_trial is not None:
                on_trial(results[-1])
        return Audit(
            portfolio=spec.name,
            start=window.start,
            end=window.end,
            source=chosen.name,
            fingerprint=bench.base.run.fingerprint,
            net_apy=performance(bench.base.run.daily).net_apy,
            seed=seed,
            results=tuple(results),
            base_seconds=base_seconds,
            seconds=time.perf_counter() - begun,
            warnings=(
                *(f"loading {bench.longer.window}: {said}" for said in dict.fromkeys(bench.longer.warnings)),
                *bench.base.run.warnings,
            ),
        )


@contextmanager
def _apart(settings: Settings, *, horizon_days: int | None = None) -> Iterator[Settings]:
    """The settings without any portfolio file, so that nothing is computed for any but the audited one.

    Args:
        horizon_days: trains into a folder that begins with the models of this horizon and is gone afterwards: models
            of a made-up market are of no use later and would push others out of the store. None: the store itself.
    """
    store = settings.model_store
    store.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".audit-", dir=store.parent) as folder:
        portfolios, models = Path(folder) / "portfolios", Path(folder) / "models"
        portfolios.mkdir()
        if horizon_days is None:
            yield replace(settings, portfolios=portfolios, models=store)
            return
        for model in store.glob(f"*/[0-9]*/[a-z]*_{horizon_days}d_*"):
            _copy(model, models / model.relative_to(store))
        yield replace(settings, portfolios=portfolios, models=models)


def _copy(model: Path, place: Path) -> None:
    """The model's files under another name, or none of them when another process takes it away meanwhile."""
    try:
        shutil.copytree(model, place, copy_function=_link)
    except (FileNotFoundError, shutil.Error):
        shutil.rmtree(place, ignore_errors=True)


def _link(file: str, place: str) -> None:
    """The same file under another name; a copy where the disk cannot do that."""
    try:
        os.link(file, place)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(file, place)


@dataclass
class _Bench:
    """What trials share.

    Attributes:
        lean, scratch: settings for the true market and for made-up ones.
        longer: the true market from `LEAD_DAYS` before the window on. loaded: the same, for the window.
        base: the audited run. decided: its decision tables.
    """

    lean: Settings
    scratch: Settings
    source: Source
    spec: PortfolioSpec
    window: Window
    seed: int
    shows: Shows
    longer: LoadedRange
    loaded: LoadedRange
    base: TimedRun
    decided: Mapping[str, pd.DataFrame]

    @cached_property
    def market(self) -> MarketHistory:
        """The true market."""
        return self.loaded.market(self.spec)

    @cached_property
    def rewardless(self) -> LoadedRange:
        """The market without reward tokens, forecast anew."""
        return replace(self.load(RewardlessSource(self.source), self.window.end), window=self.window)

    def load(self, source: Source, last: date) -> LoadedRange:
        """A made-up market from `LEAD_DAYS` before the window to a day."""
        return load_range(self.scratch, _with_lead(self.window, source, last), source=source, specs=(self.spec,))

    def run_on(self, market: MarketHistory) -> pd.DataFrame:
        """Rows of `portfolio_daily` of the portfolio on another market, beside the audited run."""
        return run_range(self.loaded, replace(self.spec, name=f"{self.spec.name}_trial"), market=market).run.daily


def _with_lead(window: Window, source: Source, last: date) -> Window:
    return Window(min(window.start, max(source.first_day, window.start - timedelta(days=LEAD_DAYS))), last)


def _bench(
    lean: Settings, scratch: Settings, source: Source, spec: PortfolioSpec, window: Window, seed: int, shows: Shows
) -> _Bench:
    longer = load_range(lean, _with_lead(window, source, window.end), source=source, specs=(spec,))
    loaded = replace(longer, window=window)
    base = run_range(loaded, spec, market=shows(loaded.market(spec)))
    decided = decisions(loaded, spec.name)
    return _Bench(lean, scratch, source, spec, window, seed, shows, longer, loaded, base, decided)


def _result(bench: _Bench, trial: Trial) -> TrialResult:
    begun = time.perf_counter()
    try:
        result = (_look_ahead if trial.kind == "look_ahead" else _sensitivity)(bench, trial)
    except DefiYieldError as error:
        window, claimed = bench.window, performance(bench.base.run.daily).net_apy
        result = TrialResult(
            trial, window.start, window.end, claimed, float("nan"), "not run", f"It could not be run: {error}", 0.0
        )
    return replace(result, seconds=time.perf_counter() - begun)


def _look_ahead(bench: _Bench, trial: Trial) -> TrialResult:
    """The run again up to the trial's day, in a market whose data after that day are hidden or spoiled.

    The market of the scrambled run holds the days of nonsense; only the books end before them.
    """
    if trial.day is None:
        raise ValueError(f"{trial.name}: a look-ahead trial needs a day")
    if trial.family == TRUNCATION:
        last, source = trial.day, TruncatedSource(bench.source, trial.day)
        loaded = load_range(bench.lean, _with_lead(bench.window, source, last), source=source, specs=(bench.spec,))
    else:
        last = min(bench.window.end, trial.day + timedelta(days=NONSENSE_DAYS))
        loaded = bench.load(ScrambledSource(bench.source, trial.day, bench.seed), last)
    market = bench.shows(replace(loaded, window=Window(bench.window.start, last)).market(bench.spec))
    loaded = replace(loaded, window=Window(bench.window.start, trial.day))
    daily = run_range(loaded, bench.spec, market=market).run.daily
    difference = first_difference(bench.decided, decisions(loaded, bench.spec.name), trial.day)
    return TrialResult(
        trial=trial,
        first_day=bench.window.start,
        last_day=trial.day,
        claimed_apy=_net_apy(bench.base.run.daily, trial.day),
        trial_apy=_net_apy(daily, trial.day),
        verdict="pass" if difference is None else "FAIL",
        sentence=look_ahead_sentence(difference, len(Window(bench.window.start, trial.day))),
        seconds=0.0,
        difference=difference,
    )


def _net_apy(daily: pd.DataFrame, last: date) -> float:
    return performance(daily[daily["date"] <= pd.Timestamp(last)]).net_apy


def _sensitivity(bench: _Bench, trial: Trial) -> TrialResult:
    daily, numbers = _SENSITIVITY[trial.family](bench, trial)
    claimed, found = performance(bench.base.run.daily).net_apy, performance(daily).net_apy
    result = TrialResult(
        trial, bench.window.start, bench.window.end, claimed, found, "info", "", 0.0, numbers=numbers or None
    )
    sentence = sensitivity_sentence(trial, result.lost_apy, result.lost_share, numbers)
    return replace(result, sentence=sentence)


Tried = tuple[pd.DataFrame, dict[str, float]]


def _shifted(bench: _Bench, trial: Trial) -> Tried:
    """Decisions on pools stamped some days later or earlier, in a market measured and judged anew.

    Forecasts move with the stamps instead of being made again: a forecast is a function of the days behind it, so that
    of a moved history is the moved forecast, but for the weekday of a refit. Where the moved ones end before the
    window, its last day keeps the newest.
    """
    source = ShiftedSource(bench.source, trial.days)
    window = bench.longer.window
    context = StepContext(open_warehouse("memory:"), source, bench.scratch, (bench.spec.parameters,), yardsticks=False)
    seed_lists(context.warehouse)
    forecasts = _moved(bench.longer.warehouse.read("pool_forecasts", window), trial.days, window)
    for step in DECISION_STEPS:
        if step.name not in _FORECAST_STEPS:
            execute(step, context, window)
        elif step.name == "pool_forecasts":
            context.warehouse.replace((TableWrite("pool_forecasts", forecasts, window),))
    seen = load_market(context.warehouse, bench.spec.parameters, bench.window, held_tokens=bench.spec.wallet)
    return bench.run_on(shown(bench.market, seen)), {}


def _moved(forecasts: pd.DataFrame, days: int, window: Window) -> pd.DataFrame:
    """Forecasts with their days moved, within the window; the last ones again on days that none moved onto."""
    moved = forecasts.assign(date=forecasts["date"] + pd.Timedelta(days=days))
    newest = forecasts[forecasts["date"] == forecasts["date"].max()]
    last = moved["date"].max()
    again = [newest.assign(date=day) for day in pd.date_range(last, pd.Timestamp(window.end))[1:]]
    every = pd.concat([moved, *again], ignore_index=True)
    return every[every["date"].between(pd.Timestamp(window.start), pd.Timestamp(window.end))].reset_index(drop=True)


def _without_dying(bench: _Bench, trial: Trial) -> Tried:
    dying = dying_pools(bench.market)
    held = set(bench.decided["asset_allocations"]["pool_id"])
    gone = np.array(bench.market.pools.ids, dtype=object)[dying.any]
    numbers = {
        "stopped_pools": float(dying.stopped.sum()),
        "fallen_pools": float((dying.fallen & ~dying.stopped).sum()),
        "held_dying_pools": float(len(held & set(gone))),
    }
    return bench.run_on(without_pools(bench.market, dying.any)), numbers


def _rewards(bench: _Bench, trial: Trial) -> Tried:
    market = bench.rewardless.market(bench.spec)
    raw = bench.loaded.warehouse.read(HISTORY, bench.window)
    known = raw[raw["apy"].notna()]
    numbers = {"parts_unknown_share": float(parts_unknown(known).mean()) if len(known) else 0.0}
    return bench.run_on(market if trial.decisions_know else paying(bench.market, market)), numbers


def _stale(bench: _Bench, trial: Trial) -> Tried:
    longer = load_market(
        bench.longer.warehouse,
        bench.spec.parameters,
        bench.longer.window,
        held_tokens=bench.spec.wallet,
        held_pools=bench.market.pools.ids,
    )
    return bench.run_on(stale(bench.market, longer, trial.days)), {}


_SENSITIVITY: Mapping[str, Callable[[_Bench, Trial], Tried]] = {
    SHIFT: _shifted,
    DYING: _without_dying,
    REWARDS: _rewards,
    STALE: _stale,
}

"""One evaluation from end to end: models walk once over all days, every day is an origin, the cards are filled.

Belongs here: the order of the work and the files it leaves. Does not belong here: arguments and printing (see
`commands.forecast`), figures (see `scorecard`), wording (see `report`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.evaluation.classifier import probabilities
from defiyield_core.forecasting.evaluation.inputs import Loaded, eligible_days, pool_facts
from defiyield_core.forecasting.evaluation.losses import REFERENCE
from defiyield_core.forecasting.evaluation.scorecard import (
    Run,
    Scorecard,
    by_pool_frame,
    judged_pools,
    scorecard,
    to_json,
)
from defiyield_core.forecasting.evaluation.scores import Origins, Scores, origin_positions, score, together
from defiyield_core.forecasting.intervals import with_quantiles
from defiyield_core.forecasting.port import APY, GAS, GAS_ID, TVL, DayForecasts, Forecaster, History, forecast_days
from defiyield_core.forecasting.registry import DEFAULT
from defiyield_core.units import BoolArray

HORIZONS = (1, 7, 14, 30)
WEEK_DAYS = 7


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        pools: a row per pool of the data (see `pool_facts`).
        probabilities: what models said of the classifier's target.
        weekly: the same with an origin on every seventh day only. A pool has some 27 errors in half a year then, too
            few for the ratio of two means where rates move on few days.
    """

    scores: Scores
    pools: pd.DataFrame
    probabilities: pd.DataFrame
    card: Scorecard
    weekly: Evaluation | None = None


def evaluate(
    loaded: Loaded,
    forecasters: Sequence[Forecaster],
    told: Callable[[str], None] = lambda name: None,
) -> Evaluation:
    """Walk, score and judge the loaded window: origins from its first day on, outcomes up to its last.

    Args:
        forecasters: persistence has to be among them.
        told: is called with the name of every forecaster that is done.
    """
    eligible = eligible_days(loaded, loaded.window)
    return evaluate_history(loaded.history, loaded.window, forecasters, eligible, told)


def evaluate_history(
    history: History,
    window: Window,
    forecasters: Sequence[Forecaster],
    eligible: BoolArray | None = None,
    told: Callable[[str], None] = lambda name: None,
) -> Evaluation:
    """The same on a history that ends on the window's last day.

    Args:
        eligible: (days of the window, n) whether a deposit would have been allowed; None: always.
    """
    if REFERENCE not in {forecaster.name for forecaster in forecasters}:
        raise ConfigurationError(f"the models to evaluate have to include {REFERENCE}")
    first = int(origin_positions(history, window.start, window.end, 1)[0])
    gas = _gas_history(history)
    answers, gas_answers = {}, {}
    for forecaster in forecasters:
        if {APY, TVL} <= forecaster.targets:
            answers[forecaster.name] = _walked(forecaster, history, first)
        if gas is not None and GAS in forecaster.targets:
            gas_answers[forecaster.name] = _walked(forecaster, gas, first)
        told(forecaster.name)
    allowed = np.ones((len(window), len(history.ids)), dtype=bool) if eligible is None else eligible
    walked = _Walked(history, window, first, answers, gas, gas_answers, allowed)
    return replace(walked.judged(1), weekly=walked.judged(WEEK_DAYS))


@dataclass(frozen=True)
class _Walked:
    """Forecasts of every day from position `first` on."""

    history: History
    window: Window
    first: int
    answers: Mapping[str, DayForecasts]
    gas: History | None
    gas_answers: Mapping[str, DayForecasts]
    allowed: BoolArray

    def judged(self, step_days: int) -> Evaluation:
        """Scores and card of origins that far apart."""
        history, first, last = self.history, self.first, len(self.history.days) - 1
        positions = origin_positions(history, self.window.start, self.window.end, step_days)
        origins = Origins(positions, last, self.allowed[positions - first])
        scores = score(history, self.answers, first, origins)
        if self.gas is not None:
            scores = together(scores, score(self.gas, self.gas_answers, first, _for_gas(origins)))
        scores = replace(scores, frame=_marked(scores.frame, self.window))
        said = probabilities(history, self.answers, first, positions, last)
        pools = pool_facts(history)
        run = Run(DEFAULT, self.window.start, self.window.end, step_days)
        return Evaluation(scores, pools, said, scorecard(scores, pools, run, said))


def _marked(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The scores with a column `weekly`: the origin is a whole number of weeks after the first one."""
    return frame.assign(weekly=(frame["origin"] - pd.Timestamp(window.start)).dt.days % WEEK_DAYS == 0)


def _walked(forecaster: Forecaster, history: History, first: int) -> DayForecasts:
    """Forecasts with bounds from position `first` on; the bounds come from the errors since the first day."""
    return with_quantiles(forecast_days(forecaster, history, 0, HORIZONS), history, 0, first)


def _gas_history(history: History) -> History | None:
    """The daily gas price as a history of its own; None where there is none."""
    gas = history.market.get("gas_price_gwei")
    if gas is None or not np.isfinite(gas).any():
        return None
    return History(history.days, np.array([GAS_ID], dtype=object), {GAS: gas[:, None]})


def _for_gas(origins: Origins) -> Origins:
    return Origins(origins.positions, origins.last, np.zeros((len(origins.positions), 1), dtype=bool))


def write(evaluation: Evaluation, out: Path) -> Mapping[str, Path]:
    """Write what the card is computed from, and the card; the paths by what they are.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    paths = {
        "scores": out / "scores.parquet",
        "pools": out / "pools.parquet",
        "errors by pool": out / "by_pool.csv",
        "yardstick": out / "yardstick.parquet",
        "scorecard": out / "scorecard.json",
    }
    pools, card = evaluation.pools, to_json(evaluation.card)
    try:
        out.mkdir(parents=True, exist_ok=True)
        evaluation.scores.frame.to_parquet(paths["scores"], index=False)
        if evaluation.weekly is not None:
            card |= {"weekly": to_json(evaluation.weekly.card)}
        pools.assign(judged=pools["pool_id"].isin(judged_pools(pools))).to_parquet(paths["pools"], index=False)
        by_pool_frame(evaluation.scores, pools).to_csv(paths["errors by pool"], index=False)
        evaluation.probabilities.to_parquet(paths["yardstick"], index=False)
        paths["scorecard"].write_text(json.dumps(card, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise ConfigurationError(f"--out {out}: cannot be written: {error}") from error
    return paths


def writable(out: Path) -> Path:
    """The folder, made if need be: asked before the work, not after it.

    Raises:
        ConfigurationError: it is a file, or cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--out {out}: cannot be written: {error}") from error
    return out

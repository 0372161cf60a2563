"""What must hold of forecasts, and what makes a person look at them.

`IMPOSSIBLE` are errors, part of the check `contract`: a point outside its own bounds, a score that knew the outcome, a
model that learnt from days to come. `FORECAST_PLAUSIBILITY` are warnings: copies of another pool's forecast, forecasts
far from anything the pool has shown, bounds that hold too little or too much, errors that grow, scores or models that
are old.
Belongs here: pure functions from stored rows to findings, and what each reads. Does not belong here: Dagster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window, as_day
from defiyield_core.forecasting.matured import REFERENCE, in_time
from defiyield_core.forecasting.registry import DEFAULT
from defiyield_core.panel import Panel, lagged, newest_observed
from defiyield_core.pipeline.score_steps import due_window, longest_horizon, observed_pools
from defiyield_core.pipeline.step import StepContext
from defiyield_core.units import BoolArray, FloatArray
from defiyield_dagster.plausibility import Finding, Rule, steady

COVERAGE = (0.70, 0.90)
"""Bounds of 80 % that hold a share of the outcomes outside of this are reported."""
FEWEST_PAIRS = 1000
"""Of 182 days: below it a coverage or an error of 28 days says too little."""
MAX_DRIFT = 0.10
"""Error relative to persistence of 28 days over that of 182 days, reported beyond this difference."""
SHORT_HORIZON_DAYS = 7
"""28 days hold a few separate spans of such a horizon; longer ones are judged by 182 days."""
MODEL_AGE_DAYS = 14
"""Two weekly refits."""
RANGE_DAYS = 60
APY_MARGIN, TVL_FACTOR = 0.05, 3.0
"""A forecast APY may leave the range of 60 days by its width and at least 5 points; a TVL by this factor."""
_ALIKE_SHOWN = 5

_ORDERED: dict[str, tuple[tuple[str, str, str], ...]] = {
    "pool_forecasts": (
        ("apy_lower", "apy", "apy_upper"),
        ("apy_at_lower", "apy_at", "apy_at_upper"),
        ("tvl_lower_usd", "tvl_usd", "tvl_upper_usd"),
        ("apy_lower", "risk_adjusted_apy", "apy_upper"),
    ),
    "gas_forecasts": (("lower_gwei", "gas_price_gwei", "upper_gwei"),),
    "gas_hour_forecasts": (("lower_gwei", "gas_price_gwei", "upper_gwei"),),
    "forecast_scores": (("lower", "forecast", "upper"),),
}
"""Lower bound, point and upper bound by table."""


def disordered(name: str, frame: pd.DataFrame) -> list[Finding]:
    """Points outside their bounds, by day; a bound that is missing bounds nothing."""
    found = []
    for lower, point, upper in _ORDERED[name]:
        low, middle, high = (frame[column].to_numpy(dtype=float) for column in (lower, point, upper))
        outside = (middle < low) | (middle > high)
        text = f"{name}.{point} lies outside of {lower} and {upper}"
        found.extend(_by_day(frame, outside, text))
    return found


def early_scores(frame: pd.DataFrame) -> list[Finding]:
    """Scores whose outcome is not of the day that the forecast was for."""
    off = (frame["date"] - frame["origin"]).dt.days.to_numpy() != frame["horizon_days"].to_numpy()
    return _by_day(frame, off, "forecast_scores.date is not the origin plus the horizon")


def prescient_models(frame: pd.DataFrame) -> list[Finding]:
    """Models that had learnt from days after the one on which they were used."""
    later = (frame["trained_through"] > frame["date"]).to_numpy()
    return _by_day(frame, later, "forecast_models.trained_through is after the day of the forecast")


IMPOSSIBLE: dict[str, tuple[Callable[[pd.DataFrame], Sequence[Finding]], ...]] = {
    **{name: (lambda frame, name=name: disordered(name, frame),) for name in _ORDERED},  # type: ignore[misc]
    "forecast_models": (prescient_models,),
}
"""By table. Adding a rule is one entry."""
IMPOSSIBLE["forecast_scores"] += (early_scores,)


def clones(forecasts: pd.DataFrame, observed: Panel) -> list[Finding]:
    """Pools that share every bit of an APY or a TVL with another one of the same day, model and horizon.

    No copies are pools whose newest observations are equal too (DefiLlama lists some pools twice), and no forecasts of
    0, where many end.

    Args:
        forecasts: `date`, `pool_id`, `model`, `horizon_days`, `apy`, `tvl_usd`.
        observed: `apy` and `tvl_usd` over the same days.
    """
    told: dict[tuple[object, str, str], set[str]] = {}
    for name, what in (("apy", "APY"), ("tvl_usd", "TVL")):
        alike = ["date", "model", "horizon_days", name]
        twins = forecasts[forecasts.duplicated(alike, keep=False).to_numpy() & (forecasts[name] != 0.0).to_numpy()]
        newest = pd.Series(_newest_at(observed, name, twins), index=twins.index)
        for (day, model, *_), rows in twins.groupby(alike, sort=True):
            if newest[rows.index].nunique(dropna=False) > 1:
                told.setdefault((day, model, what), set()).add(" = ".join(sorted(rows["pool_id"])))
    return [
        Finding(as_day(day), f"{model} forecasts the same {what} of {_some(who)}")
        for (day, model, what), who in sorted(told.items())
    ]


def strays(forecasts: pd.DataFrame, observed: Panel) -> list[Finding]:
    """Pools whose forecast is far from everything observed of them in 60 days, or negative where nothing ever was.

    Args:
        forecasts: as for `clones`, with `apy_at`.
        observed: `apy` and `tvl_usd` from 59 days before the first forecast on.
    """
    apy_low, apy_high = (_at(observed, values, forecasts) for values in _range(observed["apy"]))
    tvl_low, tvl_high = (_at(observed, values, forecasts) for values in _range(observed["tvl_usd"]))
    margin = np.maximum(apy_high - apy_low, APY_MARGIN)
    found = []
    for column in ("apy", "apy_at"):
        point = forecasts[column].to_numpy(dtype=float)
        far = (point < apy_low - margin) | (point > apy_high + margin)
        found.extend(_named(forecasts, far, f"a forecast {column} far from its {RANGE_DAYS} days"))
        negative = (point < 0.0) & (apy_low >= 0.0)
        found.extend(_named(forecasts, negative, f"a negative forecast {column}, which it never had"))
    size = forecasts["tvl_usd"].to_numpy(dtype=float)
    far = (size < tvl_low / TVL_FACTOR) | (size > tvl_high * TVL_FACTOR)
    found.extend(_named(forecasts, far, f"a forecast TVL far from its {RANGE_DAYS} days"))
    return found


def odd_cards(cards: pd.DataFrame, in_use: Sequence[str]) -> list[Finding]:
    """Coverage, drift and skill of the models in use, one sentence for each target and horizon: its last such day."""
    mine = cards[cards["model"].isin(in_use)]
    enough = (mine["pairs"] >= FEWEST_PAIRS).to_numpy()
    short = (mine["horizon_days"] <= SHORT_HORIZON_DAYS).to_numpy()
    held = mine["recent_coverage"].where(short, mine["coverage"])
    mine = mine.assign(held=held, held_days=np.where(short, 28, 182))
    overall = 1.0 - mine["skill"]
    rules: tuple[tuple[BoolArray, Callable[[pd.Series], str]], ...] = (
        (
            enough & ((held < COVERAGE[0]) | (held > COVERAGE[1])).to_numpy(),
            lambda row: f"bounds of 80 % held {row.held:.1%} of the outcomes of {row.held_days} days",
        ),
        (
            enough & short & (mine["recent_relative_mae"] > overall + MAX_DRIFT).to_numpy(),
            lambda row: (
                f"error of 28 days is {row.recent_relative_mae:.2f} of that of {REFERENCE}, after "
                f"{1 - row.skill:.2f} over 182 days"
            ),
        ),
        (
            (mine["skill_high"] < 0.0).to_numpy(),
            lambda row: f"worse than {REFERENCE}: skill {row.skill:.1%}, at most {row.skill_high:.1%}",
        ),
    )
    found = []
    for broken, text in rules:
        for (model, target, horizon), rows in mine[broken].groupby(["model", "target", "horizon_days"], sort=True):
            last = rows.sort_values("date").iloc[-1]
            more = f" (and on {len(rows) - 1} more days)" if len(rows) > 1 else ""
            found.append(Finding(as_day(last["date"]), f"{model} {target} {horizon} d: {text(last)}{more}"))
    return found


def unscored(made: pd.DataFrame, scored: Sequence[date], window: Window) -> list[Finding]:
    """Days on which stored forecasts matured and nothing was scored.

    Args:
        made: `date` and `horizon_days` of the stored forecasts.
    """
    due = {as_day(day) for day in (made["date"] + pd.to_timedelta(made["horizon_days"], unit="D")).unique()}
    missing = sorted(day for day in due - set(scored) if day in window)
    return [Finding(day, "forecasts matured, and forecast_scores has no rows") for day in missing]


def old_models(frame: pd.DataFrame) -> list[Finding]:
    """Days on which a model was used whose newest observation is old, by model: the last such day.

    A refit is never missed, but it learns nothing while the source is silent.
    """
    refit = frame["trained_through"]
    newest = frame["observed_through"].where(frame["observed_through"] < refit, refit)
    age = (frame["date"] - newest).dt.days
    found = []
    for model, rows in frame.assign(age=age)[(age > MODEL_AGE_DAYS).to_numpy()].groupby("model", sort=True):
        worst = rows.sort_values(["date", "age"]).iloc[-1]
        text = f"{model} {worst['point']} {worst['horizon_days']} d: has learnt nothing for {worst['age']} days"
        found.append(Finding(as_day(worst["date"]), text))
    return found


def models_in_use(core: StepContext) -> list[str]:
    """What portfolios decide by, and the default."""
    return sorted({DEFAULT, *(chosen.forecaster for chosen in core.parameters_in_use())})


def _pool_forecasts(core: StepContext, window: Window) -> Sequence[Finding]:
    columns = ("date", "pool_id", "model", "horizon_days", "apy", "apy_at", "tvl_usd")
    made = core.warehouse.read("pool_forecasts", window, columns=columns)
    observed = observed_pools(core, window, RANGE_DAYS)
    return [*steady("pool_forecasts", core, window), *clones(made, observed), *strays(made, observed)]


def _forecast_scores(core: StepContext, window: Window) -> Sequence[Finding]:
    span = due_window(window, longest_horizon(core))
    made = core.warehouse.read("pool_forecasts", span, columns=("date", "horizon_days", "made_at"))
    due = made[in_time(made)][["date", "horizon_days"]].drop_duplicates()
    return unscored(due, core.warehouse.days("forecast_scores"), window)


def _forecast_scorecard(core: StepContext, window: Window) -> Sequence[Finding]:
    return odd_cards(core.warehouse.read("forecast_scorecard", window), models_in_use(core))


def _forecast_models(core: StepContext, window: Window) -> Sequence[Finding]:
    return old_models(core.warehouse.read("forecast_models", window))


FORECAST_PLAUSIBILITY: Mapping[str, Rule] = {
    "pool_forecasts": Rule(
        "A day without rows or with far fewer than before; an APY or TVL that is a copy of another pool's, far from "
        f"the pool's own {RANGE_DAYS} days, or negative where the APY never was.",
        _pool_forecasts,
    ),
    "forecast_models": Rule(f"A model that has learnt nothing for more than {MODEL_AGE_DAYS} days.", _forecast_models),
    "forecast_scores": Rule("A day on which forecasts matured and none was scored.", _forecast_scores),
    "forecast_scorecard": Rule(
        f"Bounds of 80 % that held under {COVERAGE[0]:.0%} or over {COVERAGE[1]:.0%} of the newest 28 days' outcomes, "
        "errors that grow against persistence, or skill clearly below 0, of the models in use.",
        _forecast_scorecard,
    ),
}
"""By step. Adding a rule is one entry."""


def _by_day(frame: pd.DataFrame, broken: BoolArray, text: str) -> list[Finding]:
    counts = frame["date"][broken].value_counts(sort=False).sort_index()
    return [Finding(as_day(day), f"{text} in {count} rows") for day, count in counts.items()]


def _named(forecasts: pd.DataFrame, broken: BoolArray, what: str) -> list[Finding]:
    found = []
    for (day, model), rows in forecasts[broken].groupby(["date", "model"], sort=True):
        found.append(Finding(as_day(day), f"{model}: {_some(set(rows['pool_id']))} with {what}"))
    return found


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:_ALIKE_SHOWN])
    return shown + (f" and {len(names) - _ALIKE_SHOWN} more" if len(names) > _ALIKE_SHOWN else "")


def _range(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n_days, n) lowest and highest of the observed days t-59 .. t; NaN without any."""
    low, high = values, values
    for back in range(1, RANGE_DAYS):
        before = lagged(values, back, 0)
        low, high = np.fmin(low, before), np.fmax(high, before)
    return low, high


def _newest_at(observed: Panel, name: str, rows: pd.DataFrame) -> FloatArray:
    values = observed[name]
    newest = newest_observed(values)
    carried = np.take_along_axis(values, np.maximum(newest, 0), axis=0)
    return _at(observed, np.where(newest >= 0, carried, np.nan), rows)


def _at(observed: Panel, values: FloatArray, rows: pd.DataFrame) -> FloatArray:
    """The value of each row's day and pool; NaN for a pool that the panel does not know."""
    place = pd.Index(observed.ids).get_indexer(rows["pool_id"])
    day = (rows["date"].to_numpy(dtype="datetime64[D]") - observed.days[0]).astype(np.int64)
    if not len(observed.ids):
        return np.full(len(rows), np.nan)
    return np.where(place >= 0, values[day, np.maximum(place, 0)], np.nan)

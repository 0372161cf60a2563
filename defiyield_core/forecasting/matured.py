"""Stored forecasts whose day has come, beside what came: rows of `forecast_scores`.

Belongs here: which forecast matures when, what came of it, and the shape of the rows. Does not belong here: what is
read (see `pipeline.score_steps`), how good they were (see `matured_card`).

A forecast of day t over h days matures on t+h and is scored with observations up to that day only:

    apy       the APY of day t+h                              against the point `apy_at`
    mean_apy  the mean APY of t+1 .. t+h, at least half of them observed     against `apy`
    tvl       the TVL of day t+h                              against `tvl_usd`
    gas       the mean gas price of t+1 .. t+h, likewise      against `gas_price_gwei`

A live forecast that was made late, two days after its day or more, may know its outcome and is not scored.

`naive_scale` is the mean absolute change from one day to the next over the 60 days up to and including t: a fixed
window, so that it does not depend on the first day that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.port import GAS_ID
from defiyield_core.panel import Panel, day_numbers
from defiyield_core.units import BoolArray, FloatArray, IntArray

SCALE_DAYS = 60
"""Changes of a day behind `naive_scale`."""
OPEN_DAYS = 2
"""A live day may be forecast until so many days after it have begun: on the day after it, once it is over."""
REFERENCE = "persistence"
"""The model that all others are compared with."""


@dataclass(frozen=True)
class Target:
    """What is scored: its name, the columns of the forecast, the series of the outcome, and whether it is a mean."""

    name: str
    point: str
    lower: str
    upper: str
    series: str
    is_mean: bool


POOL_TARGETS = (
    Target("apy", "apy_at", "apy_at_lower", "apy_at_upper", "apy", is_mean=False),
    Target("mean_apy", "apy", "apy_lower", "apy_upper", "apy", is_mean=True),
    Target("tvl", "tvl_usd", "tvl_lower_usd", "tvl_upper_usd", "tvl_usd", is_mean=False),
)
GAS_TARGET = Target("gas", "gas_price_gwei", "lower_gwei", "upper_gwei", "gas_price_gwei", is_mean=True)


@dataclass(frozen=True)
class Matured:
    """Scored forecasts.

    Attributes:
        rows: of `forecast_scores`.
        due: number of forecasts made in time that matured, by target; those whose outcome was not observed have no row.
    """

    rows: pd.DataFrame
    due: Mapping[str, int]


def days_before(longest_horizon_days: int) -> int:
    """Days of observations before a window that its scores need."""
    return longest_horizon_days + SCALE_DAYS


def in_time(forecasts: pd.DataFrame) -> BoolArray:
    """(n_rows,) forecasts that were made before the second day after theirs began (`date`, `made_at`), or replayed."""
    made_at = forecasts["made_at"]
    return (made_at.isna() | (made_at < forecasts["date"] + pd.Timedelta(days=OPEN_DAYS))).to_numpy(dtype=bool)


def pool_scores(forecasts: pd.DataFrame, observed: Panel, window: Window) -> Matured:
    """Scores of the rows of `pool_forecasts` that mature in the window.

    Args:
        observed: `apy` (flagged days missing) and `tvl_usd`, from `days_before` the window to its end.
    """
    return _scores(forecasts, observed, window, POOL_TARGETS)


def gas_scores(forecasts: pd.DataFrame, observed: Panel, window: Window) -> Matured:
    """Scores of the rows of `gas_forecasts` that mature in the window.

    Args:
        observed: `gas_price_gwei` of the one id `gas`.
    """
    named = forecasts.assign(pool_id=np.full(len(forecasts), GAS_ID, dtype=object))
    return _scores(named, observed, window, (GAS_TARGET,))


def naive_scale(values: FloatArray) -> FloatArray:
    """(n_days, n) mean of the observed `|x_d - x_{d-1}|`, d = t-59 .. t; NaN without any."""
    return rolling.discounted_mean(np.abs(values - rolling.lag(values, 1)), 1.0, SCALE_DAYS)


def _scores(forecasts: pd.DataFrame, observed: Panel, window: Window, targets: tuple[Target, ...]) -> Matured:
    horizon = forecasts["horizon_days"].to_numpy(dtype=np.int64)
    origin = day_numbers(forecasts["date"])
    first, last = (int(day.astype(np.int64)) for day in window.days()[[0, -1]])
    matures = (origin + horizon >= first) & (origin + horizon <= last) & in_time(forecasts)
    place = pd.Index(observed.ids).get_indexer(forecasts["pool_id"])
    row = origin - observed.days[0].astype(np.int64)
    scales = {name: naive_scale(observed[name]) for name in {target.series for target in targets}}
    parts: list[pd.DataFrame] = []
    due: dict[str, int] = {}
    for target in targets:
        made = matures & np.isfinite(forecasts[target.point].to_numpy(dtype=float))
        due[target.name] = int(made.sum())
        for days in np.unique(horizon[made]).tolist():
            chosen = np.flatnonzero(made & (horizon == days) & (place >= 0) & (row >= 0))
            came = _outcome(observed[target.series], days, target.is_mean)
            actual = came[row[chosen], place[chosen]]
            known = np.isfinite(actual)
            at = chosen[known]
            scale = scales[target.series][row[at], place[at]]
            parts.append(_rows(forecasts, at, target, actual[known], scale))
    return Matured(pd.concat(parts, ignore_index=True) if parts else table("forecast_scores").empty(), due)


def _outcome(values: FloatArray, days: int, is_mean: bool) -> FloatArray:
    """(n_days, n) by day of the forecast; NaN where it was not observed or is not over."""
    return rolling.mean_ahead(values, days) if is_mean else rolling.ahead(values, days)


def _rows(forecasts: pd.DataFrame, at: IntArray, target: Target, actual: FloatArray, scale: FloatArray) -> pd.DataFrame:
    kept = {name: forecasts[name].to_numpy()[at] for name in ("date", "pool_id", "model", "horizon_days")}
    point, lower, upper = (
        forecasts[name].to_numpy(dtype=float)[at] for name in (target.point, target.lower, target.upper)
    )
    return pd.DataFrame(
        {
            "date": kept["date"] + kept["horizon_days"].astype("timedelta64[D]"),
            "target": np.full(len(at), target.name, dtype=object),
            "pool_id": kept["pool_id"],
            "model": kept["model"],
            "horizon_days": kept["horizon_days"],
            "origin": kept["date"],
            "forecast": point,
            "lower": lower,
            "upper": upper,
            "actual": actual,
            "naive_scale": scale,
        }
    )

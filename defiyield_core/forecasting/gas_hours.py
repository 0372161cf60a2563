"""Gas in each hour of the next day, forecast at the end of a day.

Belongs here: the models by hour, their bounds, and the rows of `gas_hour_forecasts`. Does not belong here: gas as a
mean over days (see the forecasters), what a transaction costs (see `units.gas_leg_usd`).

Everything is in logs of base fee plus tip, x[d, h] of day d and hour h UTC, over the hours that were observed:

    persistence   x[t, h]; an hour without data lies between its neighbours on the circle of hours
    flat          level_t
    profile       level_t + weekend_t + shape_t[h] + 0.7 exp(-h / 24) late_t

    level_t    mean of x - shape - weekend over the last 14 days, a day's weight halving with each day of age
    late_t     how far the last hours of day t lie from that: weights 0.7 per hour of age, shrunk by half an hour
    shape_t    mean over the last 28 days of x[d, h] - mean of day d, without its lowest and highest tenth, moved to the
               kind of day (weekday, or Saturday and Sunday) as far as 56 days show it; 0 on average
    weekend_t  mean of a weekend's days less that of weekdays, both against the seven days around them, over 56 days,
               shrunk by 8 days

Bounds are those of `intervals`, with the 24 hours as series. Nothing is forecast from fewer than 3 observed days,
or when the newest is more than 3 days old. All 24 hours of a day are forecast, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from defiyield_core.calendar import DayArray, Window
from defiyield_core.contracts import table
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.intervals import burn_days, conformal_bands
from defiyield_core.forecasting.port import GAS, MAX_AGE_DAYS
from defiyield_core.panel import days_between, to_long, to_panel
from defiyield_core.units import BoolArray, FloatArray

HOURS = 24
FEWEST_DAYS = 3
"""Observed days (any hour) among the last 28 without which nothing is forecast."""
_SHAPE_DAYS, _KIND_DAYS, _LEVEL_DAYS, _AROUND = 28, 56, 14, 3
_HISTORY_DAYS = _KIND_DAYS + 2 * _AROUND
LOOKBACK_DAYS = _HISTORY_DAYS + burn_days(1)
"""Days before a window that decide its rows."""
_FEWEST_HOURS = 8
"""Hours without which a day says nothing about the shape of days, or about weekends."""
_TRIMMED = 0.1
_LEVEL_KEEP, _LATE_KEEP, _LATE_SHARE, _LATE_FADE_HOURS = 0.5, 0.7, 0.7, 24.0
_PRIOR_LATE, _PRIOR_KIND_DAYS, _PRIOR_WEEKEND_DAYS, _PRIOR_SHAPE_DAYS = 0.5, 14.0, 8.0, 1.0
_LOWEST_GWEI = 1e-6
_IDS = np.array(list(range(HOURS)), dtype=object)

HourModel = Callable[[FloatArray, BoolArray, int], FloatArray]
"""(logs (n_days, 24), weekend (n_days + 1,), first) -> (n_days - first, 24) logs of the next day's hours."""


def gas_hour_rows(hourly: pd.DataFrame, window: Window, models: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows of `gas_hour_forecasts` for the window, in the order of model, day and hour.

    Args:
        hourly: rows of `gas_fees_hourly`, from `LOOKBACK_DAYS` before the window on; others change nothing.
        models: names among `MODELS` (default: all).

    Raises:
        ConfigurationError: a model that does not exist.
    """
    names = tuple(MODELS) if models is None else tuple(models)
    for name in names:
        if name not in MODELS:
            raise ConfigurationError(f"there is no model '{name}' of gas by the hour; there are {', '.join(MODELS)}")
    days = days_between(window.start - timedelta(days=LOOKBACK_DAYS), window.end)
    prices = hourly_prices(hourly, days)
    parts = []
    for name in names:
        points, lower, upper = forecast_hours(prices, days, LOOKBACK_DAYS, name)
        columns = {"gas_price_gwei": points, "lower_gwei": lower, "upper_gwei": upper}
        rows = to_long(days[LOOKBACK_DAYS:], _IDS, np.isfinite(points), columns, id_column="hour_utc")
        parts.append(
            rows.assign(model=np.full(len(rows), name, dtype=object), hour_utc=rows["hour_utc"].astype("int64"))
        )
    spec = table("gas_hour_forecasts")
    return (
        pd.concat(parts, ignore_index=True).reindex(columns=list(spec.column_names))
        if parts
        else pd.DataFrame(columns=spec.column_names)
    )


def hourly_prices(hourly: pd.DataFrame, days: DayArray) -> FloatArray:
    """(n_days, 24) base fee plus tip in gwei by UTC day and hour; NaN where there is no row.

    Raises:
        DataError: an hour has two rows.
    """
    moments = hourly["hour"].to_numpy(dtype="datetime64[h]")
    frame = pd.DataFrame(
        {
            "date": moments.astype("datetime64[D]").astype("datetime64[ns]"),
            "hour_utc": moments.astype(np.int64) % HOURS,
            "price": (hourly["base_fee_gwei"] + hourly["priority_fee_gwei"]).to_numpy(dtype=float),
        }
    )
    return to_panel(frame, ("price",), id_column="hour_utc", days=days, ids=_IDS)["price"]


def forecast_hours(
    prices: FloatArray, days: DayArray, first: int, model: str
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Price expected in each hour of the day after, with bounds of 10 and 90 %, from position `first` on.

    Args:
        prices: (n_days, 24) gwei; NaN is missing. days: (n_days,) consecutive.

    Returns:
        Points, lower and upper bounds in gwei, each (n_days - first, 24); NaN: no forecast.
    """
    logs = np.log(np.maximum(prices, _LOWEST_GWEI))
    dates = np.append(days.astype(np.int64), days[-1].astype(np.int64) + 1)
    weekend = (dates + 3) % 7 >= 5
    start = max(first - burn_days(1), 0)
    expected = np.exp(MODELS[model](logs, weekend, start))
    points = np.where(_may_be_forecast(logs)[start:, None], expected, np.nan)
    lower, upper = conformal_bands(points, prices, GAS, 1, (start, first))
    return points[first - start :], lower, upper


def _may_be_forecast(logs: FloatArray) -> BoolArray:
    """(n_days,) enough observed days, and a new enough one."""
    observed = np.where(np.isfinite(logs).any(axis=1), 1.0, np.nan)[:, None]
    enough = rolling.discounted_sums(observed, 1.0, _SHAPE_DAYS)[1] >= FEWEST_DAYS
    fresh = rolling.discounted_sums(observed, 1.0, MAX_AGE_DAYS + 1)[1] > 0
    return np.asarray((enough & fresh)[:, 0])


def _persistence(logs: FloatArray, weekend: BoolArray, first: int) -> FloatArray:
    """The same hour of the newest day with any hour."""
    newest = np.full((len(logs) - first, HOURS), np.nan)
    for back in reversed(range(MAX_AGE_DAYS + 1)):
        day = _lag(logs, back, first)
        newest = np.where(np.isfinite(day).any(axis=1, keepdims=True), day, newest)
    return _round_the_clock(newest)


def _flat(logs: FloatArray, weekend: BoolArray, first: int) -> FloatArray:
    """The level alone, with neither shape nor weekends."""
    nothing = np.zeros((len(logs) - first, 2, HOURS))
    return np.repeat(_level(logs, weekend, nothing, first)[:, None], HOURS, axis=1)


def _profile(logs: FloatArray, weekend: BoolArray, first: int) -> FloatArray:
    """Level, weekend, shape, and the last hours."""
    usual = _usual(logs, weekend, first)
    row = np.arange(len(usual))
    level = _level(logs, weekend, usual, first)
    last = logs[first:] - usual[row, weekend[first:-1].astype(int)] - level[:, None]
    weights = np.where(np.isfinite(last), _LATE_KEEP ** np.arange(HOURS)[::-1], 0.0)
    late = (weights * np.nan_to_num(last)).sum(axis=1) / (weights.sum(axis=1) + _PRIOR_LATE)
    fading = _LATE_SHARE * np.exp(-np.arange(HOURS) / _LATE_FADE_HOURS)
    return np.asarray(level[:, None] + usual[row, weekend[first + 1 :].astype(int)] + late[:, None] * fading)


MODELS: dict[str, HourModel] = {"persistence": _persistence, "flat": _flat, "profile": _profile}


def _level(logs: FloatArray, weekend: BoolArray, usual: FloatArray, first: int) -> FloatArray:
    """(m,) discounted mean of what is left of the newest days without what is usual for their kind and hour."""
    row = np.arange(len(usual))
    total, count = np.zeros(len(usual)), np.zeros(len(usual))
    for back in reversed(range(_LEVEL_DAYS)):
        kind = weekend[np.maximum(first + row - back, 0)].astype(int)
        rest = _lag(logs, back, first) - usual[row, kind]
        seen = np.isfinite(rest)
        total += _LEVEL_KEEP**back * np.where(seen, rest, 0.0).sum(axis=1)
        count += _LEVEL_KEEP**back * seen.sum(axis=1)
    return rolling.divided(total, count)


def _usual(logs: FloatArray, weekend: BoolArray, first: int) -> FloatArray:
    """(m, 2, 24) shape of a weekday and of a day of the weekend, the latter with its level against weekdays."""
    full = np.isfinite(logs).sum(axis=1) >= _FEWEST_HOURS
    day_mean = np.where(full, np.nan_to_num(logs).sum(axis=1) / np.maximum(np.isfinite(logs).sum(axis=1), 1), np.nan)
    deviation = logs - day_mean[:, None]
    shape = _shape(deviation, first)
    usual = np.stack([_of_kind(deviation, shape, kind, first) for kind in (~weekend[:-1], weekend[:-1])], axis=1)
    usual[:, 1] += _weekend(day_mean, weekend[:-1], first)[:, None]
    return usual


def _shape(deviation: FloatArray, first: int) -> FloatArray:
    """(m, 24) trimmed mean of each hour's deviation, a little shrunk; an hour without any is between its neighbours."""
    begin = max(first - _SHAPE_DAYS, 0)
    window = rolling.sorted_window(deviation[begin:], _SHAPE_DAYS)
    values, count = window.values[first - begin :], window.count[first - begin :, :, None]
    cut = (_TRIMMED * count).astype(np.int64)
    rank = np.arange(_SHAPE_DAYS)
    kept = (rank >= cut) & (rank < count - cut)
    total = np.where(kept, values, 0.0).sum(axis=2)
    mean = rolling.divided(total, kept.sum(axis=2).astype(float)) * count[..., 0] / (count[..., 0] + _PRIOR_SHAPE_DAYS)
    return np.nan_to_num(_round_the_clock(mean))


def _of_kind(deviation: FloatArray, shape: FloatArray, kind: BoolArray, first: int) -> FloatArray:
    """(m, 24) the shape, moved towards that of the days of a kind, with mean 0."""
    total, count = rolling.discounted_sums(np.where(kind[:, None], deviation, np.nan), 1.0, _KIND_DAYS, first)
    moved = shape + (total - count * shape) / (count + _PRIOR_KIND_DAYS)
    return np.asarray(moved - moved.mean(axis=1, keepdims=True))


def _weekend(day_mean: FloatArray, weekend: BoolArray, first: int) -> FloatArray:
    """(m,) a weekend's level less that of weekdays, shrunk towards 0. A day is compared with the seven around it, which
    are known three days later; at least five must be there."""
    total, count = rolling.discounted_sums(day_mean[:, None], 1.0, 2 * _AROUND + 1)
    around = np.where(count >= 5, rolling.divided(total, count), np.nan)[:, 0]
    against = rolling.lag(day_mean[:, None], _AROUND)[:, 0] - around
    was_weekend = np.concatenate([np.zeros(_AROUND, dtype=bool), weekend])[: len(weekend)]
    sums = [
        rolling.discounted_sums(np.where(kind, against, np.nan)[:, None], 1.0, _KIND_DAYS, first)
        for kind in (was_weekend, ~was_weekend)
    ]
    (on_weekends, days), (on_weekdays, weekdays) = ((total[:, 0], count[:, 0]) for total, count in sums)
    apart = rolling.divided(on_weekends, days) - rolling.divided(on_weekdays, weekdays)
    return np.where(np.isfinite(apart), apart * days / (days + _PRIOR_WEEKEND_DAYS), 0.0)


def _lag(values: FloatArray, back: int, first: int) -> FloatArray:
    """(n_days - first, 24) values of `back` days before."""
    return rolling.lag(values, back)[first:]


def _round_the_clock(values: FloatArray) -> FloatArray:
    """(m, 24) gaps closed in a straight line between the nearest hours on the circle; NaN where a day has none."""
    around = np.tile(values, (1, 3))
    place = np.arange(3 * HOURS)
    seen = np.isfinite(around)
    before = np.maximum.accumulate(np.where(seen, place, -1), axis=1)[:, HOURS : 2 * HOURS]
    after = np.minimum.accumulate(np.where(seen, place, 3 * HOURS)[:, ::-1], axis=1)[:, ::-1][:, HOURS : 2 * HOURS]
    some = seen.any(axis=1, keepdims=True)
    before, after = np.where(some, before, 0), np.where(some, after, 0)
    left, right = (np.take_along_axis(around, at, axis=1) for at in (before, after))
    share = (place[HOURS : 2 * HOURS] - before) / np.maximum(after - before, 1)
    return np.where(np.isfinite(values), values, left + share * (right - left))

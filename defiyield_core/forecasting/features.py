"""What a global model knows of each pool on each day.

Belongs here: the features, in one list, computed for all pools and days at once. Does not belong here: models, targets.

Everything ends on the day itself, medians of other pools on the day before. No feature reaches further back than
`FEATURE_DAYS`, and the features of a day do not depend on the days around it that were asked for.

APY enters in units of the pool's own daily movement, so that one model serves quiet and lively pools:

    scale_t = max(mean |x_t - x_{t-1}| over 60 days (weights 0.95^k), 0.005 |x_t|, 0.002 points)
    feature = (statistic_t - x_t) / scale_t
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from defiyield_core.forecasting import rolling
from defiyield_core.forecasting.port import APY, MAX_AGE_DAYS, TVL, History
from defiyield_core.forecasting.rolling import divided, lag
from defiyield_core.panel import ObjectArray
from defiyield_core.units import BoolArray, FloatArray, IntArray

FEATURE_DAYS = 75
"""Days before the first one whose features are wanted."""
FEATURE_VERSION = "1"
"""Changes whenever a feature changes its meaning, so that no stored model meets features it was not trained on."""
CARRY_DAYS = 30
SMOOTH_ALPHA = 0.3
_LOWEST_SCALE = 2e-5
_STILL = 1e-7
_MEMORY_DAYS = 60
_FEWEST_PEERS = 3
_LAGS = (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 28)
_ALPHAS = (0.7, 0.5, 0.3, 0.15, 0.07)
_PEERS = ("all", "token", "protocol", "chain")
FIRST_MONDAY = 4
"""Days from 1970-01-01 to its first Monday."""


@dataclass(frozen=True)
class Features:
    """Features of pools by the day.

    Attributes:
        names: (f,) of the last axis of `values`.
        values: (n_days, n, f) float32; NaN is unknown.
        newest: (n_days, n) newest APY of the last 30 days.
        smooth: (n_days, n) its exponentially weighted mean; forecasts are changes relative to this level.
        scale: (n_days, n) the pool's daily movement, above 0.
        seen_days: (n_days, n) observed days among the last 60.
        known: (n_days, n) the newest observation is at most 3 days old.
    """

    names: tuple[str, ...]
    values: np.ndarray
    newest: FloatArray
    smooth: FloatArray
    scale: FloatArray
    seen_days: FloatArray
    known: BoolArray


def features(history: History, first: int) -> Features:
    """Features at the end of every day from position `first` on; `FEATURE_DAYS` before it are used."""
    start = max(first - FEATURE_DAYS, 0)
    part = history.between(start, len(history.days) - 1)
    apy = part.series[APY]
    newest, age = rolling.carried(apy, CARRY_DAYS)
    moved = np.abs(apy - lag(apy, 1))
    daily = rolling.discounted_mean(moved, 0.95, _MEMORY_DAYS)
    scale = np.fmax(np.fmax(daily, 0.005 * np.abs(newest)), _LOWEST_SCALE)
    seen = rolling.discounted_sums(apy, 1.0, _MEMORY_DAYS)[1]
    columns = {
        **_levels(apy, newest, scale),
        **_movement(apy, newest, scale, age, seen),
        **_size(part),
        **_rewards(part, newest, scale),
        **_peers(part, newest, scale, age),
        **_market(part, newest.shape),
    }
    kept = slice(first - start, None)
    values = np.stack([column[kept].astype(np.float32) for column in columns.values()], axis=-1)
    smooth = rolling.discounted_mean(apy, 1.0 - SMOOTH_ALPHA, CARRY_DAYS)
    return Features(
        names=tuple(columns),
        values=values,
        newest=newest[kept],
        smooth=smooth[kept],
        scale=scale[kept],
        seen_days=seen[kept],
        known=is_known(apy)[kept],
    )


def is_known(apy: FloatArray) -> BoolArray:
    """(n_days, n) the newest observation is at most 3 days old."""
    return np.isfinite(rolling.carried(apy, MAX_AGE_DAYS + 1)[0])


def _levels(apy: FloatArray, newest: FloatArray, scale: FloatArray) -> dict[str, FloatArray]:
    """Lags, means, medians and extremes relative to the newest value."""
    month, fortnight, week = (rolling.sorted_window(apy, days) for days in (30, 14, 7))
    levels = {
        **{f"lag_{days}": lag(newest, days) for days in _LAGS},
        **{f"ewma_{alpha}": rolling.discounted_mean(apy, 1.0 - alpha, _MEMORY_DAYS) for alpha in _ALPHAS},
        **{f"mean_{days}": rolling.discounted_mean(apy, 1.0, days) for days in (14, 30, 60)},
        "median_7": week.median(),
        "median_14": fortnight.median(),
        "median_30": month.median(),
        "lowest_30": month.lowest(),
        "highest_30": month.highest(),
    }
    relative = {name: (level - newest) / scale for name, level in levels.items()}
    return {**relative, "deviation_7": week.deviation() / scale, "deviation_30": month.deviation() / scale}


def _movement(
    apy: FloatArray, newest: FloatArray, scale: FloatArray, age: IntArray, seen: FloatArray
) -> dict[str, FloatArray]:
    """How the pool moves: size, autocorrelation of daily changes, days of standstill."""
    change = apy - lag(apy, 1)
    moved = np.where(np.isnan(change), np.nan, np.abs(change) > _STILL)
    squares = rolling.discounted_mean(change * change, 0.95, _MEMORY_DAYS)

    def autocorrelation(days: int) -> FloatArray:
        return divided(rolling.discounted_mean(change * lag(change, days), 0.95, _MEMORY_DAYS), squares + 1e-12)

    since_move = rolling.carried(np.where(moved == 1, 1.0, np.nan), _MEMORY_DAYS)[1]
    return {
        "level": np.log1p(100.0 * np.maximum(newest, -0.009)),
        "log_scale": np.log(scale),
        "relative_scale": scale / (np.abs(newest) + 1e-4),
        "last_move": np.abs(change) / scale,
        "recent_move": rolling.discounted_mean(np.abs(change), 0.7, 30) / scale,
        **{f"autocorrelation_{days}": autocorrelation(days) for days in (1, 2, 7)},
        "still_share": rolling.discounted_mean(1.0 - moved, 0.9, 30),
        "days_since_move": since_move.astype(float),
        "seen_days": seen,
        "age_days": age.astype(float),
    }


def _size(part: History) -> dict[str, FloatArray]:
    """TVL and its changes, in logarithms."""
    size = np.log(np.maximum(rolling.carried(part.series[TVL], CARRY_DAYS)[0], 1.0))
    changes = {f"tvl_change_{days}": size - lag(size, days) for days in (1, 3, 7, 30)}
    return {"log_tvl": size, **changes, "tvl_over_mean_30": size - rolling.discounted_mean(size, 1.0, 30)}


def _rewards(part: History, newest: FloatArray, scale: FloatArray) -> dict[str, FloatArray]:
    """Share of rewards in the APY and the last changes of both parts."""
    missing = np.full_like(newest, np.nan)
    base = rolling.carried(part.series.get("apy_base", missing), CARRY_DAYS)[0]
    reward = np.nan_to_num(rolling.carried(part.series.get("apy_reward", missing), CARRY_DAYS)[0])
    return {
        "reward_share": np.where(newest > 0, reward / np.maximum(newest, 1e-6), 0.0),
        "base_change_1": (base - lag(base, 1)) / scale,
        "reward_change_1": (reward - lag(reward, 1)) / scale,
    }


def _peers(part: History, newest: FloatArray, scale: FloatArray, age: IntArray) -> dict[str, FloatArray]:
    """Medians of the level and of the scaled changes of similar pools, all of the day before."""
    present = np.where(age <= MAX_AGE_DAYS, newest, np.nan)
    apy, labelled = part.series[APY], part.labelled
    changes = {"change_1": (apy - lag(apy, 1)) / scale, "change_7": (newest - lag(newest, 7)) / scale}
    columns: dict[str, FloatArray] = {}
    for kind in _PEERS:
        groups = _groups(part, kind)
        inside = np.ones_like(labelled) if kind == "all" else labelled
        columns[f"peers_{kind}"] = (lag(_group_median(present, groups, inside), 1) - newest) / scale
        for name, change in changes.items():
            columns[f"peers_{kind}_{name}"] = lag(_group_median(change, groups, inside), 1)
    return columns


def _groups(part: History, kind: str) -> ObjectArray | None:
    """(n,) label by which pools are alike; None where it is not known."""
    if kind == "all":
        return np.full(len(part.ids), "all", dtype=object)
    return part.labels.get(kind)


def _group_median(values: FloatArray, groups: ObjectArray | None, labelled: BoolArray) -> FloatArray:
    """(n_days, n) median over the pool's group on each day; NaN with fewer than 3 observed.

    A pool joins its group on the day from which its labels are known.
    """
    medians = np.full_like(values, np.nan)
    if groups is None:
        return medians
    names = np.array([str(group) for group in groups])
    for group in np.unique(names):
        inside = names == group
        if inside.sum() >= _FEWEST_PEERS:
            medians[:, inside] = _row_median(np.where(labelled[:, inside], values[:, inside], np.nan))
    return np.where(labelled, medians, np.nan)


def _row_median(values: FloatArray) -> FloatArray:
    """(n_days, 1) median of each day; NaN with fewer than 3 observed."""
    ordered = np.sort(values, axis=1)
    count = (~np.isnan(ordered)).sum(axis=1)[:, None]
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis=1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[1] - 1), axis=1)
    return np.where(count >= _FEWEST_PEERS, 0.5 * (low + high), np.nan)


def _market(part: History, shape: tuple[int, ...]) -> dict[str, FloatArray]:
    """Gas, ETH and BTC, the price of the pool's own tokens, the calendar."""

    def series(name: str) -> FloatArray:
        values = part.market.get(name)
        if values is None:
            return np.full((shape[0], 1), np.nan)
        return rolling.carried(np.asarray(values, dtype=float)[:, None], CARRY_DAYS)[0]

    gas, eth, btc = (np.log(np.maximum(series(name), 1e-9)) for name in ("gas_price_gwei", "eth_usd", "btc_usd"))
    numbers = part.days.astype(np.int64)[:, None]
    day_of_month = (part.days - part.days.astype("datetime64[M]")).astype(np.int64)[:, None] + 1
    columns = {
        "gas_over_mean_30": gas - rolling.discounted_mean(gas, 1.0, 30),
        "gas_change_7": gas - lag(gas, 7),
        **{f"eth_change_{days}": eth - lag(eth, days) for days in (1, 7, 30)},
        **{f"btc_change_{days}": btc - lag(btc, days) for days in (1, 7, 30)},
        "weekday": ((numbers - FIRST_MONDAY) % 7).astype(float),
        "day_of_month": day_of_month.astype(float),
    }
    wide = {name: np.broadcast_to(column, shape) for name, column in columns.items()}
    return {**wide, "off_peg": _off_peg(part, shape)}


def _off_peg(part: History, shape: tuple[int, ...]) -> FloatArray:
    """(n_days, n) lowest price among the pool's tokens, minus 1; NaN where none has a price."""
    lowest = np.full(shape, np.nan)
    prices = {
        name.upper(): rolling.carried(np.asarray(values, dtype=float)[:, None], CARRY_DAYS)[0][:, 0]
        for name, values in part.market.items()
        if name not in ("gas_price_gwei", "eth_usd", "btc_usd")
    }
    tokens = part.labels.get("token")
    if tokens is None:
        return lowest
    for pool, label in enumerate(tokens):
        for token in str(label).upper().split("-"):
            if token in prices:
                lowest[:, pool] = np.fmin(lowest[:, pool], prices[token] - 1.0)
    return np.where(part.labelled, lowest, np.nan)

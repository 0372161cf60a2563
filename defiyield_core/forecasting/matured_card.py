"""How good the stored forecasts turned out, day after day: rows of `forecast_scorecard`.

Belongs here: the card of each day from the rows of `forecast_scores`. Does not belong here: forecasts, or the
evaluation of a forecaster on a recorded market (see `evaluation`).

The card of day t looks at the outcomes of t-181 .. t, in 26 weeks that end on t. Persistence is compared on the same
pairs of pool and day. Every total is added up in a fixed order over fixed windows, and resampled with draws that depend
only on the numbers of weeks and pools, so that a card does not depend on the days that are computed with it.

    skill = 1 - sum of errors / sum of errors of persistence

Its interval comes from drawing whole pools and runs of weeks whose outcomes overlap; there is none before twice as many
weeks are known (at least 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeAlias

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController

from defiyield_core.calendar import Window
from defiyield_core.contracts import table
from defiyield_core.forecasting.evaluation.metrics import median_of_known, scaled
from defiyield_core.forecasting.evaluation.significance import CONFIDENCE, SEED
from defiyield_core.forecasting.matured import REFERENCE
from defiyield_core.panel import day_numbers
from defiyield_core.units import BoolArray, FloatArray, IntArray

WEEK = 7
WEEKS = 26
CARD_DAYS = WEEK * WEEKS
RECENT_WEEKS = 4
FEWEST_WEEKS = 4
DRAWS = 500
READ = ("date", "target", "pool_id", "model", "horizon_days", "forecast", "lower", "upper", "actual", "naive_scale")
"""Columns of `forecast_scores` that a card needs."""


def weeks_together(horizon_days: int) -> int:
    """Weeks of daily outcomes that share days with one another: `1 + ceil((h - 1) / 7)`."""
    return 1 + -(-(horizon_days - 1) // WEEK)


def card_rows(scores: pd.DataFrame | Iterable[pd.DataFrame], window: Window) -> pd.DataFrame:
    """Rows of `forecast_scorecard` for every day of the window that has a pair among its 182 days.

    Args:
        scores: rows of `forecast_scores` (columns `READ`), from 181 days before the window to its end; whole, or in
            parts of any kind. Of a part only the losses are kept (36 bytes a row), so parts may be let go one by one.
    """
    collected = _collected([scores] if isinstance(scores, pd.DataFrame) else scores, window)
    try:
        with _threads().limit(limits=1, user_api="blas"):  # many small products: waiting threads cost more than they do
            parts = _parts(collected, window)
    finally:
        _draws_of_pools.cache_clear()  # 4 kB a pool, and as many of them as there were numbers of pools
    contract = table("forecast_scorecard")
    return pd.concat(parts, ignore_index=True)[list(contract.column_names)] if parts else contract.empty()


@cache
def _threads() -> ThreadpoolController:
    """The thread pools of this process; to find them takes longer than a small card."""
    return ThreadpoolController()


def _parts(collected: _Collected, window: Window) -> list[pd.DataFrame]:
    parts = []
    for (target, horizon), losses in _groups(collected):
        reference = losses.get(REFERENCE)
        for model, own in losses.items():
            figures = _figures(own, reference, horizon, is_reference=model == REFERENCE)
            seen = np.flatnonzero(figures["pairs"] > 0)
            part = pd.DataFrame({name: values[seen] for name, values in figures.items()})
            whole = {"pairs": part["pairs"].astype(np.int64), "pools": part["pools"].astype(np.int64)}
            dates = window.days().astype("datetime64[ns]")[seen]
            parts.append(part.assign(date=dates, target=target, model=model, horizon_days=np.int64(horizon), **whole))
    return parts


@dataclass(frozen=True)
class _Losses:
    """(n_days, n) of one model, target and horizon by day of the outcome; NaN where there is no pair.

    Attributes:
        error: absolute. scaled: over the naive scale. inside: 1 within the bounds, 0 outside. width: of the bounds.
    """

    error: FloatArray
    scaled: FloatArray
    inside: FloatArray
    width: FloatArray


_Group: TypeAlias = tuple[str, int, str]
"""Target, horizon in days, model."""


@dataclass(frozen=True)
class _Collected:
    """Losses of single pairs.

    Attributes:
        n_days: of the window and the days before it.
        pools: place of each pool by its id.
        columns: by group, arrays (m,) of day, pool, and the four losses, in several pieces.
    """

    n_days: int
    pools: dict[str, int]
    columns: dict[_Group, list[tuple[np.ndarray, ...]]]


def _collected(parts: Iterable[pd.DataFrame], window: Window) -> _Collected:
    first = int(window.days()[0].astype(np.int64)) - CARD_DAYS + 1
    found = _Collected(CARD_DAYS - 1 + len(window), {}, {})
    for part in parts:
        row = day_numbers(part["date"]) - first
        inside = (row >= 0) & (row < found.n_days)
        row, part = row[inside], part[inside]
        places, names = pd.factorize(part["pool_id"])
        known = np.array([found.pools.setdefault(str(name), len(found.pools)) for name in names], dtype=np.int64)
        pieces = row.astype(np.int32), known[places].astype(np.int32), *_losses(part)
        for group, at in part.groupby(["target", "horizon_days", "model"], sort=False).indices.items():
            target, horizon, model = group
            pairs = tuple(piece[at] for piece in pieces)
            found.columns.setdefault((str(target), int(horizon), str(model)), []).append(pairs)
    return found


def _losses(scores: pd.DataFrame) -> tuple[FloatArray, FloatArray, np.ndarray, FloatArray]:
    """(m,) each: what `_Losses` has of single pairs."""
    forecast, lower, upper, actual, scale = (scores[name].to_numpy(dtype=float) for name in READ[5:])
    error = forecast - actual
    bounded = np.isfinite(lower) & np.isfinite(upper)
    inside = np.where(bounded, (lower <= actual) & (actual <= upper), np.nan).astype(np.float32)
    return np.abs(error), scaled(error, scale), inside, upper - lower


def _groups(collected: _Collected) -> Iterator[tuple[tuple[str, int], dict[str, _Losses]]]:
    """Losses by model, for each target and horizon in their order; pools in the order of their ids."""
    order = np.argsort(np.argsort(np.array(list(collected.pools), dtype=object)))
    shape = collected.n_days, len(order)
    for target, horizon in sorted({group[:2] for group in collected.columns}):
        found = {}
        for model in sorted(group[2] for group in collected.columns if group[:2] == (target, horizon)):
            row, pool, *losses = map(np.concatenate, zip(*collected.columns[target, horizon, model], strict=True))
            found[model] = _Losses(*(_panel(values, row, order[pool], shape) for values in losses))
        yield (target, horizon), found


def _panel(values: FloatArray, row: IntArray, pool: IntArray, shape: tuple[int, int]) -> FloatArray:
    filled = np.full(shape, np.nan)
    filled[row, pool] = values
    return filled


def _figures(own: _Losses, reference: _Losses | None, horizon: int, *, is_reference: bool) -> dict[str, FloatArray]:
    """(n_window_days,) of every figure on the card."""
    pairs, mae, pools = _mean(own.error)
    coverage = _mean(own.inside)
    figures = {
        "pairs": pairs,
        "pools": pools,
        "mae": mae,
        "mase": _mean(own.scaled)[1],
        "coverage": coverage[1],
        "recent_coverage": _mean(own.inside, RECENT_WEEKS)[1],
        "width": _mean(own.width)[1],
    }
    unknown = np.full(len(pairs), np.nan)
    if reference is None:
        names = ("relative_mae", "skill", "skill_low", "skill_high", "recent_relative_mae")
        return figures | dict.fromkeys(names, unknown)
    common = np.isfinite(own.error) & np.isfinite(reference.error)
    mine, theirs, count = (
        _by_week(np.where(common, part, 0.0)) for part in (own.error, reference.error, np.ones_like(own.error))
    )
    by_pool = _weeks_up_to(mine, WEEKS), _weeks_up_to(theirs, WEEKS)
    recent = _weeks_up_to(mine, RECENT_WEEKS), _weeks_up_to(theirs, RECENT_WEEKS)
    skill = 1.0 - _ratio(_total(by_pool[0]), _total(by_pool[1]))
    low, high = (0.0 * skill, 0.0 * skill) if is_reference else _intervals(mine, theirs, count, horizon)
    return figures | {
        "relative_mae": _median_ratio(*by_pool),
        "skill": skill,
        "skill_low": np.where(np.isnan(skill), np.nan, low),
        "skill_high": np.where(np.isnan(skill), np.nan, high),
        "recent_relative_mae": _ratio(_total(recent[0]), _total(recent[1])),
    }


def _mean(values: FloatArray, weeks: int = WEEKS) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Number of the known values of the weeks up to each day of the window, their mean, and the pools among them."""
    known = np.isfinite(values)
    by_pool = _weeks_up_to(_by_week(known.astype(float)), weeks)
    total = _total(_weeks_up_to(_by_week(np.where(known, values, 0.0)), weeks))
    count = by_pool.sum(axis=1)
    return count, _ratio(total, count), (by_pool > 0).sum(axis=1).astype(float)


def _by_week(values: FloatArray) -> FloatArray:
    """(n_days - 6, n) sums of 7 days, by their last day."""
    last = len(values) - WEEK + 1
    total = np.zeros((last, values.shape[1]))
    for day in range(WEEK):
        total += values[day : day + last]
    return total


def _weeks_up_to(weekly: FloatArray, weeks: int) -> FloatArray:
    """(n_window_days, n) sums of the newest `weeks` weeks that end on each day of the window."""
    n_days = len(weekly) - WEEK * (WEEKS - 1)
    total = np.zeros((n_days, weekly.shape[1]))
    for back in range(weeks):
        begin = WEEK * (WEEKS - 1 - back)
        total += weekly[begin : begin + n_days]
    return total


def _total(by_pool: FloatArray) -> FloatArray:
    """(n_days,) sums over the pools, one after the other: a pool without pairs changes no bit of them."""
    return np.asarray(by_pool.cumsum(axis=1)[:, -1])


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    return np.divide(numerator, denominator, out=np.full(len(denominator), np.nan), where=denominator > 0)


def _median_ratio(mine: FloatArray, theirs: FloatArray) -> FloatArray:
    """(n_days,) median over the pools of the quotient; NaN where it is infinite (persistence made no error)."""
    missing = np.where(mine > 0, np.inf, np.nan)
    ratio = np.divide(mine, theirs, out=missing, where=theirs > 0)
    found = np.array([median_of_known(day) for day in ratio])
    return np.where(np.isinf(found), np.nan, found)


def _intervals(mine: FloatArray, theirs: FloatArray, count: FloatArray, horizon: int) -> tuple[FloatArray, FloatArray]:
    """(n_days,) lower and upper end of the skill's interval on each day of the window."""
    n_days = len(mine) - WEEK * (WEEKS - 1)
    low, high = np.full(n_days, np.nan), np.full(n_days, np.nan)
    together = weeks_together(horizon)
    for day in range(n_days):
        weeks = np.arange(day, day + CARD_DAYS - WEEK + 1, WEEK)
        seen: BoolArray = count[weeks] > 0
        weeks, pools = weeks[seen.any(axis=1)], np.flatnonzero(seen.any(axis=0))
        if len(weeks) < max(FEWEST_WEEKS, 2 * together):
            continue
        both = np.concatenate([mine[weeks][:, pools], theirs[weeks][:, pools]])
        by_week = _draws_of_pools(len(pools)) @ both.T
        times = _draws_of_weeks(len(weeks), together)
        ours, others = ((times * part).sum(axis=1) for part in (by_week[:, : len(weeks)], by_week[:, len(weeks) :]))
        low[day], high[day] = _ends(1.0 - _ratio(ours, others))
    return low, high


def _ends(draws: FloatArray) -> tuple[float, float]:
    """The draws that leave 2.5 % below and above."""
    known = np.sort(draws[~np.isnan(draws)])
    if not len(known):
        return float("nan"), float("nan")
    tail = int(np.ceil(0.5 * (1.0 - CONFIDENCE) * len(known))) - 1
    return float(known[tail]), float(known[-1 - tail])


@lru_cache(maxsize=8)
def _draws_of_pools(n: int) -> FloatArray:
    """(draws, n) how often each draw takes each pool."""
    random = np.random.default_rng([SEED, n])
    return _counts(random.integers(0, n, (DRAWS, n)), n)


@lru_cache(maxsize=256)
def _draws_of_weeks(n: int, together: int) -> FloatArray:
    """(draws, n) how often each draw takes each week, in runs of `together` weeks around a circle."""
    random = np.random.default_rng([SEED, n, together])
    begin = random.integers(0, n, (DRAWS, -(-n // together)))
    taken = (begin[:, :, None] + np.arange(together)).reshape(DRAWS, -1)[:, :n] % n
    return _counts(taken, n)


def _counts(taken: IntArray, size: int) -> FloatArray:
    counts = np.zeros((len(taken), size))
    np.add.at(counts, (np.arange(len(taken))[:, None], taken), 1.0)
    return counts

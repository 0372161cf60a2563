"""Whether a difference in error could be chance: block bootstrap of skill, and the test of Diebold and Mariano.

Belongs here: resampling and tests on arrays of losses. Does not belong here: losses (see `metrics`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from defiyield_core.units import FloatArray, IntArray

DRAWS = 1000
BLOCK_DAYS = 28
"""Origins closer than this stay together in a draw, whatever the horizon: calm and wild weeks come in runs."""
SEED = 20241201
CONFIDENCE = 0.95
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A value with its bootstrap interval; NaN where nothing is known."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """The whole interval is on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """The test of Diebold and Mariano: a negative statistic says that the first loss is lower."""

    statistic: float
    p_value: float
    origins: int


def overlapping_origins(horizon_days: int, step_days: int) -> int:
    """Origins whose outcomes overlap, each counting itself: `ceil(horizon / step)`, at least 1."""
    return max(1, math.ceil(horizon_days / step_days))


def origins_per_block(horizon_days: int, step_days: int) -> int:
    """Origins that stay together in a draw: those of 28 days, or those that overlap where that is more."""
    return max(overlapping_origins(horizon_days, step_days), math.ceil(BLOCK_DAYS / step_days))


def pooled_skill(loss: FloatArray, reference: FloatArray, block: int, draws: int = DRAWS) -> Interval:
    """`1 - sum(loss) / sum(reference)` over the entries both have, with its 95 % interval.

    Each draw takes as many pools as there are, with replacement, and as many origins, in blocks around a circle. There
    is no interval (NaN) with fewer origins than two blocks: hardly anything would vary. That of one pool (or of gas) is
    over origins alone.

    Args:
        loss, reference: (n_origins, n). block: origins that stay together.
    """
    mine, theirs, weeks, pools = _resampled(loss, reference, block, draws)
    total = ((weeks @ part) * pools for part in (mine, theirs))
    ours, others = (part.sum(axis=1) for part in total)
    ratio = np.divide(ours, others, out=np.full(draws, np.nan), where=others > 0)
    whole = float(theirs.sum())
    if len(loss) < 2 * block:
        ratio = np.full(draws, np.nan)
    return _interval(1.0 - float(mine.sum()) / whole if whole > 0 else float("nan"), 1.0 - ratio)


def _resampled(
    loss: FloatArray, reference: FloatArray, block: int, draws: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Losses with 0 where one is missing, and how often each draw takes every origin and every pool."""
    common = np.isfinite(loss) & np.isfinite(reference)
    random = np.random.default_rng(SEED)
    n_origins, n = loss.shape
    blocks = math.ceil(n_origins / block)
    begin = random.integers(0, max(n_origins, 1), (draws, blocks))
    taken = (begin[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :n_origins] % max(n_origins, 1)
    weeks, pools = _counts(taken, n_origins), _counts(random.integers(0, max(n, 1), (draws, n)), n)
    return np.where(common, loss, 0.0), np.where(common, reference, 0.0), weeks, pools


def _counts(taken: IntArray, size: int) -> FloatArray:
    """(draws, size) how often each draw took each index."""
    counts = np.zeros((len(taken), size))
    np.add.at(counts, (np.arange(len(taken))[:, None], taken), 1.0)
    return counts


def _interval(value: float, draws: FloatArray) -> Interval:
    known = draws[~np.isnan(draws)]
    if not len(known) or math.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(known, [tail, 1.0 - tail], method="inverted_cdf")
    return Interval(value, float(low), float(high))


def diebold_mariano(loss: FloatArray, reference: FloatArray, overlap: int) -> Comparison:
    """Test of equal expected loss, on the cross-sectional mean of the difference at each origin.

    `DM = mean(d) / sqrt(V / T)` with `V = g_0 + 2 sum g_k, k < overlap` (Newey-West weights where that is not
    positive), times `sqrt((T + 1 - 2m + m(m-1)/T) / T)` with m = overlap (Harvey, Leybourne, Newbold), against
    Student's t with T - 1 degrees of freedom, two-sided. NaN where the difference never varies (one forecast twice), or
    with fewer than two origins more than overlap.

    Args:
        loss, reference: (n_origins, n). overlap: origins whose outcomes overlap, each counting itself.
    """
    difference = _mean_by_origin(loss - reference)
    count = len(difference)
    if count < overlap + 2:
        return Comparison(float("nan"), float("nan"), count)
    mean = float(difference.mean())
    off = difference - mean
    autocovariance = np.array([(off[lag:] * off[: count - lag]).sum() / count for lag in range(overlap)])
    variance = autocovariance[0] + 2.0 * autocovariance[1:].sum()
    if variance <= 0:
        variance = autocovariance[0] + 2.0 * ((1.0 - np.arange(1, overlap) / overlap) * autocovariance[1:]).sum()
    if variance <= (_ROUNDING * mean) ** 2:
        return Comparison(float("nan"), float("nan"), count)
    small = (count + 1 - 2 * overlap + overlap * (overlap - 1) / count) / count
    statistic = float(mean / math.sqrt(variance / count) * math.sqrt(max(small, 0.0)))
    return Comparison(statistic, float(2.0 * stdtr(count - 1, -abs(statistic))), count)


def _mean_by_origin(values: FloatArray) -> FloatArray:
    """Mean over the pools of each origin that has any."""
    known = np.isfinite(values)
    rows = known.any(axis=1)
    return np.where(known, values, 0.0)[rows].sum(axis=1) / known[rows].sum(axis=1)

"""Metrics of forecasts, as pure functions of arrays.

Belongs here: formulas. Does not belong here: frames, pools, models. NaN is an outcome or a forecast that is not known;
it never counts, neither as right nor as wrong.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from defiyield_core.units import FloatArray

ROUNDING = 1e-9
"""A mean loss up to this is none: what rounding leaves of a forecast that is right."""
NEGLIGIBLE = 1e-4
"""A mean loss up to this is not held against a forecast where the reference has none."""


def mean_of_known(values: FloatArray) -> float:
    """Mean of the finite values; NaN without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def mean_by_pool(values: FloatArray) -> FloatArray:
    """(n,) mean over the days of (n_days, n); NaN for a pool without any value."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def pinball(actual: FloatArray, quantile: FloatArray, probability: float) -> FloatArray:
    """`max(p (y - q), (p - 1) (y - q))`: the loss whose minimum is the p-quantile."""
    off = actual - quantile
    return np.maximum(probability * off, (probability - 1.0) * off)


def coverage(actual: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
    """Share of known outcomes with `lower <= actual <= upper`."""
    known = np.isfinite(actual) & np.isfinite(lower) & np.isfinite(upper)
    inside = (actual >= lower) & (actual <= upper)
    return float(inside[known].mean()) if known.any() else float("nan")


def naive_scales(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n_days, n) mean absolute and root mean squared change of a day, over all days up to and including each."""
    change = np.full_like(values, np.nan)
    change[1:] = np.diff(values, axis=0)
    known = np.isfinite(change)
    count = known.cumsum(axis=0)
    change = np.where(known, change, 0.0)
    sums = np.abs(change).cumsum(axis=0), (change**2).cumsum(axis=0)
    absolute, squared = (np.where(count > 0, total / np.maximum(count, 1), np.nan) for total in sums)
    return absolute, np.sqrt(squared)


def scaled(error: FloatArray, scale: FloatArray) -> FloatArray:
    """`|error| / scale`, NaN where the scale is 0: mean over the days of it is MASE."""
    return np.abs(error) / np.where(scale > 0, scale, np.nan)


def relative_mae(loss: FloatArray, reference: FloatArray) -> FloatArray:
    """(n,) mean loss of each pool over that of the reference, on the days that both have.

    Where the reference is without error (up to 1e-9) it is infinite if the loss is above 1e-4, else NaN: neither errs,
    and nothing is compared. NaN also where there is no common day.

    Args:
        loss, reference: (n_days, n) in percentage points, percent or gwei.
    """
    common = np.isfinite(loss) & np.isfinite(reference)
    mine = mean_by_pool(np.where(common, loss, np.nan))
    theirs = mean_by_pool(np.where(common, reference, np.nan))
    ratio = np.divide(mine, theirs, out=np.full_like(mine, np.nan), where=theirs > ROUNDING)
    return np.where((theirs <= ROUNDING) & (mine > NEGLIGIBLE), np.inf, ratio)


def median_of_known(values: FloatArray) -> float:
    """Median of the values that are not NaN (infinite ones count); NaN without any."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def weighted_mean(values: FloatArray, weights: FloatArray) -> float:
    """`sum(w x) / sum(w)` over the pools where both are known; NaN where the weights add up to 0."""
    known = np.isfinite(values) & np.isfinite(weights)
    total = float(weights[known].sum())
    return float((weights[known] * values[known]).sum() / total) if total > 0 else float("nan")


def spearman(forecast: FloatArray, actual: FloatArray) -> float:
    """Correlation of ranks (ties share their mean rank) over the pools where both are known; NaN under 3 pools."""
    known = np.isfinite(forecast) & np.isfinite(actual)
    if known.sum() < 3:
        return float("nan")
    one, two = (rankdata(values[known]) for values in (forecast, actual))
    one, two = one - one.mean(), two - two.mean()
    length = float(np.sqrt((one**2).sum() * (two**2).sum()))
    return float((one * two).sum() / length) if length > 0 else float("nan")


def regret_of_top(forecast: FloatArray, actual: FloatArray, count: int = 5) -> float:
    """Mean outcome of the best `count` pools less that of the `count` with the highest forecast; at least 0.

    Pools of equal forecast are taken in the order given. NaN where no more than `count` pools are known.
    """
    known = np.isfinite(forecast) & np.isfinite(actual)
    if known.sum() <= count:
        return float("nan")
    chosen = np.argsort(-forecast[known], kind="stable")[:count]
    return float(np.sort(actual[known])[-count:].mean() - actual[known][chosen].mean())


def auc(label: FloatArray, score: FloatArray) -> float:
    """Area under the ROC curve: chance that a positive scores above a negative, ties counting half."""
    known = np.isfinite(label) & np.isfinite(score)
    positive = label[known] > 0.5
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    ranks = rankdata(score[known])
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def brier(label: FloatArray, probability: FloatArray) -> float:
    """Mean of `(probability - label)^2`."""
    return mean_of_known((probability - label) ** 2)

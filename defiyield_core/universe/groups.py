"""Risk tiers by the stability of APY (domain, section 4).

Belongs here: the tier of a pool's day and the threshold that decided it. Does not belong here: the caps on tiers (see
`parameters`), the statistics (see `metrics`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from defiyield_core.panel import ObjectArray
from defiyield_core.parameters import Parameters
from defiyield_core.units import FloatArray, IntArray

ROUNDING = 1e-12
"""A difference of fractions is off by a few 1e-17; a value on the threshold belongs to the calmer tier."""
_MEASURES = ("apy_change_1d", "apy_std_7d", "apy_std_30d")


def thresholds(parameters: Parameters) -> dict[int, tuple[float, float, float]]:
    """Largest absolute change of a day, 7-day and 30-day standard deviation of tiers 1 and 2, as fractions."""
    return {
        1: (parameters.group1_max_abs_apy_change, parameters.group1_max_std_7d, parameters.group1_max_std_30d),
        2: (parameters.group2_max_abs_apy_change, parameters.group2_max_std_7d, parameters.group2_max_std_30d),
    }


def pool_groups(metrics: pd.DataFrame, parameters: Parameters) -> pd.DataFrame:
    """Rows of `pool_groups` for the rows of `pool_daily_metrics`.

    Tier 1 when the absolute change, the 7-day and the 30-day standard deviation are all within tier 1's thresholds,
    else tier 2 likewise, else 3. Fewer than `min_history_days` days of history, or an unknown measure, is tier 3.
    """
    measures = np.column_stack([metrics[name].to_numpy(dtype=float) for name in _MEASURES])
    group, reason = classify(measures, metrics["history_days"].to_numpy(), parameters)
    return pd.DataFrame(
        {
            "date": metrics["date"].to_numpy(),
            "pool_id": metrics["pool_id"].to_numpy(),
            "pool_group": group,
            "reason": reason,
        }
    )


def classify(measures: FloatArray, history_days: IntArray, parameters: Parameters) -> tuple[IntArray, ObjectArray]:
    """Tier and reason of n pool-days.

    Args:
        measures: (n, 3) signed change of a day, 7-day and 30-day standard deviation, fractions; NaN is unknown.
        history_days: (n,) days observed.
    """
    size = np.abs(measures)
    limits = thresholds(parameters)
    young = history_days < parameters.min_history_days
    unknown = np.isnan(size)
    over_1 = size > np.array(limits[1]) + ROUNDING
    over_2 = size > np.array(limits[2]) + ROUNDING
    group = np.where(over_1.any(axis=1), 2, 1)
    group = np.where(over_2.any(axis=1) | unknown.any(axis=1) | young, 3, group)
    bits = np.column_stack([young, unknown, over_1, over_2]).astype(np.int64) @ (1 << np.arange(10))
    distinct, where = np.unique(bits, return_inverse=True)
    texts = np.array([_reason(int(code), parameters) for code in distinct], dtype=object)
    return group.astype(np.int64), texts[where]


def _reason(code: int, parameters: Parameters) -> str:
    """The sentence of one combination of facts, the bits of which are packed in `classify`'s order."""
    facts = [bool(code >> bit & 1) for bit in range(10)]
    young, unknown, over_1, over_2 = facts[0], facts[1:4], facts[4:7], facts[7:10]
    limits = thresholds(parameters)
    against = [f"history under {parameters.min_history_days} days"] if young else []
    against += [f"{name} unknown" for name, is_so in zip(_MEASURES, unknown, strict=True) if is_so]
    against += _over(over_2, limits[2], 2)
    if not against:
        against = _over(over_1, limits[1], 1)
    return "; ".join(against) or "within every threshold of group 1"


def _over(facts: list[bool], limits: tuple[float, float, float], group: int) -> list[str]:
    return [
        f"{name} over {limit:g} (group {group})"
        for name, is_over, limit in zip(_MEASURES, facts, limits, strict=True)
        if is_over
    ]

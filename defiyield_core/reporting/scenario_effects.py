"""Which parameter matters in a set of scenarios.

Belongs here: the effect of each parameter's values on net APY, all else equal. Does not belong here: how it is shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.reporting.scenario_tradeoffs import Comparison
from defiyield_core.reporting.scenarios import differing

EFFECT_COLUMNS = ("parameter", "value", "runs", "mean_net_apy", "lowest", "highest", "reach", "is_matched")
_MOST_VALUES = 6
_RANGES = 4


def parameter_effects(comparison: Comparison) -> pd.DataFrame:
    """Net APY by value of every parameter in which the runs differ; the parameter that moves it most first.

    Runs are held against those that are equal in every other parameter and in their seed: `apy = v(value) + g(rest)`
    by least squares, the mean of v over the runs being their mean net APY. Runs without such a partner are left aside;
    where no run has one, v is the plain mean over everything else that differs, which is no proof of a cause.
    Bounds are left out.

    Returns:
        Rows of parameter (several, where they always change together), value, runs, mean_net_apy (v), lowest and
        highest (of the runs with the value), reach (largest less smallest v) and is_matched. A number with more than 6
        values is cut into up to 4 ranges of about as many runs each.
    """
    runs = [run for name in comparison.choices.index for run in comparison.runs_of(name)]
    apy = pd.Series({item.name: item.figures.net_apy for item in runs}, dtype=float).dropna()
    if apy.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    frame = differing(runs).loc[apy.index]
    seeds = pd.Series({item.name: str(item.seed) for item in runs}).loc[apy.index]
    texts = {column: _ranged(frame[column]) for column in frame.columns}
    together: dict[tuple[int, ...], list[str]] = {}
    for column, text in texts.items():
        together.setdefault(tuple(pd.factorize(text)[0].tolist()), []).append(column)
    rows: list[dict[str, Any]] = []
    for columns in together.values():
        value = _joined([texts[name] for name in columns], ", ").map(_once)
        rest = _joined([seeds, *(frame[name].map(value_text) for name in frame.columns if name not in columns)], "|")
        rows += [{"parameter": ", ".join(columns), **row} for row in _effect(apy, value, rest, frame[columns[0]])]
    effects = pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))
    return effects.sort_values("reach", ascending=False, kind="stable", ignore_index=True)


def _joined(texts: list[pd.Series], between: str) -> pd.Series:
    return pd.Series([between.join(each) for each in zip(*texts, strict=True)], index=texts[0].index)


def _once(value: str) -> str:
    """`0.5, 0.5` is written `0.5`."""
    return value.split(", ")[0] if len(set(value.split(", "))) == 1 else value


def _effect(apy: pd.Series, value: pd.Series, rest: pd.Series, given: pd.Series) -> list[dict[str, Any]]:
    """The rows of one parameter. All series are by run: net APY, its value, everything else, its value as given."""
    has_partner = value.groupby(rest).transform("nunique") > 1
    is_matched = bool(has_partner.any())
    if is_matched:
        apy, value, rest, given = (each[has_partner] for each in (apy, value, rest, given))
    levels = _levels(apy, value, rest) if is_matched else apy.groupby(value).mean()
    ends = apy.groupby(value).agg(["size", "min", "max"])
    return [
        {
            "value": text,
            "runs": int(ends.loc[text, "size"]),
            "mean_net_apy": float(levels[text]),
            "lowest": float(ends.loc[text, "min"]),
            "highest": float(ends.loc[text, "max"]),
            "reach": float(levels.max() - levels.min()),
            "is_matched": is_matched,
        }
        for text in sorted(levels.index, key=lambda text: _order_of(given[value == text], text))
    ]


def _levels(apy: pd.Series, value: pd.Series, rest: pd.Series) -> pd.Series:
    """v by value of `apy = v(value) + g(rest)`, least squares, moved so that its mean over the runs is that of apy.

    Taking the mean of its `rest` off every run takes g out of both sides.
    """
    chosen = pd.get_dummies(value, dtype=float)
    within = chosen - chosen.groupby(rest).transform("mean")
    above = apy - apy.groupby(rest).transform("mean")
    solution = np.linalg.lstsq(within.to_numpy(), above.to_numpy(dtype=float), rcond=None)[0]
    levels = pd.Series(solution, index=chosen.columns)
    return levels + float(apy.mean()) - float(levels.loc[value].mean())


def _ranged(column: pd.Series) -> pd.Series:
    """Values as texts; many numbers as ranges."""
    numeric = column.map(lambda value: isinstance(value, int | float) and not isinstance(value, bool)).all()
    if not numeric or column.nunique() <= _MOST_VALUES:
        return column.map(value_text)
    numbers = column.astype(float)
    parts = pd.qcut(numbers, _RANGES, labels=False, duplicates="drop")
    ends = numbers.groupby(parts).agg(["min", "max"])
    texts = {part: f"{value_text(low)} to {value_text(high)}" for part, low, high in ends.itertuples()}
    return parts.map(texts)


def _order_of(given: pd.Series, text: str) -> tuple[int, float, str]:
    """Numbers by size, then words."""
    numbers = [item for item in given if isinstance(item, int | float)]
    return (0, float(min(numbers)), text) if numbers else (1, 0.0, text)


def value_text(value: object) -> str:
    """A parameter's value as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)

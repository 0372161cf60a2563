"""The trials of an audit, as data.

Belongs here: what is asked, on which days. Does not belong here: how it is done (see `runner`), what follows (see
`verdict`).

A trial of kind `look_ahead` can be passed or failed: what was decided up to a day must not change with what comes
after it. One of kind `sensitivity` cannot: it says how much of the APY hangs on something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

import numpy as np

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError

Kind = Literal["look_ahead", "sensitivity"]
TRUNCATION, SCRAMBLING, SHIFT, DYING, REWARDS, STALE = FAMILIES = (
    "truncation",
    "scrambling",
    "shift",
    "dying",
    "rewards",
    "stale",
)
CUTS = 4
SEED = 7
DAYS_AFTER_A_CUT = 14
"""At least so many days of the window lie after every cut: without a future nothing can look ahead."""
STALE_DAYS = (1, 3, 7)


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        name: unique in an audit. family: one of `FAMILIES`. asks: the question, for people.
        day: last day that is left as it was, of a trial that cuts. days: by how much stamps move, or how old data is.
        decisions_know: whether decisions see what the books will see, where the trial comes in both ways.
    """

    name: str
    family: str
    kind: Kind
    asks: str
    day: date | None = None
    days: int = 0
    decisions_know: bool = False


def catalogue(window: Window, cuts: int = CUTS, seed: int = SEED, only: Sequence[str] = ()) -> tuple[Trial, ...]:
    """The trials of a window in the order in which they run.

    Args:
        cuts: days on which it is cut, for truncation and for scrambling each; see `cut_days`.
        only: families or names; empty for all.

    Raises:
        ConfigurationError: the window is too short for the cuts, or a name in `only` is not known.
    """
    days = cut_days(window, cuts, seed)
    every = (
        *(_cut(TRUNCATION, day, "Are decisions the same when the data end on this day?") for day in days),
        *(_cut(SCRAMBLING, day, "Are decisions the same when all data after this day are nonsense?") for day in days),
        *_SENSITIVITY,
    )
    if not only:
        return every
    known = {name for trial in every for name in (trial.family, trial.name)}
    unknown = [name for name in only if name not in known]
    if unknown:
        names = ", ".join((*FAMILIES, *(trial.name for trial in every)))
        raise ConfigurationError(f"--only {unknown[0]}: there is no such trial; choose from {names}")
    return tuple(trial for trial in every if trial.family in only or trial.name in only)


def cut_days(window: Window, cuts: int, seed: int) -> tuple[date, ...]:
    """Days spread over the window, one drawn from each of `cuts` equal parts of it, ascending.

    The last `DAYS_AFTER_A_CUT` days of the window are never drawn.

    Raises:
        ConfigurationError: no cut, a negative seed, or more cuts than days to choose from.
    """
    if cuts < 1 or seed < 0:
        raise ConfigurationError(f"{cuts} cuts and seed {seed}: give at least 1 cut, and a seed of at least 0")
    choice = len(window) - DAYS_AFTER_A_CUT
    if choice < cuts:
        raise ConfigurationError(
            f"{window} has {len(window)} days: an audit with {cuts} cuts needs {cuts + DAYS_AFTER_A_CUT}, "
            f"{DAYS_AFTER_A_CUT} of them after the last cut; give a longer window or fewer --cuts"
        )
    bounds = np.linspace(0, choice, cuts + 1).astype(int)
    random = np.random.default_rng(seed)
    drawn = (int(random.integers(low, high)) for low, high in pairwise(bounds.tolist()))
    return tuple(window.start + timedelta(days=offset) for offset in drawn)


def _cut(family: str, day: date, asks: str) -> Trial:
    return Trial(f"{family}_{day}", family, "look_ahead", asks, day=day)


_SENSITIVITY = (
    Trial(
        "stamps_1d_late",
        SHIFT,
        "sensitivity",
        "What if every row about pools were stamped a day too late, so that decisions knew a day less?",
        days=1,
    ),
    Trial(
        "stamps_1d_early",
        SHIFT,
        "sensitivity",
        "What if every row about pools were stamped a day too early, so that decisions knew tomorrow?",
        days=-1,
    ),
    Trial(
        "without_dying_pools",
        DYING,
        "sensitivity",
        "What if pools that stop reporting or lose over 90 % of their TVL had never been used?",
    ),
    Trial(
        "rewards_unpaid",
        REWARDS,
        "sensitivity",
        "What if reward tokens were advertised as they were, but could not be claimed or sold?",
    ),
    Trial(
        "rewards_left_out",
        REWARDS,
        "sensitivity",
        "What if reward tokens were worth nothing and decisions knew it?",
        decisions_know=True,
    ),
    *(
        Trial(
            f"stale_{days}d",
            STALE,
            "sensitivity",
            f"What if decisions saw pools as they were {days} day{'s' if days > 1 else ''} before?",
            days=days,
        )
        for days in STALE_DAYS
    ),
)

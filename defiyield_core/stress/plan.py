"""Which cases a stress test tries, and how many of each sort.

Belongs here: the mix of events, draws and markets, and the words that choose among them. Does not belong here: the
cases themselves (see `cases`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.stress.bootstrap import BLOCK_DAYS
from defiyield_core.stress.cases import (
    Case,
    bootstrap_cases,
    catalogue,
    market_cases,
)
from defiyield_core.stress.exposure import Exposure

LEAST_CASES = 100
DRAW_FORECASTER = "ewma"
"""Of draws and markets when the portfolio's own is a trained one, whose models would have to be trained for each."""
_KINDS = {
    "depeg": ("depeg, recovers", "depeg, lasting"),
    "tvl": ("TVL falls",),
    "apy": ("APY collapses",),
    "freeze": ("withdrawals freeze",),
    "gas": ("gas",),
    "data": ("data missing",),
    "crisis": ("crisis",),
}
WORDS: tuple[str, ...] = (*_KINDS, "bootstrap", "market")
"""What cases may be narrowed to."""
_DRAWS, _MARKETS = 24, 12
"""Of 100 cases; the rest are events."""
_SEEDS_APART = 1000
"""Draws and markets of a seed have seeds of their own from its thousand on; no seed has more of either."""


@dataclass(frozen=True)
class Mix:
    """How many cases of each sort, and the kinds of events."""

    events: int
    draws: int
    markets: int
    kinds: tuple[str, ...]


def mix(count: int, only: Sequence[str] = ()) -> Mix:
    """64 events, 24 draws and 12 markets of 100, in these shares of any number; over fewer sorts when narrowed.

    Args:
        only: words of `WORDS`; all of them when empty.

    Raises:
        ConfigurationError: no such word, or a number of cases that cannot be.
    """
    unknown = [word for word in only if word not in WORDS]
    if unknown:
        raise ConfigurationError(f"no kind of case '{unknown[0]}': there are {', '.join(WORDS)}")
    if not 1 <= count <= _SEEDS_APART:
        raise ConfigurationError(f"{count} cases: 1 to {_SEEDS_APART} can be run at once")
    chosen = tuple(only) or WORDS
    kinds = tuple(kind for word in chosen for kind in _KINDS.get(word, ()))
    weights = (100 - _DRAWS - _MARKETS) * bool(kinds), _DRAWS * ("bootstrap" in chosen), _MARKETS * ("market" in chosen)
    draws, markets = (round(count * weight / sum(weights)) for weight in weights[1:])
    if kinds:
        return Mix(count - draws - markets, draws, markets, kinds)
    return Mix(0, count - markets, markets, kinds)


def check_seed(seed: int) -> None:
    """Refuse a seed that cannot be.

    Raises:
        ConfigurationError: below 0.
    """
    if seed < 0:
        raise ConfigurationError(f"the seed of the cases is {seed}: a whole number of at least 0 is expected")


def plan(
    window: Window,
    exposure: Exposure,
    seed: int,
    count: int = LEAST_CASES,
    *,
    only: Sequence[str] = (),
    draw_forecaster: str = "",
) -> tuple[Case, ...]:
    """The cases: equal arguments give equal ones.

    Args:
        exposure: what the undisturbed run held, to aim events at.
        draw_forecaster: of draws and markets; empty for the portfolio's own.

    Raises:
        ConfigurationError: as `mix` and `catalogue`.
    """
    check_seed(seed)
    parts = mix(count, only)
    begin = _SEEDS_APART * seed + 1
    block_days = max(1, min(BLOCK_DAYS, len(window) // 2))
    events = catalogue(window, exposure, seed, parts.events, parts.kinds) if parts.events else ()
    return (
        *events,
        *bootstrap_cases(window, range(begin, begin + parts.draws), block_days, draw_forecaster),
        *market_cases(range(begin, begin + parts.markets), draw_forecaster),
    )

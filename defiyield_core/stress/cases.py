"""Catalogues of cases: kinds x severities x days x targets from a seed, draws of the APY panel, other markets.

Belongs here: what is tried and how it is named. Does not belong here: how many of each (see `plan`), what events do
(see `source`), running (see `runner`).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.stress.bootstrap import BLOCK_DAYS, Resample
from defiyield_core.stress.events import (
    EVERY_POOL,
    ApyCollapse,
    Event,
    GasSpike,
    MissingData,
    PoolTarget,
    TokenDepeg,
    TvlFall,
    WithdrawalFreeze,
)
from defiyield_core.stress.exposure import Exposure

RANKS = 2
"""Targets alternate between the largest holding and the next."""


@dataclass(frozen=True)
class Case:
    """One thing to try: events, or a draw of the APY panel (also both), or another market.

    Attributes:
        name: unique in a catalogue. kind, severity, target: for people and for tables.
        day: of the first event; None where the whole range differs.
        market_seed: of a simulated market in place of the undisturbed run's; None for its own.
        forecaster: in place of the portfolio's own, in the case and in the undisturbed run it is held against; empty
            for its own.
    """

    name: str
    kind: str
    severity: str = ""
    target: str = ""
    day: date | None = None
    events: tuple[Event, ...] = ()
    resample: Resample | None = None
    market_seed: int | None = None
    forecaster: str = ""

    @property
    def is_redrawn(self) -> bool:
        """The whole market is another one: trained models of the undisturbed run may know too much for it."""
        return self.resample is not None or self.market_seed is not None

    @property
    def touches(self) -> frozenset[str]:
        """Raw tables in which its market differs."""
        tables = {name for event in self.events for name in event.touches}
        return frozenset(tables | (TvlFall.tables if self.resample else frozenset()))

    @property
    def begin(self) -> date:
        """The first day on which anything differs; the last of all days where nothing does."""
        begins = [event.day for event in self.events]
        return min([*begins, *([self.resample.range.start] if self.resample else [])], default=date.max)


@dataclass(frozen=True)
class _Aim:
    """A day and what the portfolio held before it."""

    day: date
    pool: str
    protocol: str
    token: str
    tokens: tuple[str, ...]
    labels: Mapping[str, str]

    @property
    def of_pool(self) -> PoolTarget:
        return PoolTarget(pools=(self.pool,)) if self.pool else EVERY_POOL

    @property
    def of_protocol(self) -> PoolTarget:
        return PoolTarget(protocols=(self.protocol,)) if self.protocol else EVERY_POOL

    def named(self, scope: str) -> str:
        """The target's name: of the scope `pool`, `protocol`, `token`, or every pool."""
        name = str(getattr(self, scope, "")) or "all"
        return self.labels.get(name, name)


@dataclass(frozen=True)
class _Template:
    """A kind with its severity; `scope` says what it is aimed at, `make` gives the events of an aim."""

    kind: str
    severity: str
    scope: str
    make: Callable[[_Aim], tuple[Event, ...]]


def _percent(share: float) -> str:
    return f"{share * 100:g}%"


def _depeg(depth: float, days: int | None) -> _Template:
    kind = "depeg, lasting" if days is None else "depeg, recovers"
    lasts = "" if days is None else f" for {days} d"
    return _Template(
        kind,
        f"-{_percent(depth)}{lasts}",
        "token",
        lambda aim: (TokenDepeg(day=aim.day, days=days, tokens=aim.tokens, depth=depth),),
    )


def _target(aim: _Aim, scope: str) -> PoolTarget:
    return {"pool": aim.of_pool, "protocol": aim.of_protocol}.get(scope, EVERY_POOL)


def _tvl(scope: str, share: float, days: int | None) -> _Template:
    return _Template(
        "TVL falls",
        f"-{_percent(share)}" + ("" if days is None else f" for {days} d"),
        scope,
        lambda aim: (TvlFall(day=aim.day, days=days, target=_target(aim, scope), share=share),),
    )


def _apy(scope: str, share: float, days: int | None) -> _Template:
    return _Template(
        "APY collapses",
        f"-{_percent(share)}" + ("" if days is None else f" for {days} d"),
        scope,
        lambda aim: (ApyCollapse(day=aim.day, days=days, target=_target(aim, scope), share=share),),
    )


def _freeze(scope: str, days: int) -> _Template:
    return _Template(
        "withdrawals freeze",
        f"{days} d",
        scope,
        lambda aim: (WithdrawalFreeze(day=aim.day, days=days, target=_target(aim, scope)),),
    )


def _gas(factor: float, days: int) -> _Template:
    return _Template(
        "gas", f"x{factor:.0f} for {days} d", "", lambda aim: (GasSpike(day=aim.day, days=days, factor=factor),)
    )


def _missing_pools(scope: str, days: int) -> _Template:
    return _Template(
        "data missing",
        f"pools, {days} d",
        scope,
        lambda aim: (MissingData(day=aim.day, days=days, what="pools", target=_target(aim, scope)),),
    )


def _run_on_protocol(aim: _Aim) -> tuple[Event, ...]:
    """Depositors leave, what is left cannot be withdrawn for a week, and pays nothing for a month."""
    target = aim.of_protocol
    return (
        TvlFall(day=aim.day, days=None, target=target, share=0.8),
        WithdrawalFreeze(day=aim.day, days=7, target=target),
        ApyCollapse(day=aim.day + timedelta(days=7), days=30, target=target),
    )


def _stablecoin_crisis(aim: _Aim) -> tuple[Event, ...]:
    """A token loses a tenth for five days while gas is dear and every pool is shut for three."""
    return (
        TokenDepeg(day=aim.day, days=5, tokens=aim.tokens, depth=0.1),
        GasSpike(day=aim.day, days=3, factor=20.0),
        WithdrawalFreeze(day=aim.day, days=3),
    )


def _trapped_in_a_depeg(aim: _Aim) -> tuple[Event, ...]:
    """Pools shut for two weeks while their token slides for good, in two steps."""
    return (
        WithdrawalFreeze(day=aim.day, days=14),
        TokenDepeg(day=aim.day + timedelta(days=1), days=None, tokens=aim.tokens, depth=0.1),
        TokenDepeg(day=aim.day + timedelta(days=7), days=None, tokens=aim.tokens, depth=0.2),
    )


def _blind_depeg(aim: _Aim) -> tuple[Event, ...]:
    """Every feed is down for five days; when it is back, a token has lost a fifth."""
    return (
        MissingData(day=aim.day, days=5, what="everything"),
        TokenDepeg(day=aim.day, days=None, tokens=aim.tokens, depth=0.2),
    )


_ONE_POOL, _ONE_PROTOCOL, _ALL = "pool", "protocol", ""
TEMPLATES: tuple[_Template, ...] = (
    *(_depeg(depth, days) for depth, days in ((0.015, 1), (0.05, 3), (0.12, 3), (0.3, 14))),
    *(_depeg(depth, None) for depth in (0.02, 0.1, 0.3, 0.9)),
    *(_tvl(scope, 0.8, None) for scope in (_ONE_POOL, _ONE_PROTOCOL, _ALL)),
    _tvl(_ALL, 0.99, 7),
    *(_apy(scope, 1.0, 30) for scope in (_ONE_POOL, _ONE_PROTOCOL, _ALL)),
    _apy(_ALL, 0.8, None),
    _freeze(_ONE_POOL, 14),
    _freeze(_ONE_PROTOCOL, 7),
    _freeze(_ONE_PROTOCOL, 30),
    _freeze(_ALL, 7),
    _gas(20.0, 1),
    _gas(20.0, 7),
    _gas(100.0, 30),
    _missing_pools(_ONE_POOL, 5),
    _missing_pools(_ONE_PROTOCOL, 5),
    _missing_pools(_ALL, 2),
    _missing_pools(_ALL, 7),
    _Template("data missing", "prices, 5 d", "", lambda a: (MissingData(day=a.day, days=5, what="prices"),)),
    _Template("data missing", "gas, 5 d", "", lambda a: (MissingData(day=a.day, days=5, what="gas"),)),
    _Template("data missing", "everything, 7 d", "", lambda a: (MissingData(day=a.day, days=7, what="everything"),)),
    _Template("crisis", "run on a protocol", "protocol", _run_on_protocol),
    _Template("crisis", "stablecoin, gas and freeze", "token", _stablecoin_crisis),
    _Template("crisis", "trapped in a sliding token", "token", _trapped_in_a_depeg),
    _Template("crisis", "feeds down over a depeg", "token", _blind_depeg),
)

EVENT_KINDS: tuple[str, ...] = tuple(dict.fromkeys(template.kind for template in TEMPLATES))
BOOTSTRAP, MARKET = "APY bootstrap", "simulated market"


def catalogue(
    window: Window, exposure: Exposure, seed: int, count: int, kinds: Collection[str] = EVENT_KINDS
) -> tuple[Case, ...]:
    """So many cases of events, spread evenly over the templates of these kinds: equal arguments give equal cases.

    Every template is put on as many days as it takes. Days are drawn within equal parts of the window's second to last
    day, one in each, so that early and late ones are there. Targets are the largest holding of the undisturbed run at
    the close before, and the next largest in turn.

    Raises:
        ConfigurationError: fewer than one case, a negative seed, no such kind, or a window with fewer days than are
            drawn.
    """
    templates = [template for template in TEMPLATES if template.kind in kinds]
    if count < 1 or seed < 0 or not templates:
        raise ConfigurationError(f"a catalogue of {count} cases from seed {seed}: 1 or more, from 0 or above")
    per_template = math.ceil(count / len(templates))
    if per_template > len(window) - 1:
        raise ConfigurationError(f"{count} cases need {per_template + 1} days or more, {window} has {len(window)}")
    cases = []
    for template in templates:
        for place, day in enumerate(_days(window, per_template, template, seed)):
            aim = _aim(exposure, day, place % RANKS)
            target = aim.named(template.scope) if template.scope else "all"
            name = f"{template.kind} {template.severity} / {target} / {day}"
            cases.append(Case(name, template.kind, template.severity, target, day, template.make(aim)))
    return tuple(cases[place] for place in np.linspace(0, len(cases) - 1, count).round().astype(int))


def _days(window: Window, count: int, template: _Template, seed: int) -> list[date]:
    """One day out of each of `count` equal parts of the window without its first day; no day twice."""
    label = zlib.crc32(f"{template.kind} {template.severity} {template.scope}".encode())
    random = np.random.default_rng([seed, label])
    edges = np.linspace(1, len(window), count + 1).astype(int)
    return [
        window.start + timedelta(days=int(random.integers(low, max(high, low + 1)))) for low, high in pairwise(edges)
    ]


def _aim(exposure: Exposure, day: date, rank: int) -> _Aim:
    token = exposure.largest("tokens", day, rank)
    if not token:
        raise ConfigurationError("the portfolio holds no token with a price: there is nothing to stress")
    return _Aim(
        day=day,
        pool=exposure.largest("pools", day, rank),
        protocol=exposure.largest("protocols", day, rank),
        token=token,
        tokens=exposure.with_wrappers(token),
        labels=exposure.labels,
    )


def bootstrap_cases(
    window: Window, seeds: Iterable[int], block_days: int = BLOCK_DAYS, forecaster: str = ""
) -> tuple[Case, ...]:
    """A draw of the APY panel over the window per seed, in blocks of so many days."""
    return tuple(
        Case(
            f"{BOOTSTRAP} in blocks of {block_days} d / seed {seed}",
            BOOTSTRAP,
            f"blocks of {block_days} d",
            "all",
            resample=Resample(window, seed, block_days),
            forecaster=forecaster,
        )
        for seed in seeds
    )


def market_cases(seeds: Iterable[int], forecaster: str = "") -> tuple[Case, ...]:
    """A simulated market per seed, over as many days with as many before them as the undisturbed run has."""
    return tuple(
        Case(f"{MARKET} / seed {seed}", MARKET, "", "all", market_seed=seed, forecaster=forecaster) for seed in seeds
    )

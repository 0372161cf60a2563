"""What can be done to a market: frozen descriptions of injected events.

Belongs here: what an event is, when it holds and whom it concerns. Does not belong here: changing rows (see `source`),
forbidding withdrawals (see `freeze`), choosing events (see `cases`).

An event begins on its `day` and changes nothing before it. `days` counts the days that it lasts, its first included;
None lasts for good.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pandas as pd

from defiyield_core.errors import ConfigurationError
from defiyield_core.units import BoolArray

SNAPSHOTS = "raw_defillama_pools"
HISTORY = "raw_defillama_pool_history"
CANDLES = "raw_coinmarketcap_ohlcv"
GAS = "raw_ethgastracker_hourly_gas_data"
POOL_TABLES = frozenset({SNAPSHOTS, HISTORY})

Feed = Literal["pools", "prices", "gas", "everything"]
_FEEDS: dict[Feed, frozenset[str]] = {
    "pools": POOL_TABLES,
    "prices": frozenset({CANDLES}),
    "gas": frozenset({GAS}),
    "everything": frozenset({*POOL_TABLES, CANDLES, GAS}),
}


@dataclass(frozen=True)
class PoolTarget:
    """The pools an event concerns: these pools and all of these protocols; every pool where both are empty."""

    pools: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        """No pool is left out."""
        return not self.pools and not self.protocols

    def hits(self, pool_ids: np.ndarray | pd.Series, protocols: np.ndarray | pd.Series) -> BoolArray:
        """(n,) whether each pool is meant.

        Args:
            pool_ids, protocols: (n,) of each pool; the protocol may be missing where it is not known.
        """
        if self.is_everything:
            return np.ones(len(pool_ids), dtype=bool)
        meant = pd.Series(pool_ids).isin(self.pools) | pd.Series(protocols).isin(self.protocols)
        return np.asarray(meant.to_numpy(dtype=bool))

    def __str__(self) -> str:
        return ", ".join((*self.protocols, *self.pools)) or "every pool"


EVERY_POOL = PoolTarget()


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that begins on `day` and lasts `days` days (None: for good)."""

    day: date
    days: int | None

    tables: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        if self.days is not None and self.days < 1:
            raise ConfigurationError(f"an event of {self.days} days: at least 1, or None for good")

    @property
    def last_day(self) -> date:
        """Last day on which it holds."""
        return date.max if self.days is None else self.day + timedelta(days=self.days - 1)

    @property
    def touches(self) -> frozenset[str]:
        """Raw tables that it changes."""
        return self.tables

    def holds(self, days: pd.Series | np.ndarray) -> BoolArray:
        """(n,) whether the event holds on each of these days."""
        moments = np.asarray(days).astype("datetime64[D]")
        begun = moments >= np.datetime64(self.day, "D")
        if self.days is None:
            return np.asarray(begun)
        return np.asarray(begun & (moments < np.datetime64(self.day, "D") + self.days))

    def overlaps(self, first: date, last: date) -> bool:
        """Whether it holds on any day from `first` to `last`."""
        return self.day <= last and first <= self.last_day

    def plain(self) -> dict[str, Any]:
        """Its fields as JSON values, and its name."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {"event": type(self).__name__, **{name: _plain(value) for name, value in values.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, PoolTarget):
        return {"pools": list(value.pools), "protocols": list(value.protocols)}
    return list(value) if isinstance(value, tuple) else value


def _share(what: str, value: float) -> None:
    if not 0.0 < value <= 1.0:
        raise ConfigurationError(f"{what} is {value}: a share above 0 and at most 1 is expected")


@dataclass(frozen=True, kw_only=True)
class TokenDepeg(Event):
    """Tokens trade at `1 - depth` of their price, then at their own price again (`days` None: never again).

    The first day opens at the old price. A depth of 1 is refused: a price of nothing is no price, and books would stop
    counting the token instead of losing it.
    """

    tokens: tuple[str, ...]
    depth: float

    tables: ClassVar[frozenset[str]] = frozenset({CANDLES})

    def __post_init__(self) -> None:
        super().__post_init__()
        _share("the depth of a depeg", self.depth)
        if self.depth == 1.0:
            raise ConfigurationError("the depth of a depeg is 1: a token that is worth nothing has no price; use 0.99")
        if not self.tokens:
            raise ConfigurationError("a depeg needs tokens")


@dataclass(frozen=True, kw_only=True)
class TvlFall(Event):
    """Pools lose this share of their TVL."""

    target: PoolTarget = EVERY_POOL
    share: float = 0.8

    tables: ClassVar[frozenset[str]] = POOL_TABLES

    def __post_init__(self) -> None:
        super().__post_init__()
        _share("a fall of TVL", self.share)


@dataclass(frozen=True, kw_only=True)
class ApyCollapse(Event):
    """Rates of pools, base and reward, lose this share (1: they pay nothing). A negative rate moves towards 0 too."""

    target: PoolTarget = EVERY_POOL
    share: float = 1.0

    tables: ClassVar[frozenset[str]] = POOL_TABLES

    def __post_init__(self) -> None:
        super().__post_init__()
        _share("a collapse of APY", self.share)


@dataclass(frozen=True, kw_only=True)
class WithdrawalFreeze(Event):
    """Nothing can be withdrawn from these pools, nor deposited into them unless `deposits_open`.

    No table of a source can say so: see `freeze` for where it takes hold.
    """

    target: PoolTarget = EVERY_POOL
    deposits_open: bool = False


@dataclass(frozen=True, kw_only=True)
class GasSpike(Event):
    """Gas costs `factor` times what it did, base fee and tip."""

    factor: float = 20.0

    tables: ClassVar[frozenset[str]] = frozenset({GAS})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.factor < float("inf"):
            raise ConfigurationError(f"gas times {self.factor}: a factor above 0 is expected")


@dataclass(frozen=True, kw_only=True)
class MissingData(Event):
    """Rows are not there: of pools (`target`), of prices (`tokens`, empty for all), of gas, or of everything.

    Where every pool, price or gas row is missing the source says that it was down; single pools just have no row.
    """

    what: Feed
    target: PoolTarget = EVERY_POOL
    tokens: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.what not in get_args(Feed):
            raise ConfigurationError(f"data of '{self.what}': choose one of {', '.join(get_args(Feed))}")
        if self.what != "pools" and not self.target.is_everything:
            raise ConfigurationError(f"missing {self.what} of {self.target}: only missing pools have a target")
        if self.what != "prices" and self.tokens:
            raise ConfigurationError(
                f"missing {self.what} of {', '.join(self.tokens)}: only missing prices have tokens"
            )

    @property
    def touches(self) -> frozenset[str]:
        """The tables of what is missing."""
        return _FEEDS[self.what]

    @property
    def is_outage(self) -> bool:
        """The source has nothing at all of it."""
        return self.target.is_everything and not self.tokens

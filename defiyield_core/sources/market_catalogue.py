"""What the simulated market consists of: its pools, its tokens and its scheduled accidents.

Belongs here: the catalogue, and the small notation it is written in. Does not belong here: how anything moves
(`market_pools`, `market_prices`). Numbers are invented.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from defiyield_core.sources.tokens import known_address

YEAR = 365


@dataclass(frozen=True)
class PoolSpec:
    """A pool before chance touches it.

    Attributes:
        behaviour: lending (utilisation noise and spikes), savings (a rate set by governance), dex (fees follow volume)
            or absurd (tiny, with a four-digit APY).
        apy_percent: usual base APY.
        tvl_usd: usual TVL.
        reward_percent: usual reward APY; 0 for none.
        born: day offset of its first row; dies: day offset from which it has none (None: it stays).
    """

    project: str
    chain: str
    symbol: str
    tokens: tuple[str, ...]
    meta: str | None
    behaviour: str
    apy_percent: float
    tvl_usd: float
    reward_percent: float
    stablecoin: bool = True
    born: int = 0
    dies: int | None = None

    @property
    def key(self) -> str:
        """What tells it apart from every other."""
        return "/".join((self.project, self.chain, self.symbol, self.meta or ""))


@dataclass(frozen=True)
class TokenSpec:
    """A token. `noise_bps` is the usual distance from its peg, `growth_apy` how fast a wrapper's price grows."""

    symbol: str
    market_cap_usd: float
    noise_bps: float
    quote: str = "USD"
    price_usd: float = 1.0
    growth_apy: float = 0.0
    pegged: bool = True


@dataclass(frozen=True)
class Depeg:
    """Prices of a token on the days from `day` on, relative to its peg, and how far under them the low went."""

    symbol: str
    day: int
    closes: tuple[float, ...]
    wick: float


TOKENS = (
    TokenSpec("USDC", 55e9, 1.5),
    TokenSpec("USDT", 140e9, 2.5),
    TokenSpec("DAI", 4.6e9, 2.0),
    TokenSpec("USDS", 7.5e9, 3.0),
    TokenSpec("USDE", 5.4e9, 6.0),
    TokenSpec("PYUSD", 1.6e9, 5.0, quote="USDT"),
    TokenSpec("GHO", 0.26e9, 10.0),
    TokenSpec("FRAX", 0.35e9, 12.0),
    TokenSpec("LUSD", 0.07e9, 20.0),
    TokenSpec("FDUSD", 1.9e9, 8.0),
    TokenSpec("USDTB", 1.3e9, 4.0),
    TokenSpec("SUSDE", 2.4e9, 9.0, price_usd=1.15, growth_apy=0.07, pegged=False),
    TokenSpec("SUSDS", 2.6e9, 4.0, price_usd=1.04, growth_apy=0.055, pegged=False),
)
"""CRVUSD is in pools but nowhere here: no source prices it."""

UNPRICED = "CRVUSD"

EPISODES = (
    # Recovers within nine days; lows and closes breach on consecutive days.
    Depeg("USDE", 89, (0.984, 0.952, 0.931, 0.944, 0.962, 0.979, 0.988, 0.9955, 0.9985), 0.012),
    # One bad print: a single low under the limit, while the close held.
    Depeg("DAI", 66, (0.9990,), 0.028),
    Depeg("GHO", 118, (0.9915, 0.988, 0.991, 0.9945, 0.998), 0.004),
)
"""Depegs of the first year; they come again every year, on the next token of `EPISODE_ROTATION`."""
EPISODE_ROTATION = ("USDE", "PYUSD", "USDS")

OUTAGE_DAY = 75
"""Day offset, every year, on which the source has no pools at all."""
GAS_SPIKE_DAY = 104
"""Day offset, every year, of gas at twenty times its price."""

_CATALOGUE = """
    aave-v3 Ethereum USDC - lending 4.6 420e6 0
    aave-v3 Ethereum USDT - lending 4.4 610e6 0
    aave-v3 Ethereum DAI - lending 4.9 65e6 0
    morpho-blue Ethereum STEAKUSDC USDC lending 6.2 150e6 0.6
    morpho-blue Ethereum GTUSDT USDT lending 6.6 42e6 0.5
    compound-v3 Ethereum USDC - lending 5.0 210e6 0.7
    compound-v3 Ethereum USDT - lending 5.2 95e6 0.6
    fluid-lending Ethereum USDC - lending 6.8 160e6 1.1
    fluid-lending Ethereum USDT - lending 7.1 120e6 1.0
    sky-lending Ethereum SUSDS USDS savings 5.5 2400e6 0
    spark Ethereum USDC - savings 5.1 480e6 0
    spark Ethereum DAI - lending 5.6 240e6 0
    curve-dex Ethereum DAI-USDC-USDT 3pool dex 1.1 170e6 0.3
    curve-dex Ethereum GHO-CRVUSD - dex 1.6 6e6 4.2
    uniswap-v3 Ethereum USDC-USDT 0.01% dex 4.2 31e6 0
    aave-v3 Ethereum USDE - lending 6.1 90e6 1.8
    aave-v3 Ethereum USDS - lending 5.3 130e6 0
    aave-v3 Ethereum GHO - savings 6.9 170e6 0
    aave-v3 Ethereum PYUSD - lending 4.3 38e6 1.4
    aave-v3 Ethereum CRVUSD - lending 5.0 4e6 0
    morpho-blue Ethereum GTUSDCCORE USDC lending 7.0 88e6 0.8
    morpho-blue Ethereum STEAKUSDT USDT lending 6.3 33e6 0.5
    morpho-blue Ethereum RE7USDC USDC lending 8.9 24e6 1.2
    morpho-blue Ethereum RE7USDT USDT lending 8.3 12e6 1.1
    morpho-blue Ethereum MEVUSDC USDC lending 7.6 41e6 0.9
    morpho-blue Ethereum USUALUSDC USDC lending 9.8 60e6 2.2
    morpho-blue Ethereum GTDAICORE DAI lending 7.4 9e6 0.4
    morpho-blue Ethereum SPDAI DAI lending 8.1 310e6 0
    morpho-blue Ethereum GTUSDE USDE lending 8.8 18e6 1.5
    morpho-blue Ethereum PYUSDC PYUSD lending 6.4 14e6 1.9
    morpho-blue Ethereum SMOKEUSDC USDC lending 9.4 16e6 0.7
    morpho-blue Ethereum BBQUSDC USDC lending 7.9 11e6 0.6
    morpho-blue Ethereum APOSTROUSDC USDC lending 10.6 5e6 1.3
    morpho-blue Ethereum HYPERUSDC USDC lending 11.8 3.2e6 1.0
    euler-v2 Ethereum USDC Prime lending 6.0 55e6 1.6
    euler-v2 Ethereum USDT Prime lending 6.4 37e6 1.5
    euler-v2 Ethereum USDC Yield lending 9.1 28e6 2.4
    euler-v2 Ethereum USDE - lending 8.0 9e6 1.7
    euler-v2 Ethereum USDS - lending 5.8 7e6 0.8
    spark Ethereum USDT - lending 5.0 170e6 0
    spark Ethereum USDS - savings 5.6 350e6 0
    spark Ethereum PYUSD - lending 5.5 75e6 0
    yearn-finance Ethereum USDC - lending 7.2 22e6 0.5
    yearn-finance Ethereum DAI - lending 6.6 15e6 0.4
    yearn-finance Ethereum USDS - lending 7.0 11e6 0.6
    yearn-finance Ethereum CRVUSD - lending 9.6 6e6 0
    fluid-lending Ethereum GHO - lending 6.2 19e6 1.4
    fluid-lending Ethereum USDE - lending 7.7 13e6 1.0
    compound-v3 Ethereum USDS - lending 5.4 24e6 0.5
    sky-lending Ethereum DAI dsr savings 3.4 690e6 0
    curve-dex Ethereum USDC-CRVUSD - dex 2.2 14e6 3.8
    curve-dex Ethereum USDT-CRVUSD - dex 2.4 11e6 3.9
    curve-dex Ethereum PYUSD-USDC - dex 1.2 19e6 3.1
    curve-dex Ethereum USDE-USDC - dex 2.9 21e6 4.4
    curve-dex Ethereum FRAX-USDC - dex 1.0 8e6 2.0
    curve-dex Ethereum GHO-USDT-USDC - dex 1.7 5e6 5.2
    uniswap-v3 Ethereum DAI-USDC 0.01% dex 2.6 17e6 0
    uniswap-v3 Ethereum USDE-USDT 0.01% dex 6.7 8e6 0
    uniswap-v3 Ethereum USDC-USDS 0.01% dex 3.1 4e6 0
    uniswap-v3 Ethereum LUSD-USDC 0.05% dex 5.4 1.1e6 0
    ethena-usde Ethereum SUSDE 7_days_unstaking savings 8.2 1900e6 0
    pancakeswap-amm-v3 Ethereum USDC-USDT 0.01% dex 5.0 9e6 2.1
    maple Ethereum USDC syrup savings 9.6 620e6 1.4
    quickmoney Ethereum USDC farm absurd 1900 14e3 0
    moonfarm Ethereum USDT-USDC farm absurd 700 31e3 0
    curve-dex Ethereum LUSD-CRVUSD abandoned absurd 2600 5e3 0
    aave-v3 Base USDC - lending 5.1 95e6 0
    morpho-blue Base STEAKUSDC USDC lending 7.0 62e6 1.8
    moonwell Base USDC - lending 6.1 33e6 1.5
    compound-v3 Base USDC - lending 5.4 18e6 1.2
    fluid-lending Base USDC - lending 6.5 21e6 0.9
    aave-v3 Arbitrum USDC - lending 4.4 120e6 0
    aave-v3 Arbitrum USDT - lending 4.6 70e6 0
    fluid-lending Arbitrum USDC - lending 6.9 26e6 1.3
    uniswap-v3 Arbitrum USDC-USDT 0.01% dex 5.6 6e6 0
    compound-v3 Arbitrum USDC - lending 5.2 30e6 0.9
    aave-v3 Ethereum WETH - lending 2.0 1900e6 0
    uniswap-v3 Ethereum USDC-WETH 0.05% dex 21 140e6 0
    lido Ethereum STETH - savings 2.9 22000e6 0
    curve-dex Ethereum WETH-STETH - dex 1.9 210e6 1.1
"""
"""`project chain symbol meta behaviour apy_percent tvl_usd reward_percent`; a meta that is a token is what a vault
holds, and `_` in it stands for a space."""

# Day offsets at which catalogue lines begin and end (by line, from 0).
_BORN = {32: 22, 33: 47, 36: 58, 46: 64, 57: 71, 44: 96, 23: 112}
_DIES = {31: 97, 37: 126, 55: 74, 72: 110}
_NON_STABLE = frozenset({"WETH", "STETH"})
_CURATORS = ("ALPHA", "BORE", "CEDAR", "DUNE", "EMBER", "FJORD", "GROVE", "HALO", "INLET", "JADE", "KITE", "LARCH")
_VAULT_TOKENS = ("USDC", "USDT", "DAI", "USDE", "USDS", "PYUSD")
LATER_VAULTS = 18
"""Vaults that open one after the other once the catalogue's pools are there."""


def pool_specs(count: int | None = None) -> tuple[PoolSpec, ...]:
    """The first `count` pools; by default the catalogue and `LATER_VAULTS` vaults that open in later years."""
    pools = [_from_line(index, line) for index, line in enumerate(_CATALOGUE.strip().splitlines())]
    wanted = len(pools) + LATER_VAULTS if count is None else count
    if wanted > len(pools):
        pools.extend(_vaults(wanted - len(pools), spread=count is None))
    return tuple(pools[:wanted])


def _from_line(index: int, line: str) -> PoolSpec:
    project, chain, symbol, note, behaviour, apy, tvl, reward = line.split()
    holds = (note,) if note in _VAULT_TOKENS else tuple(symbol.split("-"))
    return PoolSpec(
        project=project,
        chain=chain,
        symbol=symbol,
        tokens=holds,
        meta=None if note == "-" or note in _VAULT_TOKENS else note.replace("_", " "),
        behaviour=behaviour,
        apy_percent=float(apy),
        tvl_usd=float(tvl),
        reward_percent=float(reward),
        stablecoin=_NON_STABLE.isdisjoint(holds),
        born=_BORN.get(index, 0),
        dies=_DIES.get(index),
    )


def _vaults(count: int, *, spread: bool) -> Iterator[PoolSpec]:
    """Further lending vaults; `spread` lets them open every eleven weeks after day 160, else all are there at once."""
    for index in range(count):
        token = _VAULT_TOKENS[index % len(_VAULT_TOKENS)]
        round_, curator = divmod(index, len(_CURATORS))
        yield PoolSpec(
            project="morpho-blue",
            chain="Ethereum",
            symbol=f"{_CURATORS[curator]}{token}{round_ or ''}",
            tokens=(token,),
            meta=None,
            behaviour="lending",
            apy_percent=5.0 + (index * 7 % 11) * 0.5,
            tvl_usd=4e6 * (1 + index * 5 % 13),
            reward_percent=(index % 4) * 0.5,
            born=160 + 77 * index if spread else 0,
        )


def pool_id(seed: int, spec: PoolSpec) -> str:
    """An id of DefiLlama's form, the same for one seed and pool for ever."""
    digest = blake2b(f"{seed}|{spec.key}".encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))


def listing(seed: int, spec: PoolSpec) -> dict[str, Any]:
    """The fixed fields of the pool in a `/pools` response; tokens by address where the registry has it."""
    return {
        "pool": pool_id(seed, spec),
        "chain": spec.chain,
        "project": spec.project,
        "symbol": spec.symbol,
        "poolMeta": spec.meta,
        "stablecoin": spec.stablecoin,
        "exposure": "single" if len(spec.tokens) == 1 else "multi",
        "ilRisk": "no" if spec.stablecoin else "yes",
        "outlier": spec.behaviour == "absurd",
        "underlyingTokens": [known_address(token, spec.chain) or token for token in spec.tokens],
    }


def depegs(days: int) -> Iterator[Depeg]:
    """Every depeg that begins in the first `days` days."""
    for year in range(days // YEAR + 1):
        for index, episode in enumerate(EPISODES):
            day = episode.day + YEAR * year
            symbol = EPISODE_ROTATION[year % len(EPISODE_ROTATION)] if index == 0 else episode.symbol
            if day < days:
                yield Depeg(symbol, day, episode.closes, episode.wick)

"""How pools move in the simulated market.

Belongs here: APY and TVL paths, rewards, births and deaths, missing days. Does not belong here: what pools there are
(`market_catalogue`), prices (`market_prices`).

A pool's base APY is `level * exp(beta * (cycle + squeeze) + slow + jump + fast)`: a common credit cycle and market-wide
squeezes that fade, a pool's own mean reversion, own jumps that fade, and noise of the day. A savings rate is set
instead: it stays for weeks and then moves towards the cycle. TVL follows yield: deposits come where more is paid,
push the rate down, and thin the rewards. Rates here are percent, as the API publishes them.

The loop's step depends on the days before alone, and each pool has its own random streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from defiyield_core.calendar import DayArray
from defiyield_core.sources.market_catalogue import OUTAGE_DAY, YEAR, PoolSpec
from defiyield_core.sources.market_prices import peg_shortfalls, stream
from defiyield_core.sources.replay import PoolRows
from defiyield_core.units import BoolArray, FloatArray

_LARGEST_JUMP = 1.7
_DRAIN_DAYS = 12
_YOUNG_DAYS = 60
_SINGLE_MISS = 0.003
_GAP = 0.0007
_LONGEST_GAP = 5


@dataclass(frozen=True)
class _Traits:
    """What a kind of pool is like: sensitivity to the cycle, sizes of its noises, how often it jumps."""

    beta: float
    slow_std: float
    fast_std: float
    jump_rate: float
    jump_size: float
    tvl_std: float
    crowding: float


_BEHAVIOURS = {
    "lending": _Traits(1.0, 0.18, 0.035, 0.020, 0.60, 0.026, 0.5),
    "savings": _Traits(0.0, 0.0, 0.0, 0.0, 0.0, 0.012, 0.0),
    "dex": _Traits(0.6, 0.30, 0.22, 0.030, 0.60, 0.035, 0.4),
    "absurd": _Traits(0.2, 0.50, 0.45, 0.050, 0.60, 0.120, 0.2),
}


@dataclass(frozen=True)
class _Paths:
    """Results of the loop, shape (days, pools)."""

    base_percent: FloatArray
    reward_percent: FloatArray
    tvl_usd: FloatArray


def pool_rows(seed: int, specs: Sequence[PoolSpec], calendar: DayArray) -> PoolRows:
    """Every row that the pools publish, rounded as the API does."""
    days = len(calendar)
    paths = _simulate(seed, specs, days)
    present = _present(seed, specs, days)
    day, pool = np.nonzero(present)
    base = np.round(paths.base_percent[day, pool], 5)
    rewarded = np.array([spec.reward_percent > 0.0 for spec in specs])[pool]
    reward = np.where(rewarded, np.round(paths.reward_percent[day, pool], 5), np.nan)
    # Sky publishes one rate and no parts of it.
    undivided = np.array([spec.project == "sky-lending" for spec in specs])[pool]
    return PoolRows(
        day=calendar[day],
        pool=pool.astype(np.int64),
        tvl_usd=np.round(paths.tvl_usd[day, pool], 0),
        apy_percent=np.round(base + np.where(rewarded, reward, 0.0), 5),
        apy_base_percent=np.where(undivided, np.nan, base),
        apy_reward_percent=reward,
    )


def _simulate(seed: int, specs: Sequence[PoolSpec], days: int) -> _Paths:
    pools = _Population(seed, specs, days)
    shape = (days, len(specs))
    paths = _Paths(np.empty(shape), np.empty(shape), np.empty(shape))
    market = stream(seed, "market")
    shocks, chances = market.standard_normal(days), stream(seed, "squeeze").random((days, 2))
    cycle = 0.24 * stream(seed, "cycle").standard_normal()
    squeeze = 0.0
    for day in range(days):
        cycle = 0.97 * cycle + 0.24 * np.sqrt(2 * 0.03) * shocks[day]
        jumped = chances[day, 0] < 0.014
        squeeze = 0.8 * squeeze + (min(0.12 - 0.25 * np.log1p(-chances[day, 1]), 0.9) if jumped else 0.0)
        pools.advance(day, float(cycle), float(squeeze))
        paths.base_percent[day] = pools.base_percent
        paths.reward_percent[day] = pools.reward_percent
        paths.tvl_usd[day] = np.exp(pools.log_tvl)
    return paths


class _Population:
    """All pools on one day; `advance` moves them to the next."""

    def __init__(self, seed: int, specs: Sequence[PoolSpec], days: int) -> None:
        own = np.array([stream(seed, "pool", spec.key).standard_normal(7) for spec in specs])
        traits = np.array([astuple(_BEHAVIOURS[spec.behaviour]) for spec in specs]).T
        beta, self.slow_std, self.fast_std, self.jump_rate, self.jump_size, tvl_std, self.crowding = traits
        self.beta = beta * np.exp(0.25 * own[:, 0])
        self.log_level = np.log([spec.apy_percent for spec in specs]) - 0.08 + 0.12 * own[:, 1]
        self.home_tvl = np.log([spec.tvl_usd for spec in specs]) + 0.30 * own[:, 2]
        self.kappa = 0.035 * np.exp(0.4 * own[:, 3])
        self.tvl_std = tvl_std * np.exp(0.4 * own[:, 6])
        self.usual_reward = np.array([spec.reward_percent for spec in specs])
        self.is_set = np.array([spec.behaviour == "savings" for spec in specs])
        self.born = np.array([spec.born for spec in specs])
        self.dies = np.array([spec.dies if spec.dies is not None else np.inf for spec in specs])
        shortfalls = peg_shortfalls(days)
        self.stress = np.zeros((days, len(specs)))
        for index, spec in enumerate(specs):
            for token in spec.tokens:
                self.stress[:, index] = np.maximum(self.stress[:, index], shortfalls.get(token, 0.0))
        self.normals = np.stack(
            [stream(seed, "pool", spec.key, "normal").standard_normal((days, 4)) for spec in specs], axis=-1
        )
        self.chances = np.stack([stream(seed, "pool", spec.key, "chance").random((days, 6)) for spec in specs], axis=-1)
        self.slow = self.slow_std * own[:, 4]
        self.jump = np.zeros(len(specs))
        self.set_rate = 0.1 * own[:, 5]
        self.reward_step = np.ones(len(specs))
        self.log_tvl = self.home_tvl - np.where(self.born > 0, 2.5, 0.0)
        self.base_percent = np.exp(self.log_level)
        self.reward_percent = self.usual_reward.copy()

    def advance(self, day: int, cycle: float, squeeze: float) -> None:
        """One day on, in place."""
        normal, chance = self.normals[day], self.chances[day]
        moved = self._flows(day, normal[1], chance[2])
        self.slow = self.slow * (1.0 - self.kappa) + self.slow_std * np.sqrt(2.0 * self.kappa) * normal[0]
        size = np.minimum(self.jump_size * -np.log1p(-chance[1]), _LARGEST_JUMP)
        self.jump = 0.6 * self.jump + np.where(chance[0] < self.jump_rate, size, 0.0)
        decided = self.is_set & (chance[3] < 1.0 / 28.0)
        self.set_rate = np.where(decided, 0.8 * cycle + 0.05 * normal[3], self.set_rate)
        fast = self.fast_std * normal[2] - self.crowding * moved + 5.0 * self.stress[day] * ~self.is_set
        drift = self.beta * (cycle + squeeze) + self.slow + self.jump + fast
        self.base_percent = np.exp(self.log_level + np.where(self.is_set, self.set_rate, drift))
        self.reward_step = np.where(chance[4] < 1.0 / 32.0, 1.7 * chance[5], self.reward_step)
        thinning = np.exp(0.7 * np.clip(self.home_tvl - self.log_tvl, -2.0, 1.0))
        self.reward_percent = self.usual_reward * self.reward_step * thinning

    def _flows(self, day: int, shock: FloatArray, chance: FloatArray) -> FloatArray:
        """Move TVL: towards yield, towards the pool's usual size, by chance (now and then a large ticket); returns the
        unexpected part of it."""
        yields = np.log(np.maximum(self.base_percent + self.reward_percent, 0.05))
        chased = 0.012 * np.tanh(1.5 * (yields - np.median(yields)))
        young = day - self.born < _YOUNG_DAYS
        homing = np.where(young, 0.06, 0.015) * (self.home_tvl - self.log_tvl)
        unexpected = self.tvl_std * shock * np.where(chance < 0.06, 5.0, 1.0)
        drained = np.where((self.dies - day <= _DRAIN_DAYS) & (self.dies > day), 0.22, 0.0)
        step = chased + homing + unexpected - drained - 1.8 * self.stress[day]
        self.log_tvl = np.where(day > self.born, self.log_tvl + step, self.log_tvl)
        return unexpected


def _present(seed: int, specs: Sequence[PoolSpec], days: int) -> BoolArray:
    """Which pools have a row on which day, shape (days, pools)."""
    offsets = np.arange(days)
    present = np.ones((days, len(specs)), dtype=bool)
    for index, spec in enumerate(specs):
        chances = stream(seed, "pool", spec.key, "gaps").random((days, 2))
        missing = chances[:, 0] < _SINGLE_MISS
        for start in np.flatnonzero(chances[:, 0] > 1.0 - _GAP):
            length = 2 + int(chances[start, 1] * (_LONGEST_GAP - 1))
            missing[start : start + length] = True
        alive = (offsets >= spec.born) & (offsets < (spec.dies if spec.dies is not None else days))
        present[:, index] = alive & ~missing
    present[offsets % YEAR == OUTAGE_DAY] = False
    return present

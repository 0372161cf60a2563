"""cvxportfolio on our market: its policy and its simulator, and what it traded.

Belongs here: everything that touches that library. Does not belong here: our books, rows of the report.

What it cannot say, and what is done instead:
    gas, a fixed charge of every transaction     a share of the dollars traded (see `competitors_market`)
    the smallest and the largest number of pools, the smallest position     left out
    wallets of several tokens     one cash account; a conversion is paid on the way into a pool
    a position that has drifted over a cap may stay     constraints of our own, by its interface for them; as it ships,
        caps are hard and such a position is sold down (`hard_caps`)
    a smallest transaction     its simulator refuses smaller trades (`reject_trades_below`)
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from defiyield_core.parameters import Parameters
from defiyield_core.units import annualised
from tests.bench.competitors_market import CASH, AssetFrames

MISSING = "cvxportfolio is not installed: pip install -c constraints.txt cvxportfolio"


def is_installed() -> bool:
    """Whether the library is there."""
    return find_spec("cvxportfolio") is not None


@dataclass(frozen=True)
class RivalRun:
    """What cvxportfolio did.

    Attributes:
        days: decisions. seconds: of the whole backtest, its records included. decide_seconds: its policy alone.
        net_apy: by its own simulator, as our `net_apy` counts.
        targets: day -> pool -> share of the book's value after the day's trades, of the pools that it traded.
    """

    days: int
    seconds: float
    decide_seconds: float
    net_apy: float
    targets: Mapping[date, Mapping[str, float]]

    @property
    def days_per_second(self) -> float:
        """Speed of the whole backtest."""
        return self.days / self.seconds


def run_rival(
    frames: AssetFrames,
    parameters: Parameters,
    aum_usd: float,
    solver: str,
    *,
    gas: bool = True,
    hard_caps: bool = False,
) -> RivalRun:
    """Back-test single-period optimisation over the frames from all cash.

    The objective is the forecast of one day less trading costs spread over the horizon: what our objective says, seen
    from one day.

    Args:
        solver: `CLARABEL`, `HIGHS`, ... gas: whether costs hold a share for gas, or conversion fees alone.
        hard_caps: sell what has drifted over a cap; otherwise it may stay, as in our rules.
    """
    import cvxportfolio as cvx

    simulator = cvx.MarketSimulator(
        market_data=cvx.UserProvidedMarketData(
            returns=frames.returns, cash_key=CASH, min_history=pd.Timedelta(0), copy_dataframes=False
        ),
        costs=[_cost(frames, parameters, gas=gas)],
        reject_trades_below=parameters.min_transaction_value,
    )
    policy = cvx.SinglePeriodOptimization(
        cvx.ReturnsForecast(r_hat=frames.forecast)
        - (1.0 / parameters.horizon_days) * _cost(frames, parameters, gas=gas),
        _hard_caps(frames, parameters) if hard_caps else _caps(frames, parameters),
        include_cash_return=False,
        solver=solver,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = time.perf_counter()
        result = simulator.backtest(policy, initial_value=aum_usd)
        seconds = time.perf_counter() - begun
    days = len(frames.returns)
    value = result.v.to_numpy(dtype=float)
    return RivalRun(
        days=days - 1,
        seconds=seconds,
        decide_seconds=float(result.policy_times.sum()),
        net_apy=annualised(value[-1] / aum_usd - 1.0, days),
        targets=_targets(result),
    )


def _cost(frames: AssetFrames, parameters: Parameters, *, gas: bool) -> Any:
    """`a |x| + c x` with the cost of a dollar bought `a + c`, of a dollar sold `a - c`."""
    import cvxportfolio as cvx

    buying, selling = frames.buying, frames.selling
    if not gas:
        foreign = frames.foreign
        buying, selling = parameters.conversion_rate * foreign, 0.0 * foreign
    return cvx.TransactionCost(a=(buying + selling) / 2, b=None, c=(buying - selling) / 2)


def _always(frames: AssetFrames) -> list[object]:
    import cvxportfolio as cvx

    return [cvx.LongOnly(applies_to_cash=True), cvx.MaxHoldings(frames.exit_usd), cvx.MaxTrades(frames.room_usd)]


def _hard_caps(frames: AssetFrames, parameters: Parameters) -> list[object]:
    import cvxportfolio as cvx

    return [
        *_always(frames),
        cvx.MaxWeights(parameters.position_cap_share),
        cvx.MaxHoldings(frames.cap_usd),
        *(cvx.FactorMaxLimit(*group) for group in zip(frames.groups, parameters.group_caps, strict=True)),
    ]


def _caps(frames: AssetFrames, parameters: Parameters) -> list[object]:
    """The same caps, none of them under what is held."""
    import cvxportfolio as cvx

    class Holdings(cvx.MaxHoldings):  # type: ignore[misc]
        """At most so many dollars in a pool, or what it holds."""

        def values_in_time(self, current_weights: pd.Series, **known: object) -> None:
            super().values_in_time(**known)
            limit = self.limit.parameter
            limit.value = np.maximum(limit.value, current_weights.to_numpy()[:-1])

    class Weights(cvx.MaxWeights):  # type: ignore[misc]
        """At most such a share in a pool, or what it holds."""

        def values_in_time(self, current_weights: pd.Series, **known: object) -> None:
            limit = self.limit.parameter
            limit.value = np.maximum(limit.value, current_weights.to_numpy()[:-1])

    class Groups(cvx.FactorMaxLimit):  # type: ignore[misc]
        """At most such a share in a group, or what it holds."""

        def values_in_time(self, current_weights: pd.Series, **known: object) -> None:
            limit = self.limit.parameter
            held = self.factor_exposure.parameter.value @ current_weights.to_numpy()[:-1]
            limit.value = np.maximum(limit.value, held)

    share = pd.DataFrame(parameters.position_cap_share, index=frames.cap_usd.index, columns=frames.cap_usd.columns)
    return [
        *_always(frames),
        Weights(share),
        Holdings(frames.cap_usd),
        *(Groups(*group) for group in zip(frames.groups, parameters.group_caps, strict=True)),
    ]


def _targets(result: Any) -> dict[date, dict[str, float]]:
    """The shares after trading, of what was traded."""
    held, traded = result.h, result.u
    targets = {}
    for day, trades in traded.iterrows():
        before = held.loc[day]
        moved = np.flatnonzero(trades.to_numpy()[:-1])
        after = (before + trades) / float(before.sum())
        targets[day.date()] = {after.index[place]: max(float(after.iloc[place]), 0.0) for place in moved}
    return targets

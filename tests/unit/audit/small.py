"""A short simulated market and a portfolio that needs no trained models; forecasters and sources that look ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from defiyield_core.calendar import Window
from defiyield_core.forecasting.port import APY, TVL
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.port import Fetched
from defiyield_core.sources.simulated import SimulatedSource
from defiyield_core.sources.through import ThroughSource
from defiyield_core.units import FloatArray

SETTINGS = Settings.from_environment({}, source="simulated:11")
MARKET = SimulatedSource(11, days=60, pools=50)
WINDOW = Window(date(2025, 2, 5), date(2025, 2, 26))
SPEC: PortfolioSpec = find_portfolio(SETTINGS.portfolios, "baseline").with_overrides({"forecaster": "ewma"})


def with_forecaster(name: str) -> PortfolioSpec:
    """The portfolio with another forecaster."""
    return replace(SPEC, parameters=SPEC.parameters.with_overrides({"forecaster": name}))


@dataclass(frozen=True)
class Peeking:
    """Expects of a pool what it has `ahead` days later, where that day is there, else what it has."""

    ahead: int
    name: str = "peeking"
    lookback_days: int = 5
    targets: frozenset[str] = frozenset({APY, TVL})

    def fit(self, history: object) -> object:
        raise NotImplementedError("works out all days at once")

    def levels(self, values: FloatArray, first: int) -> FloatArray:
        """(n_days - first, n)."""
        later = np.minimum(np.arange(first, len(values)) + self.ahead, len(values) - 1)
        return values[later]


class Smoothing(ThroughSource):
    """A source that revises the past: it takes from each rate the mean of all days that were asked for."""

    def pool_history(self, window: Window, pool_ids: Sequence[str]) -> Fetched:
        """Rows of `raw_defillama_pool_history`."""
        fetched = super().pool_history(window, pool_ids)
        apy = fetched.frame["apy"]
        return replace(fetched, frame=fetched.frame.assign(apy=(apy - 0.1 * (apy.mean() - 0.05)).clip(lower=-0.5)))

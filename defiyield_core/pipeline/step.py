"""What a step is, and the one way to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import pandas as pd

from defiyield_core.calendar import Window, utc_now
from defiyield_core.parameters import Parameters
from defiyield_core.portfolio.spec import load_portfolios
from defiyield_core.settings import Settings
from defiyield_core.sources.port import Source
from defiyield_core.warehouse.port import TableWrite, Warehouse

Phase = Literal["ingest", "process", "forecast", "allocate", "report"]
PHASES: tuple[Phase, ...] = ("ingest", "process", "forecast", "allocate", "report")


@dataclass(frozen=True)
class StepContext:
    """What steps may touch.

    Attributes:
        also: parameters in use besides those of the portfolio files (a backtest with overrides).
        yardsticks: forecast more than the portfolios use: every horizon, the baselines, and bounds.
        now: the present, naive UTC.
    """

    warehouse: Warehouse
    source: Source
    settings: Settings
    also: tuple[Parameters, ...] = ()
    yardsticks: bool = True
    now: Callable[[], datetime] = utc_now

    def parameters_in_use(self) -> list[Parameters]:
        """Of every portfolio file, and `also`: what forecasts, rulesets and chains must be computed for."""
        return [*(spec.parameters for spec in load_portfolios(self.settings.portfolios).values()), *self.also]


@dataclass(frozen=True)
class StepResult:
    """What a step wants written, and what it has to say about it.

    Attributes:
        numbers: figures for run metadata, by name.
        warnings: sentences for people.
    """

    writes: tuple[TableWrite, ...]
    numbers: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    preview: pd.DataFrame | None = None


@dataclass(frozen=True)
class Step:
    """One box of the flow.

    Attributes:
        name: its asset key; also the name of its main table where it writes one.
        upstream: names of the steps whose tables it reads.
        writes: tables it fills.
        version: changed when its arithmetic changes, so that stored rows can be told apart.
    """

    name: str
    phase: Phase
    group: str
    doc: str
    upstream: tuple[str, ...]
    writes: tuple[str, ...]
    compute: Callable[[StepContext, Window], StepResult]
    version: str = "1"


def execute(step: Step, context: StepContext, window: Window) -> StepResult:
    """Compute the window and replace it in the warehouse, all tables in one transaction."""
    result = step.compute(context, window)
    if result.writes:
        context.warehouse.replace(result.writes)
    return result

"""A small real deployment for tests: a short simulated market, two portfolios, a DuckDB file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.contracts import TABLES, table
from defiyield_core.portfolio.spec import WARMUP_DAYS
from defiyield_core.settings import Settings
from defiyield_core.sources.simulated import EPOCH
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import Warehouse
from defiyield_dagster.assets.steps import PHASE_TAG
from defiyield_dagster.build import build_defs
from defiyield_dagster.profiles import PROFILES
from defiyield_dagster.resources import RESOURCE_KEY, DeploymentResource, _replayed_source

FIRST = EPOCH + timedelta(days=WARMUP_DAYS)
LIVE = "name: live\npolicy: optimiser\nwallet: {USDC: 1000000}\npreset: default\n"
HOLD = "name: hold\npolicy: hold_pool\npolicy_options: {protocol: aave-v3, token: USDC}\nwallet: {USDC: 50000}\n"
VOLATILE = {"seen_at", "completed_at"}


@dataclass(frozen=True)
class Deployment:
    """Settings, definitions and the days there are."""

    settings: Settings
    defs: dg.Definitions
    days: Window

    @property
    def warehouse(self) -> Warehouse:
        return open_warehouse(self.settings.warehouse)


def deploy(folder: Path, monkeypatch: pytest.MonkeyPatch, *, days: int = 6, hold: str = HOLD) -> Deployment:
    """A deployment in a folder with as many partitions as asked for."""
    monkeypatch.setenv("DEFIYIELD_SIMULATED_DAYS", str(WARMUP_DAYS + days))
    _replayed_source.cache_clear()
    portfolios = folder / "portfolios"
    portfolios.mkdir(parents=True, exist_ok=True)
    (portfolios / "live.yaml").write_text(LIVE)
    (portfolios / "hold.yaml").write_text(hold)
    settings = Settings("simulated", f"duckdb:{folder / 'w.duckdb'}", folder, portfolios)
    resource = DeploymentResource(
        source=settings.source, warehouse=settings.warehouse, home=str(folder), portfolios=str(portfolios)
    )
    defs = build_defs(PROFILES["test"], settings=settings, resource_overrides={RESOURCE_KEY: resource})
    return Deployment(settings, defs, Window(FIRST, FIRST + timedelta(days=days - 1)))


MARKET = dg.AssetSelection.groups("raw", "lists", "universe", "forecasts", "eligibility")
REPORTS = dg.AssetSelection.tag(PHASE_TAG, "report")
BOOKS = (MARKET | dg.AssetSelection.groups("live", "hold")) - REPORTS


def stored_rows(warehouse: Warehouse, *, leave_out: tuple[str, ...] = ("completed_days",)) -> dict[str, pd.DataFrame]:
    """Every table's rows without the moments of fetching and finishing, in the order of the key."""
    found = {}
    for name in TABLES:
        if name in leave_out:
            continue
        rows = warehouse.read(name)
        rows = rows.drop(columns=[column for column in VOLATILE if column in rows])
        keys = [key for key in table(name).key if key in rows]
        found[name] = rows.sort_values(keys, ignore_index=True)
    return found


def assert_same_rows(left: dict[str, pd.DataFrame], right: dict[str, pd.DataFrame]) -> None:
    """Bit for bit."""
    assert left.keys() == right.keys()
    for name, rows in left.items():
        pd.testing.assert_frame_equal(rows, right[name], check_exact=True, obj=name)


def day(offset: int) -> date:
    """A day of the small market, counted from its first partition."""
    return FIRST + timedelta(days=offset)

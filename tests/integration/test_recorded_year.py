"""The recorded year through Dagster, against the same year without it."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from defiyield_core.backtest.engine import decision_window, load_range, run_range
from defiyield_core.calendar import Window
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_dagster.build import build_defs
from defiyield_dagster.instance import open_instance
from defiyield_dagster.launch import launch_range
from defiyield_dagster.resources import RESOURCE_KEY, DeploymentResource

OUTPUTS = ("state", "allocations", "transactions", "ledger")
TABLES = ("portfolio_daily", "asset_allocations", "allocation_transactions", "daily_ledger", "portfolio_state")
FIRST, LAST = date(2024, 7, 10), date(2025, 6, 5)

pytestmark = [pytest.mark.recorded, pytest.mark.slow]


def test_the_year_through_dagster_equals_the_backtest(
    recorded_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    settings = Settings.from_environment({"DEFIYIELD_HOME": str(tmp_path)}, source=f"recorded:{recorded_dir}")
    resource = DeploymentResource(source=settings.source, warehouse=settings.warehouse, home=str(tmp_path))
    defs = build_defs(settings=settings, resource_overrides={RESOURCE_KEY: resource})
    market = dg.AssetSelection.groups("raw", "lists", "universe", "forecasts", "eligibility")
    baseline = dg.AssetSelection.assets(*([["baseline", name] for name in OUTPUTS]))
    with open_instance(settings) as instance:
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
        launched = launch_range(defs, market | baseline, Window(FIRST, LAST), instance, log_level="CRITICAL")
        assert launched.success, launched.problems
        for name in OUTPUTS:
            done = instance.get_materialized_partitions(dg.AssetKey(["baseline", name]))
            assert (min(done), max(done), len(done)) == (str(FIRST), str(LAST), 331)

    spec = find_portfolio(settings.portfolios, "baseline")
    source = open_source(settings.source)
    loaded = load_range(settings, decision_window(source, spec, None, None), source=source)
    run_range(loaded, spec)
    stored = open_warehouse(settings.warehouse)
    scope = {"portfolio": "baseline"}
    for name in TABLES:
        pd.testing.assert_frame_equal(
            stored.read(name, scope=scope), loaded.warehouse.read(name, scope=scope), check_exact=True, obj=name
        )


def test_decisions_stay_when_every_later_row_is_removed_from_the_files(recorded_dir: Path, tmp_path: Path) -> None:
    cut = date(2024, 10, 1)
    for name in ("pools/pools.parquet", "market/stablecoin_marketcap_daily.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(recorded_dir / name, tmp_path / name)
    for name in ("pools/pool_history", "market/token_ohlcv_daily", "market/gas_daily"):
        rows = pd.read_parquet(recorded_dir / f"{name}.parquet")
        kept = rows[pd.to_datetime(rows["date"]) <= pd.Timestamp(cut)]
        assert len(kept) < len(rows)
        kept.to_parquet(tmp_path / f"{name}.parquet")
    gas = pd.read_parquet(recorded_dir / "market" / "gas_2hourly.parquet")
    ends = pd.Timestamp(cut + timedelta(days=1), tz="UTC")
    gas[gas["timestamp"] < ends].to_parquet(tmp_path / "market" / "gas_2hourly.parquet")

    settings = Settings.from_environment({})
    spec = find_portfolio(settings.portfolios, "baseline")
    books = []
    for folder, end in ((recorded_dir, cut + timedelta(days=30)), (tmp_path, cut)):
        loaded = load_range(settings, Window(FIRST, end), source=open_source(f"recorded:{folder}"))
        run_range(loaded, spec)
        books.append({name: loaded.warehouse.read(name, Window(FIRST, cut)) for name in TABLES})
    whole, truncated = books
    assert np.isfinite(truncated["portfolio_daily"]["aum_close_usd"]).all()
    for name in TABLES:
        pd.testing.assert_frame_equal(truncated[name], whole[name], check_exact=True, obj=name)

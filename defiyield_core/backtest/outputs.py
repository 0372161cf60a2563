"""What a backtest leaves in its folder.

`daily.parquet`, `positions.parquet`, `transactions.parquet`, `metrics.json`, `run.json`, `timings.json` and
`tearsheet.html`. All but the timings are equal for equal code, parameters and data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from defiyield_core import __version__
from defiyield_core.backtest.engine import LoadedRange, TimedRun
from defiyield_core.errors import ConfigurationError
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.reporting.inputs import ReportInputs, read_report_inputs
from defiyield_core.reporting.metrics import performance
from defiyield_core.reporting.tearsheet import tear_sheet

_DAILY = {
    "date": "date",
    "aum_open_usd": "aum_open",
    "accrual_usd": "accrual_usd",
    "forecast_accrual_usd": "forecast_accrual_usd",
    "gas_usd": "gas_usd",
    "conversion_usd": "conversion_usd",
    "revaluation_usd": "revaluation_usd",
    "flows_usd": "flows_usd",
    "aum_close_usd": "aum_close",
    "idle_usd": "idle_usd",
    "turnover_usd": "turnover_usd",
    "n_positions": "n_positions",
    "n_transactions": "n_transactions",
    "token_changes": "token_changes",
    "weighted_apy": "weighted_apy",
    "realised_apy": "realised_apy",
    "status": "status",
    "reason": "reason",
    "no_data_pools": "no_data_pools",
}
_VERSIONED = ("numpy", "pandas", "highspy")


@dataclass(frozen=True)
class BacktestOutputs:
    """A finished backtest as frames and JSON values."""

    run_id: str
    daily: pd.DataFrame
    positions: pd.DataFrame
    transactions: pd.DataFrame
    metrics: Mapping[str, Any]
    run: Mapping[str, Any]
    report: ReportInputs


def collect(loaded: LoadedRange, spec: PortfolioSpec, timed: TimedRun, compared: Sequence[str]) -> BacktestOutputs:
    """Gather the outputs of a run and of the portfolios it is compared with (run on the same range before)."""
    config = {
        "portfolio": spec.name,
        "policy": spec.policy,
        "policy_options": dict(spec.policy_options),
        "wallet": dict(spec.wallet),
        "parameters": spec.parameters.model_dump(),
        "start": str(loaded.window.start),
        "end": str(loaded.window.end),
    }
    identity = [__version__, config, timed.run.fingerprint]
    run_id = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    report = read_report_inputs(
        loaded.warehouse,
        spec.name,
        loaded.window,
        compare_with=tuple(compared),
        run_info={
            "run id": run_id,
            "policy": spec.policy,
            "source": loaded.context.source.name,
            "data fingerprint": timed.run.fingerprint,
            "code version": __version__,
        },
    )
    return BacktestOutputs(
        run_id=run_id,
        daily=timed.run.daily[list(_DAILY)].rename(columns=_DAILY),
        positions=report.positions[["date", "pool_id", "token", "amount", "value_usd"]],
        transactions=report.transactions.drop(columns=["portfolio"]),
        metrics=performance(timed.run.daily).as_dict(),
        run={
            "run_id": run_id,
            "config": config,
            "data_fingerprint": timed.run.fingerprint,
            "source": loaded.context.source.name,
            "versions": {"defiyield": __version__, **{name: version(name) for name in _VERSIONED}},
            "survivorship": "Only pools that were still listed when the history was recorded are in it.",
        },
        report=report,
    )


def write(outputs: BacktestOutputs, folder: Path, timings: Mapping[str, float]) -> Path:
    """Write everything; the path of the tear sheet.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("daily", "positions", "transactions"):
            getattr(outputs, name).to_parquet(folder / f"{name}.parquet", index=False)
        for name, content in (("metrics", outputs.metrics), ("run", outputs.run), ("timings", timings)):
            (folder / f"{name}.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
        sheet = folder / "tearsheet.html"
        sheet.write_text(tear_sheet(outputs.report))
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: cannot be written: {error}") from error
    return sheet

"""What a backtest leaves in its folder.

`daily.parquet`; `summary`, `allocations` and `transactions` as CSV and parquet (see `reporting.exports`);
`metrics.json`, `run.json`, `summary.txt`, `tearsheet.html` and `timings.json`. All but the timings and the summary,
which has the time of solving in it, are equal, byte for byte, for equal code, settings and data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from defiyield_core.backtest.engine import LoadedRange, TimedRun
from defiyield_core.backtest.identity import portfolio_config
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.reporting.analysis import Analysis, analyse
from defiyield_core.reporting.exports import write_exports
from defiyield_core.reporting.inputs import ReportInputs, read_report_inputs
from defiyield_core.reporting.run_metrics import run_metrics
from defiyield_core.reporting.scenarios import Scenario
from defiyield_core.reporting.summary import summary_text
from defiyield_core.reporting.survivorship import survivorship
from defiyield_core.reporting.tearsheet import tear_sheet
from defiyield_core.versions import code_version, versions

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
TEAR_SHEET = "tearsheet.html"


@dataclass(frozen=True)
class BacktestOutputs:
    """A finished backtest as frames and JSON values."""

    run_id: str
    daily: pd.DataFrame
    scenario: Scenario
    metrics: Mapping[str, Any]
    run: Mapping[str, Any]
    report: ReportInputs
    analysis: Analysis


def collect(
    loaded: LoadedRange, spec: PortfolioSpec, timed: TimedRun, compared: Sequence[str], run_id: str
) -> BacktestOutputs:
    """Gather the outputs of a run and of the portfolios it is compared with (run on the same range before)."""
    config = {**portfolio_config(spec), "start": str(loaded.window.start), "end": str(loaded.window.end)}
    report = read_report_inputs(
        loaded.warehouse,
        spec.name,
        loaded.window,
        compare_with=tuple(compared),
        run_info={
            "run id": run_id,
            "policy": spec.policy,
            "mode": spec.mode,
            "source": loaded.context.source.name,
            "data fingerprint": timed.run.fingerprint,
            "code version": code_version(),
        },
    )
    analysis = analyse(report)
    return BacktestOutputs(
        run_id=run_id,
        daily=timed.run.daily[list(_DAILY)].rename(columns=_DAILY),
        scenario=Scenario(
            name=spec.name,
            description=spec.description,
            mode=spec.mode,
            parameters=spec.parameters.model_dump(),
            wallet=dict(spec.wallet),
            seed=None,
            daily=timed.run.daily,
            positions=report.positions,
            transactions=report.transactions,
            details=report.details,
            solve_seconds=timed.decide_seconds,
            policy=spec.policy,
        ),
        metrics=run_metrics(report, analysis),
        run={
            "run_id": run_id,
            "config": config,
            "compared": list(compared),
            "data_fingerprint": timed.run.fingerprint,
            "source": loaded.context.source.name,
            "versions": versions(),
            "survivorship": survivorship(report),
        },
        report=report,
        analysis=analysis,
    )


def write(outputs: BacktestOutputs, folder: Path, timings: Mapping[str, Any]) -> None:
    """Write everything into a folder that is there."""
    outputs.daily.to_parquet(folder / "daily.parquet", index=False)
    write_exports(folder, [outputs.scenario])
    for name, content in (("metrics", outputs.metrics), ("run", outputs.run), ("timings", timings)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    (folder / "summary.txt").write_text(summary_text(outputs.report, analysis=outputs.analysis) + "\n")
    (folder / TEAR_SHEET).write_text(tear_sheet(outputs.report, outputs.analysis))

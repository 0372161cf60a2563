"""The assets of a portfolio: one multi-asset that closes its days, and one that tells about the newest.

Dagster allows no cycle between assets, even across days, and today's ledger needs yesterday's allocation. So a
portfolio's day is one multi-asset, of which only `state` (the day's close) depends on its own yesterday.
Belongs here: keys, dependencies and metadata. Does not belong here: a portfolio's money (see
`defiyield_core.portfolio`).
"""

import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from defiyield_core.calendar import Window
from defiyield_core.pipeline.step import StepContext
from defiyield_core.portfolio.runner import CHUNK_DAYS, first_decision_day, run_portfolio
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.reporting.inputs import positions_on
from defiyield_dagster.assets.steps import OWNERS, PHASE_TAG
from defiyield_dagster.metadata import markdown_table, picture, table_metadata
from defiyield_dagster.partitions import YESTERDAY, window_of
from defiyield_dagster.pictures import portfolio_pictures
from defiyield_dagster.progress import DayDone, Finished, announce
from defiyield_dagster.resources import DeploymentResource

MARKET = (
    "eligible_pools",
    "pool_forecasts",
    "gas_forecasts",
    "gas_fees",
    "token_daily",
    "pool_groups",
    "icebox_tokens",
    "pool_daily_metrics",
)
"""Steps whose tables a decision is made from."""

OUTPUTS = {
    "state": ("The close of the day: tokens in the wallet and in pools.", ("portfolio_state", "portfolio_daily")),
    "allocations": (
        "Positions after the day's trades, and what held every candidate where it is.",
        ("asset_allocations", "asset_allocation_details", "allocation_parameters", "allocation_problems"),
    ),
    "transactions": ("The plan of the day, in the order of execution, with its costs.", ("allocation_transactions",)),
    "ledger": ("The books: accrual, revaluation, fees and flows by token.", ("daily_ledger",)),
}
"""Output: what it is, and the tables it stands for."""
_PLAN = ("seq", "type", "from_location", "to_location", "token", "to_token", "amount", "amount_usd", "total_cost_usd")


class PortfolioConfig(dg.Config):
    """How a range is run.

    Attributes:
        resume: keep the days that the warehouse knows as completed and checked, and go on after them.
        chunk_days: days that are committed together.
    """

    resume: bool = False
    chunk_days: int = CHUNK_DAYS


def portfolio_assets(
    spec: PortfolioSpec, partitions: dg.DailyPartitionsDefinition, code_version: str, engine: str
) -> dg.AssetsDefinition:
    """`NAME/state`, `NAME/allocations`, `NAME/transactions` and `NAME/ledger`, computed together over the run's
    range."""

    @dg.multi_asset(
        name=op_name(spec.name),
        specs=list(_specs(spec, partitions, code_version, engine)),
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=False,
    )
    def close_days(
        context: dg.AssetExecutionContext, config: PortfolioConfig, deployment: DeploymentResource
    ) -> Iterator[dg.MaterializeResult]:
        core = deployment.context()
        asked = window_of(context.partition_keys[0], context.partition_keys[-1])
        window = _after_first_day(spec, core, asked)
        if window is None:
            context.log.warning(f"{spec.name} begins on {spec.first_day}: nothing to do in {asked}")
            return
        begun = time.perf_counter()
        run = run_portfolio(
            core,
            spec,
            window,
            chunk_days=config.chunk_days,
            resume=config.resume,
            on_day=lambda day, row: announce(DayDone(spec.name, day, row)),
        )
        _warn(context, run.daily, run.warnings)
        _describe(context, core, spec, run.daily)
        announce(Finished(spec.name, time.perf_counter() - begun, len(run.daily)))
        for output in OUTPUTS:
            yield dg.MaterializeResult(asset_key=dg.AssetKey([spec.name, output]))

    return close_days


def op_name(portfolio: str) -> str:
    """Name of the op that closes a portfolio's days (run configuration is addressed to it)."""
    return f"{portfolio}__day"


def _specs(
    spec: PortfolioSpec, partitions: dg.DailyPartitionsDefinition, code_version: str, engine: str
) -> Iterator[dg.AssetSpec]:
    state = dg.AssetKey([spec.name, "state"])
    for output, (doc, tables) in OUTPUTS.items():
        deps: list[Any] = [state]
        if output == "state":
            deps = [*MARKET, dg.AssetDep(state, partition_mapping=YESTERDAY)]
        yield dg.AssetSpec(
            dg.AssetKey([spec.name, output]),
            deps=deps,
            description=f"{doc} {spec.description}".strip(),
            group_name=spec.name,
            code_version=code_version,
            partitions_def=partitions,
            kinds={"python", engine},
            owners=OWNERS,
            tags={PHASE_TAG: "allocate", "defiyield/policy": spec.policy},
            metadata=table_metadata(tables),
            skippable=True,  # a portfolio that has not begun yet has no close
        )


def _after_first_day(spec: PortfolioSpec, core: StepContext, asked: Window) -> Window | None:
    """The part of the window on which the portfolio exists."""
    if spec.first_day is None:
        return asked
    first = first_decision_day(spec, core.source.first_day)
    return Window(max(first, asked.start), asked.end) if first <= asked.end else None


def _warn(context: dg.AssetExecutionContext, daily: pd.DataFrame, warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        context.log.warning(warning)
    for row in daily[daily["status"] != "ok"].itertuples():
        context.log.warning(f"{row.portfolio} {row.date.date()}: {row.status}: {row.reason}; the portfolio held")


def _describe(context: dg.AssetExecutionContext, core: StepContext, spec: PortfolioSpec, daily: pd.DataFrame) -> None:
    """Numbers on every partition, which the UI draws over time; tables and pictures on the last one only."""
    keys = {output: dg.AssetKey([spec.name, output]) for output in OUTPUTS}
    last = len(daily) - 1
    for position, row in enumerate(daily.to_dict("records")):
        partition = row["date"].date().isoformat()
        told = _numbers(row)
        if position == last:
            for output, extra in _newest_day(core, spec, daily, row["date"].date()).items():
                told[output] |= extra
            for output, drawn in _pictures(context, core, spec, row["date"].date()).items():
                told[output] |= drawn
        for output, values in told.items():
            context.add_asset_metadata(values, asset_key=keys[output], partition_key=partition)


def _pictures(
    context: dg.AssetExecutionContext, core: StepContext, spec: PortfolioSpec, day: date
) -> dict[str, dict[str, Any]]:
    """Pictures by output, NAV in the ledger too; books that are stored never fail because they cannot be drawn."""
    try:
        drawn = {
            output: {name: picture(f"{name} of {spec.name}", figure) for name, figure in figures}
            for output, figures in portfolio_pictures(core, spec.name, day).items()
        }
    except Exception as error:
        context.log.warning(f"no pictures of {spec.name}: {type(error).__name__}: {error}")
        return {}
    return {**drawn, "ledger": drawn["state"]}


def _numbers(row: dict[Any, Any]) -> dict[str, dict[str, Any]]:
    opened, close = row["aum_open_usd"], row["aum_close_usd"]
    net = (close - opened - row["flows_usd"]) / opened if opened else 0.0
    idle = row["idle_usd"] / close if close else 0.0
    return {
        "state": {
            "nav_usd": close,
            "net_day_yield": net,
            "idle_share": idle,
            "positions": row["n_positions"],
            "status": row["status"],
        },
        "allocations": {"positions": row["n_positions"], "weighted_apy": row["weighted_apy"], "idle_share": idle},
        "transactions": {
            "transactions": row["n_transactions"],
            "turnover_usd": row["turnover_usd"],
            "costs_usd": row["gas_usd"] + row["conversion_usd"],
        },
        "ledger": {
            "nav_usd": close,
            "accrual_usd": row["accrual_usd"],
            "revaluation_usd": row["revaluation_usd"],
            "realised_apy": row["realised_apy"],
        },
    }


def _newest_day(core: StepContext, spec: PortfolioSpec, daily: pd.DataFrame, day: date) -> dict[str, dict[str, Any]]:
    only, scope = Window(day, day), {"portfolio": spec.name}
    read = core.warehouse.read
    book = positions_on(
        day,
        float(daily["aum_close_usd"].iloc[-1]),
        read("asset_allocations", only, scope=scope),
        read("asset_allocation_details", only, scope=scope),
        read("pools", only),
    )
    plan = read("allocation_transactions", only, scope=scope)[list(_PLAN)].sort_values("seq")
    return {
        "allocations": {"positions_held": markdown_table(book.drop(columns=["pool_id"]))},
        "transactions": {"plan": markdown_table(plan)},
    }

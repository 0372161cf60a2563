"""The end of a portfolio's day: the message to people, the tear sheet, and its main pictures.

Belongs here: what is sent and written, and when. Does not belong here: wording (see `defiyield_core.notify`) or
layout (see `defiyield_core.reporting`).
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from defiyield_core import __version__
from defiyield_core.calendar import Window
from defiyield_core.notify import notify_day
from defiyield_core.pipeline.step import StepContext
from defiyield_core.portfolio.spec import PortfolioSpec, load_portfolios
from defiyield_dagster.assets.portfolios import OUTPUTS
from defiyield_dagster.assets.steps import OWNERS, PHASE_TAG
from defiyield_dagster.metadata import picture
from defiyield_dagster.pictures import report_pictures
from defiyield_dagster.progress import Finished, announce
from defiyield_dagster.resources import DeploymentResource

if TYPE_CHECKING:
    from defiyield_core.reporting.inputs import ReportInputs


class ReportConfig(dg.Config):
    """What the report of a portfolio does.

    Attributes:
        send: send the daily message. None: only for the portfolio that the schedule advances.
    """

    send: bool | None = None


def report_asset(spec: PortfolioSpec, *, scheduled: bool) -> dg.AssetsDefinition:
    """`NAME/report`: not partitioned, always about the newest closed day. A message that fails never fails the
    run."""

    @dg.asset(
        key=[spec.name, "report"],
        deps=[dg.AssetKey([spec.name, output]) for output in OUTPUTS if output != "state"],
        description="The newest day in a message, and the tear sheet of all days.",
        group_name=spec.name,
        code_version=__version__,
        kinds={"python", "html"},
        owners=OWNERS,
        tags={PHASE_TAG: "report"},
    )
    def tell(context: dg.AssetExecutionContext, config: ReportConfig, deployment: DeploymentResource) -> None:
        core, begun = deployment.context(), time.perf_counter()
        days = core.warehouse.days("portfolio_daily", scope={"portfolio": spec.name})
        if not days:
            context.log.warning(f"{spec.name} has no closed day yet: nothing to report")
            return
        report = read_report(core, spec, Window(days[0], days[-1]))
        sheet = write_tear_sheet(core, report)
        told: dict[str, dg.MetadataValue | bool] = {
            "day": dg.MetadataValue.text(days[-1].isoformat()),
            "days": dg.MetadataValue.int(len(days)),
            "tear_sheet": dg.MetadataValue.path(str(sheet)),
            **_pictures(context, report),
        }
        if scheduled if config.send is None else config.send:
            told["message_sent"] = notify_day(deployment.notifier(), core.warehouse, spec.name, days[-1])
        context.add_output_metadata(told)
        announce(Finished(f"{spec.name}/report", time.perf_counter() - begun, len(days)))

    return tell


def tear_sheet_path(home: Path, portfolio: str) -> Path:
    """Where a portfolio's tear sheet is."""
    return home / "reports" / f"{portfolio}.html"


def read_report(core: StepContext, spec: PortfolioSpec, window: Window) -> "ReportInputs":
    """The report on the window, compared with every other portfolio that has rows in it."""
    from defiyield_core.reporting.inputs import read_report_inputs

    others = [name for name in load_portfolios(core.settings.portfolios) if name != spec.name]
    return read_report_inputs(
        core.warehouse,
        spec.name,
        window,
        compare_with=others,
        run_info={"source": core.source.name, "mode": spec.mode, "code version": __version__},
    )


def write_tear_sheet(core: StepContext, report: "ReportInputs") -> Path:
    """Write the tear sheet; its path. Whoever reads it while it is written sees the old one whole."""
    from defiyield_core.reporting.tearsheet import tear_sheet

    path = tear_sheet_path(core.settings.home, report.portfolio)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(tear_sheet(report), encoding="utf-8")
    unfinished.replace(path)
    return path


def _pictures(context: dg.AssetExecutionContext, report: "ReportInputs") -> dict[str, dg.MetadataValue]:
    """The main pictures of the sheet; a report that is written never fails because they cannot be drawn."""
    try:
        return {name: picture(f"{name} of {report.portfolio}", figure) for name, figure in report_pictures(report)}
    except Exception as error:
        context.log.warning(f"no pictures of {report.portfolio}: {type(error).__name__}: {error}")
        return {}

"""Asset checks, generated from the tables that each asset fills.

Two per step at most, so that a year of days stays cheap: `contract` (ERROR, blocks what is downstream) and, where
there is something to compare with, `plausible` (WARN). A portfolio has `contract`, `books` (its identities,
recomputed from what is stored; both ERROR) and `outcome` (WARN).
Checks are not partitioned: one evaluation covers the run's range and names the failing days. Dagster's partitioned
checks are a preview and leave planned rows behind in range runs.
Belongs here: turning findings into check results. Does not belong here: the rules (see
`defiyield_core.contracts.checks`, `plausibility`, `forecast_rules`, `books`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from defiyield_core.calendar import Window, as_day
from defiyield_core.contracts import table
from defiyield_core.contracts.checks import violations
from defiyield_core.pipeline.registry import STEPS
from defiyield_core.pipeline.step import Step, StepContext
from defiyield_core.portfolio.spec import PortfolioSpec
from defiyield_core.warehouse.port import Warehouse
from defiyield_dagster.assets.portfolios import OUTPUTS
from defiyield_dagster.books import book_findings
from defiyield_dagster.forecast_rules import FORECAST_PLAUSIBILITY, IMPOSSIBLE
from defiyield_dagster.metadata import numbers
from defiyield_dagster.partitions import window_of_run
from defiyield_dagster.plausibility import PLAUSIBILITY, Finding, outcome_findings
from defiyield_dagster.resources import DeploymentResource

DAYS_WITHOUT_RANGE = 90
"""A check that is run by itself looks at the newest days of its table, this many."""
SHOWN = 20


@dataclass(frozen=True)
class Checked:
    """What a check looked at and found."""

    findings: Sequence[Finding]
    numbers: Mapping[str, float] = field(default_factory=dict)


_RULES = {**PLAUSIBILITY, **FORECAST_PLAUSIBILITY}
Evaluate = Callable[[StepContext, Window], Checked]


def quality_check(
    asset: dg.AssetKey, name: str, description: str, main_table: str, evaluate: Evaluate, *, blocking: bool
) -> dg.AssetChecksDefinition:
    """One check of an asset. Blocking ones are errors and stop what is downstream in the run; others are warnings."""

    @dg.asset_check(asset=asset, name=name, description=description, blocking=blocking)
    def check(context: dg.AssetCheckExecutionContext, deployment: DeploymentResource) -> dg.AssetCheckResult:
        core = deployment.context()
        window = window_of_run(context.run.tags) or newest_days(core.warehouse, main_table)
        checked = evaluate(core, window) if window else Checked(())
        return dg.AssetCheckResult(
            passed=not checked.findings,
            severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
            description=_summary(checked.findings),
            metadata=_metadata(window, checked),
        )

    return check


def newest_days(warehouse: Warehouse, name: str) -> Window | None:
    """The newest stored days of a table; None when it has none."""
    if table(name).window is None:
        return None
    days = warehouse.days(name)
    return Window(days[max(0, len(days) - DAYS_WITHOUT_RANGE)], days[-1]) if days else None


def step_checks(steps: Iterable[Step] = STEPS) -> list[dg.AssetChecksDefinition]:
    """`contract` of every step that fills a table, `plausible` of those that have rules."""
    made = []
    for step in steps:
        key = dg.AssetKey(step.name)
        if step.writes:
            tables = tuple(step.writes)
            doc = f"Columns, types, keys, bounds, finite values, order and no look-ahead in {', '.join(tables)}."
            made.append(quality_check(key, "contract", doc, tables[0], _contract(tables), blocking=True))
        rule = _RULES.get(step.name)
        if rule is not None:
            made.append(
                quality_check(key, "plausible", rule.doc, step.writes[0], _plausible(rule.evaluate), blocking=False)
            )
    return made


def portfolio_checks(spec: PortfolioSpec) -> list[dg.AssetChecksDefinition]:
    """`contract`, `books` and `outcome` of a portfolio, on its ledger: the last thing before anybody is told."""
    key = dg.AssetKey([spec.name, "ledger"])
    tables = tuple(name for _, names in OUTPUTS.values() for name in names)
    scope = {"portfolio": spec.name}
    contract_doc = "Columns, types, keys, bounds and finite values in every table of the portfolio."
    books_doc = (
        "Open + accrual + revaluation + flows - gas - conversion = close; positions + wallet = close; "
        "open = yesterday's close; each to 1e-6 USD, from the stored rows."
    )
    outcome_doc = "Days that did not end ok, held pools without data, money that lies idle."

    def books(core: StepContext, window: Window) -> Checked:
        return Checked(book_findings(core.warehouse, spec.name, window), {"days": len(window)})

    def outcome(core: StepContext, window: Window) -> Checked:
        return Checked(outcome_findings(core.warehouse.read("portfolio_daily", window, scope=scope)))

    return [
        quality_check(key, "contract", contract_doc, "portfolio_daily", _contract(tables, scope), blocking=True),
        quality_check(key, "books", books_doc, "portfolio_daily", books, blocking=True),
        quality_check(key, "outcome", outcome_doc, "portfolio_daily", outcome, blocking=False),
    ]


def _contract(tables: Sequence[str], scope: Mapping[str, str] | None = None) -> Evaluate:
    def evaluate(core: StepContext, window: Window) -> Checked:
        found: list[Finding] = []
        rows = 0
        for name in tables:
            contract = table(name)
            if contract.window is None:
                frame = core.warehouse.read(name)
            else:
                frame = core.warehouse.read(name, window, scope=scope)
            rows += len(frame)
            for broken in violations(contract, frame):
                if broken.severity == "error":
                    found.append(Finding(None, f"{name}: {broken}"))
            for rule in IMPOSSIBLE.get(name, ()):
                found.extend(rule(frame))
        return Checked(found, {"rows": rows})

    return evaluate


def _plausible(evaluate: Callable[[StepContext, Window], Sequence[Finding]]) -> Evaluate:
    return lambda core, window: Checked(evaluate(core, window))


def _summary(findings: Sequence[Finding]) -> str | None:
    if not findings:
        return None
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{findings[0]}{more}"


def _metadata(window: Window | None, checked: Checked) -> dict[str, Any]:
    told: dict[str, Any] = {"window": str(window) if window else "nothing is stored yet", **numbers(checked.numbers)}
    if checked.findings:
        days = sorted({as_day(finding.day) for finding in checked.findings if finding.day is not None})
        shown = "\n".join(f"- {finding}" for finding in checked.findings[:SHOWN])
        told["findings"] = dg.MetadataValue.md(shown)
        told["findings_total"] = len(checked.findings)
        if days:
            told["failing_days"] = ", ".join(day.isoformat() for day in days[:SHOWN])
    return told

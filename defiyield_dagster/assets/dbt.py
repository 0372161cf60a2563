"""The dbt models as assets: one step that builds all of them, and their tests as asset checks.

Belongs here: specs, checks, and the way of dbt's results into events. Does not belong here: reading the project (see
`dbt_models`), running it (see `dbt_runner`), SQL.

The marts are rebuilt whole, so the assets are not partitioned: they follow every partition of what they read. A test
of severity error blocks: dbt does not build what follows from a model whose test failed, and the run fails.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from defiyield_core.errors import ConfigurationError
from defiyield_dagster.dbt_models import DbtModel, load_models

GROUP = "dbt"
_KIND_OF_LAYER = {"staging": "view", "marts": "table"}
_BUILT = "success"
_EXECUTED_TESTS = ("pass", "warn", "fail")

AssetKeys = dg.AssetKey | Sequence[dg.AssetKey]


def build_dbt_assets(asset_key_of_table: Mapping[str, AssetKeys]) -> dg.AssetsDefinition:
    """One multi-asset with every dbt model, in the group `dbt`.

    It needs a resource `deployment` whose `.settings` are the deployment's `Settings`: dbt works on `.warehouse` and
    keeps manifest, results and log in `.home / "dbt"`.

    Args:
        asset_key_of_table: the asset that writes a table, or those that do where they are several (the portfolios').

    Raises:
        ConfigurationError: a table that a model reads is not in the mapping, or the project breaks its rules.
    """
    models = load_models()
    unmapped = {source for model in models for source in model.sources} - set(asset_key_of_table)
    if unmapped:
        raise ConfigurationError(f"no asset is named as the writer of {', '.join(sorted(unmapped))}, which dbt reads")

    @dg.multi_asset(
        name="dbt_models",
        specs=[_asset_spec(model, asset_key_of_table) for model in models],
        check_specs=[spec for model in models for spec in _check_specs(model)],
        required_resource_keys={"deployment"},
    )
    def dbt_models(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        yield from _build(context, models)

    return dbt_models


def _asset_spec(model: DbtModel, asset_key_of_table: Mapping[str, AssetKeys]) -> dg.AssetSpec:
    upstream = {dg.AssetKey([ref]) for ref in model.refs}
    for source in model.sources:
        keys = asset_key_of_table[source]
        upstream.update([keys] if isinstance(keys, dg.AssetKey) else keys)
    columns = [
        dg.TableColumn(column.name, type=column.data_type or "unknown", description=column.description)
        for column in model.columns
    ]
    return dg.AssetSpec(
        key=dg.AssetKey([model.name]),
        deps=sorted(upstream),
        description=model.description,
        group_name=GROUP,
        kinds={"dbt", _KIND_OF_LAYER[model.layer]},
        code_version=model.version,
        metadata={"dagster/column_schema": dg.TableSchema(columns=columns)} if columns else {},
    )


def _check_specs(model: DbtModel) -> Iterator[dg.AssetCheckSpec]:
    for test in model.tests:
        yield dg.AssetCheckSpec(
            name=_check_name(model, test.name),
            asset=dg.AssetKey([model.name]),
            description=test.description,
            blocking=test.severity == "error",
        )


def _check_name(model: DbtModel, test: str) -> str:
    return test.removeprefix(f"{model.name}_")


def _build(context: Any, models: Sequence[DbtModel]) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    from defiyield_dagster.dbt_runner import PIPELINE_EXCLUDES, DbtResult, count_rows, run_dbt

    settings = context.resources.deployment.settings
    run = run_dbt(settings.warehouse, "build", target_path=settings.home / "dbt", exclude=PIPELINE_EXCLUDES)
    built, tested = run.of("model"), run.of("test")
    tables = [model.name for model in models if model.layer == "marts" and _status(built, model.name) == _BUILT]
    rows = count_rows(settings.warehouse, tables)
    left_out: list[str] = []
    for model in models:
        if _status(built, model.name) != _BUILT:
            left_out.append(f"{model.name} ({_reason(built.get(model.name))})")
            continue
        metadata: dict[str, Any] = {"execution_seconds": built[model.name].seconds}
        if model.name in rows:
            metadata["dagster/row_count"] = rows[model.name]
        yield dg.MaterializeResult(asset_key=dg.AssetKey([model.name]), metadata=metadata)
        for test in model.tests:
            outcome: DbtResult | None = tested.get(test.name)
            if outcome is None or outcome.status not in _EXECUTED_TESTS:
                left_out.append(f"test {test.name} ({_reason(outcome)})")
                continue
            yield _check_result(model, outcome, is_warning=test.severity == "warn")
    if left_out:
        failed = ", ".join(name for name, test in tested.items() if test.status == "fail")
        cause = f" because these tests failed: {failed}" if failed else ""
        log = settings.home / "dbt" / "logs" / "dbt.log"
        raise dg.Failure(f"dbt left out {', '.join(left_out)}{cause}; see {log}", allow_retries=False)


def _check_result(model: DbtModel, outcome: Any, *, is_warning: bool) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey([model.name]),
        check_name=_check_name(model, outcome.name),
        passed=outcome.status == "pass",
        severity=dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR,
        metadata={"failing_rows": outcome.failures or 0, "execution_seconds": outcome.seconds},
        description=outcome.message or None,
    )


def _status(results: Mapping[str, Any], name: str) -> str:
    return results[name].status if name in results else "missing"


def _reason(result: Any | None) -> str:
    if result is None:
        return "no result"
    return f"{result.status}: {result.message}" if result.message else str(result.status)

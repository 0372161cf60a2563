"""dbt inside this process: where it connects, what it did, and nothing left open afterwards.

Belongs here: the way from a warehouse URL to dbt's profile, one invocation at a time, its results as plain data.
Does not belong here: Dagster, and what the models mean (see `dbt_project`). dbt is imported when it is first used: it
takes longer than everything else of a start.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from defiyield_core.errors import ConfigurationError, WarehouseError
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.postgres_url import PostgresUrl
from defiyield_dagster.dbt_models import project_folder

Command = Literal["build", "run", "test", "compile", "parse"]
PIPELINE_EXCLUDES = ("source:*",)
"""Tests of sources are left out of builds: the tables' own DDL enforces the same, and they read every raw row."""
_KEPT = ("manifest.json", "run_results.json", "partial_parse.msgpack")
_WITHOUT_DATABASE = ("parse",)
_INVOCATION = threading.Lock()  # dbt keeps its settings, adapters and log in globals of the process
_SEARCH_PATH = re.compile(r"search_path\s*=\s*([A-Za-z0-9_]+)")


@dataclass(frozen=True)
class DbtResult:
    """What became of one model or test.

    Attributes:
        kind: model or test.
        status: of a model success, error or skipped; of a test pass, warn, fail, error or skipped.
        message: dbt's words for it, empty when there are none.
        failures: rows that break a test; None for a model, or when a test could not run.
    """

    name: str
    kind: str
    status: str
    message: str
    seconds: float
    failures: int | None = None


@dataclass(frozen=True)
class DbtRun:
    """One invocation: whether dbt calls it a success, and its results in the order in which they came."""

    command: str
    success: bool
    results: tuple[DbtResult, ...]

    def of(self, kind: str) -> dict[str, DbtResult]:
        """The results of models or of tests, by name."""
        return {result.name: result for result in self.results if result.kind == kind}


def run_dbt(
    warehouse_url: str,
    command: Command,
    *,
    target_path: Path,
    select: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> DbtRun:
    """Run one dbt command on a warehouse, quietly; afterwards no connection of it is open.

    A model that cannot be built or a test that fails is a result, no exception. dbt works in a folder of its own under
    `target_path`; `manifest.json` and `run_results.json` replace the former ones when it is done, so that a reader
    never sees half of one. Its log is `target_path/logs/dbt.log`.

    Args:
        warehouse_url: `duckdb:PATH` or `postgresql://...`, as `open_warehouse` takes it.
        select, exclude: dbt's selectors; everything by default.

    Raises:
        ConfigurationError: the URL is of no database, or the project does not parse.
        WarehouseError: the database cannot be reached, or dbt gave up before the first model.
    """
    environment = dbt_environment(warehouse_url)
    if command not in _WITHOUT_DATABASE:
        # Makes the tables of a new database, waits for another process to let go of the file, and has clear errors.
        open_warehouse(warehouse_url).days("completed_days")
    target_path.mkdir(parents=True, exist_ok=True)
    arguments = [command, *_selectors("--select", select or ()), *_selectors("--exclude", exclude)]
    with _INVOCATION, _work_folder(target_path) as work, _environment(environment):
        try:
            outcome = _invoke(arguments, work=work, logs=target_path / "logs")
        finally:
            _close_connections()
        for name in _KEPT:
            if (work / name).exists():
                (work / name).replace(target_path / name)
    return _read_outcome(command, outcome, warehouse_url, target_path)


def count_rows(warehouse_url: str, relations: Sequence[str]) -> dict[str, int]:
    """Rows of tables or views that dbt made.

    Raises:
        WarehouseError: the database cannot be reached, or lacks one of them.
    """
    query = " union all ".join(f"select '{name}', count(*) from {name}" for name in relations)  # noqa: S608
    if not relations:
        return {}
    if not warehouse_url.startswith("duckdb:"):
        return _count_in_postgres(warehouse_url, query)
    import duckdb

    try:
        with duckdb.connect(warehouse_url.removeprefix("duckdb:")) as connection:
            return dict(connection.execute(query).fetchall())
    except duckdb.Error as error:
        raise WarehouseError(f"rows of {', '.join(relations)} cannot be counted: {error}") from error


def _count_in_postgres(warehouse_url: str, query: str) -> dict[str, int]:
    import psycopg2

    url = PostgresUrl.parse(warehouse_url)
    try:
        connection = psycopg2.connect(url.dsn)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return dict(cursor.fetchall())
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise WarehouseError(f"{url.shown}: rows cannot be counted: {url.scrub(str(error))}") from error


def dbt_environment(warehouse_url: str) -> dict[str, str]:
    """The variables of `dbt_project/profiles.yml` that point dbt at a warehouse.

    Raises:
        ConfigurationError: the URL is of no database that dbt can use.
    """
    if warehouse_url.startswith("duckdb:") and warehouse_url != "duckdb:":
        path = Path(warehouse_url.removeprefix("duckdb:")).expanduser().resolve()
        return {"DEFIYIELD_DBT_TARGET": "duckdb", "DEFIYIELD_DBT_PATH": str(path)}
    if warehouse_url == "memory:":
        raise ConfigurationError("dbt needs a database: the warehouse 'memory:' has none, use duckdb:PATH")
    url = PostgresUrl.parse(warehouse_url)
    from psycopg2.extensions import parse_dsn

    parts: dict[str, str] = parse_dsn(url.dsn)
    schema = _SEARCH_PATH.search(parts.get("options", ""))
    return {
        "DEFIYIELD_DBT_TARGET": "postgres",
        "DEFIYIELD_DBT_HOST": parts.get("host", ""),
        "DEFIYIELD_DBT_PORT": parts.get("port", "5432"),
        "DEFIYIELD_DBT_USER": parts.get("user", ""),
        "DBT_ENV_SECRET_DEFIYIELD_PASSWORD": parts.get("password", ""),
        "DEFIYIELD_DBT_DATABASE": url.database,
        "DEFIYIELD_DBT_SCHEMA": schema[1] if schema else "public",
        "DEFIYIELD_DBT_SSLMODE": parts.get("sslmode", "prefer"),
        "DEFIYIELD_DBT_SSLCERT": parts.get("sslcert", ""),
        "DEFIYIELD_DBT_SSLKEY": parts.get("sslkey", ""),
        "DEFIYIELD_DBT_SSLROOTCERT": parts.get("sslrootcert", ""),
    }


def _selectors(option: str, selectors: Sequence[str]) -> list[str]:
    return [option, *selectors] if selectors else []


def _invoke(arguments: Sequence[str], *, work: Path, logs: Path) -> Any:
    from dbt.cli.main import dbtRunner

    project = str(project_folder())
    folders = ["--project-dir", project, "--profiles-dir", project, "--target-path", str(work), "--log-path", str(logs)]
    quiet = ["--quiet", "--log-level", "none", "--log-level-file", "debug", "--no-use-colors"]
    offline = ["--no-send-anonymous-usage-stats", "--no-version-check"]
    return dbtRunner().invoke([*arguments, *folders, *quiet, *offline])


@contextmanager
def _work_folder(target_path: Path) -> Iterator[Path]:
    """A folder for one invocation, begun with the parsed project of the last one."""
    work = Path(tempfile.mkdtemp(prefix="invocation-", dir=target_path))
    try:
        parsed = target_path / "partial_parse.msgpack"
        if parsed.exists():
            shutil.copy2(parsed, work)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _close_connections() -> None:
    """Let go of the DuckDB file: dbt-duckdb keeps it open for the life of the process."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    kept = DuckDBConnectionManager._ENV
    DuckDBConnectionManager.close_all_connections()  # forgets the connection ...
    if kept is not None:
        kept.close()  # ... and this closes it, whoever else may still refer to it


def _read_outcome(command: str, outcome: Any, warehouse_url: str, target_path: Path) -> DbtRun:
    if outcome.exception is not None:
        raise _failure(command, outcome.exception, warehouse_url, target_path)
    rows = getattr(outcome.result, "results", ())
    results = tuple(
        DbtResult(
            name=row.node.name,
            kind=str(row.node.resource_type),
            status=str(row.status),
            message=_plain(row.message, warehouse_url),
            seconds=float(row.execution_time),
            failures=row.failures,
        )
        for row in rows
    )
    return DbtRun(command, bool(outcome.success), results)


def _failure(command: str, error: BaseException, warehouse_url: str, target_path: Path) -> Exception:
    from dbt.adapters.exceptions import FailedToConnectError
    from dbt_common.exceptions import DbtConfigError, DbtDatabaseError

    message = f"dbt {command} failed: {_plain(str(error), warehouse_url)}; see {target_path / 'logs' / 'dbt.log'}"
    if isinstance(error, (FailedToConnectError, DbtDatabaseError)):
        return WarehouseError(message)
    if isinstance(error, DbtConfigError) or command in _WITHOUT_DATABASE:
        return ConfigurationError(message)
    return WarehouseError(message)


def _plain(message: str | None, warehouse_url: str) -> str:
    """dbt's message on one line, without a password."""
    text = " ".join((message or "").split())
    return text if warehouse_url.startswith("duckdb:") else PostgresUrl.parse(warehouse_url).scrub(text)

"""The dbt project as data: its models, what they read, and their tests, without importing dbt.

Belongs here: reading `dbt_project/models`, and the rules that make that possible. Does not belong here: running dbt
(see `dbt_runner`), Dagster (see `assets.dbt`). A test holds this reading to the manifest that dbt itself makes.

Definitions are loaded by every process of the deployment, and dbt takes seconds to import and parse. This reader takes
milliseconds, because the project keeps to three rules: every model is described in a schema file, refers to others with
`ref('name')` and `source('defiyield', 'name')` in its own text, and every test is declared on a model and has a name.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from defiyield_core.errors import ConfigurationError

_REF = re.compile(r"ref\(\s*['\"](\w+)['\"]\s*\)")
_SOURCE = re.compile(r"source\(\s*['\"]defiyield['\"]\s*,\s*['\"](\w+)['\"]\s*\)")
_SOURCES_FILE = "sources.yml"


@dataclass(frozen=True)
class DbtTest:
    """A test of a model. `severity` is error or warn."""

    name: str
    description: str
    severity: str


@dataclass(frozen=True)
class DbtColumn:
    """A documented column."""

    name: str
    data_type: str
    description: str


@dataclass(frozen=True)
class DbtModel:
    """A model.

    Attributes:
        layer: folder under `models`: staging (views) or marts (tables).
        refs: models it reads. sources: tables of the pipeline it reads.
        version: hash of its text, changed with it.
    """

    name: str
    layer: str
    description: str
    refs: tuple[str, ...]
    sources: tuple[str, ...]
    columns: tuple[DbtColumn, ...]
    tests: tuple[DbtTest, ...]
    version: str


def project_folder() -> Path:
    """The dbt project of the checkout, or where DEFIYIELD_DBT_PROJECT says.

    Raises:
        ConfigurationError: it is not there.
    """
    folder = Path(os.environ.get("DEFIYIELD_DBT_PROJECT") or Path(__file__).parents[1] / "dbt_project").resolve()
    if not (folder / "dbt_project.yml").is_file():
        raise ConfigurationError(
            f"no dbt project at {folder}: install from a complete checkout, or set DEFIYIELD_DBT_PROJECT to its folder"
        )
    return folder


def load_models(folder: Path | None = None) -> tuple[DbtModel, ...]:
    """Every model of the project, each after the models it reads.

    Raises:
        ConfigurationError: naming the file that breaks a rule of this module.
    """
    folder = folder or project_folder()
    described = dict(_descriptions(folder / "models"))
    files = {path.stem: path for path in sorted((folder / "models").rglob("*.sql"))}
    if set(files) != set(described):
        raise ConfigurationError(
            f"{folder}: every model has one .sql file and one description: only one of both have"
            f" {', '.join(sorted(set(files) ^ set(described)))}"
        )
    models = {name: _model(path, described[name]) for name, path in files.items()}
    unknown = {ref for model in models.values() for ref in model.refs} - set(models)
    if unknown:
        raise ConfigurationError(f"{folder}: models refer to {', '.join(sorted(unknown))}, which are not there")
    order = TopologicalSorter({name: sorted(model.refs) for name, model in models.items()}).static_order()
    return tuple(models[name] for name in order)


def _descriptions(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in sorted(folder.rglob("*.yml")):
        if path.name == _SOURCES_FILE:  # generated, and large; what is needed of it is in the models' text
            continue
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe loader
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path} is no YAML: {error}") from error
        for entry in (content or {}).get("models", []):
            yield entry["name"], {**entry, "file": path}


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _model(path: Path, entry: Mapping[str, Any]) -> DbtModel:
    text = path.read_text(encoding="utf-8")
    return DbtModel(
        name=path.stem,
        layer=path.parent.name,
        description=str(entry.get("description", "")).strip(),
        refs=tuple(sorted(set(_REF.findall(text)))),
        sources=tuple(sorted(set(_SOURCE.findall(text)))),
        columns=tuple(
            DbtColumn(column["name"], column.get("data_type", ""), column.get("description", ""))
            for column in entry.get("columns", [])
        ),
        tests=tuple(_test(path.stem, test, entry["file"]) for test in entry.get("data_tests", [])),
        version=hashlib.sha256(text.encode()).hexdigest()[:12],
    )


def _test(model: str, declared: Any, file: Path) -> DbtTest:
    if not isinstance(declared, dict) or not (name := next(iter(declared.values())).get("name")):
        raise ConfigurationError(f"{file}: a test of {model} has no name: give it one that begins with {model}_")
    settings = next(iter(declared.values()))
    if not name.startswith(f"{model}_"):
        raise ConfigurationError(f"{file}: the test {name} of {model} must have a name that begins with {model}_")
    return DbtTest(
        name=name,
        description=str(settings.get("description", "")).strip(),
        severity=str(settings.get("config", {}).get("severity", "error")).lower(),
    )

"""Write what follows from the contracts: `python -m defiyield_core.contracts.generate [--check]`.

Belongs here: sql/0001_initial.sql (while it is the only migration), docs/tables.md, the dbt sources. Does not belong
here: anything that is edited by hand afterwards. With `--check` nothing is written: stale files are named and the exit
code is 1.

A column added to a contract after the first release is a new numbered file in sql/, written by hand
(`alter table ... add column`); from then on 0001_initial.sql is history and is left alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from defiyield_core.contracts import TABLES
from defiyield_core.contracts.ddl import create_indexes, create_table
from defiyield_core.contracts.schema import Column, Table

ROOT = Path(__file__).parents[2]
INITIAL = "sql/0001_initial.sql"
_LAYERS = {
    "raw": "What the sources said, parsed but not judged.",
    "universe": "Which pools there are, how they behave, and which may be used.",
    "forecast": "What was expected, by which model, and what came of it.",
    "portfolio": "What was decided, what it cost, what it earned.",
}


class _YamlText(str):
    """Text that is written double quoted: a template expression."""


class _Dumper(yaml.SafeDumper):
    """Safe YAML, with lists indented under their key as dbt's own files have them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(
    _YamlText, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style='"')
)


def initial_migration() -> str:
    """DDL of every table for Postgres, with the meaning of each column beside it."""
    header = [
        "-- The first migration: every table of the contracts.",
        "-- Written by `python -m defiyield_core.contracts.generate`. Once applied anywhere it is never edited:",
        "-- a later change is a new numbered file.",
    ]
    parts = ["\n".join(header) + "\n"]
    for table in TABLES.values():
        statements = [create_table(table, "postgres", comments=True), *create_indexes(table)]
        parts.append(f"-- {table.doc}\n" + "".join(f"{statement};\n" for statement in statements))
    return "\n".join(parts)


def table_reference() -> str:
    """The table reference in Markdown."""
    lines = [
        "# Tables",
        "",
        "Written by `make docs` from `defiyield_core/contracts`; do not edit. Rates and shares are fractions,",
        "times are UTC, and a missing double is NULL (NaN in a frame). Bounds include their ends.",
    ]
    for layer, meaning in _LAYERS.items():
        tables = [table for table in TABLES.values() if table.layer == layer]
        lines += ["", f"## {layer.capitalize()}", "", meaning, ""]
        lines += [f"- [`{table.name}`](#{table.name})" for table in tables]
        for table in tables:
            lines += _reference(table)
    return "\n".join(lines) + "\n"


def dbt_sources() -> str:
    """Every table as a source of dbt, with its columns' documentation and not-null tests."""
    source = {
        "name": "defiyield",
        "description": "Tables that the pipeline writes. Generated from defiyield_core/contracts; do not edit.",
        "schema": _YamlText("{{ target.schema }}"),
        "tables": [_source_table(table) for table in TABLES.values()],
    }
    content = yaml.dump(
        {"version": 2, "sources": [source]}, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True
    )
    return "# Written by `make docs` from defiyield_core/contracts; do not edit.\n" + content


def generated(root: Path) -> dict[str, str]:
    """Text of every generated file by its path below `root`."""
    files = {
        "docs/tables.md": table_reference(),
        "dbt_project/models/staging/sources.yml": dbt_sources(),
    }
    newer = [path for path in (root / "sql").glob("[0-9]*.sql") if path.name != Path(INITIAL).name]
    if not newer:
        files[INITIAL] = initial_migration()
    return files


def stale(root: Path) -> list[str]:
    """Generated files below `root` that are missing or differ from the contracts."""
    return [
        name
        for name, text in generated(root).items()
        if not (root / name).exists() or (root / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated files; 1 when a check finds a stale one."""
    parser = argparse.ArgumentParser(description="Write what follows from the table contracts.")
    parser.add_argument("--check", action="store_true", help="name stale files, write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout (default: this one)")
    options = parser.parse_args(arguments)
    names = stale(options.root)
    if options.check:
        for name in names:
            print(f"{name} does not follow from the contracts: run `make docs`")
        return 1 if names else 0
    files = generated(options.root)
    for name in names:
        path = options.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name], encoding="utf-8")
        print(f"wrote {name}")
    return 0


def _reference(table: Table) -> list[str]:
    facts = [f"key: {', '.join(f'`{name}`' for name in table.key)}"]
    facts.append(f"replaced by windows of `{table.window}`" if table.window else "replaced as a whole")
    if table.scope:
        facts.append(f"separately for each {', '.join(f'`{name}`' for name in table.scope)}")
    lines = ["", f"### {table.name}", "", table.doc, "", "; ".join(facts) + ".", ""]
    lines += ["| column | type | unit | null | bounds | meaning |", "|---|---|---|---|---|---|"]
    for column in table.columns:
        null = "yes" if column.nullable else ""
        cells = [f"`{column.name}`", column.type, column.unit, null, _bounds(column), _cell(column.doc)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _bounds(column: Column) -> str:
    if column.low is None and column.high is None:
        return ""
    low = "" if column.low is None else f"{column.low:g}"
    high = "" if column.high is None else f"{column.high:g}"
    return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _source_table(table: Table) -> dict[str, Any]:
    columns = []
    for column in table.columns:
        unit = f" [{column.unit}]" if column.unit else ""
        entry: dict[str, Any] = {"name": column.name, "description": f"{column.doc}{unit}"}
        if not column.nullable:
            entry["data_tests"] = ["not_null"]
        columns.append(entry)
    return {"name": table.name, "description": table.doc, "columns": columns}


if __name__ == "__main__":
    sys.exit(main())

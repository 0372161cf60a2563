"""Write what documents `defiyield allocate`: `python -m defiyield_core.allocation.schema [--check]`.

Belongs here: docs/allocate.md, the two JSON schemas and the example beside it. Does not belong here: the fields
themselves (`file_models`). With `--check` nothing is written: stale files are named and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from defiyield_core.allocation.decision_file import decision_json
from defiyield_core.allocation.engine import solve
from defiyield_core.allocation.example import EXAMPLE
from defiyield_core.allocation.json_schemas import (
    PARAMETER_MEANINGS,
    decision_schema,
    parameter_properties,
    problem_schema,
)
from defiyield_core.allocation.problem_file import problem_from_json

ROOT = Path(__file__).parents[2]
_DECIMALS = 4
"""Of the numbers in the page's answer; the command prints all digits."""

_INTRODUCTION = """\
# `defiyield allocate`

Written by `make docs` from `defiyield_core/allocation`; do not edit.

One allocation problem in, one proven decision out, both JSON. No database, no source, no settings.

```
defiyield allocate --example > problem.json     # a problem to begin with
defiyield allocate problem.json                 # the decision, on standard output and nothing else
defiyield allocate - < problem.json             # from standard input
defiyield allocate problem.json --set horizon_days=30 --set min_pools=2
defiyield allocate problem.json --engine cvxpy  # the same optimum from another engine
defiyield allocate --schema                     # JSON schema of the problem
defiyield allocate --output-schema              # JSON schema of the answer
```

| exit code | standard output | standard error |
| --- | --- | --- |
| 0 | the optimal decision | |
| 1 | a decision to hold, `status` `infeasible` or `timeout` | the reason, one line |
| 2 | nothing | what was refused, by the name of its field, one line |

A problem that `defiyield replay RUN_ID --out problem.json` writes is a file of this form, so any stored decision can be
taken apart here. From Python: `load_problem` and `problem_from_json` in `defiyield_core.allocation.problem_file`,
`solve` in `defiyield_core.allocation`, `decision_json` in `defiyield_core.allocation.decision_file`. What is solved,
and how it is proven: [engine.md](engine.md).
"""

_PROBLEM = """\
## The problem

Rates and shares are fractions, amounts are in tokens, `_usd` is dollars, gas is dollars per token leg. JSON schema:
[problem.schema.json](problem.schema.json).
"""

_REFUSED = """\
Refused, by name: unknown fields and parameters, values of the wrong type (`true` and `"5"` are no numbers), NaN and
Infinity, values outside their bounds, a key or a pool that is listed twice, a token without a price, a position in a
pool that is not listed or in a token that is not the pool's, pools on two chains, `min_pools` above `max_pools`, a book
worth more than 1e15 USD.

Not refused: no pools at all, or no money (the answer holds, with a note); a `min_pools` that fewer pools can meet (as
many as can, with a note); a position above its cap or below the minimum (it forces no trade); no gas.
"""

_PARAMETERS = """\
## Parameters

All are optional. Defaults are those of the preset `seed` with `full_allocation` off.
"""

_ANSWER = """\
## The answer

JSON schema: [decision.schema.json](decision.schema.json). Executing the transactions one by one on the starting
balances never goes below zero and ends in `wallet` and `positions`.
"""


_EXAMPLE = """\
## An example

A million dollars, a pool that must be left, a token that may not be kept, a pool closed to deposits
([problem.example.json](problem.example.json)):
"""


def page() -> str:
    """docs/allocate.md; the example in it is solved."""
    problem = problem_from_json(EXAMPLE)
    answer = decision_json(problem, solve(problem))
    parts = [
        _INTRODUCTION,
        _PROBLEM,
        _table(problem_schema(), with_defaults=True),
        _REFUSED,
        _PARAMETERS,
        _parameter_table(),
        _without_effect(),
        _ANSWER,
        _table(decision_schema(), with_defaults=False),
        _EXAMPLE,
        f"```json\n{compact(EXAMPLE)}\n```\n",
        f"Its answer, with numbers rounded to {_DECIMALS} decimals:\n",
        f"```json\n{compact(_rounded(answer))}\n```\n",
    ]
    return "\n".join(parts)


def generated() -> dict[str, str]:
    """Text of every generated file by its path below the checkout."""
    return {
        "docs/allocate.md": page(),
        "docs/problem.schema.json": json.dumps(problem_schema(), indent=2) + "\n",
        "docs/decision.schema.json": json.dumps(decision_schema(), indent=2) + "\n",
        "docs/problem.example.json": compact(EXAMPLE) + "\n",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated files; 1 when a check finds a stale one."""
    parser = argparse.ArgumentParser(description="Write the reference of `defiyield allocate`.")
    parser.add_argument("--check", action="store_true", help="name stale files, write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout (default: this one)")
    options = parser.parse_args(arguments)
    stale = {
        name: text
        for name, text in generated().items()
        if not (options.root / name).exists() or (options.root / name).read_text(encoding="utf-8") != text
    }
    for name, text in stale.items():
        if options.check:
            print(f"{name} does not follow from the models: run `make docs`")
            continue
        path = options.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {name}")
    return 1 if options.check and stale else 0


def compact(value: Mapping[str, Any]) -> str:
    """JSON with a line for every field, and for every row of a list of rows."""
    lines = []
    for key, inner in value.items():
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            rows = ",\n".join(f"    {json.dumps(row)}" for row in inner)
            lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(inner)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, _DECIMALS) + 0.0 if isinstance(value, float) else value


def _table(schema: Mapping[str, Any], *, with_defaults: bool) -> str:
    """A row for every field of a schema and of the objects in it."""
    heads = ["field", "type", "unit", *(["default"] if with_defaults else []), "meaning"]
    rows = []
    for name, field, is_required in _fields(schema, schema, ""):
        default = ["required" if is_required else f"`{json.dumps(field['default'])}`"] if with_defaults else []
        rows.append([f"`{name}`", _type(field, schema), field.get("unit", ""), *default, field["description"]])
    return _markdown(heads, rows)


def _fields(
    part: Mapping[str, Any], schema: Mapping[str, Any], path: str
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    for name, field in part["properties"].items():
        yield f"{path}{name}", field, name in part.get("required", ())
        inner, several = _object_of(field, schema)
        if inner is not None:
            yield from _fields(inner, schema, f"{path}{name}[]." if several else f"{path}{name}.")


def _object_of(field: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
    """The object that a field is, or holds a list of."""
    several = field.get("type") == "array"
    choices = (field["items"],) if several else field.get("anyOf", (field,))
    for choice in choices:
        if "$ref" in choice:
            return schema["$defs"][choice["$ref"].rpartition("/")[2]], several
    return None, several


def _type(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(choice, schema) for choice in field["anyOf"])
    if "$ref" in field:
        return "object"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "array":
        return f"list of {_type(field['items'], schema)}"
    if field["type"] == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"object: {_type(field['additionalProperties'], schema)} by name"
    return f"{field.get('format', field['type'])}{_bounds(field)}"


def _bounds(field: Mapping[str, Any]) -> str:
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    bounds = [f"{sign} {field[key]:g}" for key, sign in signs if key in field]
    return f" {', '.join(bounds)}" if bounds else ""


def _parameter_table() -> str:
    rows = [
        [
            f"`{name}`",
            _type(field, {}),
            field.get("unit", ""),
            f"`{json.dumps(field['default'])}`" if "default" in field else "",
            field["description"],
        ]
        for name, field in parameter_properties().items()
        if name not in _others()
    ]
    return _markdown(["parameter", "type and bounds", "unit", "default", "meaning"], rows)


def _without_effect() -> str:
    lead = "Accepted too, because a stored problem carries every parameter of its portfolio, but without effect here: "
    names = ", ".join(f"`{name}`" for name in _others())
    return textwrap.fill(f"{lead}{names}.", 120, break_on_hyphens=False, break_long_words=False) + "\n"


def _others() -> list[str]:
    return [name for name in parameter_properties() if name not in (*PARAMETER_MEANINGS, "min_position_usd")]


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())

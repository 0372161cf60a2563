"""JSON that means one thing: no key twice, and errors in one line.

Belongs here: the text of problem files. Does not belong here: what their fields mean.
"""

from __future__ import annotations

import json
from typing import Any

from defiyield_core.errors import AllocationError


class _Repeated:
    """Stands at a key that an object has twice."""


def parse_json(text: str) -> Any:
    """The values in a JSON text. NaN and Infinity pass: the field's own check refuses them by its name.

    Raises:
        AllocationError: it is no JSON, too deep, or an object in it has a key twice.
    """
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    values[key] = _Repeated()
                    repeated.append(key)
                seen.add(key)
        return values

    if not text.strip():
        raise AllocationError("is empty; `defiyield allocate --example` prints a problem")
    try:
        values = json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise AllocationError("not valid JSON for a problem: nested too deeply") from None
    except ValueError as error:
        raise AllocationError(f"not valid JSON ({' '.join(str(error).split())})") from None
    if repeated:
        where = _place(values) or repeated[0]
        raise AllocationError(f"{where}: the key stands there twice")
    return values


def _place(values: Any) -> str:
    """Path of the first repeated key; empty where there is none."""
    waiting: list[tuple[str, Any]] = [("", values)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _Repeated):
            return path
        entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting.extend((f"{path}.{key}" if path else str(key), inner) for key, inner in entries)
    return ""

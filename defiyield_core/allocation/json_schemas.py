"""JSON schemas of the problem file and of the answer, generated from their models.

Belongs here: the schemas, and what each parameter means to one problem. Does not belong here: writing them anywhere
(`schema`).
"""

from __future__ import annotations

from typing import Any

from defiyield_core.allocation.file_models import DecisionOut, ProblemIn
from defiyield_core.parameters import PRESETS, Parameters

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILE_DEFAULTS: dict[str, Any] = {**PRESETS["seed"], "full_allocation": False}
"""Parameters that a file does not name: the preset `seed` with full_allocation off."""

PARAMETER_MEANINGS: dict[str, tuple[str, str]] = {
    "max_alloc_percentage": ("fraction", "largest position, of AUM (the tighter of this and the next)"),
    "position_max_pct_total_assets": ("fraction", "largest position, of AUM"),
    "tvl_limit_percentage": ("fraction", "largest position, of the pool's TVL (the tighter of this and the next)"),
    "position_max_pct_pool_tvl": ("fraction", "largest position, of the pool's TVL"),
    "group1_max_pct": ("fraction", "largest sum of positions in risk group 1, of AUM"),
    "group2_max_pct": ("fraction", "the same of risk group 2"),
    "group3_max_pct": ("fraction", "the same of risk group 3"),
    "min_pools": ("pools", "fewest positions of at least the minimum; fewer where fewer pools can take one"),
    "max_pools": ("pools", "most positions; 0 means any number"),
    "min_transaction_value": ("USD", "smallest deposit or partial withdrawal"),
    "min_position_pct": ("fraction", "smallest position that counts, of AUM; never under `min_transaction_value`"),
    "conversion_rate": ("fraction", "fee of a conversion, of the value converted"),
    "horizon_days": ("days", "over which yield is counted against costs"),
    "full_allocation": ("", "true: no idle cash beyond what caps and minimums force"),
    "profit_optimization": ("", "true: no cap by AUM and one pool is enough, adopted only where it gains enough"),
    "profit_optimization_min_gain_usd": ("USD", "what it must promise above the normal rules"),
    "dilution": ("", "how our own deposit lowers a pool's rate"),
    "tvl_includes_positions": ("", "true where `tvl_usd` contains our own money already"),
    "engine": ("", "who solves; all give the same objective"),
    "gap_bps": ("bps", "proven distance from the best plan, of AUM"),
    "time_limit_seconds": ("seconds", "without a proof by then the status is `timeout`"),
}
"""Unit and meaning of the parameters that one problem depends on. The others are accepted and change nothing: they
belong to portfolios (eligibility, risk groups, icebox, books)."""

_MIN_POSITION_USD = {
    "type": "number",
    "minimum": 0,
    "unit": "USD",
    "description": "smallest position that counts; in place of min_position_pct",
}


def problem_schema() -> dict[str, Any]:
    """JSON schema of a problem file."""
    schema = _plain(ProblemIn.model_json_schema())
    parameters = schema["properties"]["parameters"]
    parameters["properties"] = parameter_properties()
    parameters["additionalProperties"] = False
    return {"$schema": DIALECT, "title": "Allocation problem", **schema}


def decision_schema() -> dict[str, Any]:
    """JSON schema of the answer."""
    return {"$schema": DIALECT, "title": "Allocation decision", **_plain(DecisionOut.model_json_schema(by_alias=True))}


def parameter_properties() -> dict[str, dict[str, Any]]:
    """JSON schema of each parameter, those that one problem depends on first, with the defaults of a file."""
    fields = _plain(Parameters.model_json_schema())["properties"]
    order = [*PARAMETER_MEANINGS, *(name for name in fields if name not in PARAMETER_MEANINGS)]
    properties: dict[str, dict[str, Any]] = {}
    for name in order:
        unit, meaning = PARAMETER_MEANINGS.get(name, ("", "changes nothing about one problem"))
        entry = {**fields[name], "description": meaning, **({"unit": unit} if unit else {})}
        entry["default"] = FILE_DEFAULTS.get(name, Parameters.model_fields[name].default)
        properties[name] = entry
        if name == "min_position_pct":
            properties["min_position_usd"] = dict(_MIN_POSITION_USD)
    return properties


def _plain(schema: Any) -> Any:
    """A schema without the titles that repeat the names."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _plain(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}

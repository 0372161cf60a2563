"""Every table of the warehouse, declared once.

From these declarations come the DDL of both engines, the schema checks, the dbt sources and the table reference.
Belongs here: names, types, units, keys and bounds of columns. Does not belong here: reading or writing (`warehouse`).
"""

from __future__ import annotations

from defiyield_core.contracts.forecast_tables import FORECAST_TABLES
from defiyield_core.contracts.portfolio_tables import PORTFOLIO_TABLES
from defiyield_core.contracts.raw_tables import RAW_TABLES
from defiyield_core.contracts.schema import Column, Table
from defiyield_core.contracts.universe_tables import UNIVERSE_TABLES
from defiyield_core.errors import ConfigurationError

_ALL = (*RAW_TABLES, *UNIVERSE_TABLES, *FORECAST_TABLES, *PORTFOLIO_TABLES)
TABLES: dict[str, Table] = {table.name: table for table in _ALL}

__all__ = ["TABLES", "Column", "Table", "table"]


def table(name: str) -> Table:
    """The contract of a table.

    Raises:
        ConfigurationError: when there is none by that name.
    """
    try:
        return TABLES[name]
    except KeyError:
        raise ConfigurationError(f"no table '{name}': the contracts know {', '.join(sorted(TABLES))}") from None

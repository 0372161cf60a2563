"""Opening a warehouse by its URL. Adding an adapter is one line here.

Belongs here: the choice. Does not belong here: what the chosen one does. Adapters are imported when chosen, so that no
one pays for drivers it does not use.
"""

from __future__ import annotations

from defiyield_core.errors import ConfigurationError
from defiyield_core.warehouse.port import Warehouse


def open_warehouse(url: str) -> Warehouse:
    """The warehouse behind a URL: `memory:`, `duckdb:PATH`, or `postgresql://...`.

    Raises:
        ConfigurationError: the URL is of none of these forms.
    """
    if url == "memory:":
        from defiyield_core.warehouse.memory import MemoryWarehouse

        return MemoryWarehouse()
    if url.startswith("duckdb:") and url != "duckdb:":
        from defiyield_core.warehouse.duckdb import DuckDBWarehouse

        return DuckDBWarehouse(url.removeprefix("duckdb:"))
    if url.startswith(("postgresql://", "postgres://", "postgresql+psycopg2://")):
        from defiyield_core.warehouse.postgres import PostgresWarehouse

        return PostgresWarehouse(url)
    raise ConfigurationError(
        f"warehouse '{url.split('@')[-1]}' is not understood: use duckdb:PATH, postgresql://... or memory:"
    )

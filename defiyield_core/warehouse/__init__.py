"""The only way to tables: one port, three adapters, one contract test suite.

Belongs here: reading and replacing windows, migrations. Does not belong here: what the tables mean (see `contracts`).
"""

from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite, Warehouse

__all__ = ["TableWrite", "Warehouse", "open_warehouse"]

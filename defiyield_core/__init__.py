"""The domain of DefiYield: pools, forecasts, allocations and ledgers as plain functions on arrays.

Belongs here: everything that is true without an orchestrator. Does not belong here: Dagster, dbt.
"""

__version__ = "0.1.0"

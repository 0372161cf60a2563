"""The steps of a day over a warehouse: what each reads, computes and writes, in order.

Belongs here: `Step` and the registry. A step is the unit that Dagster shows as an asset and the command line runs
as part of a phase; both call `execute`. Does not belong here: domain arithmetic.
"""

"""What Dagster loads as a second code location: the sweeps of the package, on the environment's source.

Apart from the daily assets, so that neither the schedule nor a backfill of everything ever makes a sweep.
"""

from defiyield_dagster.sweep import build_sweep_defs

defs = build_sweep_defs()

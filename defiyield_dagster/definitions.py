"""What Dagster loads: the definitions of the environment's profile and settings, and nothing else."""

from defiyield_dagster.build import build_defs
from defiyield_dagster.profiles import profile_from_environment

defs = build_defs(profile_from_environment())

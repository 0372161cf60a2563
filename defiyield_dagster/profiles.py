"""What differs between development, tests and production, in one table.

Belongs here: switches of a deployment. Does not belong here: where data lives (see `defiyield_core.settings`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from defiyield_core.errors import ConfigurationError

PROFILE_VARIABLE = "DEFIYIELD_PROFILE"


@dataclass(frozen=True)
class Profile:
    """One kind of deployment.

    Attributes:
        automation: schedules and sensors run from the start; otherwise they wait to be switched on in the UI.
        ingest_retries: how often a failed ingestion step is tried again, a minute after the first failure and then
        twice as late
            each time.
        freshness_hours: an asset that was not materialised for so long is overdue.
    """

    name: str
    automation: bool
    ingest_retries: int
    freshness_hours: int


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("dev", automation=False, ingest_retries=0, freshness_hours=36),
        Profile("test", automation=False, ingest_retries=0, freshness_hours=36),
        Profile("prod", automation=True, ingest_retries=3, freshness_hours=30),
    )
}


def profile_from_environment(environment: Mapping[str, str] | None = None) -> Profile:
    """The profile that DEFIYIELD_PROFILE names; `dev` without it.

    Raises:
        ConfigurationError: listing the profiles there are.
    """
    env = os.environ if environment is None else environment
    name = env.get(PROFILE_VARIABLE) or "dev"
    if name not in PROFILES:
        raise ConfigurationError(f"{PROFILE_VARIABLE} '{name}' is no profile: use {', '.join(PROFILES)}")
    return PROFILES[name]

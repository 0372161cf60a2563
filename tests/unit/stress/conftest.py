"""The undisturbed run of a short simulated market, once for all tests of a process."""

from __future__ import annotations

import pytest

from defiyield_core.stress.branch import Undisturbed, run_undisturbed
from defiyield_core.stress.exposure import Exposure, exposure_of
from tests.unit.stress.small import MARKET, SETTINGS, SPEC, WINDOW


@pytest.fixture(scope="session")
def base() -> Undisturbed:
    return run_undisturbed(SETTINGS, SPEC, WINDOW, MARKET)


@pytest.fixture(scope="session")
def exposure(base: Undisturbed) -> Exposure:
    return exposure_of(base)

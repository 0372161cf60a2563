"""The one resource of the project: a deployment, from which assets, checks and sensors take what they touch.

Belongs here: turning configuration into plain objects of the core. Does not belong here: using them.
"""

from __future__ import annotations

import os
from functools import lru_cache

import dagster as dg
from pydantic import PrivateAttr

from defiyield_core.notify import Notifier, notifier_from_environment
from defiyield_core.pipeline.step import StepContext
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.sources.port import Source
from defiyield_core.warehouse.opening import open_warehouse

RESOURCE_KEY = "deployment"


@lru_cache(maxsize=2)
def _replayed_source(spec: str) -> Source:
    return open_source(spec)


def _source(spec: str) -> Source:
    # A replayed or simulated market never changes: one copy serves every run of a process.
    return open_source(spec) if spec == "live" or spec.startswith("stored:") else _replayed_source(spec)


class DeploymentResource(dg.ConfigurableResource):
    """Source, warehouse, folders and notifier of a deployment; what is not given comes from the environment.

    Values are read when a run begins, not when the definitions are loaded, and nothing is opened before it is used.
    """

    source: str | None = None
    warehouse: str | None = None
    home: str | None = None
    portfolios: str | None = None

    _context: StepContext | None = PrivateAttr(default=None)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        given = {"DEFIYIELD_HOME": self.home, "DEFIYIELD_PORTFOLIOS": self.portfolios}
        environment = {**os.environ, **{name: value for name, value in given.items() if value}}
        return Settings.from_environment(environment, source=self.source, warehouse=self.warehouse)

    def context(self) -> StepContext:
        """What steps may touch; opened once per run."""
        if self._context is None:
            settings = self.settings
            settings.home.mkdir(parents=True, exist_ok=True)
            self._context = StepContext(open_warehouse(settings.warehouse), _source(settings.source), settings)
        return self._context

    def notifier(self) -> Notifier:
        """Where messages go."""
        return notifier_from_environment()

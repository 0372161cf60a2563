"""Opening a source by how it is configured. Adding a source is one line here.

Belongs here: the choice. Does not belong here: what the chosen one does. Adapters are imported when chosen, so that no
one pays for drivers it does not use.
"""

from __future__ import annotations

from defiyield_core.errors import ConfigurationError
from defiyield_core.sources.port import Source

FORMS = "simulated[:SEED], recorded:DIR, live or stored:WAREHOUSE"


def source_label(spec: str) -> str:
    """The source as people may see it: the address of a warehouse may hold a password."""
    return "stored" if spec.startswith("stored:") else spec


def open_source(spec: str) -> Source:
    """The source behind `simulated[:SEED]`, `recorded:DIR`, `live` or `stored:WAREHOUSE` (what a deployment was told).

    Raises:
        ConfigurationError: another form, a seed that is no whole number, or a directory that is not there.
    """
    kind, _, rest = spec.partition(":")
    if kind == "simulated":
        from defiyield_core.sources.simulated import SimulatedSource

        try:
            seed = int(rest) if rest else 7
        except ValueError:
            raise ConfigurationError(f"the seed '{rest}' of source '{spec}' is not a whole number") from None
        return SimulatedSource(seed)
    if kind == "recorded" and rest:
        from defiyield_core.sources.recorded import RecordedSource

        return RecordedSource(rest)
    if spec == "live":
        from defiyield_core.sources.live import LiveSource

        return LiveSource.from_environment()
    if kind == "stored" and rest:
        from defiyield_core.sources.stored import StoredSource
        from defiyield_core.warehouse.opening import open_warehouse

        return StoredSource(open_warehouse(rest))
    raise ConfigurationError(f"source '{source_label(spec)}' is not understood: use {FORMS}")

"""Opening a source by how it is configured. Adding a source is one line here.

Belongs here: the choice. Does not belong here: what the chosen one does. Adapters are imported when chosen, so that no
one pays for drivers it does not use.
"""

from __future__ import annotations

from defiyield_core.errors import ConfigurationError
from defiyield_core.sources.port import Source


def open_source(spec: str) -> Source:
    """The source behind `simulated[:SEED]`, `recorded:DIR` or `live`.

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
    raise ConfigurationError(f"source '{spec}' is not understood: use simulated[:SEED], recorded:DIR or live")

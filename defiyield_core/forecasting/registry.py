"""Forecasters by name. A new one is one line in the tuple below; portfolios name it in `forecaster`.

Belongs here: the list. Does not belong here: models.
"""

from __future__ import annotations

from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.baselines import Ewma, Persistence
from defiyield_core.forecasting.port import Forecaster

_REGISTERED: tuple[Forecaster, ...] = (
    Persistence(),
    Ewma(),
)
FORECASTERS: dict[str, Forecaster] = {forecaster.name: forecaster for forecaster in _REGISTERED}
ALWAYS = ("ewma", "persistence")
"""Baselines that are stored whatever the portfolios use, so that every model has its yardstick."""


def find_forecaster(name: str) -> Forecaster:
    """The forecaster by that name.

    Raises:
        ConfigurationError: listing the names there are.
    """
    if name not in FORECASTERS:
        raise ConfigurationError(f"no forecaster '{name}': there are {', '.join(sorted(FORECASTERS))}")
    return FORECASTERS[name]

"""`python -m defiyield_dagster.ui`: Dagster's webserver and daemon on this machine, on the data of the last demo.

Belongs here: which environment they start with. Does not belong here: production (see `infra/`).
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from defiyield_core.errors import ConfigurationError, DefiYieldError
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import source_label
from defiyield_dagster.instance import prepare_home
from defiyield_dagster.last_demo import settings_of_last

HOST = "127.0.0.1"
PORT_VARIABLE = "DEFIYIELD_UI_PORT"


def command(port: int) -> list[str]:
    """The command line of webserver and daemon."""
    workspace = Path(__file__).parents[1] / "workspace.yaml"
    location = ["-w", str(workspace)] if workspace.exists() else ["-m", "defiyield_dagster.definitions"]
    return [sys.executable, "-m", "dagster", "dev", *location, "-h", HOST, "-p", str(port), "--log-level", "warning"]


def environment(settings: Settings) -> dict[str, str]:
    """What their processes get: the same source, warehouse and homes as here, and no warning about `dagster dev`."""
    return {
        **os.environ,
        "DEFIYIELD_SOURCE": settings.source,
        "DEFIYIELD_WAREHOUSE": settings.warehouse,
        "DEFIYIELD_HOME": str(settings.home),
        "PYTHONWARNINGS": "ignore",
    }


def free_port() -> int:
    """DEFIYIELD_UI_PORT, else 3000.

    Raises:
        ConfigurationError: it is no port, or something listens there already.
    """
    text = os.environ.get(PORT_VARIABLE) or "3000"
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ConfigurationError(f"{PORT_VARIABLE} '{text}' is no port")
    with socket.socket() as probe:
        if probe.connect_ex((HOST, int(text))) == 0:
            raise ConfigurationError(f"something listens on {HOST}:{text} already: set {PORT_VARIABLE} to another port")
    return int(text)


def main() -> int:
    """Become `dagster dev`; 2 when a setting is wrong."""
    try:
        port = free_port()
        settings = settings_of_last()
        prepare_home(settings)
        market = source_label(settings.source)
        file = Path(settings.warehouse.removeprefix("duckdb:"))
        if settings.warehouse.startswith("duckdb:") and not file.exists():
            print(f"There is no data of {market} yet: `make demo` fills it.", flush=True)
        print(
            f"Dagster on {market}: http://{HOST}:{port} (about 15 seconds; Ctrl-C ends it)",
            flush=True,
        )
        arguments = command(port)
        os.execve(arguments[0], arguments, environment(settings))  # noqa: S606
    except DefiYieldError as error:
        print(f"ui: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""Which market the demo filled which warehouse with, so that the UI opens the same and two markets never mix in one
file.

Belongs here: one small file under the home. Does not belong here: anything that production needs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from defiyield_core.errors import ConfigurationError
from defiyield_core.settings import Settings

_NAME = "demo.json"


@dataclass(frozen=True)
class Demos:
    """What is known of former demos: the source of the last one, and the source in each warehouse."""

    last: str | None
    source_of: Mapping[str, str]


def read(home: Path) -> Demos:
    """What the file says; nothing when there is none, or none that can be read."""
    try:
        stored = json.loads((home / _NAME).read_text(encoding="utf-8"))
        return Demos(stored["last"], dict(stored["source_of"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Demos(None, {})


def remember(settings: Settings, source: str) -> None:
    """Write down that the warehouse holds this source from now on.

    Args:
        source: its full name, with the seed of a simulated market.

    Raises:
        ConfigurationError: it holds another one already.
    """
    known = read(settings.home)
    warehouse = settings.warehouse.split("@")[-1]  # never a password
    held = known.source_of.get(warehouse, source)
    if held != source and _exists(settings.warehouse):
        raise ConfigurationError(
            f"{warehouse} holds {held}, and two markets must not mix: set DEFIYIELD_HOME to another folder "
            f"for {source}, or remove the data (make clean)"
        )
    settings.home.mkdir(parents=True, exist_ok=True)
    stored = {"last": settings.source, "source_of": {**known.source_of, warehouse: source}}
    unfinished = settings.home / f"{_NAME}.part"
    unfinished.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(settings.home / _NAME)


def settings_of_last(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings of the environment; where it names no source, that of the last demo."""
    env = os.environ if environment is None else environment
    settings = Settings.from_environment(env)
    last = read(settings.home).last
    if env.get("DEFIYIELD_SOURCE") or last is None:
        return settings
    return Settings.from_environment(env, source=last)


def _exists(warehouse: str) -> bool:
    return not warehouse.startswith("duckdb:") or Path(warehouse.removeprefix("duckdb:")).exists()

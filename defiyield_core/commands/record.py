"""`defiyield record DIR`: download live history into the layout that `recorded:DIR` replays."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from defiyield_core.settings import Settings


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("record", help="download live history into a folder that can be replayed")
    parser.add_argument("folder", type=Path, help="folder to fill; what is there is kept, new rows win")
    parser.add_argument("--days", type=int, default=365, help="days of history (default 365)")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Record and say what was written."""
    from defiyield_core.sources.live import LiveSource
    from defiyield_core.sources.record import record

    report = record(LiveSource.from_environment(), arguments.folder, days=arguments.days)
    print(report.text())
    return 0

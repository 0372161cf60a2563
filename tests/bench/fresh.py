"""The command line in a process of its own: how long it takes and how much memory it needs at most.

Belongs here: starting it, and reading the clock and the peak. Does not belong here: what is run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import ROOT

_WORK = """
import json, resource, sys
from defiyield_core.cli import main
code = main(sys.argv[2:])
peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
scale = 1 if sys.platform == "darwin" else 1024
with open(sys.argv[1], "w") as file:
    json.dump({"code": code, "peak_bytes": max(peaks) * scale}, file)
"""


@dataclass(frozen=True)
class FreshRun:
    """One run of the command line.

    Attributes:
        seconds: wall time, interpreter and imports included. peak_mb: largest resident set, 10^6 bytes.
    """

    seconds: float
    peak_mb: float


def fresh_run(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> FreshRun:
    """Run `defiyield ARGUMENTS` in a new process, on one thread for arithmetic like everything measured here.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _WORK, str(told), *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - begun
        answer = json.loads(told.read_text()) if told.exists() else {"code": done.returncode}
        if answer["code"] != 0:
            raise RuntimeError(f"defiyield {' '.join(arguments)} failed: {done.stderr.strip()[-500:]}")
        return FreshRun(seconds, answer["peak_bytes"] / 1e6)

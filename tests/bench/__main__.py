"""`make bench`: run every measurement and write docs/benchmarks.md and var/benchmarks.json.

Each `bench_*` module has `run() -> list[Measurement]`. Timings are medians of several runs on this machine: compare
ratios, and single numbers only with the same machine.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.bench.measure import Measurement

MODULES = ("bench_warehouse", "bench_backtest", "bench_dagster", "bench_allocation")
ROOT = Path(__file__).parents[2]


def main(names: list[str]) -> int:
    """Run the modules asked for (all by default)."""
    chosen = [name for name in MODULES if not names or name in names]
    results: dict[str, list[Measurement]] = {}
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results[name] = import_module(f"tests.bench.{name}").run()
        for row in results[name]:
            print(f"  {row.what:<64} {row.value:>12,.3f} {row.unit:<8} {row.target}")
    home = Path(os.environ.get("DEFIYIELD_HOME") or ROOT / "var")
    home.mkdir(parents=True, exist_ok=True)
    plain = {name: [asdict(row) for row in rows] for name, rows in results.items()}
    (home / "benchmarks.json").write_text(json.dumps(plain, indent=2) + "\n")
    if chosen == list(MODULES):
        (ROOT / "docs" / "benchmarks.md").write_text(report(results))
    return 0


def report(results: dict[str, list[Measurement]]) -> str:
    """The benchmark report in markdown."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench`. Medians, on {os.cpu_count()} cores, Python {platform.python_version()}.",
    ]
    for name, rows in results.items():
        lines += ["", f"## {name.removeprefix('bench_').capitalize()}", "", "| what | measured | unit | asked for |"]
        lines += ["| --- | ---: | --- | --- |"]
        lines += [f"| {row.what} | {row.value:,.3f} | {row.unit} | {row.target} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

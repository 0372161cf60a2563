"""`make bench`: run every measurement and write docs/benchmarks.md and var/benchmarks.json.

Each `bench_*` module has `run() -> list[Measurement]`. Compare ratios, and single numbers only with the same machine.
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

MODULES = (
    "bench_warehouse",
    "bench_forecasts",
    "bench_backtest",
    "bench_memory",
    "bench_years",
    "bench_sweep",
    "bench_hourly",
    "bench_competitors",
    "bench_dagster",
    "bench_allocation",
)
ROOT = Path(__file__).parents[2]

# The modules load numpy later: the solvers are measured on one thread, so the arithmetic around them is too.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")


def main(names: list[str]) -> int:
    """Run the modules asked for (all by default)."""
    chosen = [name for name in MODULES if not names or name in names]
    results: dict[str, list[Measurement]] = {}
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        results[name] = import_module(f"tests.bench.{name}").run()
        for row in results[name]:
            print(f"  {row.what:<84} {row.value:>12,.3f} {row.unit:<8} {row.target:<14} {verdict(row)}")
    home = Path(os.environ.get("DEFIYIELD_HOME") or ROOT / "var")
    home.mkdir(parents=True, exist_ok=True)
    plain = {name: [{**asdict(row), "met": row.met} for row in rows] for name, rows in results.items()}
    (home / "benchmarks.json").write_text(json.dumps(plain, indent=2) + "\n")
    if chosen == list(MODULES):
        (ROOT / "docs" / "benchmarks.md").write_text(report(results))
    return 0


def verdict(row: Measurement) -> str:
    """`yes`, `no`, or nothing where nothing was asked for."""
    return "" if row.met is None else ("yes" if row.met else "no")


def report(results: dict[str, list[Measurement]]) -> str:
    """The benchmark report in markdown."""
    machine = f"on {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = ["# Benchmarks", "", f"Written by `make bench`, {machine}. CPU time is of one thread."]
    for name, rows in results.items():
        lines += ["", f"## {name.removeprefix('bench_').capitalize()}", ""]
        lines += ["| what | measured | unit | asked for | met |", "| --- | ---: | --- | --- | --- |"]
        lines += [f"| {row.what} | {row.value:,.3f} | {row.unit} | {row.target} | {verdict(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

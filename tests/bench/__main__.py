"""`make bench`: run every measurement and write docs/benchmarks.md and var/benchmarks.json.

`python -m tests.bench bench_sweep` runs one module and writes its section anew.

Each `bench_*` module has `run() -> list[Measurement]`. Compare ratios, and single numbers only with the same machine.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import date
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
    document = ROOT / "docs" / "benchmarks.md"
    document.write_text(report(results, document.read_text() if document.exists() else ""))
    return 0


def verdict(row: Measurement) -> str:
    """`yes`, `no`, or nothing where nothing was asked for."""
    return "" if row.met is None else ("yes" if row.met else "no")


def report(results: dict[str, list[Measurement]], before: str = "") -> str:
    """The report in markdown: a section for each module; those that were not run stay as they stand in `before`."""
    machine = f"on {os.cpu_count()} cores, Python {platform.python_version()}"
    head = f"# Benchmarks\n\nWritten by `make bench`, {machine}. CPU time is of one thread. A section is of one run.\n"
    sections = {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in before.split("\n## ")[1:]}
    for name, rows in results.items():
        lines = [f"## {_title(name)}", "", f"Measured on {date.today()}.", ""]
        lines += ["| what | measured | unit | asked for | met |", "| --- | ---: | --- | --- | --- |"]
        lines += [f"| {row.what} | {row.value:,.3f} | {row.unit} | {row.target} | {verdict(row)} |" for row in rows]
        sections[_title(name)] = "\n".join(lines) + "\n"
    return "\n".join([head, *(sections[_title(name)] for name in MODULES if _title(name) in sections)])


def _title(module: str) -> str:
    return module.removeprefix("bench_").capitalize()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

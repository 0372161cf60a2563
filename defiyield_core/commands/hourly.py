"""`defiyield hourly PORTFOLIO`: a portfolio that decides every hour, over a simulated market."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from defiyield_core.errors import ConfigurationError
from defiyield_core.hourly.run import HourlyRun, run_hourly
from defiyield_core.portfolio.spec import find_portfolio
from defiyield_core.settings import Settings


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("hourly", help="run a portfolio hour by hour over a simulated market")
    parser.add_argument("portfolio", help="name of a portfolio file")
    parser.add_argument("--days", type=int, default=365, help="days of decisions (default: 365)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the simulated market (default: 7)")
    parser.add_argument("--out", type=Path, help="folder for hourly.parquet, positions.parquet, metrics.json and more")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter (may be repeated)"
    )
    parser.add_argument("--solve-every-hour", action="store_true", help="without the certificate of inaction (slow)")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run and print the summary."""
    from defiyield_core.commands.backtest import overrides

    spec = find_portfolio(settings.portfolios, arguments.portfolio).with_overrides(overrides(arguments.set))
    done = run_hourly(spec, seed=arguments.seed, days=arguments.days, gate=not arguments.solve_every_hour)
    if arguments.out:
        write(done, arguments.out)
    print(summary(done))
    if arguments.out:
        print(f"Written to {arguments.out}.")
    return 0


def summary(done: HourlyRun) -> str:
    """What the run did, in a few lines."""
    run, metrics = done.run, done.metrics
    shares = ", ".join(f"{share:.1%} {_HOW[proof]}" for proof, share in run.shares.items() if share > 0)
    moves = int((run.frame["n_transactions"] > 0).sum())
    lines = [
        f"{done.portfolio} on simulated:{done.seed}, {metrics.first_day} to {metrics.last_day}",
        f"  eligible pools  {done.eligible_pools:>16}",
        f"  NAV             {metrics.nav_open_usd:>16,.2f} -> {metrics.nav_close_usd:,.2f} USD",
        f"  net APY         {metrics.net_apy:>16.2%}",
        f"  gas             {metrics.gas_usd:>16,.2f} USD",
        f"  conversion      {metrics.conversion_usd:>16,.2f} USD",
        f"  max drawdown    {metrics.max_drawdown:>16.3%}",
        f"  moved           {moves:>16,} of {len(run.frame):,} hours",
        f"  decided         {shares}",
        f"Market in {done.load_seconds:.1f} s, loop in {run.seconds:.1f} s: {run.steps_per_second:,.0f} hours/s.",
    ]
    return "\n".join(lines)


_HOW = {
    "certificate": "held by the certificate",
    "prices": "by fresh prices",
    "branches": "by a few branches",
    "solver": "by the optimiser",
}


def write(done: HourlyRun, folder: Path) -> None:
    """The run's files.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    run = done.run
    timings = {"load_seconds": done.load_seconds, "loop_seconds": run.seconds, "hours_per_second": run.steps_per_second}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in (("hourly", run.frame), ("positions", run.positions), ("transactions", run.transactions)):
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        for name, content in (("metrics", {**done.metrics.as_dict(), "decided": run.shares}), ("timings", timings)):
            (folder / f"{name}.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: cannot be written: {error}") from error

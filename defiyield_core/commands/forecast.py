"""`defiyield forecast`: how good forecasts are (`evaluate`) and what they are worth (`value`).

Belongs here: arguments of `evaluate` and what it prints. Does not belong here: figures (see `forecasting.evaluation`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defiyield_core.calendar import Window, parse_day
from defiyield_core.commands import forecast_value
from defiyield_core.errors import ConfigurationError
from defiyield_core.forecasting.port import Forecaster
from defiyield_core.forecasting.registry import FORECASTERS, find_forecaster, with_store
from defiyield_core.reporting.figures import percent
from defiyield_core.reporting.tables import Column, TextTable
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.sources.port import Source

if TYPE_CHECKING:
    from defiyield_core.forecasting.evaluation.evaluate import Evaluation
    from defiyield_core.forecasting.evaluation.scorecard import Result

MODELS = ("persistence", "ewma", "median_7d", "ses", "lightgbm", "xgboost", "combination")
"""Evaluated unless told otherwise; those of skforecast are slow."""
_SHOWN = {"apy": "APY on the last day", "mean_apy": "mean APY over the horizon"}


def register(commands: Any) -> None:
    """Add the command and its subcommands."""
    parser = commands.add_parser("forecast", help="how good forecasts are, and what they are worth")
    subcommands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _register_evaluate(subcommands)
    forecast_value.register(subcommands)


def _register_evaluate(subcommands: Any) -> None:
    parser = subcommands.add_parser("evaluate", help="score past forecasts against what came, and write a report")
    parser.add_argument("--start", required=True, help="first origin, YYYY-MM-DD")
    parser.add_argument("--end", help="last day whose outcomes count (default: the source's last)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the scores, the scorecard and the report")
    parser.add_argument(
        "--models", help=f"names with commas (default: {','.join(MODELS)}); persistence is always among them"
    )
    parser.set_defaults(handler=evaluate)


def evaluate(arguments: argparse.Namespace, settings: Settings) -> int:
    """Evaluate, write and print the summary."""
    from defiyield_core.forecasting.evaluation import evaluate as evaluation
    from defiyield_core.forecasting.evaluation.inputs import load
    from defiyield_core.forecasting.evaluation.report import write_report

    begun = time.perf_counter()
    forecasters = _forecasters(arguments.models or ",".join(MODELS), settings)
    source = open_source(settings.source)
    window = evaluated_window(source, arguments.start, arguments.end)
    out = evaluation.writable(arguments.out)
    loaded = load(settings, source, window)
    if not len(loaded.history.ids):
        raise ConfigurationError(f"{source.name} has no stablecoin pools up to {window.end}")
    found = evaluation.evaluate(loaded, forecasters, _teller())
    paths = dict(evaluation.write(found, out))
    paths["report"] = write_report(found, out)
    print(summary_text(found))
    print("\n" + "\n".join(f"{name:<15} {path}" for name, path in paths.items()))
    print(f"\nDone in {time.perf_counter() - begun:.0f} s.")
    return 0


def evaluated_window(source: Source, start: str, end: str | None) -> Window:
    """From the first origin to the last day whose outcomes count, within what the source has.

    Raises:
        ConfigurationError: no such days, a start outside the source, or an end before the start.
    """
    first = parse_day(start, "--start")
    wanted = parse_day(end, "--end") if end else source.last_day
    if wanted is None:
        raise ConfigurationError("--end is needed: a live source has no last day")
    if first > wanted:
        raise ConfigurationError(f"--start {first} is after {'--end' if end else 'the last day,'} {wanted}")
    last = min(wanted, source.last_day) if source.last_day is not None else wanted
    if not source.first_day <= first < last:
        raise ConfigurationError(
            f"--start {first}: {source.name} has data from {source.first_day} to {source.last_day or 'today'}, and an "
            "outcome has to follow the first origin"
        )
    return Window(first, last)


def _forecasters(names: str, settings: Settings) -> list[Forecaster]:
    """The forecasters by name, persistence first; trained models are kept in the store."""
    asked = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in asked if name not in FORECASTERS]
    if unknown or not asked:
        raise ConfigurationError(
            f"--models {names}: {f'no forecaster {unknown[0]!r}' if unknown else 'none given'}; there are "
            f"{', '.join(sorted(FORECASTERS))}"
        )
    return [with_store(find_forecaster(name), settings.model_store) for name in dict.fromkeys(("persistence", *asked))]


def _teller() -> Callable[[str], None]:
    begun = time.perf_counter()

    def told(name: str) -> None:
        print(f"  {name}: done after {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)

    return told


def summary_text(found: Evaluation) -> str:
    """What the cards say, for a terminal."""
    card = found.card
    pools = (
        f"{card.pools.seen} pools seen, {card.pools.scored} scored, {card.pools.judged} judged "
        f"(from {card.pools.fewest_days} days and $500,000 on)"
    )
    lines = [
        f"FORECASTS AGAINST WHAT CAME  {card.start} to {card.end}",
        f"{card.origins} origins, one every day; {pools}",
    ]
    lines += [f"warning: {warning}" for warning in card.warnings]
    for target, title in _SHOWN.items():
        for judged, every in ((found, "every day"), (found.weekly, "every week")):
            rows = [row for row in judged.card.results if row.target == target] if judged else []
            if rows:
                head = f"Error over that of persistence, median over judged pools: {title}, origins {every}"
                lines += ["", head, _errors(rows)]
    own = [row for row in card.results if row.model == card.default_model]
    if own:
        lines += ["", f"The default model, {card.default_model}", _details(own)]
    if card.skipped:
        lines += ["", "Not scored (pairs of pool and origin, over targets and horizons):"]
        lines += [f"  {pairs:>7,}  {reason}" for reason, pairs in card.skipped.items()]
    return "\n".join(lines)


def _errors(rows: Sequence[Result]) -> str:
    """A row per model, a column per horizon."""
    horizons = sorted({row.horizon_days for row in rows})
    found = {(row.model, row.horizon_days): row.relative_mae for row in rows}
    columns = (Column("model"), *(Column(f"{horizon} d", numeric=True) for horizon in horizons))
    models = list(dict.fromkeys(row.model for row in rows))
    cells = [
        (model, *(_number(found.get((model, horizon), float("nan")), 3) for horizon in horizons)) for model in models
    ]
    return TextTable(columns, tuple(cells)).render()


def _details(rows: Sequence[Result]) -> str:
    heads = ("days", "MAE", "MASE", "in the band", "skill", "95% interval", "DM p")
    cells = tuple(
        (
            row.target,
            str(row.horizon_days),
            _number(row.mae_pp, 2),
            _number(row.mase, 2),
            percent(row.coverage, digits=1),
            percent(row.skill, digits=1),
            f"{percent(row.skill_low, digits=1)} to {percent(row.skill_high, digits=1)}",
            _number(row.dm_p_value, 3),
        )
        for row in rows
    )
    return TextTable((Column("target"), *(Column(head, numeric=True) for head in heads)), cells).render()


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value == value else "n/a"

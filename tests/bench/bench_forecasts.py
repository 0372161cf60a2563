"""Speed of the default forecasts: a year of days with weekly refits, one refit, one day with its models stored."""

from __future__ import annotations

import time

from defiyield_core.calendar import Window
from defiyield_core.forecasting.boosting import LightGBM
from defiyield_core.forecasting.combination import Combination
from defiyield_core.forecasting.evaluation.inputs import load
from defiyield_core.forecasting.global_model import GlobalModel
from defiyield_core.forecasting.intervals import Calibrated
from defiyield_core.forecasting.port import History, forecast_days
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.sources.port import Source
from defiyield_core.sources.simulated import SimulatedSource
from tests.bench.measure import Measurement, median_seconds, recorded_folder

HORIZONS_DAYS = (1, 7, 14, 30)
YEAR_DAYS = 365
_POOLS = 130


def run() -> list[Measurement]:
    """Points and bounds of APY and TVL; nothing is trained before the clock starts."""
    source, kind = _source()
    history = _history(source)
    last = len(history.days) - 1
    first = max(last + 1 - YEAR_DAYS, 0)
    model = Combination(GlobalModel(LightGBM()))
    begun = time.perf_counter()
    forecast_days(Calibrated(model), history, first, HORIZONS_DAYS)
    year = time.perf_counter() - begun
    refit = median_seconds(lambda: GlobalModel(LightGBM()).models_used(history, last, HORIZONS_DAYS))
    points = median_seconds(lambda: forecast_days(model, history, last, HORIZONS_DAYS))
    bounds = median_seconds(lambda: forecast_days(Calibrated(model), history, last, HORIZONS_DAYS))
    label = f"{len(history.ids)} pools, {len(HORIZONS_DAYS)} horizons, {kind}"
    return [
        Measurement(f"{last + 1 - first} days with weekly refits, bounds included ({label})", year, "s", "< 150 s"),
        Measurement(f"one refit, the last one ({label})", refit, "s", "< 10 s"),
        Measurement(f"points of one day, models stored ({label})", points, "s", "< 1 s"),
        Measurement(f"points and bounds of one day, models stored ({label})", bounds, "s"),
    ]


def _source() -> tuple[Source, str]:
    folder = recorded_folder()
    if folder is not None:
        return open_source(f"recorded:{folder}"), "recorded"
    return SimulatedSource(7, days=YEAR_DAYS, pools=_POOLS), "simulated"


def _history(source: Source) -> History:
    settings = Settings.from_environment({}, source=source.name)
    if source.last_day is None:
        raise ValueError(f"{source.name} has no last day")
    return load(settings, source, Window(source.last_day, source.last_day)).history

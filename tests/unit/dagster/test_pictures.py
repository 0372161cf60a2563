"""Pictures of a run's newest partition: what they show, and that a picture never costs the rows."""

from __future__ import annotations

import base64
import io
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import num2date
from PIL import Image

from defiyield_core.calendar import Window
from defiyield_core.pipeline.registry import STEP_BY_NAME
from defiyield_core.pipeline.step import StepContext
from defiyield_core.reporting.forecast_charts import quality_chart
from defiyield_core.settings import Settings
from defiyield_core.sources.opening import open_source
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite
from defiyield_dagster.assets.steps import _pictures
from defiyield_dagster.metadata import picture
from defiyield_dagster.pictures import PICTURES, card_lines, forecast_fans

FIRST = date(2025, 1, 1)
LAST = FIRST + timedelta(days=119)
WINDOW = Window(FIRST, LAST)
POOLS = {"big": "aave", "big-2": "aave", "mid": "curve", "tiny": "euler", "small": "morpho", "none": "spark"}
SIZE = {"big": 9e8, "big-2": 8e8, "mid": 7e7, "small": 6e6, "tiny": 5e5}


def stamped(today: date) -> dict[str, Any]:
    moment = pd.Timestamp(today) + pd.Timedelta("23:00:00")
    return {"date": pd.Timestamp(today), "valid_at": moment, "seen_at": moment, "source": "test"}


@pytest.fixture(scope="module")
def core() -> StepContext:
    """120 days of six pools, five of them forecast on the last day, and the cards of two models."""
    random = np.random.default_rng(2)
    chart, pools, made, cards = [], [], [], []
    for today in WINDOW:
        for pool, protocol in POOLS.items():
            seen = {"pool_id": pool, "apy": 0.05 + 0.01 * random.random(), "tvl_usd": SIZE.get(pool, 1.0)}
            chart.append(stamped(today) | seen)
            named = {"chain": "Ethereum", "protocol": protocol, "symbol": "US$C_1", "tokens": "[]", "first_day": FIRST}
            pools.append({"date": pd.Timestamp(today), "pool_id": pool, "tvl_usd": 1.0} | named)
        for model, skill in (("combination", 0.1), ("ewma", -0.3)):
            for horizon in (1, 7):
                card = {"date": pd.Timestamp(today), "target": "apy", "model": model, "horizon_days": horizon}
                known = {"skill": skill, "skill_low": None if (today - FIRST).days < 28 else skill - 0.05}
                counts = {"pairs": 100, "pools": 5, "coverage": 0.8, "recent_coverage": 0.7}
                cards.append(card | known | counts | {"skill_high": skill + 0.05})
    for pool, size in SIZE.items():
        for model in ("combination", "ewma"):
            for horizon in (1, 7, 30):
                key = {"date": pd.Timestamp(LAST), "pool_id": pool, "model": model, "horizon_days": horizon}
                point = 0.06 if model == "combination" else 0.09
                bounds = {"apy_at_lower": point - 0.001 * horizon, "apy_at_upper": point + 0.002 * horizon}
                values = {"apy": point, "apy_at": point, "tvl_usd": size, "observed_age_days": 0}
                made.append(key | values | bounds)
    frames = {
        "raw_defillama_pool_history": chart,
        "pools": pools,
        "pool_forecasts": made,
        "forecast_scorecard": cards,
    }
    warehouse = open_warehouse("memory:")
    warehouse.replace([TableWrite(name, pd.DataFrame(rows), WINDOW) for name, rows in frames.items()])
    settings = Settings.from_environment({}, source="simulated:1", warehouse="memory:")
    return StepContext(warehouse, open_source("simulated:1"), settings)


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.get_lines()}


def test_the_largest_pools_of_distinct_protocols_are_drawn_with_their_fans(core: StepContext) -> None:
    (name, apy), (other, tvl) = forecast_fans(core, WINDOW)
    assert (name, other) == ("apy_fans", "tvl_fans")
    assert [axes.get_title("left") for axes in apy.axes] == [
        f"{who} US$C_1" for who in ("aave", "curve", "morpho", "euler")
    ]
    drawn = lines(apy.axes[0])
    assert len(drawn["observed"].get_xdata()) == 90
    expected = drawn["expected"]
    days = [(stamp.astype("datetime64[D]") - np.datetime64(LAST)).astype(int) for stamp in expected.get_xdata()]
    assert days == [0, 1, 7, 30]
    newest = core.warehouse.read("raw_defillama_pool_history", Window(LAST, LAST)).set_index("pool_id")["apy"]["big"]
    np.testing.assert_array_equal(expected.get_ydata(), [newest, 0.06, 0.06, 0.06])
    (band,) = apy.axes[0].collections
    corners = band.get_paths()[0].vertices
    last = corners[[num2date(x).date() == LAST + timedelta(days=30) for x in corners[:, 0]]]
    assert (last[:, 1].min(), last[:, 1].max()) == pytest.approx((0.03, 0.12))
    assert not tvl.axes[0].collections  # no bounds were stored for the TVL
    np.testing.assert_array_equal(lines(tvl.axes[1])["expected"].get_ydata(), [SIZE["mid"]] * 4)


def test_a_wild_day_does_not_flatten_the_rest(core: StepContext) -> None:
    quiet = forecast_fans(core, WINDOW)[0][1].axes[0].get_ylim()
    chart = core.warehouse.read("raw_defillama_pool_history")
    wild = (chart["pool_id"] == "big") & (chart["date"] == pd.Timestamp(LAST - timedelta(days=20)))
    chart.loc[wild, "apy"] = 4.0
    warehouse = open_warehouse("memory:")
    rest = [TableWrite(name, core.warehouse.read(name), WINDOW) for name in ("pools", "pool_forecasts")]
    warehouse.replace([TableWrite("raw_defillama_pool_history", chart, WINDOW), *rest])
    axes = forecast_fans(StepContext(warehouse, core.source, core.settings), WINDOW)[0][1].axes[0]
    assert axes.get_ylim() == pytest.approx(quiet, abs=0.002)
    assert [text.get_text() for text in axes.texts] == ["$900M · 1 beyond the scale"]


def test_days_without_forecasts_or_cards_have_no_picture(core: StepContext) -> None:
    before = Window(FIRST - timedelta(days=9), FIRST - timedelta(days=1))
    assert forecast_fans(core, before) == [] and card_lines(core, before) == []


def test_quality_is_of_the_default_model_from_the_first_interval_on(core: StepContext) -> None:
    ((name, figure),) = card_lines(core, WINDOW)
    assert name == "apy_quality"
    error, inside = figure.axes
    drawn = lines(error)
    assert {"1 day", "7 days"} <= set(drawn)
    np.testing.assert_allclose(drawn["7 days"].get_ydata(), np.full(120 - 28, 0.9))
    assert error.get_ylim()[0] < 0.9 and error.get_ylim()[1] > 1.0
    assert sorted({float(line.get_ydata()[0]) for line in inside.get_lines()}) == [0.7, 0.8]
    early = core.warehouse.read("forecast_scorecard", Window(FIRST, FIRST + timedelta(days=9)))
    first = quality_chart(early[early["model"] == "combination"], "early").axes[0]
    assert len(lines(first)["1 day"].get_ydata()) == 10  # while there is no interval, every day is drawn


@pytest.mark.parametrize("step", sorted(PICTURES))
def test_pictures_are_small_and_sharp(core: StepContext, step: str) -> None:
    assert step in STEP_BY_NAME
    for name, figure in PICTURES[step](core, WINDOW):
        shown = picture(name, figure).value
        assert shown is not None and shown.startswith(f"![{name}](data:image/png;base64,")
        png = base64.b64decode(shown.partition("base64,")[2].rstrip(")"))
        assert len(png) < 80_000
        with Image.open(io.BytesIO(png)) as image:
            assert image.size[0] == 900 and 300 < image.size[1] < 600
            assert image.convert("RGB").getpixel((2, image.size[1] - 2)) == (255, 255, 255)


def test_a_picture_that_cannot_be_drawn_is_a_warning(core: StepContext, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    context: Any = SimpleNamespace(log=SimpleNamespace(warning=told.append))
    step = STEP_BY_NAME["pool_forecasts"]
    assert set(_pictures(context, step, core, WINDOW)) == {"apy_fans", "tvl_fans"} and not told

    def broken(*_: object) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr("defiyield_dagster.assets.steps.PICTURES", {"pool_forecasts": broken})
    assert _pictures(context, step, core, WINDOW) == {}
    assert told == ["no pictures of pool_forecasts: ValueError: no ink"]
    assert _pictures(context, STEP_BY_NAME["pools"], core, WINDOW) == {}

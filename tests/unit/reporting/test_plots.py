"""Pictures as data, and their drawing as SVG: scales, ticks, paths and legends."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.reporting.inputs import held_values, protocol_shares, token_shares
from defiyield_core.reporting.plots import (
    CSS_VARIABLES,
    IDLE,
    SERIES,
    Band,
    ChartStyle,
    Dots,
    Line,
    Plot,
    Stack,
    apy_plot,
    costs_plot,
    drawdown_plot,
    nav_plot,
    positions_plot,
    shares_plot,
    tick_texts,
)
from defiyield_core.reporting.vector import day_ticks, figure, legend, svg, value_ticks
from tests.unit.reporting.sample_frames import sample_report

DAYS = np.array(["2025-01-01", "2025-01-02", "2025-01-03"], dtype="datetime64[s]")
SQUARE = ChartStyle(width_px=400, height_px=300, font_px=10.0)


@pytest.fixture(scope="module")
def report():
    return sample_report()


def plot_of(*layers, unit="usd", days=DAYS, **ends) -> Plot:
    return Plot("A & B", days, layers, unit, **ends)


def paths(plot: Plot) -> list[ElementTree.Element]:
    """Paths of the data: between the grid, which comes first, and the axis of days."""
    return ElementTree.fromstring(svg(plot, SQUARE)).findall("path")[1:-1]  # own output


def corners(shape: str) -> list[tuple[float, float]]:
    """Points of a path of relative lines."""
    found: list[tuple[float, float]] = []
    for kind, x, y in re.findall(r"([Ml])(-?[\d.]+) (-?[\d.]+)", shape):
        left, top = found[-1] if kind == "l" else (0.0, 0.0)
        found.append((round(left + float(x), 1), round(top + float(y), 1)))
    return found


def test_a_line_runs_from_edge_to_edge_and_higher_is_up():
    line = Line("a", np.array([0.0, 50.0, 100.0]), SERIES[0])
    drawn = corners(paths(plot_of(line, lowest=0.0, highest=100.0))[-1].get("d"))
    (x0, y0), (x1, y1), (x2, y2) = drawn
    assert (x1 - x0, y0 - y1) == pytest.approx((x2 - x1, y1 - y2), abs=0.11)
    assert x2 == 394.0 and (y0, y2) == (271.0, 7.0)


def test_rounding_does_not_add_up_along_a_line():
    days = np.arange(np.datetime64("2020-01-01"), np.datetime64("2025-01-01")).astype("datetime64[s]")
    line = Line("a", np.linspace(0.0, 1.0, len(days)), SERIES[0])
    assert corners(paths(plot_of(line, days=days, lowest=0.0, highest=1.0))[-1].get("d"))[-1] == (394.0, 7.0)


def test_an_unknown_value_breaks_a_line_and_a_lone_value_is_a_dot():
    days = np.arange(np.datetime64("2025-01-01"), np.datetime64("2025-01-06")).astype("datetime64[s]")
    line = Line("a", np.array([1.0, 2.0, np.nan, 3.0, np.nan]), SERIES[0])
    shape = paths(plot_of(line, days=days))[-1].get("d")
    assert shape.count("M") == 2 and shape.endswith("h0")


def test_a_stack_holds_each_amount_to_the_next_day():
    stack = Stack(("a", "b"), np.array([[1.0, 3.0, 3.0], [1.0, 1.0, 1.0]]), (SERIES[0], IDLE))
    areas = paths(plot_of(stack, lowest=0.0, highest=4.0))
    top, bottom = (re.findall(r"[HV][\d.]+", each.get("d")) for each in areas)
    # Up, along to the second day, up again, along to the end, down: the third day changes nothing.
    assert [piece[0] for piece in bottom] == ["H", "V", "H", "V", "H", "V"]
    assert top[-2] == "H394" and top[3] == "V7"


def test_a_single_day_is_seen_in_every_kind_of_picture():
    day = DAYS[:1]
    one = np.array([5.0])
    for layer in (Line("a", one, SERIES[0]), Dots("a", one, SERIES[0]), Stack(("a",), one[None], (SERIES[0],))):
        shapes = [each.get("d") for each in paths(plot_of(layer, days=day, lowest=0.0))]
        assert len(shapes) == 1 and not any("nan" in shape for shape in shapes)


def test_nothing_known_is_an_empty_picture_and_no_error():
    none = np.full(3, np.nan)
    layers = (Line("a", none, SERIES[0], filled=True), Dots("b", none, SERIES[1]), Band("c", none, none, IDLE))
    assert "nan" not in svg(plot_of(*layers)) and "inf" not in svg(plot_of(*layers))


def test_points_beyond_the_scale_are_left_out():
    dots = Dots("a", np.array([1.0, 99.0, 2.0]), SERIES[0])
    assert paths(plot_of(dots, lowest=0.0, highest=3.0))[-1].get("d").count("M") == 2


def test_pictures_are_wellformed_named_and_coloured_by_the_page(report):
    daily = report.daily["baseline"]
    for plot in (
        nav_plot(report.daily),
        drawdown_plot(report.daily),
        shares_plot(protocol_shares(report)),
        shares_plot(token_shares(report), "token"),
        positions_plot(held_values(report)),
        apy_plot(daily),
        costs_plot(daily),
    ):
        root = ElementTree.fromstring(figure(plot))  # own output
        drawn = root.findall("div/svg")
        assert [each.get("aria-label") for each in drawn] == [plot.title] * 2
        assert re.findall(r"#[0-9a-f]{3,6}", figure(plot)) == []
        assert len(figure(plot)) < 40_000


def test_the_legend_names_every_layer_and_escapes_it():
    stack = Stack(("<b>", "idle"), np.ones((2, 3)), (SERIES[0], IDLE))
    shown = legend(plot_of(stack, Line("x & y", np.ones(3), SERIES[1], "--"), Band("z", np.ones(3), np.ones(3), IDLE)))
    names = ["".join(item.itertext()) for item in ElementTree.fromstring(shown)]
    assert names == ["<b>", "idle", "x & y", "z"]
    assert "line dashed" in shown and f"var({CSS_VARIABLES[SERIES[1]]})" in shown


def test_the_subject_is_drawn_over_all_others_and_bands_lie_below():
    lines = [Line(name, np.ones(3), SERIES[n], width_px=2.4 if n == 0 else 1.7) for n, name in enumerate("ab")]
    order = [
        each.get("stroke") or each.get("fill") for each in paths(plot_of(*lines, Band("c", *np.ones((2, 3)), IDLE)))
    ]
    colours = [f"var({CSS_VARIABLES[colour]})" for colour in (IDLE, SERIES[1], SERIES[0])]
    assert order[-3:] == colours


@given(
    low=st.floats(-1e9, 1e9),
    span=st.floats(1e-3, 1e9),
    at_most=st.integers(2, 9),
    unit=st.sampled_from(["usd", "percent"]),
)
def test_value_ticks_are_few_within_the_scale_evenly_spaced_and_told_apart(low, span, at_most, unit):
    ticks = value_ticks(low, low + span, at_most)
    assert 1 <= len(ticks) <= at_most
    slack = 1e-6 * span + 1e-12 * abs(low)
    assert (ticks >= low - slack).all() and (ticks <= low + span + slack).all()
    if len(ticks) > 2:
        assert np.diff(ticks) == pytest.approx(np.diff(ticks)[0], rel=1e-3, abs=slack)
    if span > 1e-3 * abs(low):
        assert len(set(tick_texts(ticks, unit))) == len(ticks)


@given(first=st.dates(date(2019, 1, 1), date(2030, 1, 1)), days=st.integers(0, 4000), at_most=st.integers(2, 9))
def test_day_ticks_are_few_and_within_the_days(first, days, at_most):
    ticks = day_ticks(first, first + timedelta(days=days), at_most)
    assert 1 <= len(ticks) <= at_most
    assert ticks == sorted(set(ticks)) and first <= ticks[0] and ticks[-1] <= first + timedelta(days=days)


@pytest.mark.parametrize(
    ("first", "last", "at_most", "expected"),
    [
        (date(2025, 1, 1), date(2025, 1, 3), 7, ["2025-01-01", "2025-01-02", "2025-01-03"]),
        (
            date(2025, 1, 1),
            date(2025, 1, 31),
            5,
            ["2025-01-01", "2025-01-08", "2025-01-15", "2025-01-22", "2025-01-29"],
        ),
        (
            date(2024, 11, 15),
            date(2025, 5, 2),
            6,
            [f"{m}-01" for m in ("2024-12", "2025-01", "2025-02", "2025-03", "2025-04", "2025-05")],
        ),
        (
            date(2024, 7, 10),
            date(2025, 6, 5),
            6,
            [f"{m}-01" for m in ("2024-09", "2024-11", "2025-01", "2025-03", "2025-05")],
        ),
    ],
)
def test_days_are_named_at_round_places(first, last, at_most, expected):
    assert [day.isoformat() for day in day_ticks(first, last, at_most)] == expected


def test_percent_ticks_have_the_decimals_they_need():
    assert tick_texts(np.array([0.0, 0.25, 0.5]), "percent") == ["0%", "25%", "50%"]
    assert tick_texts(np.array([-0.0002, -0.0001, 0.0]), "percent") == ["-0.02%", "-0.01%", "0.00%"]


def test_portfolios_of_other_days_share_one_axis():
    report = sample_report(6)
    late = report.daily["equal_weight"].iloc[2:]
    plot = nav_plot({"baseline": report.daily["baseline"], "equal_weight": late})
    own, other = (layer.values for layer in plot.layers)
    assert len(plot.days) == 6 and np.isfinite(own).all()
    assert np.isnan(other[:2]).all() and other[2:] == pytest.approx(late["aum_close_usd"].to_numpy())


def test_the_mean_of_realised_apy_skips_days_without_money_at_work(report):
    daily = report.daily["baseline"].copy()
    plot = apy_plot(daily)
    dots, mean = plot.layers[0].values, plot.layers[1].values
    assert np.isnan(dots[0]) and np.isnan(mean[0])
    assert mean[4] == pytest.approx(dots[1:5].mean())
    assert mean[20] == pytest.approx(dots[14:21].mean())


def test_drawing_a_page_loads_no_drawing_library():
    code = "import sys, defiyield_core.reporting.tearsheet; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_positions_and_idle_money_are_the_nav(report):
    held = held_values(report, at_most=2)
    assert list(held.columns[-2:]) == ["other pools", "idle"] and held.shape[1] == 4
    closing = report.daily["baseline"].set_index("date")["aum_close_usd"]
    pd.testing.assert_series_equal(held.sum(axis=1), closing, check_names=False, check_freq=False)


def test_token_shares_are_those_of_the_positions(report):
    shares = token_shares(report)
    day = shares.index[-1]
    held = report.positions[report.positions["date"] == day].groupby("token")["value_usd"].sum()
    assert (shares.loc[day] * report.last_row["aum_close_usd"])[held.index].to_numpy() == pytest.approx(held.to_numpy())

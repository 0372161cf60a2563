"""Pictures of a set of scenarios and the comparison sheet."""

from __future__ import annotations

import html
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from defiyield_core.errors import DataError
from defiyield_core.reporting import charts, scenario_charts
from defiyield_core.reporting.page import PHONE, SCREEN
from defiyield_core.reporting.scenario_effects import parameter_effects
from defiyield_core.reporting.scenario_sheet import scenario_sheet
from defiyield_core.reporting.scenario_tradeoffs import Comparison, compare
from defiyield_core.reporting.scenarios import Scenario
from defiyield_core.reporting.tearsheet import SIMULATED, SURVIVORSHIP
from tests.unit.reporting.scenario_frames import scenario

NASTY = 'a<b>&"$x$_'


def few() -> list[Scenario]:
    return [
        scenario("baseline", 1e-4, fee_usd=1000.0, hhi=0.2, parameters={"cap": 0.25, "cost": 1}),
        scenario("bold", 5e-4, fee_usd=2000.0, hhi=0.4, fall=0.001, parameters={"cap": 0.5, "cost": 1}),
        scenario(NASTY, 0.5e-4, hhi=0.3, fee_usd=1500.0, parameters={"cap": 0.25, "cost": 2}),
    ]


def seeded(variants: int, seeds: int) -> list[Scenario]:
    return [
        scenario(f"v{v} seed {seed}", 1e-4 + 1e-5 * v + 1e-6 * seed, seed=seed, parameters={"cap": v}, days=6)
        for v in range(variants)
        for seed in range(seeds)
    ]


@pytest.fixture(scope="module")
def small() -> Comparison:
    return compare(few())


@pytest.fixture(scope="module")
def page() -> str:
    return _page(few_and_a_bound())


def few_and_a_bound() -> list[Scenario]:
    return [*few(), replace(scenario("oracle", 9e-4), policy="perfect_foresight")]


def _page(runs: list[Scenario]) -> str:
    return scenario_sheet(runs, title="Caps & costs", source="recorded:data", run_info={"matrix": "m.yaml"})


def _pictures(comparison: Comparison, style: charts.ChartStyle) -> dict[str, Figure]:
    return {
        "beside": scenario_charts.side_by_side_chart(comparison, style),
        "trade": scenario_charts.trade_off_chart(comparison, style),
        "nav": scenario_charts.nav_chart(comparison, style),
        "parameters": scenario_charts.parameter_chart(parameter_effects(comparison), style),
    }


@pytest.mark.parametrize("style", [charts.ChartStyle(), PHONE], ids=["wide", "phone"])
def test_every_picture_shows_something_in_its_width(small, style):
    for figure in _pictures(small, style).values():
        image = matplotlib.image.imread(io.BytesIO(charts.to_png(figure, scale=1.0)))
        assert image.shape[1] == style.width_px
        assert 0.005 < (image[..., :3].min(axis=2) < 0.98).mean() < 0.9


def test_panels_stand_side_by_side_and_on_a_phone_under_each_other(small):
    for style, is_wide in ((SCREEN, True), (PHONE, False)):
        axes = scenario_charts.side_by_side_chart(small, style).axes
        assert [each.get_title(loc="left") for each in axes] == [
            "Allocated",
            "Weighted APY",
            "Costs of AUM",
            "Solve time",
        ]
        tops = {round(each.get_subplotspec().get_position(each.figure).y0, 3) for each in axes}
        assert len(tops) == (1 if is_wide else 4)


def test_bars_have_the_lengths_of_the_figures(small):
    axes = scenario_charts.side_by_side_chart(small, SCREEN).axes
    widths = [[bar.get_width() for bar in each.patches] for each in axes]
    assert widths[1] == pytest.approx(small.means["weighted_apy"].tolist())
    assert widths[2] == pytest.approx((small.means["cost_pct"] / 100).tolist())


def test_no_value_is_cut_off_at_the_edge(small):
    for style in (SCREEN, PHONE):
        figure = scenario_charts.side_by_side_chart(small, style)
        charts.to_png(figure, scale=1.0)
        for axes in figure.axes:
            for text in axes.texts:
                assert text.get_window_extent().x1 <= axes.get_window_extent().x1 + 2


def test_what_is_not_dominated_is_filled_and_the_baseline_stands_out(small):
    axes = scenario_charts.trade_off_chart(small, SCREEN).axes[0]
    drawn = {}
    for line in axes.get_lines():
        looks = (line.get_marker() == "D", line.get_markerfacecolor() != "none")
        drawn |= {(round(x, 9), round(y, 9)): looks for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)}
    for name, row in small.means.iterrows():
        is_diamond, is_filled = drawn.pop((round(row["max_drawdown"], 9), round(row["net_apy"], 9)))
        assert is_diamond == (name == "baseline") and is_filled == (row["not_dominated"] or is_diamond)
    assert not drawn and not small.means["not_dominated"].all()


def test_without_any_concentration_there_is_no_panel_of_it():
    lean = compare([scenario("a", hhi=None), scenario("b", 2e-4, hhi=None)])
    assert len(scenario_charts.trade_off_chart(lean, SCREEN).axes) == 2


def test_differences_nobody_can_tell_do_not_look_large():
    near = compare([scenario("a", 1e-4), scenario("b", 1.00001e-4)])
    low, high = scenario_charts.trade_off_chart(near, SCREEN).axes[0].get_ylim()
    assert high - low >= 2e-3


def test_few_runs_are_lines_of_their_closing_values(small):
    lines = scenario_charts.nav_chart(small).axes[0].get_lines()
    assert [line.get_label() for line in lines] == list(small.means.index)
    best = small.runs_of("bold")[0]
    assert np.asarray(lines[0].get_ydata()) == pytest.approx(best.daily["aum_close_usd"].to_numpy())


def test_many_runs_are_bands_of_percentiles():
    comparison = compare(seeded(3, 4))
    figure = scenario_charts.nav_chart(comparison)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "median of 12 runs" in labels and "90% of the runs" in labels
    middle = next(line for line in figure.axes[0].get_lines() if line.get_label() == "median of 12 runs")
    closes = [run.daily["aum_close_usd"].iloc[-1] for run in comparison.scenarios]
    assert np.asarray(middle.get_ydata())[-1] == pytest.approx(np.median(closes))


def test_runs_of_different_size_are_drawn_as_growth():
    comparison = compare([scenario("a"), scenario("b", opening_usd=10_000.0)])
    last = [line.get_ydata()[-1] for line in scenario_charts.nav_chart(comparison).axes[0].get_lines()]
    assert max(last) < 1.1


def test_more_variants_than_bars_have_room_are_dots():
    comparison = compare([scenario(f"s{n}", 1e-4 + 1e-6 * n, parameters={"n": n}, days=4) for n in range(30)])
    axes = scenario_charts.side_by_side_chart(comparison, SCREEN).axes[1]
    assert not axes.patches and len(axes.get_lines()[0].get_xdata()) == 30


def test_every_seed_is_a_dot():
    figure = scenario_charts.seeds_chart(compare(seeded(2, 3)))
    dots = [line for line in figure.axes[0].get_lines() if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [3, 3]


# The page


class _Reader(HTMLParser):
    VOID = ("meta", "path", "use", "rect", "circle", "line", "polyline", "polygon", "image", "br", "wbr", "stop")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    assert not reader.open
    return reader


def _text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)))


def test_the_page_is_whole_and_asks_nothing_of_a_network(page):
    reader = _read(page)
    assert len(set(reader.ids)) == len(reader.ids)
    assert all(link.startswith("#") for link in reader.links)
    assert "default-src 'none'" in page and "<script" not in page


def test_it_says_who_won_what_it_cost_and_what_the_data_hide(page):
    text = _text(page)
    for part in ("bold earned most", "Trade-offs", "Ranking by net APY", "Side by side", "Which parameter matters"):
        assert part in text
    assert "knows the future" in text and text.count("oracle") >= 3
    assert SURVIVORSHIP in html.unescape(text) and SIMULATED not in html.unescape(text)
    assert "m.yaml" in text and "2025-01-01 to 2025-01-20" in text


def test_names_are_escaped_and_never_formulas(page):
    assert "a<b>" not in page and "a&lt;b&gt;&amp;&quot;$x$_" in page.replace("<wbr>", "")
    assert page.count("$x$_</text>") >= 4


def test_equal_runs_give_an_equal_page_in_whatever_order_they_ended(page):
    assert _page(few_and_a_bound()[::-1]) == page


def test_a_set_over_seeds_tells_luck_from_merit(page):
    text = _text(scenario_sheet(seeded(2, 3), title="Sweep", source="simulated:3"))
    assert "2 variants, 6 runs" in text and "What is luck" in text and "Over 3 seeds, v1 earned" in text
    assert "What is luck" not in page
    assert html.unescape(SIMULATED) in html.unescape(text)


def test_two_hundred_runs_make_a_page_that_is_still_read():
    runs = [scenario(f"draw {n}", 1e-4 + 1e-7 * n, hhi=None, parameters={"cap": n / 200}, days=4) for n in range(200)]
    page = scenario_sheet(runs, baseline="draw 77")
    text = _text(page)
    assert len(page) < 1_500_000
    assert "170 variants between" not in text and "169 variants between the best and the worst" in text
    assert "200. draw 0" in text and "1. draw 199" in text and "baseline" in text
    assert "The table has 191 more variants." in text


def test_one_run_alone_is_a_page_too():
    assert "lonely" in _text(scenario_sheet([scenario("lonely")]))


def test_runs_without_days_in_common_are_refused():
    with pytest.raises(DataError, match="no day"):
        scenario_sheet([scenario("a"), scenario("b", first="2027-01-01")])

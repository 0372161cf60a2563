"""Charts, the terminal summary and the tear sheet."""

from __future__ import annotations

import dataclasses
import io
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import matplotlib
import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from defiyield_core.reporting import ReportInputs, charts, performance, summary_text, tear_sheet
from defiyield_core.reporting.inputs import protocol_shares
from defiyield_core.reporting.summary import verdict
from defiyield_core.reporting.tearsheet import SIMULATED, SURVIVORSHIP
from tests.unit.reporting.sample_frames import START, sample_report


@pytest.fixture(scope="module")
def report() -> ReportInputs:
    return sample_report()


@pytest.fixture(scope="module")
def page(report: ReportInputs) -> str:
    return tear_sheet(report)


def _figures(report: ReportInputs) -> dict:
    daily = report.daily["baseline"]
    return {
        "nav": charts.nav_chart(report.daily),
        "fall": charts.drawdown_chart(report.daily),
        "shares": charts.allocation_chart(protocol_shares(report)),
        "apy": charts.apy_chart(daily),
        "costs": charts.costs_chart(daily),
    }


def test_every_chart_is_a_png_of_the_asked_size_that_shows_something(report):
    for figure in _figures(report).values():
        image = matplotlib.image.imread(io.BytesIO(charts.to_png(figure, scale=1.0)))
        assert image.shape[:2] == (400, 900)
        assert 0.01 < (image[..., :3].min(axis=2) < 0.98).mean() < 0.9


def test_the_nav_chart_draws_the_closing_values(report):
    lines = charts.nav_chart(report.daily).axes[0].get_lines()
    assert [line.get_label() for line in lines] == list(report.daily)
    assert np.asarray(lines[0].get_ydata()) == pytest.approx(report.daily["baseline"]["aum_close_usd"].to_numpy())


def test_a_legend_lies_outside_the_data(report):
    for figure in _figures(report).values():
        charts.to_png(figure)
        legend, axes = figure.legends[0].get_window_extent(), figure.axes[0].get_window_extent()
        assert legend.y0 >= axes.y1


def test_one_absurd_day_does_not_set_the_scale_and_is_counted(report):
    daily = report.daily["baseline"].copy()
    daily.loc[daily.index[30], "accrual_usd"] = 60_000.0
    axes = charts.apy_chart(daily).axes[0]
    assert axes.get_ylim()[1] < 1.0
    assert any("beyond the scale" in text.get_text() for text in axes.texts)


@pytest.mark.parametrize(
    ("ticks", "texts"),
    [
        ([1.0e6, 1.0025e6, 1.005e6], ["$1.0000M", "$1.0025M", "$1.0050M"]),
        ([0.0, 150.0, 300.0], ["$0", "$150", "$300"]),
        ([0.0, 0.5, 1.0], ["$0.0", "$0.5", "$1.0"]),
        ([-20_000.0, 0.0, 20_000.0], ["-$20k", "$0k", "$20k"]),
        ([1e9, 2e9], ["$1B", "$2B"]),
    ],
)
def test_dollar_ticks_are_short_and_exact(ticks, texts):
    formatter = charts.UsdFormatter()
    assert formatter.format_ticks(ticks) == texts


def test_charts_are_drawn_alike_every_time_and_leave_no_state(report):
    before = dict(matplotlib.rcParams)
    drawn = [charts.to_svg(charts.nav_chart(report.daily), name="a", title="t") for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert dict(matplotlib.rcParams) == before


def test_an_inline_picture_is_wellformed_and_takes_its_colours_from_the_page(report):
    for name, figure in _figures(report).items():
        svg = charts.to_svg(figure, name=name, title="A &amp; B")
        root = ElementTree.fromstring(svg)  # own output
        assert root.get("aria-label") == "A & B"
        assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {"#000000"}
        assert "var(--series-1)" in svg


def test_the_summary_fits_the_terminal_and_puts_the_portfolio_first(report):
    for width in (80, 100):
        lines = summary_text(report, {"tear sheet": "out.html"}, width=width).split("\n")
        assert max(map(len, lines)) <= width
    names = [line.split()[0] for line in lines[4:7]]
    assert names == ["baseline", "hold_aave_usdc", "equal_weight"]


def test_the_summary_says_what_the_figures_say(report):
    text = summary_text(report, {"tear sheet": "out.html"})
    own, held = (performance(report.daily[name]) for name in ("baseline", "hold_aave_usdc"))
    assert f"{own.net_apy:.2%}" in text and f"${own.nav_close_usd:,.0f}" in text
    assert f"baseline earned {(own.net_apy - held.net_apy) * 1e4:.0f} bps a year more than hold_aave_usdc." in text
    assert "position cap 25%" in text
    assert "data_missing 1" in text
    assert text.endswith("tear sheet  out.html")


def test_a_verdict_is_the_same_from_the_other_side(report):
    own, held = (performance(report.daily[name]) for name in ("baseline", "hold_aave_usdc"))
    assert "less than baseline" in verdict(held, own)
    assert verdict(own, own) == "baseline earned the same as baseline to a basis point a year."


def test_a_portfolio_all_in_cash_has_a_summary_and_a_page(report):
    daily = {"baseline": report.daily["baseline"].head(1).assign(idle_usd=1e6, weighted_apy=0.0)}
    empty = {name: getattr(report, name).iloc[:0] for name in ("positions", "details", "transactions")}
    cash = dataclasses.replace(report, daily=daily, pools=None, parameters={}, **empty)
    assert "idle in the wallet" in summary_text(cash)
    assert "No position is held" in tear_sheet(cash)


class _Reader(HTMLParser):
    """Collects text and every address that a page would fetch; checks that elements close in order."""

    VOID = ("meta", "link", "img", "br", "wbr", "path", "use", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "action")]

    def handle_startendtag(self, tag, attrs):
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "action")]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_is_one_file_that_fetches_nothing(page):
    reader = _read(page)
    assert all(address.startswith("#") for address in reader.addresses)
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert not re.findall(r"url\((?!#)", page)
    assert "<script" not in page


def test_pictures_of_the_page_need_nothing_but_themselves(page):
    assert page.count("<svg") == 2 * page.count("<figure>") > 10
    assert "url(" not in page and " id=" not in page and "<use" not in page


def test_the_page_holds_the_key_figures_and_the_limits(page, report):
    text = " ".join(_read(page).text)
    own = performance(report.daily["baseline"])
    for piece in (
        f"{own.net_apy:.2%}",
        f"${own.nav_close_usd:,.0f}",
        SURVIVORSHIP,
        "baseline-0059-5f2c",
        report.fingerprint(),
        "position cap 25%",
        "CoinMarketCap answered 503",
        "min_transaction_value",
    ):
        assert piece in text
    assert "@media print" in page and "prefers-color-scheme:dark" in page


def test_a_simulated_market_is_called_one(report):
    page = tear_sheet(dataclasses.replace(report, run_info={"source": "simulated:7"}))
    assert SIMULATED in page and SURVIVORSHIP not in page


def test_data_cannot_inject_markup(report):
    evil = '<script>alert("x")</script>'
    spoiled = dataclasses.replace(
        report,
        details=report.details.assign(symbol=evil, protocol=f"p{evil}", binding=evil),
        pools=None,
        run_info={evil: evil},
        parameters={evil: evil},
        daily={**report.daily, "baseline": report.daily["baseline"].assign(status=evil, reason=evil)},
    )
    page = tear_sheet(spoiled)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 5
    _read(page)


def test_trades_of_the_day_are_listed_in_order(report):
    window = report.daily["baseline"]["date"] <= pd.Timestamp(START)
    first = dataclasses.replace(
        report, daily={"baseline": report.daily["baseline"][window]}, transactions=report.transactions
    )
    text = " ".join(_read(tear_sheet(first)).text)
    kinds = re.findall(r"\b(Conversion|Allocation|Withdrawal)\b", text.split("Transactions of", 1)[1])
    expected = first.trades_today()["type"].str.capitalize().tolist()
    assert kinds[: len(expected)] == expected and len(expected) > 3


def test_an_equal_report_gives_an_equal_page(report, page):
    assert tear_sheet(report) == page


def test_a_name_with_dollar_signs_is_no_formula(report):
    shares = protocol_shares(report).rename(columns={"aave-v3": r"a$\frac$b"})
    assert r"a$\frac$b" in charts.to_svg(charts.allocation_chart(shares), name="n", title="t")

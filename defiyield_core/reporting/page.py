"""The frame of a self-contained HTML page and its pictures.

Belongs here: head, style, tiles and figures that pages share. Does not belong here: what a page says. A page asks
nothing of any network, and says so in its content security policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from matplotlib.figure import Figure

from defiyield_core.reporting.charts import ChartStyle, to_svg
from defiyield_core.reporting.markup import Html, element, join, safe
from defiyield_core.reporting.style import STYLE

SCREEN = ChartStyle(width_px=950, height_px=360, font_px=14.0, titled=False)
PHONE = ChartStyle(width_px=390, height_px=290, font_px=12.5, titled=False)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_PAGE_STYLE = """
.dense table{font-size:.8125rem}.dense th,.dense td{padding-right:9px}
ul.said{padding-left:20px;margin:8px 0 16px}ul.said li{margin:0 0 8px;max-width:75ch}
@media screen and (max-width:640px){.dense table.plain thead th{min-width:58px}
.dense table.plain tbody th,.dense table.plain thead th:first-child{min-width:116px;max-width:40vw}}
@media print{figure svg{max-height:none}}
""".strip()


def page(title: str, sections: Iterable[str]) -> str:
    """The whole page as text."""
    head = element(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width,initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", title),
        element("style", Html(STYLE + _PAGE_STYLE)),
    )
    whole = element("html", head, element("body", element("main", join(sections))), lang="en")
    return f"<!doctype html>\n{whole}\n"


def header(kicker: str, title: str, lead: str) -> Html:
    """The top of a page."""
    return element(
        "header",
        element("p", kicker, class_="kicker"),
        element("h1", breakable(title)),
        element("p", lead, class_="lead"),
    )


def tiles(figures: Iterable[tuple[str, str, str]]) -> Html:
    """Figures to see first: what, how much, and a remark."""
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value), element("dd", breakable(extra)), class_="tile")
            for name, value, extra in figures
        ),
        class_="tiles",
    )


def picture(name: str, title: str, draw: Callable[[ChartStyle], Figure]) -> Html:
    """A picture twice: for screens and paper, and for phones. `name` must be unique on the page."""
    parts = [
        element("div", Html(to_svg(draw(style), name=f"{name}-{kind}", title=safe(title))), class_=kind)
        for kind, style in (("wide", SCREEN), ("narrow", PHONE))
    ]
    return element("figure", *parts)


def dense(*parts: str) -> Html:
    """Tables of many columns, set smaller."""
    return element("div", *parts, class_="dense")


def note(text: str) -> Html:
    """A quiet paragraph under a table or picture."""
    return element("p", text, class_="note")


def breakable(name: str) -> Html:
    """A name that may be broken after its underscores."""
    return Html(safe(name).replace("_", "_<wbr>"))


def facts(pairs: Mapping[str, str]) -> Html:
    """What identifies the page, at its end."""
    parts = (part for name, value in pairs.items() for part in (element("dt", name), element("dd", value)))
    return element("footer", element("dl", *parts, class_="facts"))

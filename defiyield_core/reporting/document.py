"""A written report as blocks, rendered as markdown and as one self-contained HTML page.

Belongs here: blocks and their two renderings. Does not belong here: what a report says. In text, `code` between
backticks is the only markup; everything else is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from defiyield_core.reporting import charts
from defiyield_core.reporting.markup import Html, element, join, safe, table
from defiyield_core.reporting.style import STYLE
from defiyield_core.reporting.tables import Column

SCREEN = charts.ChartStyle(width_px=950, height_px=380, font_px=14.0, titled=False)
PHONE = charts.ChartStyle(width_px=390, height_px=380, font_px=12.5, titled=False)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_PAGE_STYLE = "@media screen and (max-width:640px){table.plain thead th{min-width:0;overflow-wrap:normal}}"
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Heading:
    """A section; level 2 or 3."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Sentences. A quiet one is a note under a table or picture."""

    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Cells already written as text; `caption` says what it shows."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.caption}: a row of {len(row)} cells under {len(self.columns)} columns: {row}")


@dataclass(frozen=True)
class Picture:
    """A figure drawn for a style; `name` has letters, digits and underscores and is unique in the document."""

    name: str
    title: str
    draw: Callable[[charts.ChartStyle], Figure]


Block = Heading | Paragraph | Bullets | Table | Picture


@dataclass(frozen=True)
class Document:
    """A title, a line above it, and blocks."""

    title: str
    kicker: str
    lead: str
    blocks: tuple[Block, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Its pictures in their order."""
        return tuple(block for block in self.blocks if isinstance(block, Picture))


def png(picture: Picture) -> bytes:
    """The picture for a markdown page."""
    return charts.to_png(picture.draw(SCREEN))


def markdown(document: Document, image: Callable[[str], str]) -> str:
    """The document as markdown, with a final line end.

    Args:
        image: link of a picture by its name.
    """
    parts = [f"# {_plain(document.title)}", _plain(document.kicker), _plain(document.lead)]
    parts += [_markdown_block(block, image) for block in document.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_block(block: Block, image: Callable[[str], str]) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_plain(text)}"
        case Paragraph(text):
            return _plain(text)
        case Bullets(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Table(columns, rows):
            return _markdown_table(columns, rows)
        case Picture(name, title):
            return f"![{_plain(title)}]({image(name)})"


def _markdown_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---:" if column.numeric else "---" for column in columns]
    lines = [[column.header for column in columns], rule, *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text that markdown shows as it is (outside of backticks)."""
    return "".join(
        part if number % 2 else re.sub(r"([\\*_<>\[\]#|])", r"\\\1", part)
        for number, part in enumerate(re.split(r"(`[^`]+`)", text))
    )


def _cell(text: str) -> str:
    return text if set(text) <= set(":-") else _plain(text)


def html(document: Document) -> str:
    """The document as one page that asks nothing of any network."""
    head = element(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width,initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", document.title),
        element("style", Html(STYLE + _PAGE_STYLE)),
    )
    top = element(
        "header",
        element("p", _inline(document.kicker), class_="kicker"),
        element("h1", document.title),
        element("p", _inline(document.lead), class_="lead"),
    )
    body = element("body", element("main", join((top, *map(_html_block, document.blocks)))))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _html_block(block: Block) -> Html:
    match block:
        case Heading(text, level):
            return element(f"h{level}", _inline(text))
        case Paragraph(text, quiet):
            return element("p", _inline(text), class_="note") if quiet else element("p", _inline(text))
        case Bullets(items):
            return element("ul", *(element("li", _inline(item)) for item in items))
        case Table(columns, rows, caption):
            cells = [[_inline(cell) for cell in row] for row in rows]
            return table(columns, cells, caption=caption)
        case Picture(name, title, draw):
            return element(
                "figure",
                *(
                    element(
                        "div", Html(charts.to_svg(draw(style), name=f"{name}-{kind}", title=safe(title))), class_=kind
                    )
                    for kind, style in (("wide", SCREEN), ("narrow", PHONE))
                ),
            )


def _inline(text: str) -> Html:
    return Html(_CODE.sub(r"<code>\1</code>", safe(text)))

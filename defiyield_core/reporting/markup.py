"""Small pieces of HTML, escaped by construction.

Belongs here: elements and tables. Does not belong here: what a report says. Every text is escaped unless it is already
`Html`, and only functions of this module (and charts) make `Html`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from defiyield_core.reporting.tables import Column


class Html(str):
    """Markup that is safe as it stands."""


def safe(text: str) -> Html:
    """The text as markup; escaped unless it already is markup."""
    return text if isinstance(text, Html) else Html(escape(text, quote=True))


def element(tag: str, *children: str, **attributes: str) -> Html:
    """`<tag ...>children</tag>`; `class_` stands for `class`, and underscores for hyphens."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value, quote=True)}"' for name, value in attributes.items()
    )
    return Html(f"<{tag}{named}>{''.join(map(safe, children))}</{tag}>")


def join(parts: Iterable[str]) -> Html:
    """Pieces one after the other."""
    return Html("\n".join(map(safe, parts)))


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    cards: bool = False,
    footer: Sequence[str] | None = None,
    strong_rows: int = 0,
) -> Html:
    """A table in a container that scrolls sideways when it must.

    Args:
        caption: for readers who do not see the layout; not shown.
        cards: on a narrow screen every row becomes a block of `heading: value` lines.
        strong_rows: so many first rows are set in bold.
    """
    head = element("tr", *(element("th", c.header, scope="col", **_aligned(c)) for c in columns))
    body = (
        element("tr", *_cells(columns, row), **({"class_": "strong"} if number < strong_rows else {}))
        for number, row in enumerate(rows)
    )
    parts = [
        element("caption", caption),
        element("thead", head),
        element("tbody", *body),
    ]
    if footer:
        parts.append(element("tfoot", element("tr", *_cells(columns, footer))))
    return element("div", element("table", *parts, class_="cards" if cards else "plain"), class_="scroll")


def _cells(columns: Sequence[Column], row: Sequence[str]) -> Iterable[Html]:
    for number, (column, cell) in enumerate(zip(columns, row, strict=True)):
        named = {"data_label": column.header} if column.header else {}
        if number == 0:
            yield element("th", cell, scope="row", **named)
        else:
            yield element("td", cell, **named, **_aligned(column))


def _aligned(column: Column) -> dict[str, str]:
    return {"class_": "number"} if column.numeric else {}

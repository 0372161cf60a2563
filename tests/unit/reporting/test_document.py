"""Blocks of a report as markdown and as a page."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from defiyield_core.reporting.document import (
    Bullets,
    Document,
    Heading,
    Paragraph,
    Picture,
    Table,
    html,
    markdown,
    png,
)
from defiyield_core.reporting.tables import Column


def drawn(style) -> Figure:
    return Figure(figsize=(style.width_px / 100, 1))


COLUMNS = (Column("pool"), Column("APY", numeric=True))
PICTURE = Picture("one", "A <picture>", drawn)
DOCUMENT = Document(
    "Title",
    "2025-01-01 to 2025-02-01",
    "About `a_b` and a_b.",
    (
        Heading("First"),
        Paragraph("1 < 2, *quite* `x < y`"),
        Heading("Second", 3),
        Bullets(("one", "two|three")),
        Table(COLUMNS, (("A|B", "5.1%"), ("`p_q`", "")), "Rates"),
        Paragraph("A note.", quiet=True),
        PICTURE,
    ),
)


def test_markdown_escapes_everything_but_code() -> None:
    assert markdown(DOCUMENT, "img/{}.png".format) == (
        "# Title\n\n2025-01-01 to 2025-02-01\n\nAbout `a_b` and a\\_b.\n\n## First\n\n1 \\< 2, \\*quite\\* `x < y`\n\n"
        "### Second\n\n- one\n- two\\|three\n\n"
        "| pool | APY |\n| --- | ---: |\n| A\\|B | 5.1% |\n| `p_q` |  |\n\n"
        "A note.\n\n![A \\<picture\\>](img/one.png)\n"
    )


def test_the_page_escapes_everything_but_code() -> None:
    page = html(DOCUMENT)
    for words in (
        "<h2>First</h2>",
        "<p>1 &lt; 2, *quite* <code>x &lt; y</code></p>",
        "<li>two|three</li>",
        '<th scope="row" data-label="pool">A|B</th>',
        '<p class="note">A note.</p>',
        'aria-label="A &lt;picture&gt;"',
    ):
        assert words in page
    assert page.count("<svg") == 2 and "<script" not in page
    assert "default-src 'none'" in page or "default-src &#x27;none&#x27;" in page


def test_a_picture_is_a_png_of_twice_the_screens_pixels() -> None:
    content = png(PICTURE)
    assert content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20], "big") == 1900


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="Rates: a row of 1 cells under 2 columns"):
        Table(COLUMNS, (("a",),), "Rates")

"""Messages as text and as Slack blocks within Slack's limits."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.notify import Message, Pairs, TableSection, Text, render_slack_blocks, render_text
from defiyield_core.notify.slack import fallback_text
from defiyield_core.reporting.tables import Column, TextTable


def _table(rows: int, width: int = 10, footer: bool = False) -> TextTable:
    cells = tuple((f"pool {number:05d} " + "x" * width, f"{number}") for number in range(rows))
    return TextTable((Column("Pool"), Column("Value", numeric=True)), cells, ("all", "1") if footer else None)


def _check_limits(blocks: list[dict]) -> None:
    assert 1 <= len(blocks) <= 50
    for block in blocks:
        if block["type"] == "header":
            assert 1 <= len(block["text"]["text"]) <= 150
        elif block["type"] == "context":
            assert 1 <= len(block["elements"]) <= 10
        elif "fields" in block:
            assert 1 <= len(block["fields"]) <= 10
            assert all(1 <= len(item["text"]) <= 2000 for item in block["fields"])
        else:
            assert 1 <= len(block["text"]["text"]) <= 3000
            assert block["text"]["text"].count("```") in (0, 2)


def _texts(blocks: list[dict]) -> str:
    parts = [block["text"]["text"] for block in blocks if "text" in block]
    parts += [item["text"] for block in blocks for item in (*block.get("fields", ()), *block.get("elements", ()))]
    return "\n".join(parts)


def _rows_shown(blocks: list[dict]) -> int:
    return len(re.findall(r"pool \d{5}", _texts(blocks)))


def test_a_table_that_fits_is_whole_with_its_head_and_total():
    blocks = render_slack_blocks(Message("m", (TableSection("Positions", _table(3, footer=True)),)))
    _check_limits(blocks)
    assert _rows_shown(blocks) == 3
    assert "Pool" in _texts(blocks) and "all" in _texts(blocks)


def test_a_long_table_is_split_over_blocks_and_every_block_repeats_its_head():
    blocks = render_slack_blocks(Message("m", (TableSection("Positions", _table(200, footer=True)),)))
    _check_limits(blocks)
    assert _rows_shown(blocks) == 200
    assert all("```Pool" in block["text"]["text"] for block in blocks[1:])
    assert len(blocks) > 3
    assert _texts(blocks).count("\nall ") == 1


def test_rows_that_do_not_fit_are_counted():
    blocks = render_slack_blocks(Message("m", (TableSection("Positions", _table(5000)),)))
    _check_limits(blocks)
    said = re.search(r"_([\d,]+) more rows_", _texts(blocks))
    assert said is not None
    assert int(said[1].replace(",", "")) + _rows_shown(blocks) == 5000


def test_many_long_tables_share_the_blocks():
    sections = tuple(TableSection(f"table {number}", _table(900)) for number in range(12))
    blocks = render_slack_blocks(Message("m", sections))
    _check_limits(blocks)
    assert all(f"*table {number}*" in _texts(blocks) for number in range(12))
    assert len(re.findall("more rows", _texts(blocks))) == 12


def test_more_sections_than_blocks_are_counted():
    blocks = render_slack_blocks(Message("m", tuple(Text(f"section {number}") for number in range(80))))
    _check_limits(blocks)
    shown = len(re.findall(r"section \d+", _texts(blocks)))
    assert f"{80 - shown} more sections" in _texts(blocks)


def test_many_pairs_and_warnings_are_counted_too():
    pairs = Pairs(tuple((f"name {number}", "v") for number in range(400)), title="T")
    blocks = render_slack_blocks(Message("m", (pairs,), tuple(f"warning {n} " + "w" * 900 for n in range(50))))
    _check_limits(blocks)
    shown = len(re.findall(r"\*name \d+\*", _texts(blocks)))
    assert f"_{400 - shown} more entries_" in _texts(blocks)
    shown = len(re.findall(r"• warning", _texts(blocks)))
    assert f"_{50 - shown} more warnings_" in _texts(blocks)


def test_a_long_title_and_long_values_are_shortened_visibly():
    message = Message("t" * 400, (Pairs((("n" * 3000, "v" * 9000),)), Text("x" * 40_000)))
    blocks = render_slack_blocks(message)
    _check_limits(blocks)
    assert blocks[0]["text"]["text"].endswith("…")
    assert blocks[1]["fields"][0]["text"].endswith("…")


def test_text_cannot_mention_a_channel_or_leave_its_code_block():
    table = TextTable((Column("A"),), (("```<!channel> & co",),))
    message = Message("m", (TableSection("<b>", table), Text("<!here> & <https://x|y>"), Pairs((("<@U1>", "a&b"),))))
    blocks = render_slack_blocks(message)
    _check_limits(blocks)
    text = _texts(blocks)
    assert "<" not in text and ">" not in text
    assert "&lt;!channel&gt; &amp; co" in text and "*&lt;@U1&gt;*" in text
    assert "<" not in fallback_text(Message("<!channel>"))


def test_an_escape_is_never_cut_in_half():
    blocks = render_slack_blocks(Message("m", (Pairs((("n", "&" * 5000),)),)))
    value = blocks[1]["fields"][0]["text"].split("\n", 1)[1]
    assert re.fullmatch(r"(&amp;)+…", value)


def test_a_warning_shows_in_the_header_and_comes_before_everything_else():
    blocks = render_slack_blocks(Message("m", (Text("rest"),), ("mind this",), "warning"))
    assert blocks[0]["text"]["text"] == ":warning: m"
    assert "mind this" in blocks[1]["text"]["text"]


def test_an_empty_table_says_so():
    blocks = render_slack_blocks(Message("m", (TableSection("Positions", _table(0)),)))
    assert blocks[1]["text"]["text"] == "*Positions*\nnone"


def test_text_holds_everything_in_order():
    message = Message(
        "title",
        (Pairs((("AUM", "$1"), ("Idle now", "$2")), "Key"), TableSection("Positions", _table(2)), Text("end")),
        ("mind this",),
        "warning",
    )
    lines = render_text(message).split("\n")
    assert lines[0] == "WARNING: title"
    assert lines[3] == "! mind this"
    assert lines[5:8] == ["Key", "AUM       $1", "Idle now  $2"]
    assert lines[-1] == "end"


@settings(max_examples=60, deadline=None)
@given(
    title=st.text(max_size=300),
    words=st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), max_size=8),
    repeat=st.integers(1, 60),
    rows=st.integers(0, 300),
)
def test_no_message_breaks_a_limit(title, words, repeat, rows):
    cells = tuple((word * repeat, str(number)) for number, word in enumerate(words * (rows // 8)))
    table = TextTable((Column("A"), Column("B", numeric=True)), cells)
    message = Message(
        title,
        (
            Pairs(tuple((word, word * repeat) for word in words), title),
            TableSection(title, table),
            *(Text(word * repeat, title) for word in words),
        ),
        tuple(word * repeat for word in words),
    )
    _check_limits(render_slack_blocks(message))
    assert len(fallback_text(message)) <= 3000
    render_text(message)

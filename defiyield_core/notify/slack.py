"""A message as Slack blocks, within Slack's limits; whatever does not fit is counted and said.

Belongs here: Slack's block kit and its limits. Does not belong here: HTTP (see `notifiers`).
Limits count characters after escaping, which is the safe reading of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from defiyield_core.notify.message import Message, Pairs, Section, TableSection, Text
from defiyield_core.reporting.figures import count
from defiyield_core.reporting.tables import ELLIPSIS, TextTable

MAX_BLOCKS = 50
MAX_HEADER = 150
MAX_TEXT = 3000
MAX_FIELDS = 10
MAX_FIELD = 2000
TABLE_WIDTH = 76
"""Columns of a monospace block that Slack shows without wrapping on a desktop."""

Block = dict[str, Any]
_FENCE = "```"
_ROOM = MAX_TEXT - 200
"""Length to which text is cut: leaves room for a title, the fences and a remark on what is missing."""
_MOST_PER_SECTION = 12
_SIGNS = {"info": "", "warning": ":warning: ", "error": ":rotating_light: "}


def escape(text: str) -> str:
    """The characters that Slack gives a meaning, escaped: no text can mention a channel, make a link or end a fence."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace(_FENCE, "'''")


def render_slack_blocks(message: Message) -> list[Block]:
    """At most 50 blocks: header, warnings, then the sections.

    Every section first may take 12 blocks; while the message is too long this is lowered for all of them, and what is
    left out is said in its place ("12 more rows"). If one block each is still too much, the last sections are left out.
    """
    head = [_header(message), *_warnings(message.warnings)]
    room = MAX_BLOCKS - len(head)
    rendered: list[list[Block]] = []
    for at_most in range(_MOST_PER_SECTION, 0, -1):
        rendered = [_section(section, at_most) for section in message.sections]
        if sum(map(len, rendered)) <= room:
            return [*head, *(block for blocks in rendered for block in blocks)]
    kept: list[Block] = []
    shown = 0
    for blocks in rendered:
        if len(kept) + len(blocks) > room - 1:
            break
        kept += blocks
        shown += 1
    missing = count(len(rendered) - shown, "more section")
    return [*head, *kept, _context(f"{missing} did not fit into Slack's {MAX_BLOCKS} blocks")]


def fallback_text(message: Message) -> str:
    """The line that notifications and screen readers show, escaped and at most 3000 characters."""
    first = next((s for s in message.sections if isinstance(s, Pairs)), None)
    facts = ", ".join(f"{name} {value}" for name, value in first.items[:3]) if first else ""
    return _cut(": ".join(part for part in (message.title, facts) if part), MAX_TEXT)


def _header(message: Message) -> Block:
    text = _SIGNS[message.severity] + (message.title.strip() or "Notification")
    shown = text if len(text) <= MAX_HEADER else text[: MAX_HEADER - 1] + ELLIPSIS
    return {"type": "header", "text": {"type": "plain_text", "text": shown, "emoji": True}}


def _warnings(warnings: Sequence[str]) -> list[Block]:
    if not warnings:
        return []
    lines = [_cut(f"• {warning}", 1000) for warning in warnings]
    return _as_blocks("*Warnings*", lines, 2, _joined, "more warning")


def _section(section: Section, at_most: int) -> list[Block]:
    if isinstance(section, Pairs):
        return _pairs(section, at_most)
    if isinstance(section, TableSection):
        return _table(section.title, section.table, at_most)
    return _text(section, at_most)


def _pairs(section: Pairs, at_most: int) -> list[Block]:
    title = [_mrkdwn(_bold(section.title))] if section.title.strip() and at_most > 1 else []
    room = max(1, at_most - len(title) - 1)
    fields = [
        {"type": "mrkdwn", "text": f"*{_cut(name, 500)}*\n{_cut(value, MAX_FIELD - 510) or '–'}"}
        for name, value in section.items
    ]
    groups = [fields[start : start + MAX_FIELDS] for start in range(0, len(fields), MAX_FIELDS)]
    blocks: list[Block] = [{"type": "section", "fields": group} for group in groups[:room]]
    missing = len(fields) - MAX_FIELDS * len(blocks)
    if missing > 0:
        said = {"type": "mrkdwn", "text": f"_{count(missing + 1, 'more entry', 'more entries')}_"}
        blocks[-1]["fields"][-1] = said
    return [*title, *blocks] if blocks else []


def _table(title: str, table: TextTable, at_most: int) -> list[Block]:
    heading = _bold(title)
    if not table.rows:
        return [_mrkdwn(f"{heading}\nnone")]
    layout = table.layout(TABLE_WIDTH)
    head, body, foot = ([_code_line(line) for line in part] for part in (layout.head, layout.body, layout.foot))
    top, bottom = _joined(head), _joined(foot)

    def fenced(part: Sequence[str]) -> str:
        return f"{_FENCE}{_joined((top, *part))}{_FENCE}"

    overhead = len(top) + len(bottom) + 16
    blocks = _as_blocks(heading, body, at_most, fenced, "more row", overhead=overhead)
    if bottom:
        last = blocks[-1]["text"]
        before, _, after = last["text"].rpartition(_FENCE)
        last["text"] = f"{before}\n{bottom}{_FENCE}{after}"
    return blocks


def _text(section: Text, at_most: int) -> list[Block]:
    pieces = [piece for line in section.text.split("\n") for piece in _pieces(line)]
    heading = _bold(section.title)
    return _as_blocks(heading, pieces, at_most, _joined, "more line")


def _as_blocks(
    heading: str,
    lines: Sequence[str],
    at_most: int,
    wrap: Callable[[Sequence[str]], str],
    noun: str,
    *,
    overhead: int = 0,
) -> list[Block]:
    """Escaped lines over at most so many section blocks, the heading in the first, the rest counted in the last."""
    chunks = list(_chunks(lines, _ROOM - len(heading) - overhead))
    shown = chunks[:at_most]
    missing = sum(map(len, chunks[at_most:]))
    texts = [wrap(chunk) for chunk in shown]
    if heading:
        texts[0] = f"{heading}\n{texts[0]}"
    if missing:
        texts[-1] += f"\n_{count(missing, noun)}_"
    return [_mrkdwn(text) for text in texts]


def _joined(lines: Sequence[str]) -> str:
    """Lines as one text."""
    return "\n".join(lines)


def _chunks(lines: Iterable[str], room: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    used = 0
    for line in lines:
        if chunk and used + len(line) + 1 > room:
            yield chunk
            chunk, used = [], 0
        chunk.append(line)
        used += len(line) + 1
    if chunk:
        yield chunk


def _pieces(line: str, length: int = 500) -> list[str]:
    """A line of raw text as escaped pieces; 500 characters are at most 2500 when every one is escaped."""
    return [escape(line[start : start + length]) for start in range(0, max(len(line), 1), length)]


def _code_line(line: str, limit: int = 1200) -> str:
    """One escaped line of a code block: no backtick may end the block early."""
    return _cut(line.replace("`", "'"), limit)


def _cut(text: str, limit: int) -> str:
    """Escaped text of at most `limit` characters; what is cut ends in an ellipsis, never inside an escape."""
    escaped = escape(text)
    if len(escaped) <= limit:
        return escaped
    kept, used = [], 0
    for letter in text:
        piece = escape(letter)
        if used + len(piece) > limit - 1:
            break
        kept.append(piece)
        used += len(piece)
    return "".join(kept) + ELLIPSIS


def _bold(title: str) -> str:
    return f"*{_cut(title.strip(), 200)}*" if title.strip() else ""


def _mrkdwn(text: str) -> Block:
    """A section; Slack refuses one without text, and with it the whole message."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text if text.strip() else "–"}}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}

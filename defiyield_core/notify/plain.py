"""A message as plain text, for logs and terminals. Nothing is shortened but cells wider than the page.

Belongs here: the text layout. Does not belong here: limits of any channel.
"""

from __future__ import annotations

from defiyield_core.notify.message import Message, Pairs, Section, TableSection


def render_text(message: Message, *, width: int = 100) -> str:
    """The message as lines of at most `width` columns where its tables allow, without a final line end."""
    head = message.title if message.severity == "info" else f"{message.severity.upper()}: {message.title}"
    parts = [head, "=" * min(len(head), width)]
    if message.warnings:
        parts += ["", *(f"! {warning}" for warning in message.warnings)]
    for section in message.sections:
        parts += ["", *([section.title] if section.title else []), _body(section, width)]
    return "\n".join(parts)


def _body(section: Section, width: int) -> str:
    if isinstance(section, Pairs):
        longest = max((len(name) for name, _ in section.items), default=0)
        return "\n".join(f"{name:<{longest}}  {value}" for name, value in section.items)
    if isinstance(section, TableSection):
        return section.table.render(width)
    return section.text

"""What a message is, before anything is rendered.

Belongs here: the frozen dataclasses. Does not belong here: layout, limits of a channel, sending.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from defiyield_core.reporting.tables import TextTable

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Pairs:
    """Names and values, side by side."""

    items: tuple[tuple[str, str], ...]
    title: str = ""


@dataclass(frozen=True)
class TableSection:
    """A table under a title."""

    title: str
    table: TextTable


@dataclass(frozen=True)
class Text:
    """A paragraph, under a title if it has one."""

    text: str
    title: str = ""


Section = Pairs | TableSection | Text


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        sections: in the order of reading.
        warnings: sentences; shown first, whatever else must be shortened.
        severity: `error` when the day's books cannot be trusted or are missing, `warning` when a person should look.
    """

    title: str
    sections: tuple[Section, ...] = ()
    warnings: tuple[str, ...] = ()
    severity: Severity = "info"

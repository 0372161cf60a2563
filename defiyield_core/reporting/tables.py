"""The one renderer of plain-text tables, for terminals, logs and monospace blocks.

Belongs here: columns, widths, alignment, truncation. Does not belong here: what the cells say.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

GAP = "  "
ELLIPSIS = "…"
_NARROWEST = 6


@dataclass(frozen=True)
class Column:
    """A column: its heading, and whether its cells are numbers (aligned right, never shortened)."""

    header: str
    numeric: bool = False


@dataclass(frozen=True)
class TextTable:
    """Cells already written as text.

    Attributes:
        rows: one tuple per row, as long as `columns`.
        footer: a last row under a rule (totals); None for none.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    footer: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for row in (*self.rows, *((self.footer,) if self.footer else ())):
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells in a table of {len(self.columns)} columns: {row}")

    def layout(self, max_width: int | None = None) -> TableLayout:
        """The table as lines of equal layout.

        Args:
            max_width: columns of the terminal; text columns are shortened with an ellipsis, the widest first, until
                lines fit. Numbers are never shortened: a table of too many of them stays wider.
        """
        header = [_clean(column.header) for column in self.columns]
        body = [[_clean(cell) for cell in row] for row in self.rows]
        foot = [[_clean(cell) for cell in self.footer]] if self.footer else []
        widths = [max(_width(row[i]) for row in (header, *body, *foot)) for i in range(len(header))]
        widths = _fit(widths, self.columns, max_width)
        rule = GAP.join("-" * width for width in widths)
        return TableLayout(
            head=(self._line(header, widths), rule),
            body=tuple(self._line(row, widths) for row in body),
            foot=(rule, self._line(foot[0], widths)) if foot else (),
        )

    def render(self, max_width: int | None = None) -> str:
        """The whole table as text without a final line end."""
        layout = self.layout(max_width)
        return "\n".join((*layout.head, *layout.body, *layout.foot))

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        parts = (
            _pad(_shorten(cell, width), width, right=column.numeric)
            for cell, width, column in zip(cells, widths, self.columns, strict=True)
        )
        return GAP.join(parts).rstrip()


@dataclass(frozen=True)
class TableLayout:
    """Lines of a table in three parts, so that its body can be split and its head repeated."""

    head: tuple[str, ...]
    body: tuple[str, ...]
    foot: tuple[str, ...]


def _fit(widths: list[int], columns: Sequence[Column], max_width: int | None) -> list[int]:
    fitted = list(widths)
    flexible = [i for i, column in enumerate(columns) if not column.numeric]
    while max_width is not None and sum(fitted) + len(GAP) * (len(fitted) - 1) > max_width:
        widest = max(flexible, key=lambda i: fitted[i], default=None)
        if widest is None or fitted[widest] <= _NARROWEST:
            break
        fitted[widest] -= 1
    return fitted


def _clean(text: str) -> str:
    """One line without control characters: a cell must never break out of its row."""
    return "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in text).strip()


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_letter_width, text))


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _shorten(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    kept = ""
    for letter in text:
        if _width(kept) + _letter_width(letter) > width - 1:
            break
        kept += letter
    return kept + ELLIPSIS

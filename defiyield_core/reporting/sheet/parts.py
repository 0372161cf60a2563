"""Pieces that several sections share.

Belongs here: small markup without an opinion. Does not belong here: what a section says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from defiyield_core.reporting.figures import basis_points, is_unknown, percent, usd
from defiyield_core.reporting.markup import Html, element, safe


def nowrap(day: date | None) -> Html:
    """An ISO day that no line end may split; nothing for None."""
    return element("span", day.isoformat(), class_="nowrap") if day is not None else Html("")


def name_of(portfolio: str) -> Html:
    """A portfolio's name that may be split at its underscores."""
    return Html(element("span", portfolio).replace("_", "_<wbr>"))


def share_bar(fraction: float) -> Html:
    """A share with a bar under it."""
    width = 0.0 if is_unknown(fraction) else min(max(fraction, 0.0), 1.0) * 100
    bar = element("span", element("i", style=f"width:{width:.1f}%"), class_="bar")
    return element("span", percent(fraction, digits=1), bar)


def inline(*pieces: str) -> Html:
    """Pieces on one line, without a space between them."""
    return Html("".join(map(safe, pieces)))


def measures(title: str, rows: Sequence[tuple[str, str, str]]) -> Html:
    """A list of figures: name, value, and what it says in plain words."""
    lines = (
        element("div", element("dt", name, element("span", note, class_="note")), element("dd", value))
        for name, value, note in rows
    )
    return element("section", element("h3", title), element("dl", *lines, class_="measures"))


def note(text: str) -> Html:
    """A quiet paragraph."""
    return element("p", text, class_="note")


def rate(fraction: float) -> str:
    """Basis points a year with a decimal."""
    return basis_points(fraction, digits=1)


def signed_bps(fraction: float) -> str:
    """A difference in basis points, coloured by its sign; empty where it is unknown."""
    if is_unknown(fraction):
        return ""
    return element("span", basis_points(fraction, signed=True), class_="good" if fraction >= 0 else "bad")


def money(cents: int) -> str:
    """Whole cents as signed dollars and cents."""
    return usd(cents / 100.0, signed=True, digits=2)

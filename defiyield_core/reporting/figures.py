"""How numbers are written for people: dollars, percent, basis points, days.

Belongs here: number to text, once, so that a message, a terminal and a page say the same. Does not belong here: tables
and pages. Whatever is unknown (None, NaN) reads `n/a`.
"""

from __future__ import annotations

import math
from datetime import date, datetime

import pandas as pd

from defiyield_core.calendar import as_day
from defiyield_core.units import BPS_PER_UNIT

UNKNOWN = "n/a"
_WHOLE_FROM_USD = 10_000.0


def is_unknown(value: float | None) -> bool:
    """None, NaN or infinite."""
    return value is None or not math.isfinite(value)


def usd(value: float | None, *, signed: bool = False, digits: int | None = None) -> str:
    """`$1,000,000`, `$12.34`, `-$3.10`; whole dollars from 10,000 on unless `digits` is given."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    places = digits if digits is not None else (0 if abs(value) >= _WHOLE_FROM_USD else 2)
    text = f"${abs(value):,.{places}f}"
    return _sign(value, text, f"${0:.{places}f}", signed) + text


def percent(fraction: float | None, *, digits: int = 2, signed: bool = False) -> str:
    """A fraction as percent: 0.0512 -> `5.12%`."""
    if fraction is None or not math.isfinite(fraction):
        return UNKNOWN
    text = f"{abs(fraction) * 100:,.{digits}f}%"
    return _sign(fraction, text, f"{0:.{digits}f}%", signed) + text


def basis_points(fraction: float | None, *, signed: bool = False, digits: int = 0) -> str:
    """A fraction in basis points: 0.0025 -> `25 bps`."""
    if fraction is None or not math.isfinite(fraction):
        return UNKNOWN
    text = f"{abs(fraction) * BPS_PER_UNIT:,.{digits}f} bps"
    return _sign(fraction, text, f"{0:.{digits}f} bps", signed) + text


def amount(value: float | None) -> str:
    """A token amount with two decimals, or six significant digits below one."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.6g}" if 0 < abs(value) < 1 else f"{value:,.2f}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2 rows`, `1,200 entries`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def day_text(value: date | datetime | pd.Timestamp) -> str:
    """An ISO day."""
    return as_day(value).isoformat()


def _sign(value: float, text: str, zero: str, signed: bool) -> str:
    """A minus never stands before a number that was rounded to zero."""
    if text == zero:
        return ""
    if value < 0:
        return "-"
    return "+" if signed else ""

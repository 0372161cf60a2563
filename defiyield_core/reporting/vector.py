"""Inline SVG of a `Plot`, written directly: small, quick, and in the page's own fonts and colours.

Belongs here: scales, ticks and paths. Does not belong here: what a picture shows (see `plots`), PNG (see `charts`).
A year of days is a few kilobytes and a few milliseconds, without matplotlib and its import.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np

from defiyield_core.reporting.markup import Html, element, safe
from defiyield_core.reporting.plots import (
    CSS_VARIABLES,
    DASHES,
    GRID,
    MUTED,
    PAPER,
    Band,
    ChartStyle,
    DayArray,
    Dots,
    Layer,
    Line,
    Plot,
    Stack,
    drawn_order,
    tick_texts,
)
from defiyield_core.units import FloatArray

SCREEN = ChartStyle(width_px=950, height_px=330, font_px=14.0, titled=False)
PHONE = ChartStyle(width_px=390, height_px=270, font_px=12.5, titled=False)
_LETTER = 0.58
"""Width of a letter in parts of the font size."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_DAY_STEPS = (1, 2, 7, 14)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)
_TICK_ROOM_PX = {True: 105.0, False: 72.0}
_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class _Frame:
    """Where the data lie in the picture: pixels of the box, and the data's values at its edges."""

    left: float
    right: float
    top: float
    bottom: float
    first: float
    last: float
    low: float
    high: float

    def x(self, days: FloatArray) -> FloatArray:
        return self.left + (days - self.first) / (self.last - self.first) * (self.right - self.left)

    def y(self, amounts: FloatArray) -> FloatArray:
        return self.bottom - (amounts - self.low) / (self.high - self.low) * (self.bottom - self.top)


def figure(plot: Plot) -> Html:
    """The picture twice, for screens and paper and for phones, under one legend."""
    drawn = (element("div", svg(plot, style), class_=kind) for kind, style in (("wide", SCREEN), ("narrow", PHONE)))
    return element("figure", legend(plot), *drawn)


def legend(plot: Plot) -> Html:
    """Names of the layers with their colours."""
    items = (
        element("li", element("i", class_=kind, style=f"--key:{_colour(colour)}"), name)
        for name, colour, kind in _keys(plot.layers)
    )
    return element("ul", *items, class_="legend")


def svg(plot: Plot, style: ChartStyle = SCREEN) -> Html:
    """An `<svg>` element as wide as its container.

    Text keeps its size of `style` where the container is `style.width_px` wide.
    """
    days = _number(plot.days)
    low, high = _ends(plot)
    ticks = value_ticks(low, high, 5 if style.height_px < 450 else 7)
    texts = tick_texts(ticks, plot.unit)
    room = style.font_px * (_LETTER * max((len(text) for text in texts), default=1) + 0.9)
    whole = any(isinstance(layer, Stack) for layer in plot.layers)
    last = days[-1] + 1.0 if whole else days[-1]
    single = 0.5 if last == days[0] else 0.0
    frame = _Frame(
        left=room,
        right=style.width_px - 6.0,
        top=style.font_px * (1.5 if plot.note else 0.7),
        bottom=style.height_px - style.font_px * 2.9,
        first=days[0] - single,
        last=last + single,
        low=low,
        high=high,
    )
    order = sorted(plot.layers, key=drawn_order)
    parts = [
        *_value_axis(frame, ticks, texts, style),
        *(part for layer in order for part in _drawn(layer, days, frame)),
        *_day_axis(frame, plot.days, style),
    ]
    if plot.note:
        parts.append(_text(frame.right, style.font_px, plot.note, "end"))
    size = f"0 0 {style.width_px} {style.height_px}"
    return element(
        "svg", *parts, viewBox=size, role="img", aria_label=plot.title, font_size=_short(style.font_px), class_="plot"
    )


def value_ticks(low: float, high: float, at_most: int) -> FloatArray:
    """Round numbers between two ends, both included where they are round: at most so many, at least one."""
    span = high - low
    size = 10.0 ** math.floor(math.log10(span / at_most))
    for step in (size * part for part in (*_STEPS, 20.0, 25.0, 50.0)):
        # An end that is a round number but for the last bit counts as one.
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if 1 <= last - first + 1 <= at_most:
            return np.arange(first, last + 1, dtype=np.float64) * np.float64(step)
    return np.array([low])


def day_ticks(first: date, last: date, at_most: int) -> list[date]:
    """Days to name on an axis: evenly spaced days, or firsts of months, at most so many and at least one."""
    span = (last - first).days + 1
    for step in _DAY_STEPS:
        if math.ceil(span / step) <= at_most:
            return [date.fromordinal(first.toordinal() + offset) for offset in range(0, span, step)]
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    for step in _MONTH_STEPS:
        found = [date(month // 12, month % 12 + 1, 1) for month in months if month % step == 0]
        found = [day for day in found if first <= day]
        if 1 <= len(found) <= at_most:
            return found
    return [first]


def _ends(plot: Plot) -> tuple[float, float]:
    known = np.concatenate([_reach(layer) for layer in plot.layers]) if plot.layers else np.empty(0)
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low = low - pad if plot.lowest is None else plot.lowest
    high = high + pad if plot.highest is None else plot.highest
    return low, max(high, low + 1e-9 * max(abs(low), 1.0))


def _reach(layer: Layer) -> FloatArray:
    match layer:
        case Band():
            return np.concatenate([layer.low, layer.high])
        case Stack():
            return layer.values.sum(axis=0)
        case _:
            return layer.values


def _drawn(layer: Layer, days: FloatArray, frame: _Frame) -> Iterable[Html]:
    match layer:
        case Line():
            yield from _line(layer, frame.x(days), frame)
        case Dots():
            # A stroke of no length with round ends is a dot.
            spots = (f"M{_short(x)} {_short(y)}h0" for x, y in _inside(layer.values, days, frame))
            yield _path("".join(spots), layer.colour, 4.5, opacity="0.45", stroke_linecap="round")
        case Band():
            known = np.isfinite(layer.low) & np.isfinite(layer.high)
            x, low, high = frame.x(days[known]), frame.y(layer.low[known]), frame.y(layer.high[known])
            outline = _through([*zip(x, low, strict=True), *reversed([*zip(x, high, strict=True)])])
            yield _area(f"{outline}Z", layer.colour, fill_opacity="0.3") if known.any() else Html("")
        case Stack():
            x = np.append(frame.x(days), frame.right)
            tops = np.clip(frame.y(np.cumsum(np.nan_to_num(layer.values), axis=0)), frame.top, frame.bottom)
            # From the top down, each to the bottom: what is lower covers what is higher.
            for top, colour in zip(tops[::-1], layer.colours[::-1], strict=True):
                yield _area(_stairs(x, top, frame.bottom), colour, stroke=_colour(PAPER), stroke_width="0.5")


def _line(line: Line, x: FloatArray, frame: _Frame) -> Iterable[Html]:
    y = np.clip(frame.y(line.values), frame.top - 2.0, frame.bottom + 2.0)
    known = np.isfinite(y)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], known, [False])).astype(np.int8)))
    runs = [[*zip(x[start:end], y[start:end], strict=True)] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    if line.filled:
        zero = float(frame.y(np.zeros(1))[0])
        shapes = (f"{_through([(run[0][0], zero), *run, (run[-1][0], zero)])}Z" for run in runs)
        yield _area("".join(shapes), line.colour, fill_opacity="0.15")
    dash = {"stroke_dasharray": " ".join(map(_short, DASHES[line.dash]))} if DASHES[line.dash] else {}
    strokes = "".join(_through(run) if len(run) > 1 else f"M{_short(run[0][0])} {_short(run[0][1])}h0" for run in runs)
    yield _path(strokes, line.colour, line.width_px, stroke_linejoin="round", stroke_linecap="round", **dash)


def _value_axis(frame: _Frame, ticks: FloatArray, texts: list[str], style: ChartStyle) -> Iterable[Html]:
    heights = frame.y(ticks)
    rules = "".join(f"M{_short(frame.left)} {_short(y)}H{_short(frame.right)}" for y in heights)
    yield _path(rules, GRID, 1.0)
    for y, text in zip(heights, texts, strict=True):
        yield _text(frame.left - style.font_px * 0.5, y + style.font_px * 0.35, text, "end")


def _day_axis(frame: _Frame, days: DayArray, style: ChartStyle) -> Iterable[Html]:
    first, last = (days[place].astype("datetime64[D]").astype(object) for place in (0, -1))
    at_most = int((frame.right - frame.left) / _TICK_ROOM_PX[style.width_px >= 700])
    ticks = day_ticks(first, last, max(at_most, 2))
    places = frame.x(_number(np.array(ticks, dtype="datetime64[s]")))
    marks = "".join(f"M{_short(x)} {_short(frame.bottom)}v5" for x in places)
    yield _path(f"M{_short(frame.left)} {_short(frame.bottom)}H{_short(frame.right)}{marks}", MUTED, 1.0)
    year = None
    for tick, x in zip(ticks, places, strict=True):
        # A label is held inside the picture, whichever end it is near.
        half = style.font_px * _LETTER * 3.0
        middle = min(max(float(x), half), frame.right - half)
        yield _text(middle, frame.bottom + style.font_px * 1.35, _day_name(tick, ticks), "middle")
        if tick.year != year:
            yield _text(middle, frame.bottom + style.font_px * 2.5, str(tick.year), "middle")
        year = tick.year


def _day_name(tick: date, ticks: list[date]) -> str:
    return f"{tick:%b}" if all(each.day == 1 for each in ticks) and len(ticks) > 1 else f"{tick.day} {tick:%b}"


def _inside(amounts: FloatArray, days: FloatArray, frame: _Frame) -> Iterable[tuple[float, float]]:
    shown = np.isfinite(amounts) & (amounts >= frame.low) & (amounts <= frame.high)
    return zip(frame.x(days[shown]), frame.y(amounts[shown]), strict=True)


def _through(points: Iterable[tuple[float, float]]) -> str:
    """A path through points, each relative to the one before as it was written, so that rounding does not add up."""
    pieces: list[str] = []
    at_x = at_y = 0
    for x, y in points:
        to_x, to_y = round(x * 10), round(y * 10)
        pieces.append(f"{'l' if pieces else 'M'}{_tenths(to_x - at_x)} {_tenths(to_y - at_y)}")
        at_x, at_y = to_x, to_y
    return "".join(pieces)


def _stairs(x: FloatArray, tops: FloatArray, bottom: float) -> str:
    """Outline of an area whose upper edge holds from each place to the next one; `x` has one place more."""
    pieces, height = [f"M{_short(x[0])} {_short(bottom)}"], _short(bottom)
    for place, top in zip(x[:-1], map(_short, tops), strict=True):
        if top != height:
            pieces.append(f"H{_short(place)}V{top}")
            height = top
    return "".join(pieces) + f"H{_short(x[-1])}V{_short(bottom)}Z"


def _path(shape: str, colour: str, width: float, **more: str) -> Html:
    return element("path", d=shape, fill="none", stroke=_colour(colour), stroke_width=_short(width), **more)


def _area(shape: str, colour: str, **more: str) -> Html:
    return element("path", d=shape, fill=_colour(colour), **more)


def _text(x: float, y: float, text: str, anchor: str) -> Html:
    return element("text", safe(text), x=_short(x), y=_short(y), text_anchor=anchor, fill=_colour(MUTED))


def _keys(layers: Iterable[Layer]) -> Iterable[tuple[str, str, str]]:
    for layer in layers:
        match layer:
            case Stack():
                yield from ((name, colour, "block") for name, colour in zip(layer.labels, layer.colours, strict=True))
            case Line():
                yield layer.label, layer.colour, _KINDS[layer.dash]
            case Dots():
                yield layer.label, layer.colour, "dot"
            case Band():
                yield layer.label, layer.colour, "block faint"


_KINDS = {"-": "line", "--": "line dashed", "-.": "line dashed", ":": "line dotted"}


def _number(days: DayArray) -> FloatArray:
    return days.astype("datetime64[s]").astype(np.int64) / _SECONDS_PER_DAY


def _colour(colour: str) -> str:
    return f"var({CSS_VARIABLES[colour]})"


def _tenths(tenths: int) -> str:
    return str(tenths // 10) if tenths % 10 == 0 else f"{tenths / 10:.1f}"


def _short(value: float) -> str:
    return _tenths(round(float(value) * 10))

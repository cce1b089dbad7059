"""Inline SVG, drawn small enough to stand in a table or a phone's width. Colours are classes of page.css: `s0` to `s5`
are series, `s6` is the rest. Each series has a shape of its own too, so that nothing is told by colour alone.

Everything returned is Markup: values go in through `format`, which escapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

# Around the point that a path has moved to.
_SHAPES = (
    "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",  # disc
    "m-3 -3h6v6h-6z",  # square
    "m0-4.2l4 7h-8z",  # triangle
    "m0-4.6l4.6 4.6l-4.6 4.6l-4.6-4.6z",  # diamond
    "m0 4.2l4-7h-8z",  # triangle that points down
    "m-1.4-4.2h2.8v2.8h2.8v2.8h-2.8v2.8h-2.8v-2.8h-2.8v-2.8h2.8z",  # plus
    "m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0z",  # small disc
)
SERIES = len(_SHAPES) - 1
REST = SERIES


@dataclass(frozen=True)
class TrendPoint:
    """A value of a series in time, with its interval where there is one."""

    when: datetime
    value: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Dot:
    """A point of a map: its series, and the text that is shown of it."""

    x: float
    y: float
    series: int
    text: str


def mark(series: int) -> Markup:
    """The sign of a series, for a legend or a row of a table."""
    return Markup('<svg class="mark" viewBox="-6 -6 12 12" aria-hidden="true">{}</svg>').format(_shape(series, 0, 0))


def _shape(series: int, x: float, y: float, text: str | None = None) -> Markup:
    title = Markup("<title>{}</title>").format(text) if text else ""
    return Markup('<path class="s{}" d="M{} {}{}">{}</path>').format(
        series, _short(x), _short(y), _SHAPES[series], title
    )


def share_bar(parts: Sequence[tuple[str, int]], total: int) -> Markup:
    """Counts as shares of a bar, left to right, each with its class; what is left of the total is empty."""
    width, x = 140.0, 0.0
    drawn = []
    for name, count in parts:
        length = width * count / total if total else 0
        if length:
            drawn.append(
                Markup('<rect class="{}" x="{}" width="{}" height="12"/>').format(name, _short(x), _short(length))
            )
        x += length
    return Markup(
        '<svg class="bar" viewBox="0 0 140 12" preserveAspectRatio="none" aria-hidden="true">{}{}</svg>'
    ).format(Markup('<rect class="track" width="140" height="12"/>'), Markup("").join(drawn))


def interval(
    value: float, lower: float | None, upper: float | None, low: float, high: float, series: int, zero: bool = False
) -> Markup:
    """A value with its interval on a scale from `low` to `high`; `zero` draws the line of no difference."""

    def place(number: float) -> str:
        return _short(6 + 148 * (min(max(number, low), high) - low) / (high - low))

    lines = [Markup('<path class="axis" d="M6 9H154"/>')]
    if zero:
        lines.append(Markup('<path class="zero" d="M{} 1V17"/>').format(place(0)))
    if lower is not None and upper is not None:
        lines.append(
            Markup('<path class="whisker s{}" d="M{} 9H{}M{} 5v8M{} 5v8"/>').format(
                series, place(lower), place(upper), place(lower), place(upper)
            )
        )
    return Markup('<svg class="interval" viewBox="0 0 160 18" aria-hidden="true">{}{}</svg>').format(
        Markup("").join(lines), _shape(series, float(place(value)), 9)
    )


def trend(metric: str, lines: Sequence[tuple[int, str, Sequence[TrendPoint]]]) -> Markup:
    """A metric in time, a line for each (series, name, points in time's order), on a scale that holds them all."""
    points = [point for _, _, line in lines for point in line]
    low, high = _scale(points)
    first, last = (choose(point.when for point in points) for choose in (min, max))
    span = (last - first).total_seconds() or 1.0

    def x(when: datetime) -> float:
        return 38 + 272 * (when - first).total_seconds() / span if first < last else 174.0

    def y(number: float) -> float:
        return 12 + 106 * (high - number) / (high - low)

    drawn = [_gridline(number, y(number)) for number in (low, (low + high) / 2, high)]
    for series, name, line in lines:
        path = "L".join(f"{_short(x(point.when))} {_short(y(point.value))}" for point in line)
        drawn.append(Markup('<path class="line s{}" d="M{}"/>').format(series, path))
        for point in line:
            if point.lower is not None and point.upper is not None:
                ends = (_short(x(point.when)), _short(y(point.lower)), _short(y(point.upper)))
                drawn.append(Markup('<path class="whisker s{}" d="M{} {}V{}"/>').format(series, *ends))
            text = f"{name}: {point.value:.3f}, {point.when:%Y-%m-%d %H:%M} UTC"
            drawn.append(_shape(series, x(point.when), y(point.value), text))
    ends = [(38, "start", first), (310, "end", last)] if first.date() < last.date() else [(174, "middle", first)]
    drawn += [
        Markup('<text x="{}" y="138" text-anchor="{}">{}</text>').format(at, anchor, f"{when:%Y-%m-%d}")
        for at, anchor, when in ends
    ]
    return Markup('<svg class="trend" viewBox="0 0 320 144" role="img" aria-label="{} in time">{}</svg>').format(
        metric, Markup("").join(drawn)
    )


def _scale(points: Iterable[TrendPoint]) -> tuple[float, float]:
    """Tenths that hold every value and interval."""
    values = [value for point in points for value in (point.value, point.lower, point.upper) if value is not None]
    low, high = math.floor(min(values) * 10) / 10, math.ceil(max(values) * 10) / 10
    return (low, high) if low < high else (low - 0.1, high + 0.1)


def _gridline(number: float, y: float) -> Markup:
    return Markup('<path class="axis" d="M38 {}H310"/><text x="33" y="{}" text-anchor="end">{}</text>').format(
        _short(y), _short(y + 4), f"{number:.2f}"
    )


def histogram(counts: Sequence[int], label: str) -> Markup:
    """Counts of equal steps from 0 to 1."""
    top, width = max(max(counts), 1), 296 / len(counts)
    bars = [
        Markup('<rect class="s0" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
            _short(12 + i * width),
            _short(84 - 66 * count / top),
            _short(width - 2),
            _short(66 * count / top),
            f"{i / len(counts):.1f} to {(i + 1) / len(counts):.1f}: {count}",
        )
        for i, count in enumerate(counts)
    ]
    numbers = [
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            _short(12 + (i + 0.5) * width - 1), _short(80 - 66 * count / top), count
        )
        for i, count in enumerate(counts)
        if count
    ]
    ends = [
        Markup('<text x="{}" y="100" text-anchor="{}">{}</text>').format(*each)
        for each in ((12, "start", "0"), (160, "middle", "0.5"), (308, "end", "1"))
    ]
    return Markup('<svg class="histogram" viewBox="0 0 320 106" role="img" aria-label="{}">{}{}{}</svg>').format(
        label, Markup('<path class="axis" d="M12 84.5H308"/>'), Markup("").join(bars), Markup("").join(numbers + ends)
    )


def scatter(dots: Sequence[Dot], label: str) -> Markup:
    """Points on a plane whose two axes have one scale, the vertical one upwards."""
    # Many points are drawn smaller: on a larger plane, which is shown at the same size.
    finer = 1.0 if len(dots) <= 500 else 1.5 if len(dots) <= 1500 else 2.0
    width, height, margin = round(480 * finer), round(400 * finer), 10
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    # Pixels a unit. Points that are all in one place have no extent, and any scale will do.
    rooms = ((width - 2 * margin, max(xs) - min(xs)), (height - 2 * margin, max(ys) - min(ys)))
    scale = min((length / extent for length, extent in rooms if extent > 0), default=1.0)
    middle_x, middle_y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    drawn = [
        _shape(dot.series, width / 2 + scale * (dot.x - middle_x), height / 2 - scale * (dot.y - middle_y), dot.text)
        for dot in dots
    ]
    return Markup('<svg class="plane" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, Markup("").join(drawn)
    )


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")

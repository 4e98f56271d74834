"""Line charts as inline SVG: a few kilobytes, sharp at every size, coloured by the page's style sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

WIDTH, HEIGHT = 380, 215
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 8, 36
MOST_POINTS = 300
"""Longer lines are thinned: a chart is 400 pixels wide."""

FEW_POINTS = 12
"""Shorter lines have marked points."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        name: in the legend.
        value: after the name in the legend, the line's main figure.
        points: (x, y), in order of x.
        colour: class of the style sheet, such as ``c1``.
    """

    name: str
    value: float
    points: Sequence[Point]
    colour: str


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_range: tuple[float, float] | None = None,
) -> Markup:
    """Return a figure with a legend and a chart of the lines.

    Args:
        lines: at least one, with at least one point each.
        title: above the chart.
        x_label: under the chart.
        y_range: lowest and highest y; from zero to the largest value by default.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_ticks = ticks(min(xs), max(xs), 7, whole=True)
    y_ticks = ticks(*(y_range or (min(0.0, *ys), max(ys))), 5)
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> Point:
        return (
            LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM),
        )

    page = (
        environment()
        .get_template("chart.html.jinja")
        .render(
            title=title,
            x_label=x_label,
            size=(WIDTH, HEIGHT),
            sides=(LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM),
            columns=[(x, place(x, y_low)[0]) for x in x_ticks if x_low <= x <= x_high],
            rows=[(y, place(x_low, y)[1]) for y in y_ticks],
            lines=[(line, [place(*point) for point in thinned(line.points)]) for line in lines],
            few=FEW_POINTS,
        )
    )
    return Markup(page)


@cache
def environment() -> jinja2.Environment:
    """Return what renders the templates in this folder."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Return round numbers at equal steps, at most ``most`` steps; the first is <= low, the last >= high.

    Args:
        whole: only whole numbers.
    """
    if whole:
        low, high = math.floor(low), math.ceil(high)
    high = max(high, low + (1 if whole else 1e-9 * max(1.0, abs(low))))
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    if whole:
        power = max(power, 1.0)
    for factor in (1, 2, 5, 10, 20):
        step = power * factor
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= most:
            break
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]  # 0.3, not 0.30000000000000004


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most ``MOST_POINTS`` points, each the mean of its neighbours where there are more."""
    size = math.ceil(len(points) / MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups
    ]

"""The plot of a result: lines with error bars, accuracy against cost, or differences."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resight.tables.metrics import METRICS
from resight.tables.results import Cell, Interval, TableResult
from resight.tables.sheets import multiply_adds
from resight.tables.table import Plot

SIZE = (6.4, 4.0)
COSTS = (9.0, 6.0)
"""Inches of a plot with a name at each point."""
LINES = 60
"""Names above one another in such a plot."""
BAR = 0.4
"""Inches for a bar and its name."""
LONGEST = 40
"""Characters of a name under a bar."""
COLOURS = {"ours": "C0", "paper": "C1", "quoted by the paper": "0.6"}


def save_plot(result: TableResult, path: Path) -> list[Path]:
    """Draw the table's plot as ``path.png`` and ``path.svg``; return the files, none if it has no plot."""
    plot = result.plot
    if plot is None:
        return []
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False}):  # a dollar sign in a name is one
        return _save(result, plot, path)


def _save(result: TableResult, plot: Plot, path: Path) -> list[Path]:
    from matplotlib.figure import Figure as Drawing

    from resight.report.sheets import save_figure

    drawing = Drawing(figsize=COSTS if plot.kind == "cost" else SIZE, layout="constrained", dpi=150)
    axes = drawing.subplots()
    drawn = DRAWN[plot.kind](result, plot.metric, axes)
    if not drawn:
        return []
    metric = METRICS[plot.metric].title
    labels = {"bars": f"{metric}, difference from\n{_short(result.reference or '')}", "heat": plot.y_label}
    axes.set_ylabel(labels.get(plot.kind, metric))
    axes.set_xlabel(f"{plot.x_label} (billions)" if plot.kind == "cost" else plot.x_label)
    bars = ["error bars: 95 % intervals over runs"] * _has_intervals(result, plot)
    axes.set_title("\n".join([result.title, *result.conditions, *bars]), fontsize=9)
    if plot.kind != "heat":
        axes.grid(alpha=0.3)
    if plot.kind in ("lines", "cost"):
        axes.legend(fontsize=7)
    if plot.log:
        _logarithmic(axes, [row.x for row in result.rows if row.x is not None])
    return save_figure(drawing, path)


def _has_intervals(result: TableResult, plot: Plot) -> bool:
    cells = (cell for row in result.rows for found in row.cells for cell in found)
    shown = [cell for cell in cells if cell.metric == plot.metric]
    drawn = {"lines": [cell.ours for cell in shown], "bars": [cell.difference for cell in shown]}
    return any(one is not None and one.high is not None for one in drawn.get(plot.kind, []))


def _logarithmic(axes: Any, values: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic, with a tick at each value; it may begin at 0."""
    if above := [value for value in values if value > 0]:
        axes.set_xscale("symlog", linthresh=min(above))
        axes.set_xticks(sorted(values), [f"{value:g}" for value in sorted(values)])
        axes.minorticks_off()


def _reach(found: Interval) -> float:
    """Return half of the interval, for an error bar."""
    return 0.0 if found.high is None else found.high - found.mean


def _lines(result: TableResult, metric: str, axes: Any) -> bool:
    """Draw a line for each series and heading, ours and the paper's, over ``x``."""
    drawn = False
    growing = any(size is not None for size in result.distractors)
    points: dict[str, list[tuple[float, Cell]]] = {}
    if any(row.labels and row.x is None for row in result.rows):  # values that are no numbers
        axes.set_xticks(range(len(result.rows)), [row.labels[0] for row in result.rows])
    for place, row in enumerate(result.rows):
        for number, heading in enumerate(result.headings):
            x = result.distractors[number] if growing else row.x
            x = place if x is None and row.labels else x
            cell = next((cell for cell in row.cells[number] if cell.metric == metric), None)
            if x is not None and cell is not None:
                name = row.name if growing else ", ".join(filter(None, (row.series, heading)))
                points.setdefault(name, []).append((x, cell))
    for name, line in points.items():
        ours = [(x, cell.ours) for x, cell in sorted(line, key=lambda one: one[0]) if cell.ours is not None]
        if ours:
            means, reach = [found.mean for _, found in ours], [_reach(found) for _, found in ours]
            axes.errorbar(
                [x for x, _ in ours],
                means,
                reach if any(reach) else None,
                marker="o",
                capsize=3,
                label=name or "ours",
            )
        paper = [(x, cell.published.value) for x, cell in line if cell.published is not None]
        if paper:
            axes.plot(*zip(*sorted(paper), strict=True), "k--", marker="x", label=f"{name} (paper)".strip())
        drawn = drawn or bool(ours or paper)
    return drawn


def _costs(result: TableResult, metric: str, axes: Any) -> bool:
    """Draw each row at its multiply-adds and its accuracy, ours and the paper's."""
    from matplotlib.ticker import LogLocator

    placed: dict[str, list[tuple[float, float, str]]] = {}
    for row in result.rows:
        cells = [cell for group in row.cells for cell in group]
        cost = next((cell for cell in cells if cell.metric == "flops"), None)
        score = next((cell for cell in cells if cell.metric == metric), None)
        if cost is None or score is None:
            continue
        ours, paper = multiply_adds(row, cost)
        if score.published is not None and paper is not None:
            kind = "quoted by the paper" if row.quoted else "paper"
            placed.setdefault(kind, []).append((paper, score.published.value, row.name))
        if score.ours is not None and ours is not None:
            placed.setdefault("ours", []).append((ours, score.ours.mean, row.name))
    for kind, points in placed.items():
        xs, ys, _ = zip(*points, strict=True)
        axes.scatter(xs, ys, s=18, label=kind, color=COLOURS[kind])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda cost, _: f"{cost / 1e9:g}")  # the default is a formula
    axes.minorticks_off()
    _name_points(axes, [point for points in placed.values() for point in points])
    return bool(placed)


def _name_points(axes: Any, points: Sequence[tuple[float, float, str]]) -> None:
    """Write a name beside each point, those of one cost one above the other."""
    low, high = axes.get_ylim()
    line = (high - low) / LINES
    for _, same in itertools.groupby(sorted(points), key=lambda point: point[0]):
        level = -math.inf
        for x, y, name in same:
            level = max(y, level + line)
            place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(name.partition(" (")[0], (x, level), fontsize=5, **place)


def _bars(result: TableResult, metric: str, axes: Any) -> bool:
    """Draw the difference of each row from the reference row."""
    found: list[tuple[str, Cell]] = [
        (", ".join([_short(row.name), *([heading] if len(result.headings) > 1 else [])]), cell)
        for row in result.rows
        for heading, group in zip(result.headings, row.cells, strict=True)
        for cell in group
        if cell.metric == metric and (cell.difference or cell.published_difference is not None)
    ]
    printed = any(cell.published_difference is not None for _, cell in found)
    aside = 0.2 if printed else 0.0
    for place, (_, cell) in enumerate(found):
        if cell.difference is not None:
            reach = _reach(cell.difference) or None  # one run has no interval
            mean = cell.difference.mean
            axes.bar(place - aside, mean, 0.4, yerr=reach, color=COLOURS["ours"], capsize=3, label="ours")
        if cell.published_difference is not None:
            height = cell.published_difference
            axes.bar(place + aside, height, 0.4, color=COLOURS["paper"], label="paper")
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    axes.legend(named.values(), named.keys(), fontsize=7)
    axes.set_xticks(range(len(found)), [name for name, _ in found], rotation=30, ha="right", fontsize=7)
    axes.set_xlim(-0.7, len(found) - 0.3)
    axes.figure.set_figwidth(max(SIZE[0], BAR * len(found)))
    return bool(found)


def _short(name: str) -> str:
    """Return a name that leaves room for the plot; of a path, the end."""
    name = Path(name).name if name.endswith(".yaml") else name
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _heat(result: TableResult, metric: str, axes: Any) -> bool:
    """Draw a map over two settings, with the figure in each field."""
    across, up = (list(dict.fromkeys(row.labels[axis] for row in result.rows)) for axis in (0, 1))
    field = [[math.nan] * len(across) for _ in up]
    for row in result.rows:
        cell = next(cell for cell in row.cells[0] if cell.metric == metric)
        if cell.ours is not None:
            x, y = across.index(row.labels[0]), up.index(row.labels[1])
            field[y][x] = cell.ours.mean
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(up)), up)
    image = axes.imshow(field, origin="lower", aspect="auto", cmap="Blues")
    for y, line in enumerate(field):
        for x, value in enumerate(line):
            if not math.isnan(value):
                ink = "white" if image.norm(value) > 0.6 else "black"
                shown = METRICS[metric].shown(value)
                axes.annotate(shown, (x, y), ha="center", va="center", fontsize=8, color=ink)
    axes.figure.colorbar(image, label=METRICS[metric].title)
    return True


DRAWN = {"lines": _lines, "cost": _costs, "bars": _bars, "heat": _heat}
"""Kind of a plot -> what draws it; each returns whether there was anything to draw."""

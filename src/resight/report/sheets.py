"""Figures for papers and talks: sheets of crops and a scatter plot, as PNG and SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from resight.files import whole_file
from resight.report.attention import View
from resight.report.projection import Projection

RIGHT, WRONG, INK, FAINT = "#12924f", "#d43c3c", "#1d2127", "#69717d"
FRAMES = {"query": INK, "right": RIGHT, "wrong": WRONG}
REFERENCE, RELATED = "#22d36b", "#ff3b30"
BOX_COLOURS = ("#e5322d", "#2f7bff", "#1fae54", "#9b51e0")
"""Red, blue, green and violet, from head to feet, as in HAN's Fig. 7."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
"""Markers of the cameras, in order; more cameras begin anew."""

HEIGHT, DPI = 256, 200
"""Pixels of a picture in a PNG file, and pixels an inch."""

GAP, LINE, CHARACTER = 12, 28, 13.5
"""Pixels between pictures, of a line of text and of a character."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.fonttype": "none",  # text stays text, to be edited
    "svg.hashsalt": "resight",  # the same figure is the same file
}


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One row of a sheet.

    Attributes:
        label: lines at its left.
        crop: number of the crop that it shows.
        views: its pictures.
    """

    label: str
    crop: int
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True)
class PictureSheet:
    """Pictures in rows and columns.

    Attributes:
        rows: at least one; the columns are named as the longest row's views.
        groups: headings over the columns, and how many columns each one spans.
    """

    rows: tuple[PictureRow, ...]
    groups: tuple[tuple[str, int], ...] = ()

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(view.name for view in max((row.views for row in self.rows), key=len))


@matplotlib.rc_context(STYLE)
def draw_sheet(sheet: PictureSheet) -> Figure:
    """Return a sheet as a figure."""
    width = round(HEIGHT * sheet.rows[0].views[0].pixels.shape[1] / sheet.rows[0].views[0].pixels.shape[0])
    left = (
        round(GAP + max(len(line) for row in sheet.rows for line in row.label.split("\n")) * CHARACTER) + GAP
    )
    groups = [number for number, (_, span) in enumerate(sheet.groups) for _ in range(span)]
    columns = [
        left + place * (width + GAP) + 2 * GAP * group
        for place, group in enumerate(groups or [0] * len(sheet.heads))
    ]
    headed = any(heading for heading, _ in sheet.groups)
    heads = LINE * (max(head.count("\n") + 1 for head in sheet.heads) + headed) + GAP
    longest = max(len(line) for row in sheet.rows for view in row.views for line in view.note.split("\n"))
    size = STYLE["font.size"] * min(1, (width + GAP) / (CHARACTER * max(longest, 1)))
    notes = [max(view.note.count("\n") + bool(view.note) for view in row.views) * LINE for row in sheet.rows]
    high = heads + sum(notes) + len(sheet.rows) * (HEIGHT + GAP)
    wide = columns[-1] + width + GAP
    figure = Figure((wide / DPI, high / DPI), dpi=DPI, facecolor="white")

    def write(x: float, y: float, text: str, **how: Any) -> None:
        figure.text(x / wide, 1 - y / high, text, **how)

    start = 0
    for heading, span in sheet.groups:
        middle = (columns[start] + columns[start + span - 1] + width) / 2
        write(middle, LINE / 2 + 4, heading, ha="center", va="center", weight="bold")
        start += span
    for column, head in zip(columns, sheet.heads, strict=True):
        write(column + width / 2, heads - GAP / 2, head, ha="center", va="bottom", color=FAINT)
    top = heads
    for row, note in zip(sheet.rows, notes, strict=True):
        write(GAP, top + HEIGHT / 2, row.label, ha="left", va="center")
        for column, view in zip(columns, row.views, strict=False):
            edges = (column / wide, 1 - (top + HEIGHT) / high, width / wide, HEIGHT / high)
            _draw_view(figure.add_axes(edges), view)
            how = {"ha": "center", "va": "top", "color": FRAMES.get(view.frame, FAINT), "size": size}
            write(column + width / 2, top + HEIGHT + 4, view.note, **how)
        top += HEIGHT + note + GAP
    return figure


def _draw_view(axes: Axes, view: View) -> None:
    """Draw a picture with its regions, its points and its frame; the frame of a wrong crop is dashed."""
    axes.set_axis_off()
    axes.imshow(view.pixels, interpolation="none", aspect="auto", extent=(0, 1, 1, 0))
    axes.set(xlim=(0, 1), ylim=(1, 0))
    for number, (left, top, width, height) in enumerate(view.boxes):
        colour = BOX_COLOURS[number % len(BOX_COLOURS)]
        axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=colour, linewidth=1.2))
    for number, (x, y) in reversed(list(enumerate(view.points))):
        fill, size = (RELATED, 3.2) if number else (REFERENCE, 4.5)
        axes.plot(x, y, "o", color=fill, markersize=size, markeredgecolor="black", markeredgewidth=0.6)
    if view.frame:
        style = (0, (2.5, 1.5)) if view.frame == "wrong" else "solid"
        axes.add_patch(
            Rectangle((0, 0), 1, 1, fill=False, edgecolor=FRAMES[view.frame], linewidth=3.5, linestyle=style)
        )


@matplotlib.rc_context(STYLE)
def draw_projection(projection: Projection) -> Figure:
    """Return a scatter plot for each model: a colour for each person, a marker for each camera."""
    size, legend, title, edge = 4.2, 0.35, 0.25, 0.03
    count = len(projection.places)
    height = size * (projection.height + 2 * edge) / (1 + 2 * edge)
    total = height + legend + title
    figure = Figure((count * size, total), dpi=DPI, facecolor="white")
    low, high = 0.5 - projection.height / 2 - edge, 0.5 + projection.height / 2 + edge
    colours = person_colours(len(projection.persons))
    colour_of = dict(zip(projection.persons, colours, strict=True))
    cameras = sorted({crop.camera for crop in projection.crops if crop.camera is not None})
    for number, (name, places) in enumerate(projection.places.items()):
        axes = figure.add_axes(((number + 0.02) / count, legend / total, 0.96 / count, 0.96 * height / total))
        for camera in {crop.camera: None for crop in projection.crops}:
            rows = [row for row, crop in enumerate(projection.crops) if crop.camera == camera]
            axes.scatter(
                places[rows, 0],
                places[rows, 1],
                s=16,
                c=[colour_of[projection.crops[row].person] for row in rows],
                marker=marker_of(camera, cameras),
                linewidths=0.3,
                edgecolors="white",
            )
        axes.set(xticks=[], yticks=[], xlim=(-edge, 1 + edge), ylim=(low, high))
        axes.spines[:].set_color("#d5d9df")
        axes.set_title(name, fontsize=9, weight="bold" if count > 1 else "normal")
    handles = [
        Line2D([], [], color=FAINT, marker=marker_of(camera, cameras), linestyle="", label=f"camera {camera}")
        for camera in cameras
    ]
    if handles:
        figure.legend(handles=handles, loc="lower center", ncols=min(len(handles), 10), frameon=False)
    return figure


def marker_of(camera: int | None, cameras: Sequence[int]) -> str:
    """Return matplotlib's name of a camera's marker."""
    return MARKERS[0] if camera is None else MARKERS[cameras.index(camera) % len(MARKERS)]


def person_colours(count: int) -> list[str]:
    """Return a colour for each of some persons: all different up to twenty."""
    palette = matplotlib.color_sequences["tab20"]
    shades = [*palette[::2], *palette[1::2]]  # strong ones first
    return [matplotlib.colors.to_hex(shades[number % len(shades)]) for number in range(count)]


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as ``stem.png`` and ``stem.svg``.

    Raises:
        UserError: see ``files.whole_file``.
    """
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    for path in paths:
        with whole_file(path) as temporary, matplotlib.rc_context(STYLE):
            metadata = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(temporary, format=path.suffix[1:], metadata=metadata)
    return paths

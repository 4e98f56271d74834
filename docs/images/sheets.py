"""Sheets of small pictures: rows of tiles, and ranked lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from resight.data.crop import Crop
from resight.imaging import Pixels, read_image
from resight.report.lists import RankedList
from resight.report.pictures import heat_overlay

FOLDER = Path(__file__).parent
RIGHT, WRONG, INK, FAINT = "#12924f", "#d43c3c", "#1d2127", "#69717d"
REGION_COLOURS = ("#e5484d", "#3b82f6", "#22a06b", "#f5a524")
FONT = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 11)


@dataclass
class Tile:
    """One small picture of a sheet: pixels, a note under it, and what is drawn on it."""

    pixels: Pixels
    note: str = ""
    frame: str = ""
    dot: tuple[float, float] | None = None  # (x, y) in fractions
    boxes: Sequence[Sequence[float]] = ()  # (left, top, right, bottom) in fractions


def ranked_lists_png(lists: Sequence[RankedList], path: Path, *, width: int = 80, scale: int = 2) -> None:
    """Draw ranked lists as a PNG file: query at the left, right crops in green, wrong ones in dashed red.

    Args:
        lists: one row each; at least one.
        path: file to write.
        width: of a crop, in points; it is twice as high.
        scale: pixels a point.
    """
    gap, edge, caption, first = 10, 3, 20, 26
    height = 2 * width
    longest = max(len(entry.hits) for entry in lists)
    left = 2 * gap + width
    size = (left + gap + longest * (width + gap), first + len(lists) * (height + caption + gap) + gap)
    sheet = Image.new("RGB", (size[0] * scale, size[1] * scale), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11 * scale)

    def write(x: float, y: float, text: str, colour: str) -> None:
        draw.text((x * scale, y * scale), text, colour, font, anchor="mm")

    write(gap + width / 2, first / 2, "query", INK)
    for place in range(longest):
        write(left + gap + place * (width + gap) + width / 2, first / 2, str(place + 1), FAINT)
    draw.line([(left * scale, 0), (left * scale, sheet.height)], "#d5d9df", scale)
    for row, entry in enumerate(lists):
        top = first + row * (height + caption + gap)
        crops = [(gap, entry.query, INK, _camera(entry.query))]
        for place, hit in enumerate(entry.hits):
            note = " · ".join(filter(None, [_camera(hit.crop), f"{hit.score:.2f}"]))
            crops.append((left + gap + place * (width + gap), hit.crop, RIGHT if hit.right else WRONG, note))
        for x, crop, colour, note in crops:
            picture = Image.fromarray(read_image(crop.path, (height * scale, width * scale)))
            sheet.paste(picture, (x * scale, top * scale))
            _frame(draw, x * scale, top * scale, width * scale, height * scale, edge * scale, colour)
            write(x + width / 2, top + height + caption / 2, note, colour)
    sheet.save(path, "PNG", optimize=True)


def _camera(crop: Crop) -> str:
    return "" if crop.camera is None else f"cam {crop.camera}"


def _frame(
    draw: ImageDraw.ImageDraw, x: int, y: int, width: int, height: int, edge: int, colour: str
) -> None:
    """Draw a frame; dashed for wrong crops, so that nobody needs to tell red from green."""
    draw.rectangle((x, y, x + width - 1, y + height - 1), outline=colour, width=edge)
    if colour == WRONG:
        dash = 3 * edge
        for at in range(dash, height - dash, 2 * dash):
            draw.rectangle((x, y + at, x + edge - 1, y + at + dash), fill="white")
            draw.rectangle((x + width - edge, y + at, x + width - 1, y + at + dash), fill="white")
        for at in range(dash, width - dash, 2 * dash):
            draw.rectangle((x + at, y, x + at + dash, y + edge - 1), fill="white")
            draw.rectangle((x + at, y + height - edge, x + at + dash, y + height - 1), fill="white")


def overlays(pixels: Pixels, maps: Tensor) -> list[Tile]:
    """Lay maps [N, h, w] over crops; the note says their range."""
    return [
        Tile(heat_overlay(enlarged(crop, TILE), heat), f"{heat.min():.2f}–{heat.max():.2f}")
        for crop, heat in zip(pixels, maps.numpy(), strict=True)
    ]


def coloured(values: NDArray[np.float32]) -> Pixels:
    """Return values in [0, 1] as colours, blue for 0 and yellow for 1."""
    return np.asarray(255 * matplotlib.colormaps["plasma"](values)[..., :3]).astype(np.uint8)


TILE = (168, 84)
"""Height and width of a tile in pixels, where nothing else is said."""


def enlarged(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    smooth = pixels.shape[0] > 64  # maps have fewer rows, and show their cells
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), how))


def sheet(
    rows: dict[str, list[Tile]], name: str, *, heads: Sequence[str] = (), size: tuple[int, int] = TILE
) -> None:
    """Draw rows of tiles, each with its label at the left."""
    height, width = size
    gap, caption, head = 6, 16, 22 if heads else 4
    left = gap + max(int(FONT.getlength(line)) for label in rows for line in label.split("\n")) + gap
    tall = {
        label: height + (caption if any(tile.note for tile in tiles) else gap)
        for label, tiles in rows.items()
    }
    columns = max(map(len, rows.values()))
    picture = Image.new("RGB", (left + columns * (width + gap), head + sum(tall.values())), "white")
    draw = ImageDraw.Draw(picture)
    for place, text in enumerate(heads):
        draw.text((left + place * (width + gap) + width / 2, head / 2), text, INK, FONT, anchor="mm")
    top = head
    for label, tiles in rows.items():
        draw.text((gap, top + height / 2), label, INK, FONT, anchor="lm")
        for place, tile in enumerate(tiles):
            x = left + place * (width + gap)
            picture.paste(Image.fromarray(enlarged(tile.pixels, size)), (x, top))
            decorate(draw, tile, x, top, width, height)
            if tile.note:
                draw.text((x + width / 2, top + height + 8), tile.note, tile.frame or INK, FONT, anchor="mm")
        top += tall[label]
    save(picture, name)


def decorate(draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int, width: int, height: int) -> None:
    """Draw a tile's regions, its dot and its frame."""
    for colour, (left, top, right, bottom) in zip(REGION_COLOURS, tile.boxes, strict=False):
        edges = (x + left * width, y + top * height, x + right * width - 1, y + bottom * height - 1)
        draw.rectangle(edges, outline=colour, width=2)
    if tile.dot:
        across, down = x + tile.dot[0] * width, y + tile.dot[1] * height
        draw.ellipse((across - 5, down - 5, across + 5, down + 5), fill="#22d36b", outline="black", width=2)
    if tile.frame:
        draw.rectangle((x, y, x + width - 1, y + height - 1), outline=tile.frame, width=3)


def save(picture: Image.Image, name: str) -> None:
    """Write a picture with a palette, which makes the file a third as large."""
    palette = picture.convert("RGB").quantize(256, kmeans=1, dither=Image.Dither.NONE)
    palette.save(FOLDER / name, optimize=True)

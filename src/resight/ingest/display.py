"""Frames as they are meant to be shown: with square pixels, upright, and of one moment."""

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from resight.imaging import Pixels

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

MOST_STRETCH = 4
"""A sample aspect ratio beyond this, or below its inverse, is an error of the file."""


def stretch_of(aspect: Fraction | None) -> tuple[float, float]:
    """Return the factors for width and height that make pixels square; neither is below 1.

    Args:
        aspect: sample aspect ratio, the width of a pixel divided by its height; None or 0 if not known.
    """
    ratio = float(aspect or 1)
    if not 1 / MOST_STRETCH <= ratio <= MOST_STRETCH:
        return 1.0, 1.0
    return max(ratio, 1.0), max(1 / ratio, 1.0)


class Display:
    """Turns decoded frames into pixels uint8 [H, W, 3].

    Pixels that are not square are enlarged to squares; the display matrix turns and mirrors the picture; of
    an interlaced frame, which has two moments in alternate lines, only the lines of one are used.

    Args:
        aspect: sample aspect ratio of the stream, or None.
    """

    def __init__(self, aspect: Fraction | None = None) -> None:
        self.aspect = aspect
        self._interlaced = 0
        self._stretched: str | None = None
        self._graph: tuple[tuple[int, int, str], Graph] | None = None

    def __call__(self, picture: "VideoFrame") -> Pixels:
        """Return the pixels of a frame."""
        turned = _turning(picture)
        across, down = stretch_of(self.aspect)
        recorded = picture.width, picture.height
        width, height = round(recorded[0] * across), round(recorded[1] * down)
        if picture.interlaced_frame:
            self._interlaced += 1
            picture = self._field(picture)
        if (width, height) != recorded:
            self._stretched = f"{recorded[0]}x{recorded[1]} pixels are read as {width}x{height}"
        if (width, height) != (picture.width, picture.height):
            picture = picture.reformat(width, height, "rgb24", interpolation="BICUBIC")
        pixels: Pixels = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
        return np.ascontiguousarray(turned(pixels))

    def notes(self) -> list[str]:
        """Return how frames were changed."""
        notes = []
        if self._stretched:
            notes.append(f"Pixels are not square (sample aspect ratio {self.aspect}): {self._stretched}.")
        if self._interlaced:
            notes.append(
                f"{self._interlaced:,} frames are interlaced, with two moments in alternate lines: every "
                "second line was used."
            )
        return notes

    def _field(self, picture: "VideoFrame") -> "VideoFrame":
        """Return the first, third, ... line of each plane, as a picture of half the height."""
        from av.filter import Graph

        kind = picture.width, picture.height, picture.format.name
        if self._graph is None or self._graph[0] != kind:
            graph = Graph()
            nodes = (
                graph.add_buffer(
                    width=kind[0], height=kind[1], format=picture.format, time_base=picture.time_base
                ),
                graph.add("field", "type=top"),
                graph.add("buffersink"),
            )
            graph.link_nodes(*nodes).configure()
            self._graph = kind, graph
        self._graph[1].push(picture)
        return self._graph[1].pull()  # type: ignore[return-value]


def _turning(picture: "VideoFrame") -> Callable[[Pixels], Pixels]:
    """Return what turns and mirrors the pixels of a frame by its display matrix."""
    try:
        matrix: Any = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 does not know all data that FFmpeg 8 gives, such as EXIF; no mirroring then
        turns = round(picture.rotation / 90) % 4
        return lambda pixels: np.rot90(pixels, turns)
    if matrix is None:
        return lambda pixels: pixels
    # column p and row q are shown in column a p + c q and row b p + d q
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)
    swapped = abs(a) + abs(d) < abs(b) + abs(c)
    across, down = (c, b) if swapped else (a, d)
    order = slice(None, None, -1 if down < 0 else 1), slice(None, None, -1 if across < 0 else 1)
    return lambda pixels: (pixels.swapaxes(0, 1) if swapped else pixels)[order]

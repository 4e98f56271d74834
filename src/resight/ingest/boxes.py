"""Boxes of persons in a frame, and their overlap.

A box is (left, top, right, bottom) in pixels of the frame; its width is ``right - left``.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """The boxes of one frame.

    Attributes:
        edges: [N, 4] left, top, right, bottom.
        scores: [N], 0 to 1: the detector's confidence that the box shows a person.
        tracks: [N] numbers of the boxes' tracks; None if not known.
        appearance: [N, D] unit vectors, similar for similar boxes; None if not computed.
    """

    edges: Floats
    scores: Floats
    tracks: NDArray[np.int64] | None = None
    appearance: Floats | None = None

    def __len__(self) -> int:
        return len(self.edges)


def no_boxes() -> Boxes:
    """Return the boxes of a frame without persons."""
    return Boxes(np.zeros((0, 4)), np.zeros(0))


def stretched(boxes: Boxes, factors: tuple[float, float]) -> Boxes:
    """Return boxes of recorded pixels in a frame that is shown wider or higher by the given factors."""
    return replace(boxes, edges=boxes.edges * np.array(2 * factors))


def areas(edges: Floats) -> Floats:
    """Return the areas [N] of boxes [N, 4]; 0 for inverted boxes."""
    sides = np.clip(edges[:, 2:] - edges[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1])


def intersections(one: Floats, other: Floats) -> Floats:
    """Return the intersection areas [N, M] of boxes [N, 4] and boxes [M, 4]."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1])


def overlaps(one: Floats, other: Floats) -> Floats:
    """Return the intersection over union [N, M] of boxes [N, 4] and boxes [M, 4]; 0 for empty boxes."""
    common = intersections(one, other)
    union = areas(one)[:, None] + areas(other)[None] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def visible_shares(edges: Floats, sure: NDArray[np.bool_]) -> Floats:
    """Return the visible share [N] of each box: a sure box with a lower bottom edge, of a person nearer to
    the camera, occludes it."""
    covered = intersections(edges, edges) * (edges[None, :, 3] > edges[:, None, 3]) * sure[None]
    size = areas(edges)
    return np.asarray(1 - covered.max(axis=1, initial=0) / np.maximum(size, 1e-9))


def suppress(edges: Floats, scores: Floats, overlap: float) -> NDArray[np.int64]:
    """Return the indices of the boxes that greedy non-maximum suppression keeps, highest score first."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[overlaps(edges[best : best + 1], edges[order])[0] <= overlap]
    return np.array(kept, np.int64)

"""Boxes of persons in a frame, and how much they overlap.

A box is (left, top, right, bottom) in pixels of its frame; right and bottom are outside of it, so that
``right - left`` is its width.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """The boxes of one frame.

    Attributes:
        edges: [N, 4] left, top, right, bottom.
        scores: [N], 0 to 1: how sure it is that the box shows a person.
        tracks: [N] numbers of the tracks that the boxes belong to, or None where nobody has said.
        looks: [N, D] unit vectors, alike where the boxes look alike, or None where nobody has looked.
    """

    edges: Floats
    scores: Floats
    tracks: NDArray[np.int64] | None = None
    looks: Floats | None = None

    def __len__(self) -> int:
        return len(self.edges)


def no_boxes() -> Boxes:
    """Return the boxes of a frame that shows nobody."""
    return Boxes(np.zeros((0, 4)), np.zeros(0))


def areas(edges: Floats) -> Floats:
    """Return the areas [N] of boxes [N, 4]; 0 for those turned inside out."""
    sides = np.clip(edges[:, 2:] - edges[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1])


def shared(one: Floats, other: Floats) -> Floats:
    """Return the areas [N, M] that boxes [N, 4] and boxes [M, 4] have in common."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1])


def overlaps(one: Floats, other: Floats) -> Floats:
    """Return the intersections over unions [N, M] of boxes [N, 4] and boxes [M, 4]; 0 for empty boxes."""
    common = shared(one, other)
    union = areas(one)[:, None] + areas(other)[None] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def unhidden(edges: Floats, sure: NDArray[np.bool_]) -> Floats:
    """Return the share [N] of each box that no sure box of someone nearer covers (whose feet are lower)."""
    covered = shared(edges, edges) * (edges[None, :, 3] > edges[:, None, 3]) * sure[None]
    size = areas(edges)
    return np.asarray(1 - covered.max(axis=1, initial=0) / np.maximum(size, 1e-9))


def suppress(edges: Floats, scores: Floats, overlap: float) -> NDArray[np.int64]:
    """Return which boxes stay, surest first, if each removes those that it overlaps more (greedy NMS)."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[overlaps(edges[best : best + 1], edges[order])[0] <= overlap]
    return np.array(kept, np.int64)

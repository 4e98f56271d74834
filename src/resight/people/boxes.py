"""Boxes in a camera's picture: a detector's boxes of persons, and its misses."""

from dataclasses import dataclass

import numpy as np

from resight.people.camera import Camera

ASPECT = (0.38, 0.5)
"""Width / height of every box before resizing."""

TIGHT_ASPECT = (0.33, 0.43)
"""The same of tight boxes; stretched to 0.5, as every crop is, they make people look broad."""


@dataclass(frozen=True)
class Box:
    """A detector's box in a camera's picture, in pixels: centre, width, height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return (
            self.x - self.width / 2,
            self.y - self.height / 2,
            self.x + self.width / 2,
            self.y + self.height / 2,
        )

    def overlap(self, other: "Box") -> float:
        """Return the intersection over the union."""
        a, b = self.edges, other.edges
        wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(0.0, wide) * max(0.0, high)
        return shared / (self.width * self.height + other.width * other.height - shared)


def detect(tight: Box, random: np.random.Generator) -> Box:
    """Return a careful detector's box: slightly displaced, sometimes cut at the feet or the head."""
    height = tight.height * np.exp(random.normal(0.05, 0.05))
    x = tight.x + random.normal(0, 0.05) * 0.45 * height
    y = tight.y + random.normal(0, 0.025) * height
    if random.random() < 0.08:
        lost = random.uniform(0.1, 0.28) * height
        y += 0.5 * lost * (-1 if random.random() < 0.8 else 1)
        height -= lost
    width = tight.width * np.exp(random.normal(0.05, 0.07))
    low, high = height * random.uniform(ASPECT[0], 0.44), height * ASPECT[1]
    return Box(x, y, float(np.clip(width, low, high)), height)


def detect_tightly(tight: Box, random: np.random.Generator) -> Box:
    """Return a box as on real crops: tight, narrow, cut at the feet or the head in one of five."""
    height = tight.height * np.exp(random.normal(-0.02, 0.05))
    x = tight.x + random.normal(0, 0.035) * height
    y = tight.y + random.normal(0.0, 0.025) * height
    if random.random() < 0.2:
        lost = random.uniform(0.08, 0.3) * height
        y -= 0.5 * lost * (1 if random.random() < 0.85 else -1)
        height -= lost
    return Box(x, y, height * random.uniform(*TIGHT_ASPECT), height)


def miss(tight: Box, random: np.random.Generator) -> Box:
    """Return a box that overlaps the person's by less than half."""
    while True:
        height = tight.height * random.uniform(0.5, 1.5)
        width = height * random.uniform(*ASPECT)
        x = tight.x + random.uniform(-0.7, 0.7) * width
        y = tight.y + random.uniform(-0.55, 0.55) * height
        box = Box(x, y, width, height)
        if 0.1 < box.overlap(tight) < 0.42:
            return box


def inside(box: Box, camera: Camera) -> Box:
    """Return the box moved into the camera's picture."""
    rows, columns = camera.frame
    scale = min(1.0, (rows - 2) / box.height, (columns - 2) / box.width)
    width, height = scale * box.width, scale * box.height
    x = float(np.clip(box.x, width / 2 + 1, columns - width / 2 - 1))
    y = float(np.clip(box.y, height / 2 + 1, rows - height / 2 - 1))
    return Box(x, y, width, height)


def pixels_of(box: Box, camera: Camera, beside: int = 3, above: int = 3) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the pixels of the box and of those within the margins."""
    rows, columns = camera.frame
    x0, y0, x1, y1 = box.edges
    left, top = max(0, int(x0) - beside), max(0, int(y0) - above)
    return left, top, min(columns, int(x1) + beside + 1) - left, min(rows, int(y1) + above + 1) - top

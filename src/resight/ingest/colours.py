"""Colours of clothes: enough to distinguish two persons whose tracks cross, not to identify a person."""

import numpy as np

from resight.imaging import Pixels
from resight.ingest.boxes import Floats

PARTS = ((0.15, 0.5), (0.5, 0.85))
"""Upper body and legs: first and last row, as shares of the box's height from the top."""

MIDDLE = (0.25, 0.75)
"""First and last column with little background, as shares of the box's width."""

ROWS, COLUMNS = 16, 8
"""Pixels sampled in each part."""

BINS = 4
"""Histogram bins for each of red, green and blue. Values between two bins count for both, so changes of light
have little effect."""


def colours(pixels: Pixels, edges: Floats) -> Floats:
    """Return the colours in boxes: square roots of each part's colour histogram.

    The dot product of two vectors is their Bhattacharyya coefficient, 0 to 1.

    Args:
        pixels: of the frame, uint8 [H, W, 3].
        edges: of the boxes [N, 4].

    Returns:
        unit vectors [N, D].
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = edges.T[:, :, None]
    down = np.concatenate([np.linspace(*part, ROWS) for part in PARTS])
    rows = np.clip(top + down * (bottom - top), 0, height - 1).astype(int)
    columns = np.clip(left + np.linspace(*MIDDLE, COLUMNS) * (right - left), 0, width - 1).astype(int)
    seen = pixels[rows[:, :, None], columns[:, None]].reshape(len(edges), len(PARTS), ROWS * COLUMNS, 3)
    place = np.clip(seen / 256 * BINS - 0.5, 0, BINS - 1)
    low = np.minimum(place.astype(int), BINS - 2)
    beyond = place - low
    histogram = np.arange(len(edges) * len(PARTS)).reshape(len(edges), len(PARTS), 1) * BINS**3
    counts = np.zeros(histogram.size * BINS**3)
    for corner in np.ndindex(2, 2, 2):
        share = np.where(corner, beyond, 1 - beyond).prod(axis=3)
        cell = ((low + corner) * (BINS**2, BINS, 1)).sum(axis=3)
        counts += np.bincount((histogram + cell).ravel(), share.ravel(), len(counts))
    shares = counts / (len(PARTS) * ROWS * COLUMNS)
    return np.asarray(np.sqrt(shares.reshape(len(edges), len(PARTS) * BINS**3)))

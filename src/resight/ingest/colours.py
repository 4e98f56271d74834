"""What people wear, as colours: enough to tell two who cross, and far from telling who somebody is."""

import numpy as np

from resight.imaging import Pixels
from resight.ingest.boxes import Floats

PARTS = ((0.15, 0.5), (0.5, 0.85))
"""From where to where body and legs reach in a box, from its top, as shares of its height."""

MIDDLE = (0.25, 0.75)
"""The columns of a box that hardly show what is behind the person, as shares of its width."""

ROWS, COLUMNS = 16, 8
"""Pixels of a part that are looked at."""

BINS = 4
"""Of each of red, green and blue. A pixel between two counts for both, so that light changes little."""


def colours(pixels: Pixels, edges: Floats) -> Floats:
    """Return the colours of what boxes show: square roots of histograms of each part.

    The product of two is their Bhattacharyya coefficient, 0 to 1.

    Args:
        pixels: of the frame, RGB uint8 [H, W, 3].
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

"""Rows in blocks of one camera each."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resight.gallery.stores.row_file import Rows

BLOCK = 256
"""Rows that belong to one camera, one after the other."""

LONG = 24
"""Blocks in a run that BLAS shares among the cores, and shorter ones not (460,800 numbers, of about 75 in the
head of an outline): where most vectors are wanted and lie in shorter ones, comparing all is faster."""

FILTERS = 8
"""Choices of cameras that it is remembered for what to look at: 9 bytes a crop each."""

Cameras = list[str | None]


class LookedAt(NamedTuple):
    """What a search looks at.

    Attributes:
        runs: first row and end of runs of rows.
        kept: which of these rows [M] are searched.
        rows: [N], the same, as numbers.
    """

    runs: list[tuple[int, int]]
    kept: NDArray[np.bool_]
    rows: Rows


class Blocks:
    """Which camera each block of rows belongs to.

    Args:
        cameras: of each block.
        used: [R] or more, whether a row is.

    Attributes:
        cameras: of each block.
    """

    def __init__(self, cameras: Cameras, used: NDArray[np.bool_]) -> None:
        self.cameras = cameras
        self._next: dict[str | None, int] = {}  # row after the last one of each camera
        for block, camera in enumerate(cameras):
            places = np.flatnonzero(used[BLOCK * block : BLOCK * (block + 1)])
            self._next[camera] = BLOCK * block + (int(places[-1]) + 1 if len(places) else 0)
        self._looked_at: dict[frozenset[str | None], LookedAt] = {}

    @property
    def rows(self) -> int:
        """How many rows R there are."""
        return BLOCK * len(self.cameras)

    def take_row(self, camera: str | None) -> int:
        """Return a free row of a camera, in a new block if need be."""
        row = self._next.get(camera, 0)
        if row % BLOCK == 0:
            row = self.rows
            self.cameras.append(camera)
        self._next[camera] = row + 1
        return row

    def changed(self) -> None:
        """Hear that other rows are used than before."""
        self._looked_at.clear()

    def looked_at(self, wanted: Callable[[str | None], bool], used: NDArray[np.bool_]) -> LookedAt:
        """Return what a search for cameras looks at; remembered until something changes."""
        cameras = frozenset(filter(wanted, self._next))
        if cameras not in self._looked_at:
            blocks = np.array([camera in cameras for camera in self.cameras], np.bool_)
            there = np.repeat(blocks, BLOCK) & used[: self.rows]
            runs = _runs(blocks)
            if 2 * blocks.sum() > len(blocks) and blocks.sum() < LONG * len(runs):
                runs = [(0, self.rows)]
            kept = np.concatenate([there[:0], *(there[begin:end] for begin, end in runs)])
            while len(self._looked_at) >= FILTERS:
                del self._looked_at[next(iter(self._looked_at))]
            self._looked_at[cameras] = LookedAt(runs, kept, np.flatnonzero(there))
        return self._looked_at[cameras]

    def arranged(self, used: NDArray[np.bool_]) -> tuple[Cameras, Rows]:
        """Return cameras of as few blocks as hold all rows, and the present row, or -1, of each row of these.

        Blocks of one camera lie side by side.
        """
        cameras: Cameras = []
        sources = [np.full(0, -1)]
        for camera in sorted(self._next, key=lambda camera: camera or ""):
            blocks = np.array([other == camera for other in self.cameras])
            rows = np.flatnonzero(np.repeat(blocks, BLOCK) & used[: self.rows])
            count = -(-len(rows) // BLOCK)
            cameras += [camera] * count
            sources += [rows, np.full(count * BLOCK - len(rows), -1)]
        return cameras, np.concatenate(sources)

    def emptied(self, count: int) -> bool:
        """Tell whether most rows are free, if so many are not, but for each camera's last block."""
        return 2 * count < BLOCK * (len(self.cameras) - len(self._next))


def _runs(blocks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first row and end of each run of wanted blocks."""
    changes = np.flatnonzero(np.diff(blocks, prepend=False, append=False))
    return [(BLOCK * int(begin), BLOCK * int(end)) for begin, end in changes.reshape(-1, 2)]

"""Short outlines of vectors, by which most of them are ruled out before they are read."""

import mmap
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.files import whole_file
from resight.gallery.store import Vectors

LEFT = 0.08
"""Share of the squared lengths that may lie outside the outlines: the fewer numbers these have, the sooner
they are read, but the more vectors are read whole. Of 100,000 drawn as CUHK03's lie, 192 numbers of 1,024
(with 7.6 % outside) left 0.5 % to be read whole, in a quarter of the time that all take; 128 left 1.5 %, in
half of it."""

SAMPLE = 8192
"""Vectors that the directions are taken from."""

ROUNDING = 1e-5
"""By which a product of float32 vectors may be wrong, and a bound too low."""

FIRST, MOST = 6, 8
"""Vectors read whole at first, as a multiple of those to find; and the share (1 / 8) of all from which on
none is ruled out, as reading vectors here and there takes longer than one after the other."""

ROUGH, SHORTER = 16, 0.8
"""Vectors read whole where a search need not be exact, likewise, and share of an outline that is compared
there, unless half of all vectors are wanted: BLAS shares long products among the cores, and shorter ones not.
Of 45,000 such vectors, none of the first ten was missed at 0.87, and 1 in 1,500 at 0.7."""

Rows = NDArray[np.int64]


class Outlines:
    """A file of the outlines float32 [k + 1] of vectors [D] of unit length, row by row.

    An outline is the vector's part in k directions, in which most of what vectors are lies, and the length of
    the rest. By Cauchy and Schwarz the product of two outlines is no less than that of the vectors, however
    well the directions suit. A search that reads those vectors whole whose bounds reach the worst that it
    would return is therefore exact.

    ``outlines-K-COUNT.f32`` has the directions in its first D rows, taken when there were COUNT vectors.

    Args:
        file: of this kind.
        width: D.
    """

    def __init__(self, file: Path, width: int) -> None:
        self._file, self._width = file, width
        numbers, count = file.stem.split("-")[1:]
        self.numbers, self.count = int(numbers), int(count)
        self._handle = os.open(file, os.O_RDWR)
        self.grow(os.fstat(self._handle).st_size // self._bytes - width)

    def grow(self, rows: int) -> None:
        """Make room for this many rows."""
        size = max((self._width + rows) * self._bytes, os.fstat(self._handle).st_size)
        os.truncate(self._handle, size)
        mapped = np.frombuffer(mmap.mmap(self._handle, size, access=mmap.ACCESS_READ), "<f4")
        table = mapped.reshape(-1, self.numbers + 1)
        self._directions: Vectors = table[: self._width, : self.numbers]
        self._rows: Vectors = table[self._width :]

    def seen(self) -> tuple[Vectors, Vectors]:
        """Return the directions [D, k] and the outlines of all rows [N, k + 1], as the file has them."""
        return self._directions, self._rows

    def write(self, rows: Rows, vectors: Vectors) -> None:
        """Write the outlines of vectors [N, D] to these rows."""
        for row, one in zip(rows, outline(vectors, self._directions), strict=True):
            os.pwrite(self._handle, one.astype("<f4").tobytes(), (self._width + row) * self._bytes)

    def erase(self, rows: Rows) -> None:
        """Write zeros to these rows."""
        for row in rows:
            os.pwrite(self._handle, bytes(self._bytes), (self._width + int(row)) * self._bytes)

    def sync(self) -> None:
        """Write everything to the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def drop(self) -> None:
        """Delete the file; who is reading it may go on."""
        self.close()
        self._file.unlink()

    @property
    def _bytes(self) -> int:
        return 4 * (self.numbers + 1)


def open_outlines(folder: Path, width: int) -> Outlines | None:
    """Open what is in a folder, if there is anything."""
    found = next(folder.glob("outlines-*.f32"), None)
    return None if found is None else Outlines(found, width)


def make_outlines(folder: Path, vectors: Vectors, used: NDArray[np.bool_]) -> Outlines | None:
    """Make a file of the outlines of all rows [N, D], in place of the one that is there.

    Returns:
        None where no short outline holds enough of these vectors.

    Raises:
        UserError: the disk is full.
    """
    rows = np.flatnonzero(used)
    some = vectors[rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64)]]
    shares, directions = np.linalg.eigh(some.T @ some / len(some))
    left = 1 - np.cumsum(shares[::-1])
    numbers = int(np.searchsorted(-left, -LEFT)) + 1
    for old in folder.glob("outlines-*.f32"):
        old.unlink()
    if numbers > vectors.shape[1] // 2:
        return None
    chosen = np.ascontiguousarray(directions[:, ::-1][:, :numbers])
    file = folder / f"outlines-{numbers}-{len(rows)}.f32"
    with whole_file(file) as temporary, temporary.open("wb") as stream:
        np.pad(chosen, ((0, 0), (0, 1))).astype("<f4").tofile(stream)
        for start in range(0, len(vectors), SAMPLE):
            part = outline(vectors[start : start + SAMPLE], chosen)
            part[~used[start : start + SAMPLE]] = 0
            part.astype("<f4").tofile(stream)
    return Outlines(file, vectors.shape[1])


def outline(vectors: Vectors, directions: Vectors) -> Vectors:
    """Return the outlines [N, k + 1] of vectors [N, D] of unit length in directions [D, k]."""
    inside = vectors @ directions
    rest = np.sqrt(np.maximum(0, 1 - np.einsum("nk,nk->n", inside, inside)))
    return np.concatenate([inside, rest[:, None]], axis=1, dtype=np.float32)


def left_over(
    bounds: Vectors, among: int, vectors: Vectors, rows: Rows, query: Vectors, limit: int, rough: bool
) -> tuple[Rows, Vectors] | None:
    """Return the rows of all that may be among the nearest by their bounds, and their cosines.

    Args:
        bounds: [N], no less than the cosines; minus infinity where there is no vector.
        among: how many there are.
        vectors: that are read whole.
        rows: [N], of each bound's vector.
        query: to compare with.
        limit: how many of the nearest are wanted.
        rough: of so many as usually hold them all, rather than of all that may be among them.

    Returns:
        None where that are so many that reading all is faster.
    """
    first = (ROUGH if rough else FIRST) * limit
    if first * MOST > among:
        return None
    best = np.argpartition(bounds, len(bounds) - first)[len(bounds) - first :]
    if rough:
        return rows[best], vectors[rows[best]] @ query
    reached = np.partition(vectors[rows[best]] @ query, first - limit)[first - limit]
    left = np.flatnonzero(bounds >= reached - ROUNDING)
    return None if len(left) * MOST > among else (rows[left], vectors[rows[left]] @ query)

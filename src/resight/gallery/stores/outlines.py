"""Short outlines of vectors, by which most of them are ruled out before they are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.files import whole_file
from resight.gallery.stores.row_file import RowFile, Rows
from resight.inference.embedder import Vectors

LEFT = 0.08
"""Share of the squared lengths that may lie outside the outlines: the fewer numbers these have, the sooner
they are read, but the more vectors are read whole. Of 100,000 drawn as CUHK03's lie, 192 numbers of 1,024
(with 7.6 % outside) left 0.5 % to be read whole, in a quarter of the time that all take; 128 left 1.5 %, in
half of it."""

HEAD_LEFT = 0.16
"""The same for an outline's head, which lies in a file of its own: memory is what comparing waits for.
Searches that need not be exact read the tails of the most likely alone."""

SAMPLE = 8192
"""Vectors that the directions are taken from."""

ROUNDING = 1e-5
"""By which a product of float32 vectors may be wrong, and a bound too low."""

FIRST, MOST = 6, 8
"""Vectors read whole at first, as a multiple of those to find; and the share (1 / 8) of all from which on
none is ruled out, as reading vectors here and there takes longer than one after the other."""

ROUGH_TAILS, ROUGH, ROUGH_UP_TO = 64, 8, 80_000
"""Tails and vectors read where a search need not be exact, likewise, and vectors up to which that is enough:
of 45,000 as above, 1 in 500 of the first ten was missed. Among more, as many times as many are read."""


@dataclass(frozen=True)
class Seen:
    """What is there of the outlines when a search begins.

    Attributes:
        directions: [D, k].
        heads: of all rows, [N, h].
        tails: of all rows, [N, k - h + 1].
    """

    directions: Vectors
    heads: Vectors
    tails: Vectors


class Outlines:
    """The outlines float32 [k + 1] of vectors [D] of unit length, row by row, in two files.

    An outline is the vector's part in k directions, in which most of what vectors are lies, and the length of
    the rest. By Cauchy and Schwarz the product of two outlines is no less than that of the vectors, however
    well the directions suit. A search that reads those vectors whole whose bounds reach the worst that it
    would return is therefore exact.

    ``outlines-heads-H-COUNT.f32`` has the parts in the first H directions, ``outlines-tails-T-COUNT.f32`` the
    other T = k - H + 1 numbers. Both have their share of the directions in their first D rows; these were
    taken when there were COUNT vectors.

    Args:
        heads: file of this kind.
        tails: file of this kind.
        width: D.
    """

    def __init__(self, heads: Path, tails: Path, width: int) -> None:
        self._heads, self._tails = (
            RowFile(file, int(file.stem.split("-")[2]), before=width) for file in (heads, tails)
        )
        self.numbers = self._heads.width
        head, tail = (
            np.fromfile(one.file, "<f4", width * one.width).reshape(width, -1)
            for one in (self._heads, self._tails)
        )
        self._directions: Vectors = np.concatenate([head, tail[:, :-1]], axis=1)

    def grow(self, rows: int) -> None:
        """Make room for this many rows."""
        self._heads.grow(rows)
        self._tails.grow(rows)

    def seen(self) -> Seen:
        """Return what is there."""
        return Seen(self._directions, self._heads.rows, self._tails.rows)

    def write(self, rows: Rows, vectors: Vectors) -> None:
        """Write the outlines of vectors [N, D] to these rows.

        Raises:
            OSError: the disk is full.
        """
        lines = outline(vectors, self._directions)
        self._heads.write(rows, list(lines[:, : self._heads.width]))
        self._tails.write(rows, list(lines[:, self._heads.width :]))

    def erase(self, rows: Rows) -> None:
        """Write zeros to these rows."""
        self._heads.erase(rows)
        self._tails.erase(rows)

    def sync(self) -> None:
        """Write everything to the disk."""
        self._heads.sync()
        self._tails.sync()

    def close(self) -> None:
        """Let go of the files."""
        self._heads.close()
        self._tails.close()

    def drop(self) -> None:
        """Delete the files; who is reading them may go on."""
        self._heads.drop()
        self._tails.drop()


def open_outlines(folder: Path, width: int) -> Outlines | None:
    """Open what is in a folder, if there is anything; one file without the other is deleted."""
    heads, tails = (next(folder.glob(f"outlines-{part}-*.f32"), None) for part in ("heads", "tails"))
    if heads is not None and tails is not None:
        return Outlines(heads, tails, width)
    for half in (heads, tails):
        if half is not None:
            half.unlink()
    return None


def make_outlines(folder: Path, vectors: Vectors, used: NDArray[np.bool_]) -> Outlines | None:
    """Make files of the outlines of all rows [N, D], in place of those that are there.

    Returns:
        None where no short outline holds enough of these vectors.

    Raises:
        UserError: the disk is full.
    """
    rows, width = np.flatnonzero(used), vectors.shape[1]
    some = vectors[rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64)]]
    shares, directions = np.linalg.eigh(some.T @ some / len(some))
    left = 1 - np.cumsum(shares[::-1])
    head, numbers = (int(np.searchsorted(-left, -share)) + 1 for share in (HEAD_LEFT, LEFT))
    delete_outlines(folder)
    if numbers > width // 2:
        (folder / f"outlines-none-0-{len(rows)}.f32").touch()
        return None
    head = min(head, numbers)
    chosen = np.ascontiguousarray(directions[:, ::-1][:, :numbers])
    heads = folder / f"outlines-heads-{head}-{len(rows)}.f32"
    tails = folder / f"outlines-tails-{numbers - head + 1}-{len(rows)}.f32"
    with (
        whole_file(heads) as first,  # takes its name after the other
        whole_file(tails) as second,
        first.open("wb") as head_stream,
        second.open("wb") as tail_stream,
    ):

        def write(part: Vectors) -> None:
            part[:, :head].astype("<f4").tofile(head_stream)
            part[:, head:].astype("<f4").tofile(tail_stream)

        write(np.pad(chosen, ((0, 0), (0, 1))))
        for start in range(0, len(used), SAMPLE):
            there = used[start : start + SAMPLE]
            part = outline(vectors[start : start + len(there)], chosen)
            part[~there] = 0
            write(part)
    return Outlines(heads, tails, width)


def outlined(folder: Path) -> int:
    """Return how many vectors there were when outlines were made, or found to be no use."""
    return max((int(file.stem.split("-")[3]) for file in folder.glob("outlines-*-*-*.f32")), default=0)


def delete_outlines(folder: Path) -> None:
    """Delete what outlines there are."""
    for file in folder.glob("outlines-*.f32"):
        file.unlink()


def outline(vectors: Vectors, directions: Vectors) -> Vectors:
    """Return the outlines [N, k + 1] of vectors [N, D] of unit length in directions [D, k]."""
    inside = vectors @ directions
    rest = np.sqrt(np.maximum(0, 1 - np.einsum("nk,nk->n", inside, inside)))
    return np.concatenate([inside, rest[:, None]], axis=1, dtype=np.float32)


def left_over(
    outlines: Seen,
    product: Callable[[Vectors, Vectors], Vectors],
    rows: Rows,
    vectors: Vectors,
    query: Vectors,
    limit: int,
    rough: bool,
) -> tuple[Rows, Vectors] | None:
    """Return the rows of all that may be among the nearest by their outlines, and their cosines.

    Args:
        outlines: of all rows.
        product: returns the products [N] of those rows of a table to look at with a vector.
        rows: [N], to look at.
        vectors: of all rows.
        query: [D], to compare with.
        limit: how many of the nearest are wanted.
        rough: of so many as usually hold them all, rather than of all that may be among them.

    Returns:
        None where that are so many that reading all is faster.
    """
    more = max(1.0, len(rows) / ROUGH_UP_TO)
    first = limit * (round(ROUGH * more) if rough else FIRST)
    if first * MOST > len(rows):
        return None
    [asked] = outline(query[None], outlines.directions)
    head, tail = np.split(asked, [outlines.heads.shape[1]])
    bounds = product(outlines.heads, head)
    if not rough:
        bounds += product(outlines.tails, tail)
    else:  # what outlines say of the rest makes the bounds too high
        likely = _highest(bounds, min(round(ROUGH_TAILS * more) * limit, len(rows)))
        bounds, rows = bounds[likely], rows[likely]
        bounds += outlines.tails[rows][:, :-1] @ tail[:-1]
    best = rows[_highest(bounds, first)]
    cosines: Vectors = vectors[best] @ query
    if rough:
        return best, cosines
    reached = np.partition(cosines, first - limit)[first - limit]
    left = rows[bounds >= reached - ROUNDING]
    return None if len(left) * MOST > len(bounds) else (left, vectors[left] @ query)


def _highest(values: Vectors, count: int) -> Rows:
    """Return the places of the highest, in no order."""
    return np.argpartition(values, len(values) - count)[len(values) - count :]

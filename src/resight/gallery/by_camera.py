"""Vectors once more, in a file that is read as it lies: a search looks at its cameras' vectors alone."""

import errno
import json
import mmap
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from resight.files import whole_file
from resight.gallery.outlines import SHORTER, left_over, make_outlines, open_outlines, outline
from resight.gallery.store import Vectors

BLOCK = 256
"""Rows that belong to one camera, one after the other."""

ROWS, CHANGED = "rows.npz", "changed"

WORTH, GROWN = 16_000_000, 4
"""Numbers from which on vectors have outlines: they save one of the two milliseconds that comparing all
takes, and a quarter of a second goes into making them; growth after which these are made anew, as what came
since may lie in other directions."""

Ids = NDArray[np.uint64]
Found = list[tuple[str, float]]


class VectorsByCamera:
    """Vectors float32 of unit length, in blocks of one camera each; may be used by several threads.

    The engine has them, too, and has the last word: what was not written here because the process died is
    fetched from there when the file is next needed (``behind``, ``catch_up``). What is written at a time:

    - ``vectors-WIDTH.f32``: each vector as it is added, none in place of another; zeros when it is removed;
    - ``changed``: before the first change after ``rows.npz`` was written, and removed when it is again;
    - ``rows.npz``: the id of each row and the camera of each block, by ``save``; removed when a vector is, as
      the engine could have another one of that id since;
    - ``outlines-...``: see ``Outlines``; what they rule out needs not be read. Made by ``make_outlines``.

    Args:
        folder: of the files; made if it is not there.
        width: numbers a vector; None to read it in the name of the file.
        count: vectors that the engine has.
    """

    def __init__(self, folder: Path, width: int | None, count: int) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._file = next(folder.glob("vectors-*.f32")) if width is None else folder / f"vectors-{width}.f32"
        self.width = int(self._file.stem.partition("-")[2])
        self._lock = Lock()
        self._handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        self._ids, self._used = np.zeros((0, 2), np.uint64), np.zeros(0, np.bool_)
        self._blocks: list[str | None] = []
        if (folder / ROWS).exists():
            with np.load(folder / ROWS) as saved:
                self._ids, self._used = saved["ids"], saved["used"]
                self._blocks = json.loads(str(saved["blocks"]))
        used = len(self)
        self.behind = (folder / CHANGED).exists() or used != count
        if 2 * used < len(self._ids) - BLOCK * len(set(self._blocks)):  # mostly of crops that were forgotten
            self._ids, self._used, self._blocks, self.behind = self._ids[:0], self._used[:0], [], True
            os.truncate(self._handle, 0)
            (folder / ROWS).unlink()
            for file in folder.glob("outlines-*"):
                file.unlink()
        self._outlines = open_outlines(folder, self.width)
        self._tried = 0
        self._next = self._free_rows()
        self._order: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None
        self._grow(max(1, len(self._blocks)))

    def __len__(self) -> int:
        return int(self._used.sum())

    def add(self, ids: Sequence[str], cameras: Sequence[str | None], vectors: Sequence[Vectors]) -> None:
        """Add vectors that are not there yet.

        Raises:
            OSError: the disk is full; then call ``forsake``.
        """
        if not ids:
            return
        with self._lock:
            self._mark()
            rows = np.array([self._take_row(camera) for camera in cameras], np.int64)
            lines = [np.ascontiguousarray(vector, "<f4") for vector in vectors]
            ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
            for begin, end in pairwise([0, *ends]):
                for start in range(begin, end, BLOCK):
                    some = [line.data for line in lines[start : min(start + BLOCK, end)]]
                    written = os.pwritev(self._handle, some, int(rows[start]) * self.width * 4)
                    if written < len(some) * self.width * 4:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._outlines is not None:
                self._outlines.write(rows, np.stack(lines))
            self._ids[rows] = _numbers(ids)
            self._used[rows] = True  # from now on they are found

    def remove(self, ids: Sequence[str]) -> None:
        """Remove those vectors that are there."""
        with self._lock:
            self._mark()
            (self._folder / ROWS).unlink(missing_ok=True)
            rows = self._rows(ids)
            rows = rows[rows >= 0]
            self._used[rows] = False
            for row in rows:
                os.pwrite(self._handle, bytes(self.width * 4), int(row) * self.width * 4)
            if self._outlines is not None:
                self._outlines.erase(rows)
            self._order = None

    def nearest(
        self, queries: Vectors, wanted: Callable[[str | None], bool], limit: int, rough: bool = False
    ) -> list[Found]:
        """Return, for each of the queries [Q, D], the nearest ids with their cosines, nearest first.

        Args:
            queries: of unit length.
            wanted: tells whether to look at a camera.
            limit: how many to return.
            rough: miss one now and then, and be done sooner.
        """
        with self._lock:
            runs = list(_runs([wanted(camera) for camera in self._blocks]))
            ids, used, vectors = self._ids, self._used, self._vectors
            outlines = None if self._outlines is None else self._outlines.seen()
        there = np.concatenate([used[:0], *(used[first:end] for first, end in runs)])
        among = int(there.sum())
        if not among:
            return [[] for _ in queries]
        rows = np.concatenate([np.arange(*run) for run in runs])
        found = []
        for query in queries:
            left = None
            if outlines is not None:
                [asked] = outline(query[None], outlines[0])
                if rough:  # what the bounds say of the rest makes them too high
                    share = SHORTER if 2 * among < len(self) else 1
                    asked = asked[: round(share * (len(asked) - 1))]
                bounds = np.concatenate([outlines[1][first:end, : len(asked)] @ asked for first, end in runs])
                if among < len(there):
                    bounds[~there] = -np.inf
                left = left_over(bounds, among, vectors, rows, query, limit, rough)
            if left is None:
                places, scores = rows, np.concatenate([vectors[first:end] @ query for first, end in runs])
                scores[~there] = -np.inf
            else:
                places, scores = left
            count = min(limit, among)
            best = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
            best = best[np.lexsort((best, -scores[best]))]
            found.append(
                list(zip(_words(ids[places[best]]), (float(score) for score in scores[best]), strict=True))
            )
        return found

    def reads(self, count: int) -> int:
        """Return how many numbers are read to compare so many vectors."""
        return count * (self.width if self._outlines is None else self._outlines.numbers + 1)

    def catch_up(
        self, there: Iterator[str], fetch: Callable[[list[str]], Mapping[str, tuple[str | None, Vectors]]]
    ) -> None:
        """Become what the engine has.

        Args:
            there: ids that it has.
            fetch: returns camera and vector of ids.
        """
        own = set(_words(self._ids[self._used]))
        missing = []
        for identity in there:
            if identity in own:
                own.remove(identity)
            else:
                missing.append(identity)
        if own:
            self.remove(sorted(own))
        for start in range(0, len(missing), BLOCK):
            found = fetch(missing[start : start + BLOCK])
            cameras, vectors = zip(*found.values(), strict=True)
            self.add(list(found), cameras, vectors)
        self.behind = False

    def save(self) -> None:
        """Write which row is what, and everything to the disk."""
        changed = self._folder / CHANGED
        if self.behind or not changed.exists():
            return
        with self._lock:
            os.fsync(self._handle)
            if self._outlines is not None:
                self._outlines.sync()
            with whole_file(self._folder / ROWS) as temporary:
                rows = BLOCK * len(self._blocks)
                np.savez(
                    temporary, ids=self._ids[:rows], used=self._used[:rows], blocks=json.dumps(self._blocks)
                )
            changed.unlink()

    @property
    def needs_outlines(self) -> bool:
        """Whether there are enough vectors for outlines, and many more than when these were made."""
        made = self._tried if self._outlines is None else self._outlines.count
        return self.large and not self.behind and len(self) >= GROWN * made

    @property
    def large(self) -> bool:
        """Whether there are enough vectors for outlines."""
        return len(self) * self.width >= WORTH

    def make_outlines(self) -> None:
        """Make the outlines, or make them anew; nothing may be added or removed meanwhile, but searched for.

        Raises:
            UserError: the disk is full.
        """
        made = make_outlines(self._folder, self._vectors, self._used)
        self._tried = len(self)
        with self._lock:
            old, self._outlines = self._outlines, made
        if old is not None:
            old.close()

    def forsake(self) -> None:
        """Leave it behind until it is next needed, as it could not be written.

        The file is a new one then: a thread may still be reading the old one.
        """
        with self._lock:
            self.behind = True
            (self._folder / ROWS).unlink(missing_ok=True)
            os.close(self._handle)
            self._file.unlink()
            self._handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
            self._ids, self._used, self._blocks = self._ids[:0], self._used[:0], []
            self._next, self._order = {}, None
            if self._outlines is not None:
                self._outlines.drop()
                self._outlines = None
            self._grow(1)

    def close(self) -> None:
        """Save, and let go of the file."""
        self.save()
        os.close(self._handle)
        if self._outlines is not None:
            self._outlines.close()

    def _mark(self) -> None:
        changed = self._folder / CHANGED
        if not changed.exists():
            with changed.open("xb") as stream:
                os.fsync(stream.fileno())

    def _take_row(self, camera: str | None) -> int:
        row = self._next.get(camera, 0)
        if row % BLOCK == 0:
            row = BLOCK * len(self._blocks)
            if row == len(self._ids):
                self._grow(len(self._blocks) + 1 + len(self._blocks) // 2)
            self._blocks.append(camera)
        self._next[camera] = row + 1
        self._order = None
        return row

    def _grow(self, blocks: int) -> None:
        """Make room; pages that nothing was written to take none on the disk."""
        rows = BLOCK * blocks
        os.truncate(self._handle, max(rows * self.width * 4, os.fstat(self._handle).st_size))
        mapped = mmap.mmap(self._handle, rows * self.width * 4, access=mmap.ACCESS_READ)
        self._vectors: Vectors = np.frombuffer(mapped, "<f4").reshape(rows, self.width)
        if self._outlines is not None:
            self._outlines.grow(rows)
        more = rows - len(self._ids)
        self._ids = np.concatenate([self._ids, np.zeros((more, 2), np.uint64)])
        self._used = np.concatenate([self._used, np.zeros(more, np.bool_)])

    def _free_rows(self) -> dict[str | None, int]:
        """Return the row after the last one of each camera's last block."""
        found: dict[str | None, int] = {}
        for block, camera in enumerate(self._blocks):
            used = np.flatnonzero(self._used[BLOCK * block : BLOCK * (block + 1)])
            found[camera] = BLOCK * block + (int(used[-1]) + 1 if len(used) else 0)
        return {camera: row for camera, row in found.items() if row % BLOCK}

    def _rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each id; -1 for those that are not there."""
        if self._order is None:
            rows = np.flatnonzero(self._used)
            mixed = self._ids[rows, 0] ^ self._ids[rows, 1]
            order = np.argsort(mixed)
            self._order = mixed[order], rows[order]
        known, places = self._order
        wanted = _numbers(ids)
        mixed = wanted[:, 0] ^ wanted[:, 1]
        begins, ends = (np.searchsorted(known, mixed, side) for side in ("left", "right"))
        found = np.full(len(wanted), -1)
        for step in range(int((ends - begins).max(initial=0))):  # once, but by an unheard-of chance
            there = np.flatnonzero(begins + step < ends)
            rows = places[begins[there] + step]
            same = (self._ids[rows] == wanted[there]).all(axis=1)
            found[there[same]] = rows[same]
        return found


def _runs(wanted: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield first row and end of each run of wanted blocks."""
    begin: int | None = None
    for block, one in enumerate((*wanted, False)):
        if one and begin is None:
            begin = block
        elif not one and begin is not None:
            yield BLOCK * begin, BLOCK * block
            begin = None


def _numbers(ids: Sequence[str]) -> Ids:
    return np.frombuffer(bytes.fromhex("".join(ids).replace("-", "")), np.uint64).reshape(len(ids), 2)


def _words(ids: Ids) -> list[str]:
    return [str(uuid.UUID(bytes=number.tobytes())) for number in ids]

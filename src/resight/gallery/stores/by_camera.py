"""Vectors once more, in a file that is read as it lies: a search looks at its cameras' vectors alone."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock

import numpy as np

from resight.files import whole_file
from resight.gallery.stores.blocks import BLOCK, Blocks
from resight.gallery.stores.outlines import delete_outlines, left_over, make_outlines, open_outlines, outlined
from resight.gallery.stores.row_file import RowFile
from resight.gallery.stores.row_ids import RowIds, words
from resight.inference.embedder import Vectors

ROWS, CHANGED = "rows.npz", "changed"

WORTH, GROWN = 16_000_000, 4
"""Numbers from which on vectors have outlines: they save one of the two milliseconds that comparing all
takes, and a quarter of a second goes into making them; growth after which these are made anew, as what came
since may lie in other directions."""

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
        for half_written in (*folder.glob(".*.f32"), *folder.glob(".*.npz")):  # by a process that was killed
            half_written.unlink()
        file = next(folder.glob("vectors-*.f32")) if width is None else folder / f"vectors-{width}.f32"
        self.width = int(file.stem.partition("-")[2])
        self._lock = Lock()
        self._ids, cameras = RowIds(), []
        if (folder / ROWS).exists():
            with np.load(folder / ROWS) as saved:
                self._ids = RowIds(saved["ids"], saved["used"])
                cameras = json.loads(str(saved["blocks"]))
        self._blocks = Blocks(cameras, self._ids.used)
        self.behind = (folder / CHANGED).exists() or len(self) != count
        self._vectors = RowFile(file, self.width, BLOCK)
        self._outlines = open_outlines(folder, self.width)
        self._outlined = outlined(folder)  # after what is not whole was deleted
        self._grow(max(BLOCK, self._blocks.rows))

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], cameras: Sequence[str | None], vectors: Sequence[Vectors]) -> None:
        """Add vectors that are not there yet.

        Raises:
            OSError: the disk is full; then call ``forsake``.
        """
        if not ids:
            return
        with self._lock:
            self._mark()
            rows = np.array([self._blocks.take_row(camera) for camera in cameras], np.int64)
            if self._blocks.rows > len(self._ids.ids):
                self._grow(self._blocks.rows + self._blocks.rows // 2 // BLOCK * BLOCK)
            self._vectors.write(rows, vectors)
            if self._outlines is not None:
                self._outlines.write(rows, np.stack(vectors))
            self._ids.put(rows, ids)

    def remove(self, ids: Sequence[str]) -> None:
        """Remove those vectors that are there."""
        with self._lock:
            self._mark()
            (self._folder / ROWS).unlink(missing_ok=True)
            rows = self._ids.rows(ids)
            rows = rows[rows >= 0]
            self._ids.free(rows)
            self._vectors.erase(rows)
            if self._outlines is not None:
                self._outlines.erase(rows)

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
            runs, kept, rows = self._blocks.looked_at(wanted, self._ids.used)
            ids, vectors = self._ids.ids, self._vectors.rows
            outlines = None if self._outlines is None else self._outlines.seen()
        if not len(rows):
            return [[] for _ in queries]

        def product(table: Vectors, vector: Vectors) -> Vectors:
            found: Vectors = np.concatenate([table[begin:end] @ vector for begin, end in runs])[kept]
            return found

        found = []
        for query in queries:
            left = outlines and left_over(outlines, product, rows, vectors, query, limit, rough)
            places, scores = left or (rows, product(vectors, query))
            count = min(limit, len(rows))
            best = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
            best = best[np.lexsort((best, -scores[best]))]
            found.append(
                list(zip(words(ids[places[best]]), (float(score) for score in scores[best]), strict=True))
            )
        return found

    def reads(self, count: int) -> int:
        """Return how many numbers are read to compare so many vectors roughly."""
        return count * (self.width if self._outlines is None else self._outlines.numbers)

    def catch_up(
        self, there: Iterator[str], fetch: Callable[[list[str]], Mapping[str, tuple[str | None, Vectors]]]
    ) -> None:
        """Become what the engine has.

        Args:
            there: ids that it has.
            fetch: returns camera and vector of ids.
        """
        own = set(words(self._ids.ids[self._ids.used]))
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
            self._vectors.sync()
            if self._outlines is not None:
                self._outlines.sync()
            with whole_file(self._folder / ROWS) as temporary:
                ids, used = (part[: self._blocks.rows] for part in (self._ids.ids, self._ids.used))
                np.savez(temporary, ids=ids, used=used, blocks=json.dumps(self._blocks.cameras))
            changed.unlink()

    @property
    def untidy(self) -> bool:
        """Whether to ``arrange``: most were removed, or there are many more than when outlines were made."""
        grown = self.large and len(self) >= GROWN * self._outlined
        return not self.behind and (grown or self._blocks.emptied(len(self)))

    @property
    def large(self) -> bool:
        """Whether there are enough vectors for outlines."""
        return len(self) * self.width >= WORTH

    def arrange(self) -> None:
        """Lay each camera's vectors one after the other, without what was removed; make outlines again then.

        Nothing may be added or removed meanwhile, but searched for. BLAS shares long products among the
        cores, and shorter ones not.

        Raises:
            UserError: the disk is full.
        """
        cameras, sources = self._blocks.arranged(self._ids.used)
        if np.array_equal(np.where(self._ids.used, np.arange(len(self._ids.used)), -1), sources):
            return
        with whole_file(self._vectors.file) as temporary:
            with self._lock:
                self._mark()
            with temporary.open("wb") as stream:
                for start in range(0, len(sources), BLOCK):
                    some = sources[start : start + BLOCK]
                    part = self._vectors.rows[some]
                    part[some < 0] = 0
                    part.tofile(stream)
            (self._folder / ROWS).unlink(missing_ok=True)
            delete_outlines(self._folder)
        with self._lock:
            self._vectors.close()
            self._vectors = RowFile(self._vectors.file, self.width, BLOCK)
            self._ids = RowIds(self._ids.ids[sources], sources >= 0)
            self._blocks = Blocks(cameras, self._ids.used)
            if self._outlines is not None:
                self._outlines.close()
                self._outlines = None
            self._grow(max(BLOCK, len(sources)))

    def make_outlines(self) -> None:
        """Make the outlines, or make them anew; nothing may be added or removed meanwhile, but searched for.

        Raises:
            UserError: the disk is full.
        """
        made = make_outlines(self._folder, self._vectors.rows, self._ids.used)
        self._outlined = outlined(self._folder)
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
            self._vectors.renew()
            self._ids = RowIds()
            self._blocks = Blocks([], self._ids.used)
            if self._outlines is not None:
                self._outlines.drop()
                self._outlines, self._outlined = None, 0
            self._grow(BLOCK)

    def close(self) -> None:
        """Save, and let go of the file."""
        self.save()
        self._vectors.close()
        if self._outlines is not None:
            self._outlines.close()

    def _mark(self) -> None:
        self._blocks.changed()
        changed = self._folder / CHANGED
        if not changed.exists():
            with changed.open("xb") as stream:
                os.fsync(stream.fileno())

    def _grow(self, rows: int) -> None:
        self._vectors.grow(rows)
        if self._outlines is not None:
            self._outlines.grow(rows)
        self._ids.grow(rows)

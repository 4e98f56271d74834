"""The part of a gallery's vectors that comes from the cameras: it is removed before vectors are stored.

A store holds c = (v - m) / |v - m|, where v is the model's unit vector and m a mean of the crop's camera: a
search without the cameras' means is like any other. The field ``mean`` of a record names m. As |v| = 1, v is
restored from c and m: each vector is stored once, and when a camera's mean has moved, its crops are rewritten
without being embedded again.
"""

import io
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from resight.evaluation.cameras import SHRINKAGE, CameraStatistics, restore, rows_of, unit_or_zero
from resight.gallery.crops import Filter
from resight.gallery.stores.store import Record, Store
from resight.inference.embedder import Vectors

MEAN = "mean"
"""Field with the number of the mean that was subtracted. None was where it is 0 or missing."""

FEWEST = 20
"""Crops in all from which on means are removed."""

DRIFT, SAMPLING = 0.01, 0.5
"""Distance that the subtracted mean of N crops may have from the exact one: the first, or the second divided
by sqrt(N), about half of the mean's standard error, if that is more. By a mean that is 0.01 off, 99 % of the
first ten are those by the exact one, and the mAP is the same to 0.2."""

BATCH = 256

Camera = Hashable
"""Name of a camera, or None."""


@dataclass(frozen=True, slots=True)
class CameraNormalisation:
    """Whether vectors lack the part that comes from their camera.

    Attributes:
        on: wanted.
        active: done: there are two cameras and enough crops.
        too_few: cameras with so few crops that these lose the mean of all crops rather than their own.
    """

    on: bool
    active: bool
    too_few: tuple[str, ...]


class CameraMeans:
    """The means that a store's vectors lack, and the exact ones, which follow every change.

    Args:
        store: of the vectors.
        width: numbers a vector.
        on: whether means are to be removed.
        write: keeps what ``load`` reads.
        changing: held by whoever changes the store.
    """

    def __init__(
        self,
        store: Store,
        width: int,
        on: bool,
        write: Callable[[bytes], None],
        changing: AbstractContextManager[object],
    ) -> None:
        self.on, self.statistics = on, CameraStatistics(width)
        self._store, self._write, self._changing = store, write, changing
        self._numbers: dict[
            Camera, int
        ] = {}  # of the mean that a camera's crops lose; None: any other camera
        self._means: dict[int, Vectors] = {}
        self._unfinished: set[Camera] = set()  # cameras some of whose crops still lack an earlier mean
        self._next, self._renewed_at = 1, 0
        self._saved, self._dirty = b"", False
        self._source = self

    @property
    def total(self) -> int:
        """Number of crops."""
        return sum(self.statistics.counts.values())

    @property
    def active(self) -> bool:
        """Whether means are removed: that is wanted, and there are two cameras and ``FEWEST`` crops."""
        return self.on and len(self.statistics.counts.keys() - {None}) > 1 and self.total >= FEWEST

    @property
    def too_few(self) -> list[str]:
        """Cameras with so few crops that these lose the mean of all rather than their own."""
        counts = self.statistics.counts
        return sorted(str(camera) for camera in counts if camera is not None and counts[camera] < SHRINKAGE)

    def load(self, written: bytes | None) -> None:
        """Take over what ``save`` wrote."""
        if not written or written == self._saved:
            return
        with np.load(io.BytesIO(written), allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            self.statistics.counts = dict(about["counts"])
            self.statistics.sums = dict(zip(self.statistics.counts, arrays["sums"], strict=True))
            self._numbers = dict(about["numbers"])
            self._means = dict(zip(about["means"], arrays["means"], strict=True))
        self._unfinished, self._next = set(about["unfinished"]), about["next"]
        self._saved, self._dirty = written, False

    def save(self) -> None:
        """Write everything, if it has changed."""
        if not self._dirty:
            return
        width = self.statistics.width
        about = {
            "counts": list(self.statistics.counts.items()),
            "numbers": list(self._numbers.items()),
            "means": list(self._means),
            "unfinished": list(self._unfinished),
            "next": self._next,
        }
        file = io.BytesIO()
        np.savez(
            file,
            about=np.array(json.dumps(about)),
            sums=np.reshape(list(self.statistics.sums.values()), (-1, width)),
            means=np.reshape(list(self._means.values()), (-1, width)).astype(np.float32),
        )
        self._saved, self._dirty = file.getvalue(), False
        self._write(self._saved)

    def recount(self) -> None:
        """Read the crops of each camera that has another number of them than was written.

        It has after a process was killed, or where several change a gallery on a cluster.
        """
        if not self.on:
            return
        counts: dict[Camera, int] = dict(self._store.values("camera", Filter()).items())
        if unknown := self._store.count(Filter()) - sum(counts.values()):
            counts[None] = unknown
        for camera in counts.keys() | self.statistics.counts.keys():
            if counts.get(camera) != self.statistics.counts.get(camera):
                self.statistics.counts.pop(camera, None)
                self.statistics.sums.pop(camera, None)
                self._dirty = True
                if camera in counts:
                    for records in self._store.scan(_crops_of(camera, counts), "vector"):
                        self._count(self.restored(records), self.statistics.update)

    def add(self, records: Sequence[Record]) -> list[Record]:
        """Include new crops in the exact means, and return them as they are to be stored."""
        if not self.on or not records:
            return list(records)
        self._count(records, self.statistics.update)
        self._set(self._exact({_camera(record) for record in records} - self._numbers.keys()))
        return self.without(records)

    def remove(self, records: Sequence[Record]) -> None:
        """Take stored crops out of the exact means."""
        if self.on and records:
            self._count(self.restored(records), self.statistics.remove)

    def query(self, vectors: Vectors, cameras: Sequence[Camera]) -> Vectors:
        """Return unit vectors [N, D] without their cameras' means, if these are removed.

        For a camera that is not known or has no crops, this is the mean of all.
        """
        usual = self._numbers.get(None, 0)
        return self._subtract(vectors, [self._numbers.get(camera, usual) for camera in cameras])

    def without(self, records: Sequence[Record]) -> list[Record]:
        """Return records of vectors as they came, without the means of their cameras."""
        if not records:
            return []
        numbers = [self._numbers.get(_camera(record), 0) for record in records]
        vectors = self._subtract(_vectors(records), numbers)
        return [
            replace(record, vector=vector, payload=_named(record, number))
            for record, vector, number in zip(records, vectors, numbers, strict=True)
        ]

    def restored(self, records: Sequence[Record]) -> list[Record]:
        """Return stored records with their vectors as they came."""
        if not records:
            return []
        vectors = _vectors(records)
        for number, rows in rows_of([record.payload.get(MEAN, 0) for record in records]):
            if (mean := self._means.get(number)) is not None:  # type: ignore[call-overload]
                vectors[rows] = restore(vectors[rows], mean)
        return [replace(record, vector=vector) for record, vector in zip(records, vectors, strict=True)]

    @property
    def overdue(self) -> bool:
        """Whether there are twice as many crops as when the means were last renewed."""
        return self.on and self.total >= max(FEWEST, 2 * self._renewed_at)

    def renew(self, exactly: bool = False) -> None:
        """Rewrite the crops of each camera whose mean has moved by more than is allowed.

        Killed at any time, the next call goes on.

        Args:
            exactly: or has moved at all.
        """
        with self._changing:
            moved = self._moved(exactly)
            self._set(moved)
            self._unfinished |= moved.keys()
            self._renewed_at = self.total
            self.save()
            todo = sorted(self._unfinished, key=str)
        for camera in todo:
            self._rewrite(camera)
        with self._changing:
            if todo:
                self._unfinished -= set(todo)
                used = set(self._numbers.values())
                self._means = {number: mean for number, mean in self._means.items() if number in used}
                self._dirty = True
            if not self.on and self._numbers:
                self.statistics, self._numbers = CameraStatistics(self.statistics.width), {}
                self._dirty = True
            self.save()

    def for_copy(self, store: Store, write: Callable[[bytes], None]) -> "CameraMeans":
        """Return the means of a store that crops are copied to: the exact ones.

        Later changes are included in the exact means of both.
        """
        copy = CameraMeans(store, self.statistics.width, self.on, write, self._changing)
        with self._changing:
            copy.statistics, copy._next, copy._source = self.statistics, self._next, self
            if self.on:
                copy._set(copy._exact([*self.statistics.counts, None]))
        return copy

    def exchange(self, records: list[Record]) -> list[Record]:
        """Return records of the store that is copied with this copy's means in place of its own."""
        return self.without(self._source.restored(records))

    def _count(self, records: Sequence[Record], change: Callable[[Vectors, Sequence[Camera]], None]) -> None:
        change(_vectors(records), [_camera(record) for record in records])
        self._dirty = True

    def _exact(self, cameras: Iterable[Camera]) -> dict[Camera, Vectors]:
        """Return the exact means, which are zero while none are removed."""
        if not self.active:
            return {camera: np.zeros(self.statistics.width, np.float32) for camera in cameras}
        means = self.statistics.means(cameras)
        return {camera: means[camera].astype(np.float32) for camera in cameras}

    def _moved(self, exactly: bool) -> dict[Camera, Vectors]:
        """Return the exact means of the cameras whose means have moved too far."""
        counts, found = self.statistics.counts, {}
        for gone in self._numbers.keys() - counts.keys() - {None}:
            del self._numbers[gone]
        for camera, mean in self._exact(list(counts.keys() | self._numbers.keys() | {None})).items():
            used = self._means.get(self._numbers.get(camera, 0))
            crops = counts.get(camera, self.total) if camera is not None else self.total
            allowed = 1e-6 if exactly or not mean.any() else max(DRIFT, SAMPLING / sqrt(max(1, crops)))
            if np.linalg.norm(mean if used is None else mean - used) > allowed:
                found[camera] = mean
        return found

    def _set(self, means: dict[Camera, Vectors]) -> None:
        """Remove these means from now on."""
        for camera, mean in means.items():
            self._numbers[camera] = self._next if mean.any() else 0
            if mean.any():
                self._means[self._next] = mean
                self._next += 1
            self._dirty = True

    def _rewrite(self, camera: Camera) -> None:
        """Rewrite those of a camera's crops that lack another mean than the present one."""
        where, after = _crops_of(camera, self.statistics.counts or self._numbers), None
        while True:
            with self._changing:
                records, after = self._store.page(where, BATCH, after, "vector")
                number = self._numbers.get(camera, 0)
                stale = [record for record in records if record.payload.get(MEAN, 0) != number]
                if stale:
                    self._store.update(self.without(self.restored(stale)))
            if after is None:
                return

    def _subtract(self, vectors: Vectors, numbers: Sequence[int]) -> Vectors:
        vectors = vectors.copy()
        for number, rows in rows_of(numbers):
            if (mean := self._means.get(number)) is not None:  # type: ignore[call-overload]
                vectors[rows] = unit_or_zero(vectors[rows] - mean)
        return vectors


def _camera(record: Record) -> Camera:
    camera: Camera = record.payload.get("camera")
    return camera


def _vectors(records: Sequence[Record]) -> Vectors:
    return np.stack([record.vector for record in records])  # type: ignore[misc]


def _named(record: Record, number: int) -> dict[str, object]:
    """Return a record's fields with the number of its mean."""
    return record.payload | {MEAN: number} if number or MEAN in record.payload else record.payload


def _crops_of(camera: Camera, cameras: Iterable[Camera]) -> Filter:
    """Return a filter for the crops of one of the cameras."""
    if camera is not None:
        return Filter(cameras=(str(camera),))
    return Filter(not_cameras=tuple(str(name) for name in cameras if name is not None))

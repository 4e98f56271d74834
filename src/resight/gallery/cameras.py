"""Camera normalisation of a gallery: cameras' means are subtracted from vectors before these are stored.

A store has c = (v - m) / |v - m|, where v is the model's unit vector and m a mean of the crop's camera, so a
search without the cameras' means costs no more than any other. The field ``mean`` of a record has the number
of m. As |v| = 1, v can be restored from c and m: each vector is stored once, and when a camera's mean has
moved, its crops are rewritten without embedding them again.
"""

import io
import json
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from resight.evaluation.cameras import SHRINKAGE, CameraStatistics, restore, rows_of, unit_or_zero
from resight.gallery.crops import Filter
from resight.gallery.stores.store import Record, Store
from resight.inference.embedder import Vectors

MEAN = "mean"
"""Field with the number of the subtracted mean; 0 or missing if there is none."""

MIN_CROPS = 20
"""Smallest number of crops in a gallery whose means are removed."""

DRIFT, SAMPLING = 0.01, 0.5
"""Largest distance of the subtracted mean of N crops from the exact one: the larger of DRIFT and SAMPLING /
sqrt(N), about half of the mean's standard error. With a mean that is 0.01 off, the first ten results are to
99 % the same as with the exact one, and the mAP differs by at most 0.2."""

BATCH = 256

Camera = Hashable
"""Name of a camera, or None."""


@dataclass(frozen=True, slots=True)
class CameraNormalisation:
    """Whether a gallery removes its cameras' means from the vectors.

    Attributes:
        on: whether it is switched on.
        active: whether it is done: it is on, and there are two cameras and enough crops.
        too_few: cameras with so few crops that mostly the overall mean is subtracted.
        trained: cameras that the model was trained on, so that only the overall mean is subtracted.
    """

    on: bool
    active: bool
    too_few: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()


class CameraMeans:
    """The means that were subtracted from a store's vectors, and the exact means, updated by every change.

    Args:
        store: store of the vectors.
        width: length of a vector.
        on: whether to remove means.
        write: function that keeps what ``load`` reads.
        changing: lock that is held while the store is changed.
        trained_cameras: names of the cameras that the model was trained on. Its vectors hardly depend on
            these, so the shift of their means shows who was seen, and stays.
    """

    def __init__(
        self,
        store: Store,
        width: int,
        on: bool,
        write: Callable[[bytes], None],
        changing: AbstractContextManager[object],
        trained_cameras: Collection[str] = (),
    ) -> None:
        self.on, self.statistics = on, CameraStatistics(width)
        self._trained = frozenset(trained_cameras)
        self._store, self._write, self._changing = store, write, changing
        # camera -> number of the mean to subtract; None: for unknown cameras, and those of the training
        self._numbers: dict[Camera, int] = {}
        self._means: dict[int, Vectors] = {}
        # cameras with crops from which an earlier mean was subtracted
        self._unfinished: set[Camera] = set()
        self._next, self._renewed_at = 1, 0
        self._saved, self._dirty = b"", False
        self._source = self

    @property
    def total(self) -> int:
        """Number of crops."""
        return sum(self.statistics.counts.values())

    @property
    def active(self) -> bool:
        """Whether means are removed: switched on, and there are two cameras and ``MIN_CROPS`` crops."""
        return self.on and len(self.statistics.counts.keys() - {None}) > 1 and self.total >= MIN_CROPS

    def describe(self) -> CameraNormalisation:
        """Return whether means are removed, and the cameras from which not their own is."""
        if not self.active:
            return CameraNormalisation(self.on, False)
        counts = self.statistics.counts
        cameras = {str(camera) for camera in counts if camera is not None}
        few = {camera for camera in cameras - self._trained if counts[camera] < SHRINKAGE}
        return CameraNormalisation(True, True, tuple(sorted(few)), tuple(sorted(cameras & self._trained)))

    def load(self, written: bytes | None) -> None:
        """Restore what ``save`` wrote."""
        if not written or written == self._saved:
            return
        with np.load(io.BytesIO(written), allow_pickle=False) as arrays:
            metadata = json.loads(str(arrays["metadata"]))
            self.statistics.counts = dict(metadata["counts"])
            self.statistics.sums = dict(zip(self.statistics.counts, arrays["sums"], strict=True))
            self._numbers = dict(metadata["numbers"])
            self._means = dict(zip(metadata["means"], arrays["means"], strict=True))
        self._unfinished, self._next = set(metadata["unfinished"]), metadata["next"]
        self._saved, self._dirty = written, False

    def save(self) -> None:
        """Write the means and statistics if they have changed."""
        if not self._dirty:
            return
        width = self.statistics.width
        metadata = {
            "counts": list(self.statistics.counts.items()),
            "numbers": list(self._numbers.items()),
            "means": list(self._means),
            "unfinished": list(self._unfinished),
            "next": self._next,
        }
        file = io.BytesIO()
        np.savez(
            file,
            metadata=np.array(json.dumps(metadata)),
            sums=np.reshape(list(self.statistics.sums.values()), (-1, width)),
            means=np.reshape(list(self._means.values()), (-1, width)).astype(np.float32),
        )
        self._saved, self._dirty = file.getvalue(), False
        self._write(self._saved)

    def recount(self) -> None:
        """Compute the exact mean again for each camera whose number of crops is not what ``save`` wrote.

        This happens after a process was killed, or if several processes change a gallery on a cluster.
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
        """Add new crops to the exact means, and return them as they should be stored."""
        if not self.on or not records:
            return list(records)
        self._count(records, self.statistics.update)
        self._set(self._exact({self._key(_camera(record)) for record in records} - self._numbers.keys()))
        return self.without(records)

    def remove(self, records: Sequence[Record]) -> None:
        """Remove stored crops from the exact means."""
        if self.on and records:
            self._count(self.restored(records), self.statistics.remove)

    def query(self, vectors: Vectors, cameras: Sequence[Camera]) -> Vectors:
        """Return unit vectors [N, D] without their cameras' means, if means are removed.

        For a camera that is unknown or has no crops, the overall mean is subtracted.
        """
        overall = self._numbers.get(None, 0)
        numbers = [self._numbers.get(self._key(camera), overall) for camera in cameras]
        return self._subtract(vectors, numbers)

    def without(self, records: Sequence[Record]) -> list[Record]:
        """Return records with the cameras' means subtracted from their vectors."""
        if not records:
            return []
        numbers = [self._numbers.get(self._key(_camera(record)), 0) for record in records]
        vectors = self._subtract(_vectors(records), numbers)
        return [
            replace(record, vector=vector, payload=_with_number(record, number))
            for record, vector, number in zip(records, vectors, numbers, strict=True)
        ]

    def restored(self, records: Sequence[Record]) -> list[Record]:
        """Return stored records with their original vectors."""
        if not records:
            return []
        vectors = _vectors(records)
        for number, rows in rows_of([record.payload.get(MEAN, 0) for record in records]):
            if (mean := self._means.get(number)) is not None:  # type: ignore[call-overload]
                vectors[rows] = restore(vectors[rows], mean)
        return [replace(record, vector=vector) for record, vector in zip(records, vectors, strict=True)]

    @property
    def overdue(self) -> bool:
        """Whether the number of crops has doubled since the means were last renewed."""
        return self.on and self.total >= max(MIN_CROPS, 2 * self._renewed_at)

    def renew(self, exactly: bool = False) -> None:
        """Rewrite the crops of each camera whose mean has moved by more than is allowed.

        If the process is killed, the next call continues.

        Args:
            exactly: rewrite them if the mean has moved at all.
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
        """Return the means for a store that crops are copied to: the exact ones.

        Later changes update the exact means of both.
        """
        copy = CameraMeans(store, self.statistics.width, self.on, write, self._changing, self._trained)
        with self._changing:
            copy.statistics, copy._next, copy._source = self.statistics, self._next, self
            if self.on:
                copy._set(copy._exact({*map(self._key, self.statistics.counts), None}))
        return copy

    def exchange(self, records: list[Record]) -> list[Record]:
        """Return records of the copied store with this copy's means subtracted instead of its own."""
        return self.without(self._source.restored(records))

    def _key(self, camera: Camera) -> Camera:
        """Return the camera whose mean is subtracted from the vectors of a camera; None: the overall mean."""
        return None if camera in self._trained else camera

    def _count(self, records: Sequence[Record], change: Callable[[Vectors, Sequence[Camera]], None]) -> None:
        change(_vectors(records), [_camera(record) for record in records])
        self._dirty = True

    def _exact(self, cameras: Iterable[Camera]) -> dict[Camera, Vectors]:
        """Return the exact means; zero while means are not removed."""
        if not self.active:
            return {camera: np.zeros(self.statistics.width, np.float32) for camera in cameras}
        means = self.statistics.means(cameras)
        return {camera: means[camera].astype(np.float32) for camera in cameras}

    def _moved(self, exactly: bool) -> dict[Camera, Vectors]:
        """Return the exact means of the cameras whose means have moved too far."""
        counts, found = self.statistics.counts, {}
        for gone in self._numbers.keys() - counts.keys() - {None}:
            del self._numbers[gone]
        for camera, mean in self._exact({*map(self._key, counts), *self._numbers, None}).items():
            used = self._means.get(self._numbers.get(camera, 0))
            crops = counts.get(camera, self.total) if camera is not None else self.total
            allowed = 1e-6 if exactly or not mean.any() else max(DRIFT, SAMPLING / sqrt(max(1, crops)))
            if np.linalg.norm(mean if used is None else mean - used) > allowed:
                found[camera] = mean
        return found

    def _set(self, means: dict[Camera, Vectors]) -> None:
        """Subtract these means from now on."""
        for camera, mean in means.items():
            self._numbers[camera] = self._next if mean.any() else 0
            if mean.any():
                self._means[self._next] = mean
                self._next += 1
            self._dirty = True

    def _rewrite(self, camera: Camera) -> None:
        """Rewrite those crops of a camera from which another mean than the current one was subtracted."""
        cameras = (self.statistics.counts or self._numbers).keys() - self._trained
        where, after = _crops_of(camera, cameras), None
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


def _with_number(record: Record, number: int) -> dict[str, object]:
    """Return a record's fields with the number of its mean."""
    return record.payload | {MEAN: number} if number or MEAN in record.payload else record.payload


def _crops_of(camera: Camera, cameras: Iterable[Camera]) -> Filter:
    """Return a filter for the crops of one of the cameras."""
    if camera is not None:
        return Filter(cameras=(str(camera),))
    return Filter(not_cameras=tuple(str(name) for name in cameras if name is not None))

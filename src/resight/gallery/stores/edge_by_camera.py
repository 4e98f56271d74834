"""The engine inside this process, and its vectors once more, by camera."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from resight.gallery.crops import Filter
from resight.gallery.stores.by_camera import Found, VectorsByCamera
from resight.gallery.stores.edge import SPARE, EdgeStore, cameras_only, fits
from resight.gallery.stores.picture_store import PictureStore
from resight.gallery.stores.store import SEARCH_EFFORT, Layout, Part, Record, search_effort
from resight.inference.embedder import Vectors

OWN = "vectors"

COMPARED = 6_000_000
"""Numbers that are compared behind a filter of cameras in the time that a graph of 100,000 takes without;
where a graph is led by more effort, nearly as many times as many. Behind fewer cameras the graph takes
longer, and misses more."""

MOST, DEEPER, WIDER = 4 * SEARCH_EFFORT, 4, 3
"""Effort of a graph that a filter may call for; how many times as many records as are expected to hold enough
of those that a filter keeps it is to look at; and of these beyond the wanted, how many times as many to
return. It finds the nearest of all more surely than those further off; where fewer are left than wanted, the
cameras are compared."""


class EdgeByCamera(EdgeStore):
    """Records in a folder, vectors in float32; see ``Store``.

    Where a filter names cameras alone, or there is none, NumPy compares the vectors of these cameras: in half
    of the time that the engine takes for all, in a tenth with outlines, and in the cameras' share of that.
    The engine looks three times as long at a crop behind a filter, and its graph loses a tenth of the nearest
    there. Behind other filters, the engine searches.

    Args:
        folder: of the store.
        layout: to make it; None opens what is there.
        pictures: of its crops.
    """

    def __init__(
        self, folder: Path, layout: Layout | None = None, pictures: PictureStore | None = None
    ) -> None:
        super().__init__(folder, layout, pictures)
        self._own = VectorsByCamera(
            folder / OWN, None if layout is None else layout.width, self.count(Filter())
        )

    def put(self, records: Sequence[Record]) -> None:
        """Add or replace records; when it returns, they are in the engine's log."""
        with self._changing:
            super().put(records)
            if self._own.behind:
                return
            last = {record.id: record for record in records}.values()
            try:
                self._own.add(
                    [one.id for one in last],
                    [one.payload.get("camera") for one in last],
                    [one.vector for one in last if one.vector is not None],
                )
            except OSError:  # the engine has them, and knows what to say of a full disk
                self._own.forsake()

    def _replacing(self, ids: Sequence[str]) -> None:
        if not self._own.behind:
            self._own.remove(ids)

    def search(
        self, vectors: Vectors, where: Filter, limit: int, *parts: Part, exact: bool = True
    ) -> list[list[Record]]:
        """Return the nearest records of each vector."""
        if not cameras_only(where):
            return super().search(vectors, where, limit, *parts, exact=exact)
        exact = exact or not self.facts()["indexed"]
        if not exact:
            total, kept = self._counted()[0], self._kept(where) or 0
            led = self._led_to(vectors, where, limit, kept, total)
            found = self._fetched(led, where, limit, parts, kept / max(1, total))
            if all(len(some) == limit for some in found):
                return found
        return self._fetched(self._nearest_by_camera(vectors, where, limit, not exact), where, limit, parts)

    def delete(self, where: Filter) -> None:
        """Delete the records that fit."""
        with self._changing:
            ids = [] if self._own.behind else list(self.ids(where))
            super().delete(where)
            if ids:
                self._own.remove(ids)
                self._own.save()

    def flush(self) -> None:
        """Write everything to the disk."""
        with self._changing:
            super().flush()
            self._own.save()
            if self._own.untidy:
                self._arrange()

    def compact(self) -> None:
        """Merge segments, build graphs, give room back; lay the vectors by camera."""
        super().compact()
        with self._changing:
            self._caught_up()
            self._arrange()

    def close(self) -> None:
        """Write what is left and let go of the files."""
        if self._changes:
            self.flush()
        super().close()
        self._own.close()

    def _nearest_by_camera(self, vectors: Vectors, where: Filter, limit: int, rough: bool) -> list[Found]:
        """Compare the vectors of the cameras that a filter keeps; it names cameras and ids alone."""

        def wanted(camera: str | None) -> bool:
            return (not where.cameras or camera in where.cameras) and camera not in where.not_cameras

        return self._caught_up().nearest(vectors, wanted, limit + len(where.not_ids), rough)

    def _led_to(self, vectors: Vectors, where: Filter, limit: int, kept: int, total: int) -> list[Found]:
        """Return what the graph leads to without such a filter, so much that enough should be left by it.

        Nothing, where it keeps little.
        """
        deep = limit * max(1, total) / max(1, kept)  # nothing may be left of what is indexed
        needed, effort = round(DEEPER * deep), search_effort(total)
        compared = COMPARED * (effort / SEARCH_EFFORT) ** 0.9
        if kept < total and (needed > MOST or self._own.reads(kept) <= compared):
            return [[] for _ in vectors]
        first = len(where.not_ids) + limit + round(WIDER * (deep - limit))
        answers = self._asked(vectors, Filter(), first, False, False, False, max(effort, needed))
        return [[(str(point.id), point.score) for point in points] for points in answers]

    def _fetched(
        self, found: list[Found], where: Filter, limit: int, parts: Sequence[Part], share: float = 1.0
    ) -> list[list[Record]]:
        """Return the first records that are still there and fit such a filter, as this share of them does."""
        left_out = set(where.not_ids)
        records: list[list[Record]] = []
        for some in found:
            left = [one for one in some if one[0] not in left_out]
            kept: list[Record] = []
            while left and len(kept) < limit:
                enough = math.ceil((limit - len(kept)) / share)
                first, left = left[:enough], left[enough:]
                there = self.get([identity for identity, _ in first], *parts)
                kept += [
                    replace(there[identity], score=score)
                    for identity, score in first
                    if identity in there and fits(where, there[identity])
                ]
            records.append(kept[:limit])
        return records

    def _arrange(self) -> None:
        """Lay vectors by camera, and outline them, unless the disk is nearly full: searches work without."""
        if shutil.disk_usage(self.folder).free > self.count(Filter()) * self._own.width * 6 + SPARE:
            self._own.arrange()
            if self._own.large:
                self._own.make_outlines()
            self._own.save()

    def _caught_up(self) -> VectorsByCamera:
        """Return the vectors by camera, after what they missed when a process died."""
        if self._own.behind:
            with self._changing:
                if self._own.behind:
                    self._own.catch_up(self.ids(Filter()), self._camera_and_vector)
        return self._own

    def _camera_and_vector(self, ids: list[str]) -> dict[str, tuple[str | None, Vectors]]:
        found = {}
        for name, record in self.get(ids, "vector").items():
            assert record.vector is not None
            found[name] = record.payload.get("camera"), record.vector
        return found


def make_edge(folder: Path, layout: Layout, pictures: PictureStore | None = None) -> EdgeStore:
    """Make a store in a new folder."""
    return (EdgeByCamera if layout.storage == "float32" else EdgeStore)(folder, layout, pictures)


def open_edge(folder: Path, pictures: PictureStore | None = None) -> EdgeStore:
    """Open a store that is there."""
    return (EdgeByCamera if (folder / OWN).exists() else EdgeStore)(folder, None, pictures)

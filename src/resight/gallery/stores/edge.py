"""Storage in a folder: a shard of Qdrant Edge, which runs in this process."""

import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import qdrant_edge as engine

from resight.errors import UserError
from resight.gallery.crops import Filter
from resight.gallery.stores.edge_errors import GuardedShard
from resight.gallery.stores.edge_requests import (
    POST_FILTER_MARGIN,
    POST_FILTER_SHARE,
    config_of,
    filter_of,
    indexes,
    nearest_to,
)
from resight.gallery.stores.picture_store import PictureStore
from resight.gallery.stores.store import Layout, Part, Record, Store
from resight.inference.embedder import Vectors

CACHED_COUNTS = 256
"""Number of counts cached until the next change."""

FLUSH_SECONDS = 30.0
"""Time between two flushes while adding. A flush blocks everything else, longer for a larger store (0.1 s at
10,000 crops, 0.3 s at 100,000); without it, only a power failure loses data. With a flush every ten seconds,
adding was 1 to 3 % slower."""

HALF_BUILT = "temp_segments"
"""Folder in which the engine compacts. If it is killed, up to a whole copy of the store stays there."""

RESERVED = 256 * 2**20
"""Bytes of the disk to keep free: the engine writes to memory maps, so a full disk kills the process."""


class EdgeStore(Store):
    """Records in a folder, for one process at a time; see ``Store``.

    Args:
        folder: of the store.
        layout: settings of a new store; None opens an existing one.
        pictures: store of the pictures; by default one in the same folder.
    """

    quantized = True

    def __init__(
        self, folder: Path, layout: Layout | None = None, pictures: PictureStore | None = None
    ) -> None:
        self.folder, self._own_pictures = folder, pictures is None
        self._flushed = time.monotonic()
        self._changes, self._changing = 0, RLock()
        self._counts = lru_cache(CACHED_COUNTS)(self._count)
        self._facets = lru_cache(CACHED_COUNTS)(self._facet)
        if layout is None:
            shutil.rmtree(folder / HALF_BUILT, ignore_errors=True)
            self._shard = GuardedShard(folder, lambda: engine.EdgeShard.load(str(folder)))
            self._pictures = PictureStore(folder) if pictures is None else pictures
            return
        folder.mkdir()
        check_free_space(folder, 0)
        self._pictures = PictureStore(folder) if pictures is None else pictures
        self._shard = GuardedShard(folder, lambda: engine.EdgeShard.create(str(folder), config_of(layout)))
        for field, index in indexes():
            self._update(engine.UpdateOperation.create_field_index(field, index))

    def put(self, records: Sequence[Record]) -> None:
        """Add or replace records; on return they are in the engine's log."""
        if not records:
            return
        pictures = {record.id: record.picture for record in records if record.picture}
        numbers = sum(record.vector.nbytes for record in records if record.vector is not None)
        # Vectors are stored in the log and in the segment, and once more while compacting.
        check_free_space(self.folder, 5 * numbers + sum(map(len, pictures.values())))
        points = []
        for record in records:
            assert record.vector is not None
            points.append(engine.Point(record.id, record.vector.tolist(), record.payload))
        with self._changing:
            self._pictures.put(pictures)
            self._update(engine.UpdateOperation.upsert_points(points))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def get(self, ids: Sequence[str], *parts: Part) -> dict[str, Record]:
        """Return the records that exist."""
        if not ids:
            return {}
        found = self._shard.retrieve(list(ids), with_payload=True, with_vector="vector" in parts)
        return {str(point.id): self._record(point, parts) for point in found}

    def search(
        self, vectors: Vectors, where: Filter, limit: int, *parts: Part, exact: bool = True
    ) -> list[list[Record]]:
        """Return the nearest records of each vector."""
        total = self._total
        estimate = self._shard.count(engine.CountRequest(exact=False, filter=filter_of(where)))
        if where != Filter() and estimate >= POST_FILTER_SHARE * total > 0:
            depth = len(where.not_ids) + math.ceil(POST_FILTER_MARGIN * limit * total / estimate)
            found = self._nearest(vectors, Filter(), depth, exact)
            filtered = self._filtered(found, where, limit, parts)
            if all(len(records) == limit for records in filtered):
                return filtered
        found = self._nearest(vectors, where, limit, exact, True, "vector" in parts)
        return [[self._record(point, parts, point.score) for point in points] for points in found]

    def page(
        self, where: Filter, limit: int, after: str | None = None, *parts: Part
    ) -> tuple[list[Record], str | None]:
        """Return a page of records ordered by id."""
        request = engine.ScrollRequest(
            offset=after,
            limit=limit,
            filter=filter_of(where),
            with_payload=True,
            with_vector="vector" in parts,
        )
        points, following = self._shard.scroll(request)
        records = [self._record(point, parts) for point in points]
        return records, None if following is None else str(following)

    def value_range(self, where: Filter, field: str) -> tuple[float, float] | None:
        """Return the lowest and highest value of a numeric field."""
        found = []
        for direction in (engine.Direction.Asc, engine.Direction.Desc):
            request = engine.ScrollRequest(
                limit=1,
                filter=filter_of(where),
                with_payload=engine.PayloadSelector.Include([field]),
                order_by=engine.OrderBy(field, direction),
            )
            points, _ = self._shard.scroll(request)
            found += [float((point.payload or {})[field]) for point in points]
        return (found[0], found[1]) if found else None

    def count(self, where: Filter) -> int:
        """Return how many records match."""
        if not where.not_ids or where.ids:
            return self._counts(self._changes, where)
        kept = replace(where, not_ids=())  # cached for all searches that leave out their query crops
        return self.count(kept) - self._count(0, replace(kept, ids=where.not_ids))

    def _count(self, _changes: int, where: Filter) -> int:
        if where == Filter():
            return self._total
        return int(self._shard.count(engine.CountRequest(exact=True, filter=filter_of(where))))

    def values(self, field: str, where: Filter) -> dict[str, int]:
        """Return the values of a keyword field with their numbers of records."""
        return dict(self._facets(self._changes, field, where))

    def _facet(self, _changes: int, field: str, where: Filter) -> dict[str, int]:
        limit = self._total * (64 if field == "tags" else 1)
        request = engine.FacetRequest(field, limit=max(1, limit), exact=True, filter=filter_of(where))
        return {str(hit.value): hit.count for hit in self._shard.facet(request).hits if hit.count}

    def change(self, ids: Sequence[str], fields: Mapping[str, Any]) -> None:
        """Set or remove fields of some records."""
        kept = {field: value for field, value in fields.items() if value is not None}
        removed = [field for field, value in fields.items() if value is None]
        if kept:
            self._update(engine.UpdateOperation.set_payload(list(ids), kept))
        if removed:
            self._update(engine.UpdateOperation.delete_payload(list(ids), removed))

    def delete(self, where: Filter) -> None:
        """Delete the matching records."""
        with self._changing:
            ids = list(self.ids(where))
            self._update(engine.UpdateOperation.delete_points(ids))  # type: ignore[arg-type]
            self.flush()
            self._pictures.delete(ids)

    def flush(self) -> None:
        """Write all pending data to the disk."""
        self._shard.flush()
        self._flushed = time.monotonic()

    def compact(self) -> None:
        """Merge segments, build graphs and free disk space."""
        check_free_space(self.folder, sum(path.stat().st_blocks * 512 for path in self.folder.rglob("*")))
        self._shard.optimize()
        self.flush()

    def erase_orphans(self) -> None:
        """Erase pictures without a record, left by a process killed while adding or deleting crops."""
        with self._changing:
            if self._total and not len(self._pictures):
                self.close()
                raise UserError(
                    f"The gallery {self.folder.parent} is damaged: its pictures are missing. "
                    "Restore it from a copy."
                )
            if len(self._pictures) != self._total:
                self._pictures.delete_others(self.ids(Filter()))

    def ids(self, where: Filter) -> Iterator[str]:
        """Yield the ids of the matching records."""
        after: str | None = None
        while True:
            request = engine.ScrollRequest(
                offset=after,
                limit=10_000,
                filter=filter_of(where),
                with_payload=False,
                with_vector=False,
            )
            points, following = self._shard.scroll(request)
            yield from (str(point.id) for point in points)
            if following is None:
                return
            after = str(following)

    def facts(self) -> dict[str, int]:
        """Return the number of records in the graph and of segments."""
        info = self._shard.info()
        return {"indexed": info.indexed_vectors_count, "segments": info.segments_count}

    def close(self) -> None:
        """Write all pending data and close the files."""
        self._shard.close()
        if self._own_pictures:
            self._pictures.close()

    @property
    def _total(self) -> int:
        return int(self._shard.info().points_count)

    def _update(self, operation: Any) -> None:
        try:
            self._shard.update(operation)
        except UserError as error:
            if "No space left" in str(error):
                check_free_space(self.folder, RESERVED)
            raise
        self._changes += 1

    def _nearest(
        self,
        vectors: Vectors,
        where: Filter,
        limit: int,
        exact: bool,
        with_payload: bool = False,
        with_vector: bool = False,
    ) -> list[list[Any]]:
        """Return the engine's answer for each vector."""
        total = self._total
        requests = [
            nearest_to(vector, where, limit, total, exact, with_payload, with_vector) for vector in vectors
        ]
        answers: list[list[Any]] = self._shard.query_batch(engine.QueryBatchRequest(requests))
        return answers

    def _filtered(
        self, found: list[list[Any]], where: Filter, limit: int, parts: Sequence[Part]
    ) -> list[list[Record]]:
        """Apply a filter to points found without it, and return the first ones that match."""
        ids = {point.id for points in found for point in points}
        request = engine.ScrollRequest(
            limit=len(ids),
            filter=engine.Filter(must=[engine.HasIdCondition(ids), filter_of(where)]),
            with_payload=True,
            with_vector="vector" in parts,
        )
        there = {str(point.id): point for point in self._shard.scroll(request)[0]}
        return [
            [
                self._record(there[str(point.id)], parts, point.score)
                for point in points
                if str(point.id) in there
            ][:limit]
            for points in found
        ]

    def _record(self, point: Any, parts: Sequence[Part], score: float = 0.0) -> Record:
        picture = self._pictures.get(str(point.id)) if "picture" in parts else None
        vector = None if point.vector is None else np.array(point.vector, np.float32)
        return Record(str(point.id), point.payload or {}, vector, picture, score)


def check_free_space(folder: Path, needed: int) -> None:
    """Refuse to write ``needed`` bytes if too little of the folder's disk would stay free.

    Raises:
        UserError: the disk is too full.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVED:
        raise UserError(
            f"The disk of {folder} has {free / 1e6:,.0f} MB free, and "
            f"{(needed + RESERVED) / 1e6:,.0f} MB are needed to continue safely. What was added before is "
            "unharmed. Free some space, then run the command again."
        )

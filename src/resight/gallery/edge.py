"""The engine inside this process: Qdrant Edge, one shard in a folder."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as engine

from resight.errors import UserError
from resight.gallery.crops import Filter
from resight.gallery.store import (
    EXACT_UP_TO,
    GRAPH_EDGES,
    GRAPH_EFFORT,
    KEYWORDS,
    NUMBERS,
    PICTURE,
    SEARCH_EFFORT,
    Layout,
    Part,
    Record,
    Storage,
    Vectors,
    conditions,
)

TYPES: dict[Storage, Any] = {
    "float32": engine.VectorStorageDatatype.Float32,
    "float16": engine.VectorStorageDatatype.Float16,
    "int8": engine.VectorStorageDatatype.Turbo8,
}
SPARE = 256 * 2**20
"""Bytes that must stay free on the disk: the engine writes through memory maps, where a full disk kills."""


class EdgeStore:
    """Records in a folder, for one process at a time; see ``Store``.

    Args:
        folder: of the store.
        layout: to make it; None opens what is there.
    """

    def __init__(self, folder: Path, layout: Layout | None = None) -> None:
        self.folder = folder
        if layout is None:
            self._shard = engine.EdgeShard.load(str(folder))
            return
        folder.mkdir()
        _refuse_full_disk(folder, 0)
        self._shard = engine.EdgeShard.create(str(folder), _config(layout))
        for field in KEYWORDS:
            self._update(engine.UpdateOperation.create_field_index(field, engine.PayloadSchemaType.Keyword))
        for field in NUMBERS:
            self._update(engine.UpdateOperation.create_field_index(field, engine.PayloadSchemaType.Float))
        self._shard.flush()

    def put(self, records: Sequence[Record]) -> None:
        """Add or replace records; when it returns, they are on the disk."""
        points = []
        size = 0
        for record in records:
            assert record.vector is not None
            size += record.vector.nbytes + len(record.payload.get(PICTURE, ""))
            points.append(engine.Point(record.id, record.vector.tolist(), record.payload))
        _refuse_full_disk(self.folder, 4 * size)  # in the log, in the segment, and again while compacting
        self._update(engine.UpdateOperation.upsert_points(points))
        self._shard.flush()

    def get(self, ids: Sequence[str], *parts: Part) -> dict[str, Record]:
        """Return those records that are there."""
        with_payload, with_vector = _wanted(parts)
        found = self._shard.retrieve(list(ids), with_payload=with_payload, with_vector=with_vector)
        return {str(point.id): _record(point) for point in found}

    def search(
        self, vectors: Vectors, where: Filter, limit: int, *parts: Part, exact: bool | None = None
    ) -> list[list[Record]]:
        """Return the nearest records of each vector."""
        if exact is None:
            exact = self._shard.info().points_count <= EXACT_UP_TO
        with_payload, with_vector = _wanted(parts)
        requests = [
            engine.QueryRequest(
                query=engine.Query.Nearest(vector.tolist()),
                limit=limit,
                filter=_filter(where),
                params=engine.SearchParams(exact=exact, hnsw_ef=max(SEARCH_EFFORT, limit)),
                with_payload=with_payload,
                with_vector=with_vector,
            )
            for vector in vectors
        ]
        found = self._shard.query_batch(engine.QueryBatchRequest(requests))
        return [[_record(point, point.score) for point in points] for points in found]

    def scan(self, where: Filter, *parts: Part, batch: int = 256) -> Iterator[list[Record]]:
        """Yield all records that fit, by id."""
        after: str | None = None
        while True:
            records, after = self._scroll(where, batch, after, parts)
            if records:
                yield records
            if after is None:
                return

    def page(self, where: Filter, limit: int, after: str | None = None) -> tuple[list[Record], str | None]:
        """Return a page of records by id."""
        return self._scroll(where, limit, after, ())

    def ends(self, where: Filter, field: str) -> tuple[float, float] | None:
        """Return the lowest and highest value of a number."""
        found = []
        for direction in (engine.Direction.Asc, engine.Direction.Desc):
            request = engine.ScrollRequest(
                limit=1,
                filter=_filter(where),
                with_payload=engine.PayloadSelector.Include([field]),
                order_by=engine.OrderBy(field, direction),
            )
            points, _ = self._shard.scroll(request)
            found += [float((point.payload or {})[field]) for point in points]
        return (found[0], found[1]) if found else None

    def count(self, where: Filter) -> int:
        """Return how many records fit."""
        return self._shard.count(engine.CountRequest(exact=True, filter=_filter(where)))

    def values(self, field: str, where: Filter) -> dict[str, int]:
        """Return how many records have each value of a word."""
        limit = self._shard.info().points_count * (64 if field == "tags" else 1)
        request = engine.FacetRequest(field, limit=max(1, limit), exact=True, filter=_filter(where))
        return {str(hit.value): hit.count for hit in self._shard.facet(request).hits if hit.count}

    def change(self, ids: Sequence[str], fields: Mapping[str, Any]) -> None:
        """Set or remove fields of some records."""
        kept = {field: value for field, value in fields.items() if value is not None}
        removed = [field for field, value in fields.items() if value is None]
        if kept:
            self._update(engine.UpdateOperation.set_payload(list(ids), kept))
        if removed:
            self._update(engine.UpdateOperation.delete_payload(list(ids), removed))
        self._shard.flush()

    def delete(self, where: Filter) -> None:
        """Delete the records that fit."""
        self._update(engine.UpdateOperation.delete_points_by_filter(_filter(where) or engine.Filter()))
        self._shard.flush()

    def compact(self) -> None:
        """Merge segments, build graphs, give room back."""
        used = sum(path.stat().st_blocks * 512 for path in self.folder.rglob("*") if path.is_file())
        _refuse_full_disk(self.folder, used)
        self._shard.optimize()
        self._shard.flush()

    def facts(self) -> dict[str, int]:
        """Return the records under a graph, and segments."""
        info = self._shard.info()
        return {"indexed": info.indexed_vectors_count, "segments": info.segments_count}

    def close(self) -> None:
        """Write what is left and let go of the files."""
        self._shard.close()

    def _update(self, operation: Any) -> None:
        self._shard.update(operation)

    def _scroll(
        self, where: Filter, limit: int, after: str | None, parts: Sequence[Part]
    ) -> tuple[list[Record], str | None]:
        with_payload, with_vector = _wanted(parts)
        request = engine.ScrollRequest(
            offset=after,
            limit=limit,
            filter=_filter(where),
            with_payload=with_payload,
            with_vector=with_vector,
        )
        points, following = self._shard.scroll(request)
        return [_record(point) for point in points], None if following is None else str(following)


def _config(layout: Layout) -> Any:
    vectors = engine.EdgeVectorParams(
        size=layout.width, distance=engine.Distance.Dot, datatype=TYPES[layout.storage]
    )
    return engine.EdgeConfig(
        vectors=vectors,
        hnsw_config=engine.HnswIndexConfig(
            m=GRAPH_EDGES, ef_construct=GRAPH_EFFORT, full_scan_threshold=10_000
        ),
        optimizers=engine.EdgeOptimizersConfig(indexing_threshold=EXACT_UP_TO * layout.width * 4 // 1024),
    )


def _wanted(parts: Sequence[Part]) -> tuple[Any, bool]:
    return "picture" in parts or engine.PayloadSelector.Exclude([PICTURE]), "vector" in parts


def _record(point: Any, score: float = 0.0) -> Record:
    vector = None if point.vector is None else np.array(point.vector, np.float32)
    return Record(str(point.id), point.payload or {}, vector, score)


def _filter(where: Filter) -> Any:
    must, must_not = ([_condition(*one) for one in some] for some in conditions(where))
    return engine.Filter(must=must, must_not=must_not) if must or must_not else None


def _condition(kind: str, *rest: Any) -> Any:
    if kind == "any":
        field, values = rest
        return engine.FieldCondition(field, match=engine.MatchAny(values))
    if kind == "range":
        field, least, below = rest
        return engine.FieldCondition(field, range=engine.RangeFloat(gte=least, lt=below))
    if kind == "empty":
        return engine.IsEmptyCondition(rest[0])
    return engine.HasIdCondition(set(rest[0]))


def _refuse_full_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise UserError(
            f"The disk of the gallery {folder.parent} has {free / 1e6:,.0f} MB free, and "
            f"{(needed + SPARE) / 1e6:,.0f} MB are needed to go on safely. What was added before is "
            "unharmed. Free some space, then run the command again."
        )

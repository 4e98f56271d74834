"""Storage on other machines: a Qdrant cluster, through its client."""

import os
import uuid
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from resight.errors import UserError
from resight.gallery.crops import CAMERA_KEY, Filter
from resight.gallery.stores.cluster_erasures import ClusterErasures
from resight.gallery.stores.store import (
    GRAPH_EDGES,
    GRAPH_EFFORT,
    KEYWORDS,
    NUMBERS,
    ErasureStore,
    Layout,
    Part,
    Record,
    StorageBackend,
    Store,
    conditions,
    search_effort,
)
from resight.inference.embedder import Vectors

PICTURE = "picture"
"""Payload field with the JPEG file in base64; read only on request."""

EXACT_NUMBERS = 150_000_000
"""Numbers that a node scans in about 20 ms on one core; larger galleries have an HNSW graph."""

METADATA = "resight-galleries"
"""Collection of the galleries' metadata, one point each: a collection cannot be renamed."""

DEFAULT_NAME = "people"
API_KEY = "QDRANT_API_KEY"
PAGE = 4096  # values of a field requested at first
TIMEOUT = 60
"""Seconds to wait for an answer."""
SLOW_TIMEOUT = 3600
"""Seconds to wait for long operations, such as deleting many crops."""


class ClusterStore(Store):
    """Records with their pictures in a collection; see ``Store``. A cluster compacts itself.

    Args:
        client: of the cluster.
        name: of the collection.
    """

    quantized = False

    def __init__(self, client: QdrantClient, name: str) -> None:
        self._client, self._name = client, name

    def put(self, records: Sequence[Record]) -> None:
        """Add or replace records; on return they are in the cluster's log."""
        points = []
        for record in records:
            assert record.vector is not None
            payload = dict(record.payload)
            if record.picture is not None:
                payload[PICTURE] = b64encode(record.picture).decode()
            points.append(models.PointStruct(id=record.id, vector=record.vector.tolist(), payload=payload))
        if points:
            self._client.upsert(self._name, points, wait=True)

    def update(self, records: Sequence[Record]) -> None:
        """Replace vectors and fields, in one request."""
        vectors = [
            models.PointVectors(id=record.id, vector=record.vector.tolist())
            for record in records
            if record.vector is not None
        ]
        fields = [
            models.SetPayloadOperation(set_payload=models.SetPayload(payload=one.payload, points=[one.id]))
            for one in records
        ]
        if vectors:
            moved = models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=vectors))
            self._client.batch_update_points(self._name, [moved, *fields], wait=True)

    def get(self, ids: Sequence[str], *parts: Part) -> dict[str, Record]:
        """Return the records that exist."""
        with_payload, with_vectors = _wanted(parts)
        found = self._client.retrieve(self._name, list(ids), with_payload, with_vectors) if ids else []
        return {str(point.id): _record(point) for point in found}

    def search(
        self, vectors: Vectors, where: Filter, limit: int, *parts: Part, exact: bool = True
    ) -> list[list[Record]]:
        """Return the nearest records of each vector."""
        with_payload, with_vector = _wanted(parts)
        effort = 0 if exact else search_effort(self._client.count(self._name, exact=False).count)
        requests = [
            models.QueryRequest(
                query=vector.tolist(),
                limit=limit,
                filter=_filter(where),
                params=models.SearchParams(exact=exact, hnsw_ef=max(effort, limit)),
                with_payload=with_payload,
                with_vector=with_vector,
            )
            for vector in vectors
        ]
        found = self._client.query_batch_points(self._name, requests)
        return [[_record(point, point.score) for point in response.points] for response in found]

    def page(
        self, where: Filter, limit: int, after: str | None = None, *parts: Part
    ) -> tuple[list[Record], str | None]:
        """Return a page of records ordered by id."""
        with_payload, with_vectors = _wanted(parts)
        points, following = self._client.scroll(
            self._name,
            _filter(where),
            limit,
            offset=after,
            with_payload=with_payload,
            with_vectors=with_vectors,
        )
        return [_record(point) for point in points], None if following is None else str(following)

    def value_range(self, where: Filter, field: str) -> tuple[float, float] | None:
        """Return the lowest and highest value of a numeric field."""
        found: list[float] = []
        for direction in (models.Direction.ASC, models.Direction.DESC):
            points, _ = self._client.scroll(
                self._name,
                _filter(where),
                limit=1,
                order_by=models.OrderBy(key=field, direction=direction),
                with_payload=[field],
            )
            found += [float((point.payload or {})[field]) for point in points]
        return (found[0], found[1]) if found else None

    def count(self, where: Filter) -> int:
        """Return how many records match."""
        return self._client.count(self._name, _filter(where), exact=True).count

    def values(self, field: str, where: Filter) -> dict[str, int]:
        """Return the values of a keyword field with their numbers of records."""
        limit = PAGE
        while True:
            hits = self._client.facet(self._name, field, _filter(where), limit, exact=True).hits
            if len(hits) < limit:
                return {str(hit.value): hit.count for hit in hits if hit.count}
            limit *= 16

    def change(self, ids: Sequence[str], fields: Mapping[str, Any]) -> None:
        """Set or remove fields of some records."""
        kept = {field: value for field, value in fields.items() if value is not None}
        removed = [field for field, value in fields.items() if value is None]
        if kept:
            self._client.set_payload(self._name, kept, list(ids), wait=True)
        if removed:
            self._client.delete_payload(self._name, removed, list(ids), wait=True)

    def delete(self, where: Filter) -> None:
        """Delete the matching records."""
        selector = models.FilterSelector(filter=_filter(where) or models.Filter())
        self._client.delete(self._name, selector, wait=True, timeout=SLOW_TIMEOUT)

    def facts(self) -> dict[str, int]:
        """Return the number of records in the graph and of segments."""
        info = self._client.get_collection(self._name)
        return {"indexed": info.indexed_vectors_count or 0, "segments": info.segments_count}


class ClusterBackend(StorageBackend):
    """A gallery on a cluster; see ``StorageBackend``. Several processes may use it at the same time.

    Args:
        client: of the cluster.
        name: of the gallery.
        place: address, for messages.
    """

    scanned_numbers = EXACT_NUMBERS
    keeps_traces, shared = False, True

    def __init__(self, client: QdrantClient, name: str, place: str) -> None:
        self._client, self._name, self.place = client, name, place
        self._point = str(uuid.uuid5(uuid.NAMESPACE_URL, f"resight:{name}"))

    def read(self) -> str | None:
        """Return the gallery's metadata."""
        return self._read(self._point, "metadata")

    def write(self, metadata: str) -> None:
        """Write the gallery's metadata to its point."""
        self._write(self._point, "metadata", metadata)

    def read_means(self, store: str) -> bytes | None:
        """Return what is known of a store's cameras."""
        found = self._read(self._means(store), "means")
        return None if found is None else b64decode(found)

    def write_means(self, store: str, contents: bytes) -> None:
        """Write what is known of a store's cameras to a point of its own."""
        self._write(self._means(store), "means", b64encode(contents).decode())

    def erasures(self) -> ErasureStore:
        """Return the collection of what remains of deleted crops."""
        return ClusterErasures(self._client, self._name)

    def make_store(self, name: str, layout: Layout) -> Store:
        """Create a collection and its indexes."""
        collection = self._collection(name)
        self.drop_store(name)
        self._client.create_collection(
            collection,
            models.VectorParams(size=layout.width, distance=models.Distance.DOT),
            shard_number=layout.shards,
            replication_factor=layout.replicas,
            write_consistency_factor=layout.replicas // 2 + 1,
            on_disk_payload=True,
            hnsw_config=models.HnswConfigDiff(m=GRAPH_EDGES, ef_construct=GRAPH_EFFORT),
            optimizers_config=models.OptimizersConfigDiff(
                indexing_threshold=layout.graph_size(EXACT_NUMBERS) * layout.width * 4 // 1024
            ),
        )
        for field in KEYWORDS:
            self._client.create_payload_index(collection, field, models.PayloadSchemaType.KEYWORD)
        for field in NUMBERS:
            self._client.create_payload_index(collection, field, models.PayloadSchemaType.FLOAT)
        self._client.create_payload_index(collection, CAMERA_KEY, models.PayloadSchemaType.INTEGER)
        return ClusterStore(self._client, collection)

    def open_store(self, name: str) -> Store:
        """Open a collection."""
        collection = self._collection(name)
        if not self._client.collection_exists(collection):
            raise UserError(
                f"The gallery {self.place} is damaged: the cluster has no collection {collection}. "
                "Restore it from a snapshot."
            )
        return ClusterStore(self._client, collection)

    def stores(self) -> set[str]:
        """Return the names of the gallery's collections."""
        begin = self._collection("")
        names = (one.name for one in self._client.get_collections().collections)
        return {name.removeprefix(begin) for name in names if name.startswith(begin)}

    def drop_store(self, name: str) -> None:
        """Delete the point of a collection's cameras, then the collection."""
        if self._client.collection_exists(METADATA):
            self._client.delete(METADATA, [self._means(name)], wait=True)
        if self._client.collection_exists(self._collection(name)):
            self._client.delete_collection(self._collection(name))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _collection(self, store: str) -> str:
        return f"{self._name}.{store}"

    def _means(self, store: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"resight:{self._collection(store)}"))

    def _read(self, point: str, field: str) -> str | None:
        if not self._client.collection_exists(METADATA):
            return None
        found = self._client.retrieve(METADATA, [point])
        return str((found[0].payload or {})[field]) if found else None

    def _write(self, point: str, field: str, value: str) -> None:
        if not self._client.collection_exists(METADATA):
            self._client.create_collection(
                METADATA, models.VectorParams(size=1, distance=models.Distance.DOT)
            )
        payload = {"name": self._name, field: value}
        self._client.upsert(
            METADATA, [models.PointStruct(id=point, vector=[0.0], payload=payload)], wait=True
        )


def connect(address: str) -> ClusterBackend:
    """Connect to the cluster at ``http://host:6333/NAME``; its API key comes from ``QDRANT_API_KEY``.

    Raises:
        UserError: the address is malformed, or no cluster answers.
    """
    parts = urlsplit(address)
    name = parts.path.strip("/") or DEFAULT_NAME
    if not parts.hostname or "/" in name or parts.query or parts.fragment or parts.username:
        raise UserError(
            f"The address of a gallery on a cluster is http://HOST:6333/NAME; got {address}. Set an API key "
            f"with the environment variable {API_KEY}."
        )
    port = parts.port or (443 if parts.scheme == "https" else 6333)
    client = QdrantClient(
        url=f"{parts.scheme}://{parts.hostname}:{port}",
        api_key=os.environ.get(API_KEY),
        timeout=TIMEOUT,
        check_compatibility=False,
    )
    try:
        client.get_collections()
    except (ResponseHandlingException, UnexpectedResponse, ApiException) as error:
        client.close()
        refused = isinstance(error, UnexpectedResponse) and error.status_code in (401, 403)
        reason = f"it refuses the key in {API_KEY}" if refused else str(error).splitlines()[0]
        raise UserError(
            f"The Qdrant cluster at {parts.scheme}://{parts.hostname}:{port} does not answer: {reason}. "
            "Check the address, and that the cluster is running."
        ) from error
    return ClusterBackend(client, name, address)


def _wanted(parts: Sequence[Part]) -> tuple[Any, bool]:
    return "picture" in parts or models.PayloadSelectorExclude(exclude=[PICTURE]), "vector" in parts


def _record(point: Any, score: float = 0.0) -> Record:
    vector = None if point.vector is None else np.array(point.vector, np.float32)
    payload = dict(point.payload or {})
    text = payload.pop(PICTURE, None)
    return Record(str(point.id), payload, vector, None if text is None else b64decode(text), score)


def _filter(where: Filter) -> models.Filter | None:
    parts = conditions(where)
    return models.Filter.model_validate(parts) if any(parts.values()) else None

"""What remains of the deleted crops of galleries on a Qdrant cluster; see ``ErasureStore``."""

import secrets
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice

from qdrant_client import QdrantClient, models

ERASED = "resight-erased"
"""Collection of all galleries' HMACs, each the id of a point. A gallery's key is in a point of its own."""

BATCH = 1000
"""Points in a request."""


class ClusterErasures:
    """HMACs of the ids of one gallery's deleted crops.

    Args:
        client: of the cluster.
        name: of the gallery.
    """

    def __init__(self, client: QdrantClient, name: str) -> None:
        self._client, self._key_point = client, str(uuid.uuid5(uuid.NAMESPACE_URL, f"resight-erased:{name}"))

    def erasure_key(self) -> bytes:
        """Return the gallery's key; make it if there is none."""
        if not self._client.collection_exists(ERASED):
            self._client.create_collection(ERASED, models.VectorParams(size=1, distance=models.Distance.DOT))
        found = self._client.retrieve(ERASED, [self._key_point])
        if not found:
            self._put([self._key_point], {"key": secrets.token_hex(32)})
            found = self._client.retrieve(ERASED, [self._key_point])
        return bytes.fromhex((found[0].payload or {})["key"])

    def add_erased(self, hmacs: Sequence[bytes]) -> None:
        """Keep HMACs."""
        for points in _batches(hmacs):
            self._put(points, {})

    def read_erased(self, hmacs: Sequence[bytes]) -> set[bytes]:
        """Return those of the given HMACs that are kept."""
        found = (self._client.retrieve(ERASED, points, with_payload=False) for points in _batches(hmacs))
        return {uuid.UUID(str(point.id)).bytes for points in found for point in points}

    def remove_erased(self, hmacs: Sequence[bytes]) -> None:
        """Delete HMACs."""
        for points in _batches(hmacs):
            self._client.delete(ERASED, models.PointIdsList(points=list(points)), wait=True)

    def _put(self, points: Sequence[str], payload: dict[str, str]) -> None:
        self._client.upsert(
            ERASED, [models.PointStruct(id=one, vector=[0.0], payload=payload) for one in points], wait=True
        )


def _batches(hmacs: Sequence[bytes]) -> Iterator[list[str]]:
    """Yield the ids of points, a request at a time."""
    ids = (str(uuid.UUID(bytes=one)) for one in hmacs)
    while some := list(islice(ids, BATCH)):
        yield some

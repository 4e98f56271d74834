"""The interface of storage engines."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from resight.gallery.crops import CAMERA_KEY, Filter, camera_key
from resight.inference.embedder import Vectors

Part = Literal["picture", "vector"]

KEYWORDS = ("camera", "source", "person", "tags")
"""Payload fields with a keyword index."""

NUMBERS = ("time", "since")
"""Payload fields with a range index."""

GRAPH_EDGES, GRAPH_EFFORT = 16, 128
"""HNSW's m and ef_construct."""

SEARCH_EFFORT = 160
"""Smallest ef of HNSW: with it, a graph of 100,000 crops has a recall@10 of 99.6 to 99.8 %."""


def search_effort(count: int) -> int:
    """Return the ef of HNSW that gives a recall@10 of at least 99 % in a graph of ``count`` crops.

    For 1,000,000 crops, the recall is 95 % with 160 and 99.7 % with 900 (``benchmarks/gallery.py``).
    """
    return round(SEARCH_EFFORT * math.pow(max(1.0, count / 100_000), 0.75))


@dataclass(frozen=True, slots=True)
class Record:
    """A crop as an engine stores it.

    Attributes:
        id: a UUID in its standard form.
        payload: fields, as plain data.
        vector: float32 [D], of unit length; None if not requested.
        picture: a JPEG file; None if not requested.
        score: cosine similarity to the query of a search.
    """

    id: str
    payload: dict[str, Any]
    vector: Vectors | None = None
    picture: bytes | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """The settings of a store.

    Attributes:
        width: length of a vector.
        graph_from: number of crops above which a graph is built; None: when their vectors have more than
            ``StorageBackend.scanned_numbers`` numbers in all.
        shards, replicas: on a cluster: number of parts of the collection, and of copies of each.
    """

    width: int
    graph_from: int | None = None
    shards: int = 1
    replicas: int = 1

    def graph_size(self, scanned_numbers: int) -> int:
        """Return the number of crops above which a graph is built."""
        return scanned_numbers // self.width if self.graph_from is None else self.graph_from


class Store(Protocol):
    """Stores records with unit vectors; every method may raise ``UserError`` for a problem that a user can
    fix.

    Base class of the engines' stores. They need not define what the engine does automatically.

    Attributes:
        quantized: whether an approximate search without a graph compares quantized vectors.
    """

    quantized: bool

    def put(self, records: Sequence[Record]) -> None:
        """Add records, or replace those with the same ids; on return they survive the end of this process."""

    def update(self, records: Sequence[Record]) -> None:
        """Replace the vectors and fields of records that are there; their pictures stay."""
        self.put(records)

    def get(self, ids: Sequence[str], *parts: Part) -> dict[str, Record]:
        """Return the records that exist, by id, with the given parts."""

    def search(
        self, vectors: Vectors, where: Filter, limit: int, *parts: Part, exact: bool = True
    ) -> list[list[Record]]:
        """Return the nearest records of each of the vectors [Q, D], nearest first.

        Args:
            vectors: of unit length.
            where: selects records.
            limit: number of records to return.
            parts: to return with each record.
            exact: compare every record in float32. Otherwise, compare only candidates selected by a graph or
                by quantized vectors.
        """

    def scan(self, where: Filter, *parts: Part, batch: int = 256) -> Iterator[list[Record]]:
        """Yield all matching records in batches, ordered by id."""
        after: str | None = None
        while True:
            records, after = self.page(where, batch, after, *parts)
            if records:
                yield records
            if after is None:
                return

    def page(
        self, where: Filter, limit: int, after: str | None = None, *parts: Part
    ) -> tuple[list[Record], str | None]:
        """Return records ordered by id, starting at ``after``, and the start of the next page."""

    def value_range(self, where: Filter, field: str) -> tuple[float, float] | None:
        """Return the lowest and highest value of a numeric field; None if no record has one."""

    def count(self, where: Filter) -> int:
        """Return how many records match."""

    def values(self, field: str, where: Filter) -> dict[str, int]:
        """Return the values of a keyword field with their numbers of matching records."""

    def change(self, ids: Sequence[str], fields: Mapping[str, Any]) -> None:
        """Set fields of some records; None removes a field."""

    def delete(self, where: Filter) -> None:
        """Delete the matching records."""

    def erase_orphans(self) -> None:
        """Erase the remains of crops that a killed process was adding or deleting."""
        return

    def flush(self) -> None:
        """Write all pending data to the disk, where it survives a power failure."""
        return

    def compact(self) -> None:
        """Build graphs and free the space of deleted records; a cluster does so automatically."""
        return

    def facts(self) -> dict[str, int]:
        """Return the number of records in the graph (``indexed``) and of ``segments``."""

    def close(self) -> None:
        """Write all pending data, and close files and connections."""
        return


class ErasureStore(Protocol):
    """What remains of deleted crops: HMACs of their ids, and the key of these (``gallery.erased``)."""

    def erasure_key(self) -> bytes:
        """Return the gallery's key: 32 random bytes, made once."""

    def add_erased(self, hmacs: Sequence[bytes]) -> None:
        """Keep HMACs, 16 bytes each; on return they survive the end of this process."""

    def read_erased(self, hmacs: Sequence[bytes]) -> set[bytes]:
        """Return those of the given HMACs that are kept."""

    def remove_erased(self, hmacs: Sequence[bytes]) -> None:
        """Delete HMACs."""


class StorageBackend(Protocol):
    """The storage of a gallery: its metadata and its stores. There are two stores during a re-embedding.

    Attributes:
        place: folder or address, for messages.
        scanned_numbers: total of numbers in all vectors above which a store has a graph by default.
        keeps_traces: whether files keep traces of deleted or replaced data until a store is rewritten.
        shared: whether several processes may use it at the same time.
    """

    place: str
    scanned_numbers: int
    keeps_traces: bool
    shared: bool

    def read(self) -> str | None:
        """Return the metadata, or None if there is no gallery."""

    def write(self, metadata: str) -> None:
        """Replace the metadata atomically."""

    def read_means(self, store: str) -> bytes | None:
        """Return what ``write_means`` wrote of a store; None: nothing."""

    def write_means(self, store: str, contents: bytes) -> None:
        """Replace what is known of the cameras of a store, all of it or nothing."""

    def erasures(self) -> "ErasureStore":
        """Return the store of what remains of deleted crops."""

    def make_store(self, name: str, layout: Layout) -> Store:
        """Create a store; first remove what a killed attempt left under that name."""

    def open_store(self, name: str) -> Store:
        """Open an existing store."""

    def stores(self) -> set[str]:
        """Return the names of the complete stores."""

    def drop_store(self, name: str) -> None:
        """Delete a store, if it exists."""

    def check_free_space(self) -> None:
        """Refuse to rewrite the stores if there is not enough free space.

        Raises:
            UserError: there is not enough free space.
        """
        return

    def size(self) -> int | None:
        """Return the size on disk in bytes; None if not known."""
        return None

    def close(self) -> None:
        """Release the gallery for other processes."""


def conditions(where: Filter) -> dict[str, list[dict[str, Any]]]:
    """Return a filter in Qdrant's JSON, for both engines: conditions under ``must`` and ``must_not``."""
    must: list[dict[str, Any]] = [
        _match(field, values)
        for field, values in (
            (CAMERA_KEY, [camera_key(camera) for camera in where.cameras]),
            ("person", where.persons),
            ("source", where.sources),
            *(("tags", [tag]) for tag in where.tags),
        )
        if values
    ]
    if where.after is not None or where.before is not None:
        first, end = (None if time is None else time.timestamp() for time in (where.after, where.before))
        must.append({"key": "time", "range": {"gte": first, "lt": end}})
    if where.older_than is not None:
        must.append({"key": "since", "range": {"gte": None, "lt": where.older_than}})
    if where.ids:
        must.append({"has_id": list(where.ids)})
    must_not: list[dict[str, Any]] = []
    if where.not_cameras:
        must_not.append(_match(CAMERA_KEY, [camera_key(camera) for camera in where.not_cameras]))
    if where.labelled:
        must_not.append({"is_empty": {"key": "person"}})
    if where.not_ids:
        must_not.append({"has_id": list(where.not_ids)})
    return {"must": must, "must_not": must_not}


def _match(field: str, values: Sequence[Any]) -> dict[str, Any]:
    return {"key": field, "match": {"any": list(values)}}

"""The interface to an engine: what a gallery asks of whatever keeps its vectors."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from resight.gallery.crops import KEY, Filter, camera_key
from resight.inference.embedder import Vectors

Part = Literal["picture", "vector"]

KEYWORDS = ("camera", "source", "person", "tags")
"""Fields that are indexed for look-up."""

NUMBERS = ("time", "since")
"""Fields that are indexed for ranges."""

GRAPH_EDGES, GRAPH_EFFORT = 16, 128
"""HNSW's m and ef_construct."""

SEARCH_EFFORT = 160
"""HNSW's ef at least: by it a graph of 100,000 crops finds 99.6 to 99.8 % of the first ten."""


def search_effort(count: int) -> int:
    """Return HNSW's ef by which a graph of so many crops finds 99 % of the first ten, and more.

    By 160 one of 1,000,000 finds 95 %, by 900 99.7 % (``benchmarks/gallery.py``).
    """
    return round(SEARCH_EFFORT * math.pow(max(1.0, count / 100_000), 0.75))


@dataclass(frozen=True, slots=True)
class Record:
    """A crop as an engine keeps it.

    Attributes:
        id: a UUID in its usual writing.
        payload: fields, of plain data.
        vector: float32 [D], of unit length; None where it was not asked for.
        picture: a JPEG file; None where it was not asked for.
        score: of a search: the cosine of the angle to the query.
    """

    id: str
    payload: dict[str, Any]
    vector: Vectors | None = None
    picture: bytes | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """How a store is made.

    Attributes:
        width: numbers a vector.
        graph_from: crops from which on a graph is built; None: where their numbers are more than
            ``StorageBackend.scanned_numbers``.
        shards, replicas: of a cluster: machines that share the crops, and copies of each.
    """

    width: int
    graph_from: int | None = None
    shards: int = 1
    replicas: int = 1

    def graph_size(self, scanned_numbers: int) -> int:
        """Return the crops from which on a graph is built."""
        return scanned_numbers // self.width if self.graph_from is None else self.graph_from


class Store(Protocol):
    """Keeps records of unit vectors; every method may raise ``UserError`` for what a user can mend.

    Base of the engines' stores, which need not define what an engine does by itself.

    Attributes:
        quantized: where there is no graph, a search that is not exact compares quantized vectors.
    """

    quantized: bool

    def put(self, records: Sequence[Record]) -> None:
        """Add records, or replace those of the same ids; then the death of this process cannot harm them."""

    def get(self, ids: Sequence[str], *parts: Part) -> dict[str, Record]:
        """Return those records that are there, by id, with the parts asked for."""

    def search(
        self, vectors: Vectors, where: Filter, limit: int, *parts: Part, exact: bool = True
    ) -> list[list[Record]]:
        """Return, for each of the vectors [Q, D], the nearest records, nearest first.

        Args:
            vectors: of unit length.
            where: which records to look at.
            limit: how many to return.
            parts: to return with each.
            exact: compare every record in float32. Otherwise a graph, or the quantized form of the vectors,
                selects the records that are.
        """

    def scan(self, where: Filter, *parts: Part, batch: int = 256) -> Iterator[list[Record]]:
        """Yield all records that fit, in the order of their ids."""
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
        """Return records in the order of their ids, from ``after`` on, and where the next page begins."""

    def ends(self, where: Filter, field: str) -> tuple[float, float] | None:
        """Return the lowest and the highest value of an indexed number; None where no record has one."""

    def count(self, where: Filter) -> int:
        """Return how many records fit."""

    def values(self, field: str, where: Filter) -> dict[str, int]:
        """Return how many of the records that fit have each value of an indexed word."""

    def change(self, ids: Sequence[str], fields: Mapping[str, Any]) -> None:
        """Set fields of some records; None removes one."""

    def delete(self, where: Filter) -> None:
        """Delete the records that fit."""

    def erase_orphans(self) -> None:
        """Erase what a killed process left of crops that it was adding or deleting."""
        return

    def flush(self) -> None:
        """Write everything to the disk, so that it also survives a power failure."""
        return

    def compact(self) -> None:
        """Build graphs, give room of deleted records back; on a cluster this goes on by itself."""
        return

    def facts(self) -> dict[str, int]:
        """Return how many records a graph covers (``indexed``), and how many ``segments`` there are."""

    def close(self) -> None:
        """Write what is left, and let go of files and connections."""
        return


class StorageBackend(Protocol):
    """Where a gallery is stored: its metadata and its stores. A re-embedding has two for a while.

    Attributes:
        place: folder or address, for messages.
        scanned_numbers: numbers of vectors up to which stores here have no graph.
        keeps_traces: whether files keep traces of what is deleted or replaced until a store is written anew.
    """

    place: str
    scanned_numbers: int
    keeps_traces: bool

    def read(self) -> str | None:
        """Return what ``write`` wrote, or None where there is no gallery."""

    def write(self, metadata: str) -> None:
        """Replace what is said about the gallery, all of it or nothing."""

    def make_store(self, name: str, layout: Layout) -> Store:
        """Make a store; what a killed attempt left of the same name is removed first."""

    def open_store(self, name: str) -> Store:
        """Open a store that is there."""

    def stores(self) -> set[str]:
        """Return the names of the stores that are there, whole."""

    def drop_store(self, name: str) -> None:
        """Delete a store, if it is there."""

    def refuse_full_disk(self) -> None:
        """Refuse to write the stores anew where there is no room for that.

        Raises:
            UserError: the disk is too full.
        """
        return

    def size(self) -> int | None:
        """Return the bytes on the disk; None where they are not ours to count."""
        return None

    def close(self) -> None:
        """Let others at the gallery."""


def conditions(where: Filter) -> dict[str, list[dict[str, Any]]]:
    """Return a filter in Qdrant's JSON, for both engines: conditions under ``must`` and ``must_not``."""
    must: list[dict[str, Any]] = [
        _match(field, values)
        for field, values in (
            (KEY, [camera_key(camera) for camera in where.cameras]),
            ("person", where.persons),
            ("source", where.sources),
            *(("tags", [tag]) for tag in where.tags),
        )
        if values
    ]
    if where.after is not None or where.before is not None:
        first, end = (None if time is None else time.timestamp() for time in (where.after, where.before))
        must.append({"key": "time", "range": {"gte": first, "lt": end}})
    if where.kept_since is not None:
        must.append({"key": "since", "range": {"gte": None, "lt": where.kept_since}})
    if where.ids:
        must.append({"has_id": list(where.ids)})
    must_not: list[dict[str, Any]] = []
    if where.not_cameras:
        must_not.append(_match(KEY, [camera_key(camera) for camera in where.not_cameras]))
    if where.labelled:
        must_not.append({"is_empty": {"key": "person"}})
    if where.not_ids:
        must_not.append({"has_id": list(where.not_ids)})
    return {"must": must, "must_not": must_not}


def _match(field: str, values: Sequence[Any]) -> dict[str, Any]:
    return {"key": field, "match": {"any": list(values)}}

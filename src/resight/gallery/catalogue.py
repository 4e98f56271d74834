"""What is in a gallery: looked at, counted, labelled, forgotten."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from threading import Lock, RLock
from typing import Any, Literal

from resight.errors import UserError, did_you_mean
from resight.gallery.crops import Filter, StoredCrop, check_ids, from_payload
from resight.gallery.metadata import Metadata, check_days, now
from resight.gallery.stores.store import Record, StorageBackend, Store
from resight.timestamps import from_seconds

DAY = 86400.0
EVERYTHING = Filter()
NOT_THERE = "No crop in the gallery has the id '{}'."
Field = Literal["camera", "source", "person", "tags"]


class Catalogue:
    """The crops of a gallery, without a model.

    Attributes:
        metadata: what the gallery says about itself.
        expired_on_opening: crops that were forgotten on opening, being older than the gallery keeps them.
    """

    expired_on_opening = 0

    def __init__(
        self, backend: StorageBackend, metadata: Metadata, store: Store, pending: Store | None
    ) -> None:
        self.metadata = metadata
        self._backend, self._store = backend, store
        self._pending = pending  # being filled by a re-embedding, and changed as the store is
        self._copies: list[Store] = []  # being filled by ``compact``, and changed as the others are
        self._changing, self._compacting = RLock(), Lock()
        self._traced = 0  # changes that left traces

    @property
    def place(self) -> str:
        """Folder or address."""
        return self._backend.place

    @property
    def graph_from(self) -> int:
        """Crops from which on its store has a graph."""
        return self.metadata.layout.graph_size(self._backend.scanned_numbers)

    def __len__(self) -> int:
        return self._store.count(EVERYTHING)

    def count(self, where: Filter = EVERYTHING) -> int:
        """Return how many crops fit."""
        return self._store.count(where)

    def check_filter(self, where: Filter) -> None:
        """Refuse a filter that names a camera of no crop: most likely the name is misspelt.

        Raises:
            UserError: it says which camera is meant, or which ones there are.
        """
        if named := (*where.cameras, *where.not_cameras):
            known = self.values("camera")
            for name in named:
                if name not in known:
                    there = did_you_mean(name, known) if known else " No crop has a camera."
                    raise UserError(f"No crop in the gallery has the camera '{name}'.{there}")

    def values(self, field: Field, where: Filter = EVERYTHING) -> dict[str, int]:
        """Return how many of the crops that fit have each camera, source, person or tag."""
        return self._store.values(field, where)

    def times(self, where: Filter = EVERYTHING) -> tuple[datetime, datetime] | None:
        """Return when the first and the last crop that fit were taken; None where no time is known."""
        ends = self._store.ends(where, "time")
        if ends is None:
            return None
        return from_seconds(ends[0]), from_seconds(ends[1])

    def facts(self) -> dict[str, int]:
        """Return how many crops the graph covers (``indexed``), and how many ``segments`` there are."""
        return self._store.facts()

    def size(self) -> int | None:
        """Return the bytes on the disk; None for a cluster's."""
        return self._backend.size()

    def get(self, ids: Sequence[str]) -> list[StoredCrop]:
        """Return stored crops by their ids.

        Raises:
            UserError: one of them is not in the gallery.
        """
        return [from_payload(record.id, record.payload) for record in self._records(ids)]

    def picture(self, identity: str) -> bytes:
        """Return the JPEG file of a stored crop.

        Raises:
            UserError: it is not in the gallery.
        """
        picture = self._records([identity], "picture")[0].picture
        if picture is None:  # it was forgotten at this moment
            raise UserError(NOT_THERE.format(identity))
        return picture

    def crops(self, where: Filter = EVERYTHING) -> Iterator[StoredCrop]:
        """Yield the stored crops that fit, in the order of their ids."""
        for records in self._store.scan(where):
            yield from (from_payload(record.id, record.payload) for record in records)

    def page(
        self, where: Filter = EVERYTHING, top: int = 100, after: str | None = None
    ) -> tuple[list[StoredCrop], str | None]:
        """Return stored crops in the order of their ids, and what to give as ``after`` for the next ones."""
        records, following = self._store.page(where, top, after)
        return [from_payload(record.id, record.payload) for record in records], following

    def label(self, ids: Sequence[str], person: str | None) -> None:
        """Say which person crops show; None takes back what was said.

        Raises:
            UserError: a crop is not in the gallery.
        """
        self._change(ids, {"person": person})

    def tag(self, ids: Sequence[str], tags: Sequence[str]) -> None:
        """Give crops these tags in place of those that they have.

        Raises:
            UserError: a crop is not in the gallery.
        """
        self._change(ids, {"tags": list(dict.fromkeys(tags))})

    def forget(self, where: Filter) -> int:
        """Delete the crops that fit, and return how many.

        At once no search finds them, and no file holds their pictures. Traces of them (vectors, names, tags)
        stay in the engine's files until ``compact``.

        Raises:
            UserError: the filter says nothing, which would delete all.
        """
        if where == EVERYTHING:
            raise UserError("Say which crops to forget. To forget all, delete the gallery.")
        with self._changing:
            count = self._store.count(where)
            if count:
                self._note_traces()
            for store in self._stores():
                if store.count(where):
                    store.delete(where)
        return count

    def forget_expired(self) -> int:
        """Delete the crops that are older than the gallery keeps them, and return how many.

        What counts is when a picture was taken; when it was added, where that is not known.
        """
        days = self.metadata.forget_after_days
        return 0 if days is None else self.forget(Filter(kept_since=now().timestamp() - days * DAY))

    def keep_for(self, days: float | None) -> None:
        """Set for how many days crops are kept from now on; None keeps them for good.

        Raises:
            UserError: that is not more than 0 days.
        """
        check_days(days)
        self._tell(forget_after_days=days)

    def _stores(self) -> list[Store]:
        return [store for store in (self._store, self._pending, *self._copies) if store is not None]

    def _records(self, ids: Sequence[str], *parts: Literal["picture", "vector"]) -> list[Record]:
        check_ids(ids)
        found = self._store.get(ids, *parts)
        for identity in ids:
            if identity not in found:
                raise UserError(NOT_THERE.format(identity))
        return [found[identity] for identity in ids]

    def _change(self, ids: Sequence[str], fields: dict[str, Any]) -> None:
        with self._changing:
            if any(record.payload.get(field) for record in self._records(ids) for field in fields):
                self._note_traces()
            for store in self._stores():
                if there := list(store.get(ids)):
                    store.change(there, fields)

    def _put(self, records: Sequence[Record]) -> None:
        with self._changing:
            self._store.put(records)

    def _note_traces(self) -> None:
        self._traced += 1
        if self._backend.keeps_traces and not self.metadata.traces:
            self._tell(traces=True)

    def _tell(self, **changes: object) -> None:
        with self._changing:
            metadata = self.metadata.model_copy(update=changes)
            self._backend.write(metadata.model_dump_json(indent=2))
            self.metadata = metadata

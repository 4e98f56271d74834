"""The contents of a gallery: reading, counting and deleting crops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from threading import Lock, RLock
from typing import Any, Literal

from resight.errors import UserError, did_you_mean
from resight.gallery.cameras import CameraMeans, CameraNormalisation
from resight.gallery.crops import Filter, StoredCrop, check_ids, from_payload
from resight.gallery.erased import ErasedIds
from resight.gallery.metadata import Metadata, check_days, now
from resight.gallery.stores.store import Record, StorageBackend, Store
from resight.inference.embedder import ModelIdentity
from resight.timestamps import from_seconds

DAY = 86400.0
EVERYTHING = Filter()
NO_SUCH_CROP = "No crop in the gallery has the id '{}'."
Field = Literal["camera", "source", "person", "tags"]


@dataclass(frozen=True, slots=True)
class CameraCrops:
    """Crops of one camera.

    Attributes:
        camera: name, or None if it is not known.
        crops: their number.
        times: the first and the last time; None if no time is known.
    """

    camera: str | None
    crops: int
    times: tuple[datetime, datetime] | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, times in ISO 8601."""
        first, last = (None, None) if self.times is None else (time.isoformat() for time in self.times)
        return {"camera": self.camera, "crops": self.crops, "first": first, "last": last}


class Catalogue:
    """The crops of a gallery, without a model.

    Attributes:
        metadata: of the gallery.
    """

    def __init__(
        self, backend: StorageBackend, metadata: Metadata, store: Store, pending: Store | None
    ) -> None:
        self.metadata = metadata
        self._backend, self._store = backend, store
        self._erased = ErasedIds(backend.erasures())
        self._pending = pending  # filled by a re-embedding; changes to the store are repeated here
        self._copies: list[Store] = []  # filled by ``compact``; changes are repeated here too
        self._changing, self._compacting = RLock(), Lock()
        self._traced = 0  # number of changes that left traces
        self._means = self._means_of(store, metadata.store, metadata.model)

    @property
    def place(self) -> str:
        """Folder, or address of the cluster."""
        return self._backend.place

    @property
    def graph_from(self) -> int:
        """Number of crops above which the store has an HNSW graph."""
        return self.metadata.layout.graph_size(self._backend.scanned_numbers)

    def __len__(self) -> int:
        return self._store.count(EVERYTHING)

    def count(self, where: Filter = EVERYTHING) -> int:
        """Return how many crops match the filter."""
        return self._store.count(where)

    def check_filter(self, where: Filter) -> None:
        """Refuse a filter with a camera that no crop has: most likely the name is misspelt.

        Raises:
            UserError: there is no such camera; the message suggests a similar name or lists the cameras.
        """
        if named := (*where.cameras, *where.not_cameras):
            known = self.values("camera")
            for name in named:
                if name not in known:
                    there = did_you_mean(name, known) if known else " No crop has a camera."
                    raise UserError(f"No crop in the gallery has the camera '{name}'.{there}")

    def values(self, field: Field, where: Filter = EVERYTHING) -> dict[str, int]:
        """Return each camera, source, person or tag of the matching crops, with its number of crops."""
        return self._store.values(field, where)

    def times(self, where: Filter = EVERYTHING) -> tuple[datetime, datetime] | None:
        """Return the earliest and latest time of the matching crops; None if no time is known."""
        found = self._store.value_range(where, "time")
        return None if found is None else (from_seconds(found[0]), from_seconds(found[1]))

    def by_camera(self, where: Filter = EVERYTHING) -> list[CameraCrops]:
        """Return the matching crops of each camera in the order of names; those of unknown cameras last."""
        counts: dict[str | None, int] = dict(sorted(self.values("camera", where).items()))
        if unknown := self.count(where) - sum(counts.values()):
            counts[None] = unknown
        named = tuple(name for name in counts if name is not None)
        return [
            CameraCrops(
                camera,
                crops,
                self.times(
                    replace(where, not_cameras=(*where.not_cameras, *named))
                    if camera is None
                    else replace(where, cameras=(camera,))
                ),
            )
            for camera, crops in counts.items()
        ]

    def facts(self) -> dict[str, int]:
        """Return the number of crops in the graph (``indexed``) and of ``segments``."""
        return self._store.facts()

    def size(self) -> int | None:
        """Return the size on disk in bytes; None on a cluster."""
        return self._backend.size()

    def get(self, ids: Sequence[str]) -> list[StoredCrop]:
        """Return stored crops by their ids.

        Raises:
            UserError: an id is not in the gallery.
        """
        return [from_payload(record.id, record.payload) for record in self._records(ids)]

    def picture(self, identity: str) -> bytes:
        """Return the JPEG file of a stored crop.

        Raises:
            UserError: it is not in the gallery.
        """
        picture = self._records([identity], "picture")[0].picture
        if picture is None:  # it was forgotten just now
            raise UserError(NO_SUCH_CROP.format(identity))
        return picture

    def crops(self, where: Filter = EVERYTHING) -> Iterator[StoredCrop]:
        """Yield the matching crops, ordered by id."""
        for records in self._store.scan(where):
            yield from (from_payload(record.id, record.payload) for record in records)

    def page(
        self, where: Filter = EVERYTHING, top: int = 100, after: str | None = None
    ) -> tuple[list[StoredCrop], str | None]:
        """Return a page of crops ordered by id, and the value of ``after`` for the next page."""
        records, following = self._store.page(where, top, after)
        return [from_payload(record.id, record.payload) for record in records], following

    def normalise_cameras(self, on: bool) -> None:
        """Remove the cameras' means from all vectors, or put them back; 100,000 crops take minutes.

        What was calibrated has to be calibrated again.
        """
        self._update_metadata(camera_normalise=on)
        with self._compacting, self._changing:
            self._means.on = on
            self._means.recount()
        self._renew_means()

    def camera_normalisation(self) -> CameraNormalisation:
        """Return whether cameras' means are removed from the vectors, and which cameras have few crops."""
        return self._means.describe()

    def forget(self, where: Filter, *, remember: bool = True) -> int:
        """Delete the matching crops, and return how many there were.

        From then on no search finds them, and no file contains their pictures. Traces of them (vectors,
        names, tags) stay in the engine's files until ``compact``. Only an HMAC of each id remains, so that
        ``add`` can leave the same pictures out.

        Args:
            where: selects crops.
            remember: with False, ``add`` takes the same pictures again.

        Raises:
            UserError: the filter is empty, which would delete all crops.
        """
        if where == EVERYTHING:
            raise UserError("Say which crops to forget. To forget all, delete the gallery.")
        with self._changing:
            count = self._store.count(where)
            if count:
                self._note_traces()
                ids: list[str] = []
                for records in self._store.scan(where, "vector"):
                    self._means.remove(records)
                    ids += [record.id for record in records]
                if remember:  # first: a process that is killed between the two leaves crops, and no gap
                    self._erased.remember(ids)
            for store in self._stores():
                if store.count(where):
                    store.delete(where)
            self._means.save()
        if count:
            self._renew_means()
        return count

    def expired(self, days: float | None = None) -> Filter | None:
        """Return a filter for the crops that are older than a number of days; None if crops are kept forever.

        A crop's age counts from when it was taken or, if that is not known, from when it was added.

        Args:
            days: 0 for ever; by default the retention period.
        """
        days = self.metadata.forget_after_days if days is None else days
        return None if not days else Filter(older_than=now().timestamp() - days * DAY)

    def forget_expired(self) -> int:
        """Delete the crops that are older than the retention period, and return how many there were."""
        expired = self.expired()
        return 0 if expired is None else self.forget(expired)

    def keep_for(self, days: float | None) -> None:
        """Set the retention period in days; None keeps crops forever.

        Raises:
            UserError: the period is not longer than 0 days.
        """
        check_days(days)
        self._update_metadata(forget_after_days=days)

    def _stores(self) -> list[Store]:
        return [store for store in (self._store, self._pending, *self._copies) if store is not None]

    def _records(self, ids: Sequence[str], *parts: Literal["picture", "vector"]) -> list[Record]:
        check_ids(ids)
        found = self._store.get(ids, *parts)
        for identity in ids:
            if identity not in found:
                raise UserError(NO_SUCH_CROP.format(identity))
        return [found[identity] for identity in ids]

    def _put(self, records: Sequence[Record]) -> None:
        with self._changing:
            if self._backend.shared:
                self._means.load(self._backend.read_means(self.metadata.store))
            self._store.put(self._means.add(records))
            if self._backend.shared:
                self._means.save()
        if self._means.overdue:
            self._renew_means()

    def _means_of(self, store: Store, name: str, model: ModelIdentity) -> CameraMeans:
        """Return what is known of the cameras of a store with a model's vectors."""
        on, write = self.metadata.camera_normalise, partial(self._backend.write_means, name)
        means = CameraMeans(store, model.width, on, write, self._changing, model.trained_cameras)
        means.load(self._backend.read_means(name))
        means.recount()
        return means

    def _renew_means(self, exactly: bool = False) -> None:
        """Rewrite the crops of cameras whose means have moved; later, where the stores are being replaced."""
        if self._compacting.acquire(blocking=False):
            try:
                self._means.renew(exactly)
            finally:
                self._compacting.release()
            calibration = self.metadata.calibration
            if calibration is not None and calibration.camera_normalise != self._means.active:
                self._update_metadata(calibration=None)

    def _note_traces(self) -> None:
        self._traced += 1
        if self._backend.keeps_traces and not self.metadata.traces:
            self._update_metadata(traces=True)

    def _update_metadata(self, **changes: object) -> None:
        with self._changing:
            metadata = self.metadata.model_copy(update=changes)
            self._backend.write(metadata.model_dump_json(indent=2))
            self.metadata = metadata

"""The gallery: adding, searching and storing crops."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from resight.errors import UserError
from resight.gallery.adding import Added, add_crops
from resight.gallery.catalogue import EVERYTHING
from resight.gallery.crops import Filter, NewCrop, Picture, from_payload
from resight.gallery.embedding import as_embedder
from resight.gallery.maintenance import DEFAULT_FALSE_MATCH_RATE, MaintainedCatalogue
from resight.gallery.metadata import Metadata, OperatingPoint, check_days, now, parse_metadata
from resight.gallery.outliers import OutlierDetector
from resight.gallery.searching import Combine, Match, SearchResult, nearest
from resight.gallery.stores.store import Record, StorageBackend, Store
from resight.inference.embedder import SupportsEmbedding, Vectors, check_model, identity_of, unit
from resight.progress import say

if TYPE_CHECKING:
    from resight.inference.loading import LoadedModel
    from resight.inference.runtimes.choice import Runtime

RELOAD_SECONDS = 10.0
"""Age of cameras' means from which on a search reads them again, where other processes may change them."""


class Gallery(MaintainedCatalogue):
    """Crops with their vectors; a context manager. Use ``Gallery.open`` to make one.

    Several threads of a process may search and add at the same time. A gallery in a folder can be used by one
    process at a time.
    """

    _outliers: tuple[tuple[str, bool], int, OutlierDetector | None] = (("", False), 0, None)
    """Model fingerprint, whether vectors lack their cameras' means, number of crops, detector."""
    _open = True
    _loaded = 0.0

    @classmethod
    def open(
        cls,
        place: Path | str | StorageBackend,
        model: "LoadedModel | SupportsEmbedding | None" = None,
        *,
        create: bool = False,
        forget_after_days: float | None = None,
        graph_from: int | None = None,
        shards: int = 1,
        replicas: int = 1,
        camera_normalise: bool = True,
        device: str = "auto",
        runtime: "Runtime" = "auto",
        expire: bool = True,
    ) -> "Gallery":
        """Open or create a gallery.

        Args:
            place: a folder, or the address of a Qdrant cluster, ``http://host:6333/NAME``.
            model: what ``load_model`` returned, or an ``Embedder``. By default the model that the gallery was
                made with; it is loaded when the first picture is embedded.
            create: make a gallery if there is none.
            forget_after_days, graph_from, shards, replicas: settings of a new gallery; see ``Metadata``.
            device, runtime: for the model if the gallery loads it; see ``load_model``.
            expire: delete the crops that are older than the retention period.

        Raises:
            UserError: there is no such gallery, another process is using it, it was made with another model
                or another format, or ``forget_after_days`` is not more than 0.
        """
        from resight.gallery.stores.opening import open_backend

        check_days(forget_after_days)
        backend = open_backend(place, create) if isinstance(place, Path | str) else place
        try:
            embedder: SupportsEmbedding | None = None
            written = backend.read()
            if written is None:
                embedder = None if model is None else as_embedder(model)
                if embedder is None or not create:
                    raise UserError(f"There is no gallery at {backend.place}. Create one with a model.")
                metadata = Metadata(
                    created=now(),
                    model=identity_of(embedder),
                    graph_from=graph_from,
                    shards=shards,
                    replicas=replicas,
                    camera_normalise=camera_normalise,
                    forget_after_days=forget_after_days,
                )
                store, pending = backend.make_store(metadata.store, metadata.layout), None
                backend.erasures().erasure_key()  # two processes on a cluster could make one each later
                backend.write(metadata.model_dump_json(indent=2))
            else:
                metadata = parse_metadata(written, backend.place)
                if model is not None:
                    embedder = as_embedder(model, metadata.model.precision)
                    check_model(backend.place, metadata.model, embedder)
                filled = None if metadata.reembedding is None else metadata.reembedding.store
                for left in backend.stores() - {metadata.store, filled}:  # of a re-embedding that was killed
                    backend.drop_store(left)
                store = backend.open_store(metadata.store)
                _refuse_other_width(backend.place, store, metadata.model.width)
                store.erase_orphans()
                pending = backend.open_store(filled) if filled in backend.stores() else None
        except BaseException:
            backend.close()
            raise
        gallery = cls(backend, metadata, store, pending)
        gallery._embedder, gallery._device, gallery._runtime = embedder, device, runtime
        if expire and (count := gallery.forget_expired()):
            say(f"Deleted {count:,} crops that are older than {metadata.forget_after_days:g} days.")
        try:
            gallery._renew_means()
        except UserError as error:  # such as a full disk; crops can be searched for, and forgotten
            say(f"Note: the cameras' means were not brought up to date. {error}")
        return gallery

    def add(
        self,
        crops: Iterable[NewCrop],
        stored: Callable[[Added], None] = lambda batch: None,
        *,
        update: bool = False,
        add_again: bool = False,
    ) -> Added:
        """Add crops; those whose picture is already in the gallery are not added again.

        Pictures that cannot be read, or that were deleted from the gallery, are left out, and listed in the
        result.

        Args:
            crops: to add; they are read in batches.
            stored: called with the result of each part of the crops once it is stored and survives the end of
                the process.
            update: store camera, time, person and tags of crops that are already in the gallery, where they
                are given.
            add_again: also add pictures that were deleted from the gallery.

        Raises:
            UserError: there is no model, or the disk is full; what was added before stays.
        """
        expired = self.expired()

        def put(records: Sequence[Record]) -> None:
            self._put(records)
            if add_again:
                self._erased.drop([record.id for record in records])

        try:
            return add_crops(
                lambda ids: self._store.get(ids),
                put,
                self._need_model(),
                crops,
                stored,
                erased=(lambda ids: ()) if add_again else self._erased.among,
                compare=lambda known: self.compare(known, update),
                expired_before=None if expired is None else expired.older_than,
            )
        finally:
            self._renew_means()

    def search(
        self,
        pictures: Sequence[Picture] = (),
        *,
        crops: Sequence[str] = (),
        vectors: Vectors | None = None,
        combine: Combine = "average",
        top: int = 20,
        offset: int = 0,
        where: Filter = EVERYTHING,
        other_cameras: bool = False,
        cameras: Sequence[str] = (),
        false_match_rate: float | None = None,
        rerank: bool = False,
        exact: bool | None = None,
    ) -> SearchResult:
        """Find the crops most similar to the given ones, which all show one person.

        Args:
            pictures: to search for.
            crops: ids of stored crops to search for; they are not in the result.
            vectors: float32 [N, D] to search for, as ``embed`` returns them.
            combine: how the scores of several queries are combined.
            top, offset: number of matches to return, and to skip before them.
            where: crops to search.
            other_cameras: leave out crops of the cameras that took the queries.
            cameras: of the given pictures and vectors; those of stored crops are known.
            false_match_rate: of likely matches; by default 0.001, or the lowest rate that was measured.
            rerank: re-rank the best 200 matches by k-reciprocal neighbours.
            exact: True compares every crop in full precision, False only the candidates selected by quantized
                vectors or a graph; None means False in a folder, and depends on the number of crops on a
                cluster.

        Raises:
            UserError: there is no query, a crop or a camera is not in the gallery, a picture
                cannot be read, there is no model, or the gallery is not calibrated for that rate.
        """
        if top < 1 or offset < 0:
            raise UserError(
                f"top must be at least 1, and offset at least 0; got top = {top}, offset = {offset}."
            )
        rate = self._rate(false_match_rate)
        stored = self._records(crops, "vector")
        queries = [np.stack([record.vector for record in stored])] if stored else []  # type: ignore[misc]
        given = [self.embed(pictures)] if pictures else []
        if vectors is not None and len(vectors):
            given.append(self._normalised(vectors))
        if given:
            queries.append(self._without_means(np.concatenate(given), cameras))
        if not queries:
            raise UserError("Give a picture, or the id of a stored crop, to search for.")
        query = np.concatenate(queries)
        self.check_filter(where)
        if other_cameras:
            known = (record.payload.get("camera") for record in stored)
            own = {*cameras, *(camera for camera in known if camera is not None)}
            if not own:
                raise UserError("Name the camera that took the picture, so that its crops can be left out.")
            where = replace(where, not_cameras=(*where.not_cameras, *own))
        where = replace(where, not_ids=(*where.not_ids, *crops))
        searched = self._store.count(where)
        if exact is None:
            few = self.graph_from  # with a filter, comparing is slower and a graph finds less
            exact = not self._store.quantized and (
                self._store.count(EVERYTHING) <= few or searched <= few // 4
            )
        hits = nearest(self._store, query, where, offset + top, combine=combine, rerank=rerank, exact=exact)
        return SearchResult(
            tuple(
                Match(
                    from_payload(hit.record.id, hit.record.payload),
                    hit.record.score,
                    None if rate is None else 1 - hit.record.score <= rate.threshold,
                    hit.query,
                    hit.reranked,
                )
                for hit in hits[offset:]
            ),
            offset,
            searched,
            None if rate is None else rate.false_match_rate,
            None if rate is None else rate.threshold,
            None if rate is None else rate.false_match_rate * searched,
            None if not hits else self._is_outlier(query),
            exact,
            self._means.active,
        )

    def close(self) -> None:
        """Write pending changes to the disk, and release the gallery for other processes."""
        if self._open:
            self._open = False
            try:
                self._means.save()
            finally:
                for store in self._stores():
                    store.close()
                self._backend.close()

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _normalised(self, vectors: Vectors) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.metadata.model.width:
            raise UserError(
                f"The gallery's vectors have {self.metadata.model.width} numbers; got the shape "
                f"{list(vectors.shape)}."
            )
        return unit(vectors)

    def _without_means(self, vectors: Vectors, cameras: Sequence[str]) -> Vectors:
        """Return the vectors of pictures without their cameras' means, if these are removed."""
        if len(cameras) not in (0, 1, len(vectors)):
            raise UserError(
                f"Name one camera for all pictures, or one for each; got {len(cameras)} for {len(vectors)}."
            )
        if self._backend.shared and time.monotonic() > self._loaded + RELOAD_SECONDS:
            self._means.load(self._backend.read_means(self.metadata.store))
            self._loaded = time.monotonic()
        each = cameras if len(cameras) > 1 else [*cameras, None][:1] * len(vectors)
        return self._means.query(vectors, each)

    def _rate(self, requested: float | None) -> OperatingPoint | None:
        calibration = self.metadata.calibration
        if calibration is not None:
            default = max(DEFAULT_FALSE_MATCH_RATE, calibration.rates[0].false_match_rate)
            return calibration.at(default if requested is None else requested)
        if requested is None:
            return None
        raise UserError(
            f"The gallery {self.place} is not calibrated, so it has no distance threshold for the same "
            f"person. Run: resight gallery calibrate --gallery {self.place}"
        )

    def _is_outlier(self, query: Vectors) -> bool | None:
        crops = self._store.count(EVERYTHING)
        known, count, detector = self._outliers
        kind = self.metadata.model.fingerprint, self._means.active
        if known != kind or abs(crops - count) > crops / 10:
            detector = OutlierDetector.of(self._store)  # takes a quarter of a second
            self._outliers = kind, crops, detector
        return None if detector is None else detector.is_outlier(query)


def _refuse_other_width(place: str, store: Store, width: int) -> None:
    """Refuse a store whose vectors do not have the width in the metadata."""
    first, _ = store.page(EVERYTHING, 1, None, "vector")
    found = first[0].vector if first else None
    if found is not None and len(found) != width:
        raise UserError(
            f"The gallery {place} is damaged: its vectors have {len(found):,} numbers, but its gallery.json "
            f"says {width:,}. Restore it from a copy."
        )

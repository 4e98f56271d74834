"""A gallery: crops that last, found again by picture."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import numpy as np

from resight.errors import UserError
from resight.gallery.about import About, ModelName, Rate, now, parse_about
from resight.gallery.adding import Added, add_crops
from resight.gallery.crops import Filter, NewCrop, Picture, StoredCrop, from_payload
from resight.gallery.embedder import Embedder, NetworkEmbedder, unit
from resight.gallery.pictures import from_text, read_pixels
from resight.gallery.searching import Combine, Found, Match, nearest, refuse_unknown
from resight.gallery.store import EXACT_UP_TO, PICTURE, Home, Layout, Storage, Store, Vectors

if TYPE_CHECKING:
    from resight.models.network import Network

DAY = 86400.0
EVERYTHING = Filter()
USUAL_FALSE_MATCH_RATE = 0.001


class Gallery:
    """Crops with their vectors; a context manager. Made by ``Gallery.open``.

    Searching and adding may go on in several threads of one process.

    Attributes:
        about: what the gallery says about itself.
    """

    def __init__(self, home: Home, about: About, store: Store, embedder: Embedder | None) -> None:
        self.about = about
        self._home, self._store, self._embedder = home, store, embedder

    @classmethod
    def open(
        cls,
        place: Path | str | Home,
        model: "Network | Embedder | None" = None,
        *,
        create: bool = False,
        storage: Storage = "float32",
        forget_after_days: float | None = None,
        shards: int = 1,
        replicas: int = 1,
        device: str = "auto",
    ) -> "Gallery":
        """Open a gallery, or make one; crops that are too old are forgotten at once.

        Args:
            place: a folder, or the address of a Qdrant cluster, ``http://host:6333/NAME``.
            model: whose vectors these are. None: pictures can be neither added nor searched for, but stored
                crops can, and all else works.
            create: make a gallery where there is none.
            storage, forget_after_days, shards, replicas: of a new gallery; see ``About``.
            device: that a network computes on.

        Raises:
            UserError: there is no such gallery, another process uses it, it is of another model or of a newer
                version of Resight.
        """
        from resight.gallery.homes import open_home

        home = open_home(place, create) if isinstance(place, Path | str) else place
        try:
            embedder = _embedder(model, device)
            written = home.read()
            if written is None:
                if embedder is None:
                    raise UserError(f"There is no gallery at {home.place}, and a new one needs a model.")
                about = About(
                    created=now(),
                    model=_name(embedder),
                    storage=storage,
                    shards=shards,
                    replicas=replicas,
                    forget_after_days=forget_after_days,
                )
                store = home.make_store(about.store, _layout(about))
                home.write(about.model_dump_json(indent=2))
            else:
                about = parse_about(written, home.place)
                if embedder is not None:
                    _refuse_other_model(home.place, about.model, embedder)
                store = home.open_store(about.store)
        except BaseException:
            home.close()
            raise
        gallery = cls(home, about, store, embedder)
        gallery.forget_expired()
        return gallery

    @property
    def place(self) -> str:
        """Folder or address."""
        return self._home.place

    def add(self, crops: Iterable[NewCrop], stored: Callable[[Added], None] = lambda batch: None) -> Added:
        """Add crops; those whose very picture is in the gallery already are left as they are.

        Pictures that cannot be read are left out, and named in what is returned.

        Args:
            crops: to add; read a batch at a time.
            stored: is told of each batch when it is on the disk.

        Raises:
            UserError: there is no model, or the disk is full; what was added before stays.
        """
        return add_crops(self._store, self._need_model(), crops, stored)

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """Return the unit vectors float32 [N, D] of pictures.

        Raises:
            UserError: there is no model, or a picture cannot be read.
        """
        embedder = self._need_model()
        return unit(embedder([embedder.ready(read_pixels(picture)) for picture in pictures]))

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
        rerank: int = 0,
        exact: bool | None = None,
    ) -> Found:
        """Find crops like those given, which all show one person.

        Args:
            pictures: to search for.
            crops: ids of stored crops to search for; they do not find themselves.
            vectors: [N, D], to search for, as ``embed`` returns them.
            combine: how several of these search as one.
            top, offset: matches to return, and to skip.
            where: which crops to look at.
            other_cameras: leave out crops of the cameras that the given ones were taken by.
            cameras: of the pictures and vectors given; those of stored crops are known.
            false_match_rate: of a likely match; by default 0.001, or the strictest that was measured.
            rerank: how many of the first to re-rank by k-reciprocal neighbours.
            exact: compare with every crop; False: use the graph; None: as the gallery's size suggests.

        Raises:
            UserError: nothing is given to search for, a crop or a camera is not in the gallery, a picture
                cannot be read, there is no model, or the gallery is not calibrated for that rate.
        """
        if top < 1 or offset < 0 or rerank < 0:
            raise UserError(
                f"A search returns 1 match or more, skips 0 or more and re-ranks 0 or more; got top = {top}, "
                f"offset = {offset}, rerank = {rerank}."
            )
        stored = self._stored(crops)
        queries = [np.stack([vector for _, vector in stored])] if stored else []
        if pictures:
            queries.append(self.embed(pictures))
        if vectors is not None and len(vectors):
            queries.append(self._checked(vectors))
        if not queries:
            raise UserError("Give a picture, or the id of a stored crop, to search for.")
        query = np.concatenate(queries)
        self._refuse_unknown_cameras(where)
        if other_cameras:
            own = {crop.camera for crop, _ in stored if crop.camera is not None} | set(cameras)
            if not own:
                raise UserError("Other cameras than which? Say which camera took the picture.")
            where = replace(where, not_cameras=(*where.not_cameras, *own))
        where = replace(where, not_ids=(*where.not_ids, *crops))
        rate = None if self.about.calibration is None else self._rate(false_match_rate)
        if rate is None and false_match_rate is not None:
            raise UserError(
                f"The gallery {self.place} is not calibrated: it does not know which distance means the same "
                f"person. Run: resight gallery calibrate --gallery {self.place}"
            )
        hits = nearest(self._store, query, where, offset + top, combine=combine, rerank=rerank, exact=exact)
        likely = [None if rate is None else 1 - hit.record.score <= rate.threshold for hit in hits]
        matches = tuple(
            Match(
                from_payload(hit.record.id, hit.record.payload),
                hit.record.score,
                near,
                hit.query,
                hit.reranked,
            )
            for hit, near in zip(hits, likely, strict=True)
        )
        searched = self._store.count(where)
        return Found(
            matches[offset:],
            offset,
            searched,
            None if rate is None else rate.false_match_rate,
            None if rate is None else rate.threshold,
            None if rate is None else rate.false_match_rate * searched,
            self._unlike_anything(query, matches, where),
            len(self) <= EXACT_UP_TO if exact is None else exact,
        )

    def get(self, ids: Sequence[str]) -> list[StoredCrop]:
        """Return stored crops by their ids.

        Raises:
            UserError: one of them is not in the gallery.
        """
        records = self._store.get(ids)
        for identity in ids:
            if identity not in records:
                raise UserError(f"No crop in the gallery has the id '{identity}'.")
        return [from_payload(identity, records[identity].payload) for identity in ids]

    def picture(self, identity: str) -> bytes:
        """Return the JPEG file of a stored crop.

        Raises:
            UserError: it is not in the gallery.
        """
        records = self._store.get([identity], "picture")
        if identity not in records:
            raise UserError(f"No crop in the gallery has the id '{identity}'.")
        return from_text(records[identity].payload[PICTURE])

    def page(
        self, where: Filter = EVERYTHING, top: int = 100, after: str | None = None
    ) -> tuple[list[StoredCrop], str | None]:
        """Return stored crops in the order of their ids, and what to give as ``after`` for the next ones."""
        records, following = self._store.page(where, top, after)
        return [from_payload(record.id, record.payload) for record in records], following

    def __len__(self) -> int:
        return self._store.count(EVERYTHING)

    def count(self, where: Filter = EVERYTHING) -> int:
        """Return how many crops fit."""
        return self._store.count(where)

    def values(
        self, field: Literal["camera", "source", "person", "tags"], where: Filter = EVERYTHING
    ) -> dict[str, int]:
        """Return how many of the crops that fit have each camera, source, person or tag."""
        return self._store.values(field, where)

    def times(self, where: Filter = EVERYTHING) -> tuple[datetime, datetime] | None:
        """Return when the first and the last of the crops that fit were taken; None if no time is known."""
        ends = self._store.ends(where, "time")
        return (
            None
            if ends is None
            else (datetime.fromtimestamp(ends[0], UTC), datetime.fromtimestamp(ends[1], UTC))
        )

    def label(self, ids: Sequence[str], person: str | None) -> None:
        """Say which person crops show; None takes back what was said.

        Raises:
            UserError: a crop is not in the gallery.
        """
        self.get(ids)
        self._store.change(ids, {"person": person})

    def tag(self, ids: Sequence[str], tags: Sequence[str]) -> None:
        """Give crops these tags in place of those that they have.

        Raises:
            UserError: a crop is not in the gallery.
        """
        self.get(ids)
        self._store.change(ids, {"tags": list(dict.fromkeys(tags))})

    def forget(self, where: Filter) -> int:
        """Delete the crops that fit, pictures and all, and return how many.

        Raises:
            UserError: the filter says nothing, which would delete all.
        """
        if where == EVERYTHING:
            raise UserError("Say which crops to forget. To forget all, delete the gallery.")
        count = self._store.count(where)
        if count:
            self._store.delete(where)
        return count

    def forget_expired(self) -> int:
        """Delete the crops that are older than the gallery keeps them, and return how many."""
        days = self.about.forget_after_days
        return 0 if days is None else self.forget(Filter(kept_since=now().timestamp() - days * DAY))

    def keep_for(self, days: float | None) -> None:
        """Set for how many days crops are kept; None keeps them. It holds from the next time on."""
        if days is not None and not days > 0:
            raise UserError(f"Crops are kept for more than 0 days; got {days}.")
        self._tell(forget_after_days=days)

    def close(self) -> None:
        """Write what is left, and let others at the gallery."""
        self._store.close()
        self._home.close()

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, **changes: object) -> None:
        self.about = self.about.model_copy(update=changes)
        self._home.write(self.about.model_dump_json(indent=2))

    def _need_model(self) -> Embedder:
        if self._embedder is None:
            raise UserError(f"To read pictures, the gallery needs its model: {_told(self.about.model)}.")
        return self._embedder

    def _stored(self, ids: Sequence[str]) -> list[tuple[StoredCrop, Vectors]]:
        records = self._store.get(ids, "vector")
        found = []
        for identity in ids:
            if identity not in records:
                raise UserError(f"No crop in the gallery has the id '{identity}'.")
            record = records[identity]
            assert record.vector is not None
            found.append((from_payload(identity, record.payload), record.vector))
        return found

    def _checked(self, vectors: Vectors) -> Vectors:
        if vectors.ndim != 2 or vectors.shape[1] != self.about.model.width:
            raise UserError(
                f"The gallery's vectors are of {self.about.model.width} numbers; got the shape "
                f"{list(vectors.shape)}."
            )
        return unit(vectors)

    def _refuse_unknown_cameras(self, where: Filter) -> None:
        if named := (*where.cameras, *where.not_cameras):
            refuse_unknown("camera", named, self.values("camera"))

    def _rate(self, wished: float | None) -> Rate:
        calibration = self.about.calibration
        assert calibration is not None
        if wished is not None:
            return calibration.at(wished)
        return calibration.at(max(USUAL_FALSE_MATCH_RATE, calibration.rates[0].false_match_rate))

    def _unlike_anything(self, query: Vectors, matches: Sequence[Match], where: Filter) -> bool | None:
        usual = self.about.usual_nearest
        if usual is None or not matches:
            return None
        best = max(match.score for match in matches)
        if 1 - best > usual and where != EVERYTHING:  # a filter may have left out what it is like
            best = max(hits[0].score for hits in self._store.search(query, EVERYTHING, 1) if hits)
        return 1 - best > usual


def _embedder(model: "Network | Embedder | None", device: str) -> Embedder | None:
    if model is None:
        return None
    from resight.models.network import Network

    return NetworkEmbedder(model, device=device) if isinstance(model, Network) else model


def _name(embedder: Embedder) -> ModelName:
    return ModelName(
        fingerprint=embedder.fingerprint, name=embedder.name, width=embedder.width, weights=embedder.weights
    )


def _layout(about: About) -> Layout:
    return Layout(about.model.width, about.storage, about.shards, about.replicas)


def _told(model: ModelName) -> str:
    where = "" if model.weights is None else f", loaded from {model.weights}"
    return f"{model.name} with the fingerprint {model.fingerprint[:12]}{where}"


def _refuse_other_model(place: str, needed: ModelName, given: Embedder) -> None:
    if given.fingerprint != needed.fingerprint:
        raise UserError(
            f"The gallery {place} holds vectors of another model, which cannot be compared. It needs "
            f"{_told(needed)}; got {_told(_name(given))}. Give that model, or change the gallery to "
            f"this one: resight gallery reembed --gallery {place} --model RUN"
        )

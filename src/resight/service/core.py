"""The actions of a service (search, add, mark, forget, ...); each is first written to the audit log."""

import hashlib
from dataclasses import dataclass, replace
from datetime import tzinfo
from threading import Lock
from typing import TYPE_CHECKING, Any

from resight.errors import UserError
from resight.gallery.adding import Added
from resight.gallery.catalogue import CameraCrops
from resight.gallery.corrections import NameTaken
from resight.gallery.crops import Filter, NewCrop, StoredCrop
from resight.gallery.gallery import Gallery
from resight.gallery.persons import QueryPerson
from resight.gallery.searching import SearchResult
from resight.image_files import exif_time
from resight.imaging import decode, encode_jpeg, jpeg_size, resize, shrink
from resight.service import marks
from resight.service.audit import Audit
from resight.service.forms import Addition, Correction, Forgetting, Marking, Renaming, SearchRequest
from resight.service.guard import Caller
from resight.service.limits import Limits, Refusal
from resight.service.metrics import Metrics
from resight.service.uploads import UploadReader, content_of, name_of, read_each, refusals
from resight.timestamps import parse_time

if TYPE_CHECKING:
    from resight.models.network import Network
    from resight.report.attention import View

THUMBNAIL = 256
"""Largest height and width of a thumbnail, in pixels."""

RETENTION = Caller("retention", "write", "")


@dataclass(frozen=True, slots=True)
class SearchResponse:
    """The result of a search, and the person in the first picture.

    Attributes:
        result: the matches.
        person: in the first picture; None if the query has only stored crops.
        refused: name and reason of each picture that cannot be read.
    """

    result: SearchResult
    person: QueryPerson | None
    refused: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        person = {"persons": None, "chosen": None} if self.person is None else self.person.as_dict()
        return self.result.as_dict() | person | {"refused": refusals(self.refused)}


class Service:
    """The actions on a gallery; methods may be called from several threads.

    Args:
        gallery: open, with its model.
        reader: reads uploaded pictures.
        audit: log of all actions.
        metrics: counts actions.
        limits: of requests.
        zone: time zone of displayed times, and of entered times without one.
        network: network whose attention is shown, or None.
    """

    def __init__(
        self,
        gallery: Gallery,
        *,
        reader: UploadReader,
        audit: Audit,
        metrics: Metrics,
        limits: Limits,
        zone: tzinfo,
        network: "Network | None" = None,
    ) -> None:
        self.gallery, self.reader, self.audit, self.metrics = gallery, reader, audit, metrics
        self.limits, self.zone = limits, zone
        self._network = network
        self._adding, self._marking, self._looking = Lock(), Lock(), Lock()
        metrics.watch(lambda: len(gallery))

    def search(self, form: SearchRequest, caller: Caller) -> SearchResponse:
        """Search for pictures and stored crops; pictures that cannot be read are left out.

        Raises:
            Refusal, UserError: the query or the filter is invalid, or no picture can be read.
        """
        if not form.pictures and not form.crop:
            raise Refusal(422, "Give a picture, or the id of a stored crop, to search for.")
        contents = [content_of(file) for file in form.pictures]
        where = form.filter(self.zone)
        self.log(
            caller,
            "search",
            pictures=[hashlib.sha256(data).hexdigest() for data in contents],
            crops=form.crop,
            where=form.describe(),
            offset=form.offset,
        )

        def read(number: int, data: bytes) -> QueryPerson:
            choice = form.choice if number == 0 else None
            return self.reader.read(data, choice, self.gallery.preprocess)

        needed = None if form.choice is None else 0  # the choice is in this picture, and in no other
        uploads, refused = read_each(contents, form.pictures, read, needed)
        result = self.gallery.search(
            [upload.pixels for upload in uploads.values()],
            crops=form.crop,
            combine=form.combine,
            top=form.top,
            offset=form.offset,
            where=where,
            other_cameras=form.other_cameras,
            cameras=(form.query_camera,) if uploads and form.query_camera else (),
            false_match_rate=form.false_match_rate,
            rerank=form.rerank,
        )
        self.metrics.searches.inc()
        return SearchResponse(result, next(iter(uploads.values()), None), refused)

    def add(self, form: Addition, caller: Caller) -> Added:
        """Add uploaded crops, or the persons that the detector finds in uploaded pictures.

        Pictures that cannot be read are left out.

        Raises:
            Refusal, UserError: no picture can be read, or the detector finds nobody.
        """
        if form.detect and self.reader.detect is None:
            raise Refusal(422, "The service has no detector. Start it with --detector FILE.onnx.")
        time = parse_time(form.time, self.zone) if form.time else None
        contents = [content_of(file) for file in form.pictures]

        def check(number: int, data: bytes) -> tuple[bytes, str]:
            self.reader.check(data)
            return data, name_of(form.pictures[number])

        readable, refused = read_each(contents, form.pictures, check)
        fields: dict[str, Any] = {
            "camera": form.camera or None,
            "source": form.source,
            "person": form.person or None,
            "tags": tuple(form.tag),
        }
        self.log(
            caller,
            "add",
            pictures=[hashlib.sha256(data).hexdigest() for data in contents],
            time=None if time is None else time.isoformat(),
            fields=[field for field in ("camera", "source", "person", "tag") if getattr(form, field)],
        )
        with self._adding:
            crops: list[NewCrop] = []
            for data, name in readable.values():
                fields["time"] = time or exif_time(data, self.zone)
                if form.detect:
                    cut = self.reader.persons(data)
                    crops += [NewCrop(pixels, name=name, box=box, **fields) for pixels, box in cut]
                else:
                    crops.append(NewCrop(data, name=name, **fields))
            if not crops:
                raise Refusal(422, "The detector found no person in the pictures.")
            added = self.gallery.add(crops, update=form.update, add_again=form.add_again)
        self.metrics.added.inc(added.new)
        ids = iter(added.ids)
        each = () if form.detect else (next(ids) if at in readable else None for at in range(len(contents)))
        return replace(added, ids=(*each, *ids), refused=(*refused, *added.refused))

    def forget(self, form: Forgetting, caller: Caller) -> tuple[int, list[CameraCrops]]:
        """Delete the selected crops; return how many were deleted, and which were selected, by camera.

        Raises:
            Refusal, UserError: the filter is empty, or no crop has one of its cameras.
        """
        where = form.filter(self.zone, form.id)
        if where == Filter():
            raise Refusal(
                422,
                "Say which crops to delete. To delete all crops, stop the service and delete the gallery.",
            )
        self.gallery.check_filter(where)
        cameras = self.gallery.by_camera(where)
        if form.dry_run or not cameras:
            return 0, cameras
        crops = sum(row.crops for row in cameras)
        self.log(caller, "forget", ids=form.id, where=form.describe(), crops=crops)
        count = self.gallery.forget(where)
        self.metrics.forgotten.inc(count)
        return count, cameras

    def forget_expired(self) -> int:
        """Delete crops older than the retention period, and return their number."""
        where = self.gallery.expired()
        if where is None or not (crops := self.gallery.count(where)):
            return 0
        days = self.gallery.metadata.forget_after_days
        self.log(RETENTION, "forget", older_than_days=days, crops=crops)
        count = self.gallery.forget(where)
        self.metrics.forgotten.inc(count)
        return count

    def compact(self) -> None:
        """Compact the gallery if traces of deleted crops are left.

        A gallery with a search graph is skipped: building the graph would block all searches for minutes.
        """
        if self.gallery.metadata.traces and not self.gallery.facts()["indexed"]:
            self.log(RETENTION, "compact")
            self.gallery.compact()

    def mark(self, form: Marking, caller: Caller) -> tuple[str, list[StoredCrop]]:
        """Mark crops as showing the person of a query or not; return the person's name and the crops."""
        with self._marking:
            self.crops([*form.crops, *form.query])
            self.log(caller, "mark", **form.model_dump(include={"crops", "query", "same"}))
            return marks.mark(self.gallery, form.crops, query=form.query, person=form.person, same=form.same)

    def rename(self, form: Renaming, caller: Caller) -> int:
        """Give a person another name, and return the number of crops.

        Raises:
            Refusal, UserError: another person has the new name, or there is no such person.
        """
        with self._marking:
            self.log(caller, "rename", crops=self.gallery.count(Filter(persons=(form.person,))))
            try:
                return self.gallery.rename(form.person, form.name, merge=form.merge)
            except NameTaken as error:
                raise Refusal(409, str(error)) from error

    def correct(self, form: Correction, caller: Caller) -> list[StoredCrop]:
        """Correct person, tags, camera and time; None changes nothing, an empty word removes the value."""
        time = parse_time(form.time, self.zone) if form.time else None
        with self._marking:
            self.crops(form.crops)
            changed = form.model_dump(exclude={"crops"}, exclude_defaults=True)
            self.log(caller, "correct", crops=form.crops, fields=list(changed))
            if form.person is not None:
                self.gallery.label(form.crops, form.person or None)
            if form.tags is not None:
                self.gallery.tag(form.crops, form.tags)
            if form.add_tags:
                self.gallery.change_tags(form.crops, form.add_tags)
            if form.time is not None:
                self.gallery.set_time(form.crops, time)
            if form.camera is not None:
                self.gallery.set_camera(form.crops, form.camera or None)
            return self.gallery.get(form.crops)

    def crops(self, ids: list[str]) -> list[StoredCrop]:
        """Return stored crops.

        Raises:
            Refusal: a crop is not in the gallery.
        """
        try:
            return self.gallery.get(ids)
        except UserError as error:
            raise Refusal(404, str(error)) from error

    def picture(self, identity: str) -> bytes:
        """Return the JPEG file of a crop."""
        try:
            return self.gallery.picture(identity)
        except UserError as error:
            raise Refusal(404, str(error)) from error

    def thumbnail(self, identity: str) -> bytes:
        """Return a small JPEG of a crop."""
        jpeg = self.picture(identity)
        if max(jpeg_size(jpeg)) <= THUMBNAIL:
            return jpeg
        return encode_jpeg(shrink(decode(jpeg), THUMBNAIL))

    def attention(self, identity: str) -> "list[View]":
        """Return the model's attention on a crop; empty for a model without attention."""
        jpeg = self.picture(identity)
        if self._network is None:
            return []
        from resight.report.attention import attention_views

        with self._looking:
            pixels = resize(decode(jpeg), self._network.input_size)
            return attention_views(self._network, pixels[None])[0]

    def log(self, caller: Caller, what: str, **details: Any) -> None:
        """Write ids, hashes, times and counts to the audit log, but no text that may name a person.

        Raises:
            Refusal: the log cannot be written.
        """
        kept = {name: value for name, value in details.items() if value not in (None, "", [], {}, ())}
        try:
            self.audit.write(caller.as_dict(), what, **kept)
        except UserError as error:
            raise Refusal(507, str(error)) from error

"""The JSON API."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from resight.imaging import natural
from resight.service import forms
from resight.service.core import Service
from resight.service.guard import Caller
from resight.service.limits import Refusal
from resight.service.marks import write_labels
from resight.service.uploads import refusals

PRIVATE: Any = {"store": True, "shards": True, "replicas": True, "model": {"weights"}}
"""Metadata about how and where a gallery is stored on this machine."""

IN_MEMORY = 16 * 2**20
"""Size in bytes above which a ZIP is written to a temporary file."""

MULTIPART = Form(media_type="multipart/form-data")
Identity = Annotated[forms.Id, Path(description="id of a stored crop")]


class Error(BaseModel):
    """Why a request was refused."""

    error: str


def caller_of(request: Request) -> Caller:
    """Return the caller of a request."""
    caller: Caller = request.state.caller
    return caller


def writer_of(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
    """Return the caller of a request that changes the gallery.

    Raises:
        Refusal: the token is only for reading.
    """
    if caller.role != "write":
        raise Refusal(
            403, f"The token '{caller.name}' is only for reading. To change the gallery, use one for writing."
        )
    return caller


AnyCaller = Annotated[Caller, Depends(caller_of)]
Writer = Annotated[Caller, Depends(writer_of)]


def api_routes(service: Service) -> APIRouter:
    """Return the routes under ``/api``, and those for monitoring."""
    router = APIRouter(responses={"4XX": {"model": Error}})
    gallery = service.gallery

    @router.get("/health", tags=["Monitoring"])
    def health() -> dict[str, str]:
        """Return ``ok`` while the service runs."""
        return {"status": "ok"}

    @router.get("/metrics", tags=["Monitoring"], response_class=Response)
    def metrics() -> Response:
        """Return metrics in Prometheus' text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/api/gallery", tags=["Gallery"])
    def gallery_info(caller: AnyCaller) -> dict[str, Any]:
        """Return the gallery's metadata: model, calibration, retention, cameras' means, crops, times."""
        metadata = gallery.metadata.model_dump(mode="json", exclude=PRIVATE)
        ends = gallery.times()
        return metadata | {
            "camera_normalise": asdict(gallery.camera_normalisation()),
            "crops": len(gallery),
            "first": None if ends is None else ends[0].isoformat(),
            "last": None if ends is None else ends[1].isoformat(),
            "detector": service.reader.detect is not None,
            "role": caller.role,
        }

    @router.get("/api/cameras", tags=["Gallery"])
    def cameras(where: Annotated[forms.FilterForm, Query()]) -> dict[str, Any]:
        """Return the number of selected crops of each camera."""
        chosen = where.filter(service.zone)
        gallery.check_filter(chosen)
        counts = gallery.values("camera", chosen)
        return {"cameras": [{"camera": name, "crops": count} for name, count in sorted(counts.items())]}

    @router.get("/api/items", tags=["Crops"])
    def items(listing: Annotated[forms.ListForm, Query()]) -> dict[str, Any]:
        """Return stored crops by id, a page at a time."""
        where = listing.filter(service.zone)
        gallery.check_filter(where)
        crops, following = gallery.page(where, listing.top, listing.after_id)
        return {"items": [crop.as_dict() for crop in crops], "next": following, "fit": gallery.count(where)}

    @router.get("/api/items/{identity}", tags=["Crops"])
    def item(identity: Identity) -> dict[str, Any]:
        """Return a crop's metadata."""
        return service.crops([identity])[0].as_dict()

    @router.get("/api/items/{identity}/picture", tags=["Crops"], response_class=Response)
    def picture(identity: Identity) -> Response:
        """Return a crop's JPEG file."""
        return _jpeg(service.picture(identity))

    @router.get("/api/items/{identity}/thumbnail", tags=["Crops"], response_class=Response)
    def thumbnail(identity: Identity) -> Response:
        """Return a JPEG file of a crop, of at most 256 x 256 pixels."""
        return _jpeg(service.thumbnail(identity))

    @router.get("/api/items/{identity}/attention", tags=["Crops"])
    def attention(identity: Identity) -> dict[str, Any]:
        """Return the model's attention on a crop: maps as pictures, regions as (x, y, width, height)."""
        views = service.attention(identity)
        return {
            "views": [
                {"name": view.name, "picture": view.picture, "boxes": view.boxes, "note": view.note}
                for view in views
            ]
        }

    @router.post("/api/items", tags=["Crops"], status_code=201)
    def add(form: Annotated[forms.Addition, MULTIPART], caller: Writer) -> dict[str, Any]:
        """Add crops. A picture that is in the gallery, or was deleted from it, is not added again."""
        added = service.add(form, caller)
        return {
            "ids": added.ids,
            "new": added.new,
            "known": added.known,
            "refused": refusals(added.refused),
            "erased": added.erased,
            "differences": [
                {"id": one.id, "field": one.field, "values": one.describe()} for one in added.differences
            ],
            "expired": added.expired,
        }

    @router.patch("/api/items", tags=["Crops"])
    def correct(form: forms.Correction, caller: Writer) -> dict[str, Any]:
        """Correct the person, the tags, the camera and the time of crops."""
        crops = service.correct(form, caller)
        return {"items": [crop.as_dict() for crop in crops]}

    @router.post("/api/search", tags=["Search"])
    def search(form: Annotated[forms.SearchRequest, MULTIPART], caller: AnyCaller) -> dict[str, Any]:
        """Find crops of a person, given pictures, stored crops or both; nearest first."""
        return service.search(form, caller).as_dict()

    @router.post("/api/forget", tags=["Crops"])
    def forget(form: Annotated[forms.Forgetting, MULTIPART], caller: Writer) -> dict[str, Any]:
        """Delete crops with their pictures; return how many of each camera, with first and last time."""
        count, cameras = service.forget(form, caller)
        found = sum(row.crops for row in cameras)
        return {"forgotten": count, "found": found, "cameras": [row.as_dict() for row in cameras]}

    @router.get("/api/persons", tags=["Labels"])
    def persons(where: Annotated[forms.FilterForm, Query()]) -> dict[str, Any]:
        """Return the labelled persons with their numbers of selected crops."""
        chosen = where.filter(service.zone)
        gallery.check_filter(chosen)
        counts = gallery.values("person", chosen)
        rows = sorted(counts.items(), key=lambda entry: natural(entry[0]))
        return {"persons": [{"person": name, "crops": count} for name, count in rows]}

    @router.post("/api/rename", tags=["Labels"])
    def rename(form: forms.Renaming, caller: Writer) -> dict[str, Any]:
        """Give a person another name, in the labels of all crops."""
        return {"person": form.name, "crops": service.rename(form, caller)}

    @router.post("/api/marks", tags=["Labels"])
    def mark(form: forms.Marking, caller: Writer) -> dict[str, Any]:
        """Mark crops as the person of a query, or as another person."""
        person, crops = service.mark(form, caller)
        return {"person": person, "items": [crop.as_dict() for crop in crops]}

    @router.get("/api/labels.zip", tags=["Labels"], response_class=Response)
    def labels(caller: AnyCaller) -> Response:
        """Return the labelled crops as a ZIP with a folder for each person, for 'resight train --data'."""
        if not gallery.values("person"):
            raise Refusal(404, "No crop is labelled yet. Mark some as the same person first.")
        service.log(caller, "export labels")
        return download(lambda file: write_labels(gallery, file), "labels.zip")

    return router


def download(write: Any, name: str) -> StreamingResponse:
    """Return a download of the file that ``write`` writes."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed after it was sent
    try:
        write(file)
    except BaseException:
        file.close()
        raise
    length = file.tell()
    file.seek(0)

    def parts() -> Iterator[bytes]:
        with file:
            while part := file.read(1 << 16):
                yield part

    headers = {"content-disposition": _attachment(name), "content-length": str(length)}
    return StreamingResponse(parts(), media_type="application/zip", headers=headers)


def _attachment(name: str) -> str:
    """Return the Content-Disposition header for a name of letters, digits, ``-`` and ``.``."""
    if name.isascii():
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name)}"  # RFC 6266, section 4.3


def _jpeg(contents: bytes) -> Response:
    return Response(contents, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})

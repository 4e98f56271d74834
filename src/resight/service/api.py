"""The JSON API."""

import tempfile
from collections.abc import Iterator
from typing import IO, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from resight.service import forms
from resight.service.core import Service
from resight.service.guard import Caller
from resight.service.limits import Refusal
from resight.service.marks import write_labels

NOT_TOLD: Any = {"store": True, "shards": True, "replicas": True, "model": {"weights"}}
"""Of a gallery: how and where it lies on this machine."""

IN_MEMORY = 16 * 2**20
"""Bytes of a ZIP beyond which it goes to a temporary file."""

MULTIPART = Form(media_type="multipart/form-data")
Identity = Annotated[forms.Id, Path(description="of a stored crop")]


class Error(BaseModel):
    """Why a request was refused."""

    error: str


def caller(request: Request) -> Caller:
    """Return who asks."""
    found: Caller = request.state.caller
    return found


def writer(asks: Annotated[Caller, Depends(caller)]) -> Caller:
    """Return who asks, if that one may change the gallery.

    Raises:
        Refusal: the token is for reading.
    """
    if asks.role != "write":
        raise Refusal(
            403, f"The token '{asks.name}' is for reading. Changing the gallery takes one for writing."
        )
    return asks


AnyCaller = Annotated[Caller, Depends(caller)]
Writer = Annotated[Caller, Depends(writer)]


def api_routes(service: Service) -> APIRouter:
    """Return the routes under ``/api``, and those that machines watch."""
    router = APIRouter(responses={"4XX": {"model": Error}})
    gallery = service.gallery

    @router.get("/health", tags=["Watching"])
    def health() -> dict[str, str]:
        """Tell that the service answers."""
        return {"status": "ok"}

    @router.get("/metrics", tags=["Watching"], response_class=Response)
    def metrics() -> Response:
        """Return counts in Prometheus' text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/api/about", tags=["Gallery"])
    def about(asks: AnyCaller) -> dict[str, Any]:
        """Return what the gallery is: model, calibration, retention, how many crops, from when to when."""
        told = gallery.metadata.model_dump(mode="json", exclude=NOT_TOLD)
        ends = gallery.times()
        return told | {
            "crops": len(gallery),
            "first": None if ends is None else ends[0].isoformat(),
            "last": None if ends is None else ends[1].isoformat(),
            "detector": service.reader.detect is not None,
            "role": asks.role,
        }

    @router.get("/api/cameras", tags=["Gallery"])
    def cameras(where: Annotated[forms.FilterForm, Query()]) -> dict[str, Any]:
        """Return each camera with how many of the crops that fit it took."""
        counts = gallery.values("camera", where.filter(service.zone))
        return {"cameras": [{"camera": name, "crops": count} for name, count in sorted(counts.items())]}

    @router.get("/api/items", tags=["Crops"])
    def items(listing: Annotated[forms.ListForm, Query()]) -> dict[str, Any]:
        """Return stored crops in the order of their ids, a page at a time."""
        where = listing.filter(service.zone)
        service.refuse_unknown_cameras(where)
        crops, following = gallery.page(where, listing.top, listing.after_id)
        return {"items": [crop.as_dict() for crop in crops], "next": following, "fit": gallery.count(where)}

    @router.get("/api/items/{identity}", tags=["Crops"])
    def item(identity: Identity) -> dict[str, Any]:
        """Return what is known of a crop."""
        return service.known([identity])[0].as_dict()

    @router.get("/api/items/{identity}/picture", tags=["Crops"], response_class=Response)
    def picture(identity: Identity) -> Response:
        """Return the JPEG file of a crop."""
        return _jpeg(service.picture(identity))

    @router.get("/api/items/{identity}/thumbnail", tags=["Crops"], response_class=Response)
    def thumbnail(identity: Identity) -> Response:
        """Return a JPEG of a crop, of 256 x 256 pixels at most."""
        return _jpeg(service.thumbnail(identity))

    @router.get("/api/items/{identity}/attention", tags=["Crops"])
    def attention(identity: Identity) -> dict[str, Any]:
        """Return where the model looks on a crop: maps as pictures, regions as (x, y, width, height)."""
        views = service.attention(identity)
        return {
            "views": [
                {"name": view.name, "picture": view.picture, "boxes": view.boxes, "note": view.note}
                for view in views
            ]
        }

    @router.post("/api/items", tags=["Crops"], status_code=201)
    def add(form: Annotated[forms.Addition, MULTIPART], asks: Writer) -> dict[str, Any]:
        """Add crops. The same picture is never added twice."""
        added = service.add(form, asks)
        return {
            "ids": added.ids,
            "new": added.new,
            "known": added.known,
            "refused": [{"name": name, "reason": reason} for name, reason in added.refused],
        }

    @router.patch("/api/items", tags=["Crops"])
    def label(form: forms.Labelling, asks: Writer) -> dict[str, Any]:
        """Say who crops show, and tag them."""
        crops = service.label(form.crops, form.person, form.tags, asks)
        return {"items": [crop.as_dict() for crop in crops]}

    @router.post("/api/search", tags=["Search"])
    def search(form: Annotated[forms.SearchRequest, MULTIPART], asks: AnyCaller) -> dict[str, Any]:
        """Find crops of the person on the pictures and stored crops that are given, nearest first."""
        return service.search(form, asks).as_dict()

    @router.post("/api/forget", tags=["Crops"])
    def forget(form: Annotated[forms.Forgetting, MULTIPART], asks: Writer) -> dict[str, int]:
        """Delete crops, pictures and all."""
        return {"forgotten": service.forget(form, asks)}

    @router.post("/api/marks", tags=["Labels"])
    def mark(form: forms.Marking, asks: Writer) -> dict[str, Any]:
        """Mark crops as the same person as a query, or as somebody else."""
        person, crops = service.mark(form, asks)
        return {"person": person, "items": [crop.as_dict() for crop in crops]}

    @router.get("/api/labels.zip", tags=["Labels"], response_class=Response)
    def labels(asks: AnyCaller) -> Response:
        """Return the labelled crops as a ZIP of one folder a person, which 'resight train --data' reads."""
        if not gallery.values("person"):
            raise Refusal(404, "No crop is labelled yet. Mark some as the same person first.")
        service.log(asks, "export labels")
        return download(lambda file: write_labels(gallery, file), "labels.zip")

    return router


def download(write: Any, name: str) -> StreamingResponse:
    """Return what ``write`` writes to a file, as a download of that name."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed when it was sent
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
    """Return the header for a download of that name, which holds letters, digits, ``-`` and ``.`` alone."""
    if name.isascii():
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name)}"  # RFC 6266, section 4.3


def _jpeg(contents: bytes) -> Response:
    return Response(contents, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})

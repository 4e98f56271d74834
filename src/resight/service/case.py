"""A case: selected crops and the query in a ZIP, with a page for any browser."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import IO, Any

import jinja2

from resight import __version__
from resight.gallery.crops import StoredCrop
from resight.service.core import Service
from resight.service.marks import different_from, plain, table

COLUMNS = ("file", "camera", "time", "time_guessed", "person", "is_not", "source", "name", "id", "sha256")


def write_case(
    service: Service,
    templates: jinja2.Environment,
    file: IO[bytes],
    *,
    title: str,
    note: str,
    crops: Sequence[StoredCrop],
    query: Sequence[StoredCrop],
    pictures: Sequence[bytes],
    by: str,
) -> None:
    """Write ``case.html``, ``case.json``, ``crops.csv`` and the pictures to a ZIP.

    Args:
        service: with the gallery of the crops.
        templates: include ``case.html``.
        file: to write to.
        title, note: of the case.
        crops: of the case, in order.
        query: stored crops of the query.
        pictures: JPEG files of the query.
        by: name of the caller.
    """
    with zipfile.ZipFile(file, "w") as archive:  # JPEG files cannot be compressed further
        rows = [
            _add(archive, service, crop, f"crops/{number:04d}_{_called(crop, service.zone)}.jpg")
            for number, crop in enumerate(crops, 1)
        ]
        queries = [
            _add(archive, service, crop, f"query/{number:04d}_{_called(crop, service.zone)}.jpg")
            for number, crop in enumerate(query, 1)
        ]
        uploads = [f"query/upload_{number}.jpg" for number in range(1, len(pictures) + 1)]
        for path, picture in zip(uploads, pictures, strict=True):
            archive.writestr(path, picture)
        case: dict[str, Any] = {
            "title": title,
            "note": note,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "by": by,
            "gallery": service.gallery.place.rstrip("/").rpartition("/")[2],
            "model": service.gallery.metadata.model.model_dump(mode="json", exclude={"weights"}),
            "resight": __version__,
            "query": queries,
            "uploads": uploads,
            "crops": rows,
        }
        archive.writestr("case.json", json.dumps(case, indent=2, ensure_ascii=False))
        archive.writestr("crops.csv", table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows]))
        archive.writestr("case.html", templates.get_template("case.html").render(case=case))


def _add(archive: zipfile.ZipFile, service: Service, crop: StoredCrop, path: str) -> dict[str, Any]:
    jpeg = service.picture(crop.id)
    archive.writestr(path, jpeg)
    return {
        "file": path,
        "camera": crop.camera or "",
        "time": "" if crop.time is None else crop.time.astimezone(service.zone).isoformat(),
        "time_guessed": crop.time_guessed,
        "person": crop.person or "",
        "is_not": " ".join(different_from(crop)),
        "source": crop.source,
        "name": crop.name,
        "id": crop.id,
        "sha256": hashlib.sha256(jpeg).hexdigest(),
    }


def _called(crop: StoredCrop, zone: tzinfo) -> str:
    when = "" if crop.time is None else crop.time.astimezone(zone).strftime("_%Y-%m-%dT%H-%M-%S")
    return plain(crop.camera or "camera-unknown") + when

"""Crops on their way into a gallery, and crops that are in it."""

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from resight.errors import UserError
from resight.imaging import Box, Pixels
from resight.timestamps import check_time, from_seconds

Picture = bytes | Path | Pixels
"""A picture to read: the bytes of an image file, the file, or pixels uint8 [H, W, 3] (RGB)."""

KEY = "camera_key"
"""Field of a number for each camera, by which engines filter a third faster than by its name."""


@dataclass(frozen=True, slots=True)
class NewCrop:
    """A crop to add.

    Attributes:
        picture: of one person.
        camera: what the camera is called, or None where it is not known.
        time: when the picture was taken, with its time zone.
        source: what it was cut out of: a video, a stream, a folder. ``forget`` can name it.
        name: of the crop within its source, such as ``0001_c1.jpg`` or ``frame 120``.
        person: who it is, where somebody said so.
        tags: words to filter by.
        box: left, top, width and height in the source's frame, in pixels.

    Raises:
        UserError: the time has no time zone, or lies before 1970; or the box has no area.
    """

    picture: Picture
    camera: str | None = None
    time: datetime | None = None
    source: str = ""
    name: str = ""
    person: str | None = None
    tags: tuple[str, ...] = ()
    box: Box | None = None

    def __post_init__(self) -> None:
        if self.time is not None:
            check_time(self.time)
        if self.box is not None and (len(self.box) != 4 or self.box[2] <= 0 or self.box[3] <= 0):
            raise UserError(f"A box is left, top, width and height in pixels; got {self.box}.")


@dataclass(frozen=True, slots=True)
class StoredCrop:
    """A crop in a gallery; see ``NewCrop`` for what both have.

    Attributes:
        id: of the crop: a UUID made of the contents of its picture.
        added: when it was added.
        size: height and width of the picture as it came, in pixels.
    """

    id: str
    camera: str | None
    time: datetime | None
    source: str
    name: str
    person: str | None
    tags: tuple[str, ...]
    box: Box | None
    added: datetime
    size: tuple[int, int]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, times in ISO 8601."""
        return {
            "id": self.id,
            "camera": self.camera,
            "time": None if self.time is None else self.time.isoformat(),
            "source": self.source,
            "name": self.name,
            "person": self.person,
            "tags": list(self.tags),
            "box": None if self.box is None else list(self.box),
            "added": self.added.isoformat(),
            "size": list(self.size),
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which crops to look at: those that fit everything said here. Nothing said: all.

    Attributes:
        cameras: taken by one of these.
        not_cameras: not taken by any of these.
        after: taken at this time or later; crops without a time do not fit.
        before: taken before this time, likewise.
        tags: having all of these.
        persons: said to be one of these.
        sources: cut out of one of these.
        ids: only these crops.
        not_ids: none of these crops.
        labelled: True for crops that somebody said the person of.

    Raises:
        UserError: a time has no time zone, nothing lies between the two, or an id is none.
    """

    cameras: tuple[str, ...] = ()
    not_cameras: tuple[str, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    tags: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    not_ids: tuple[str, ...] = ()
    labelled: bool = False
    kept_since: float | None = field(default=None, repr=False)  # of ``Gallery.forget_expired`` alone

    def __post_init__(self) -> None:
        for time in (self.after, self.before):
            if time is not None:
                check_time(time)
        if self.after is not None and self.before is not None and self.after >= self.before:
            raise UserError(
                f"No time is at or after {self.after} and before {self.before}. Exchange the two."
            )
        refuse_no_ids((*self.ids, *self.not_ids))


def refuse_no_ids(ids: Iterable[str]) -> None:
    """Refuse what can be no id of a crop.

    Raises:
        UserError: it is no UUID.
    """
    for identity in ids:
        try:
            uuid.UUID(identity)
        except ValueError:
            raise UserError(
                f"'{identity}' is no id of a crop. Searches print ids: 36 letters, digits and hyphens."
            ) from None


def camera_key(camera: str) -> int:
    """Return the number that stands for a camera: 63 bits of a digest of its name."""
    return int.from_bytes(hashlib.blake2b(camera.encode(), digest_size=8).digest(), "big") >> 1


def to_payload(crop: NewCrop, size: tuple[int, int], now: datetime) -> dict[str, Any]:
    """Return what is stored with a crop's vector, but for its picture; what is not known is left out.

    ``since`` is what retention counts from: when the picture was taken, or was added where that is not known
    or lies in the future. ``added`` is left out where both are the same.
    """
    taken = None if crop.time is None else crop.time.timestamp()
    added = now.timestamp()
    known: dict[str, Any] = {
        "camera": crop.camera,
        KEY: None if crop.camera is None else camera_key(crop.camera),
        "time": taken,
        "since": added if taken is None else min(taken, added),
        "added": None if taken is None or taken > added else added,
        "source": crop.source,
        "name": crop.name,
        "person": crop.person,
        "tags": list(dict.fromkeys(crop.tags)),
        "box": None if crop.box is None else list(crop.box),
        "size": list(size),
    }
    return {key: value for key, value in known.items() if value is not None and value not in ("", [])}


def from_payload(identity: str, payload: dict[str, Any]) -> StoredCrop:
    """Return the crop that ``to_payload`` described."""
    time, box = payload.get("time"), payload.get("box")
    height, width = payload["size"]
    return StoredCrop(
        identity,
        payload.get("camera"),
        None if time is None else from_seconds(time),
        payload.get("source", ""),
        payload.get("name", ""),
        payload.get("person"),
        tuple(payload.get("tags", ())),
        None if box is None else (box[0], box[1], box[2], box[3]),
        from_seconds(payload.get("added", payload["since"])),
        (height, width),
    )

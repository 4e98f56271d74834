"""Crops to add to a gallery, crops stored in it, and filters."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from resight.errors import UserError
from resight.timestamps import check_time, from_seconds, parse_time

if TYPE_CHECKING:
    from resight.imaging import Box, Pixels

Picture: TypeAlias = "bytes | Path | Pixels"
"""The bytes of an image file, its path, or pixels uint8 [H, W, 3] (RGB)."""

CAMERA_KEY = "camera_key"
"""Payload field with the number of a camera: engines filter by it a third faster than by the name."""

FILTERS = {
    "camera": ("cameras", "taken by this camera; may be repeated"),
    "not_camera": ("not_cameras", "not taken by this camera; may be repeated"),
    "after": (
        "after",
        "taken at this time or later, such as 2024-05-31T14:30 or 2024-05-31T14:30+02:00",
    ),
    "before": ("before", "taken before this time"),
    "tag": ("tags", "with this tag; may be repeated, and crops must have all"),
    "person": ("persons", "labelled as this person; may be repeated"),
    "source": ("sources", "from this video, stream or folder; may be repeated"),
    "labelled": ("labelled", "only crops that are labelled with a person"),
}
"""Filters for users, in commands, requests and on the page: name -> field of ``Filter``, description."""


@dataclass(frozen=True, slots=True)
class NewCrop:
    """A crop to add.

    Attributes:
        picture: of one person.
        camera: name of the camera; None if not known.
        time: when the picture was taken, with its time zone.
        source: video, stream or folder that it comes from.
        name: of the crop within its source, such as ``0001_c1.jpg`` or ``frame 120``.
        person: label; None if not labelled.
        tags: words to filter by.
        box: left, top, width and height in the source's frame, in pixels.
        time_guessed: whether the time is a guess, such as by the time a file was written.

    Raises:
        UserError: the time has no time zone or is before 1970, or the box is empty.
    """

    picture: Picture
    camera: str | None = None
    time: datetime | None = None
    source: str = ""
    name: str = ""
    person: str | None = None
    tags: tuple[str, ...] = ()
    box: "Box | None" = None
    time_guessed: bool = False

    def __post_init__(self) -> None:
        if self.time is not None:
            check_time(self.time)
        if self.box is not None and (len(self.box) != 4 or self.box[2] <= 0 or self.box[3] <= 0):
            raise UserError(f"A box is left, top, width and height in pixels; got {self.box}.")


@dataclass(frozen=True, slots=True)
class StoredCrop:
    """A crop in a gallery; see ``NewCrop`` for the attributes that both have.

    Attributes:
        id: UUID made of the contents of its picture.
        added: when it was added.
        size: height and width of the picture as it was given, in pixels.
    """

    id: str
    camera: str | None
    time: datetime | None
    source: str
    name: str
    person: str | None
    tags: tuple[str, ...]
    box: "Box | None"
    added: datetime
    size: tuple[int, int]
    time_guessed: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, times in ISO 8601."""
        time = None if self.time is None else self.time.isoformat()
        return asdict(self) | {"time": time, "added": self.added.isoformat()}


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects the crops that meet all conditions; without conditions, all crops.

    Attributes:
        cameras: taken by one of these.
        not_cameras: taken by none of these.
        after: taken at this time or later; excludes crops without a time.
        before: taken before this time; excludes crops without a time.
        tags: with all of these.
        persons: labelled as one of these.
        sources: from one of these.
        ids: only these crops.
        not_ids: none of these crops.
        labelled: only crops that are labelled with a person.

    Raises:
        UserError: a time has no time zone, ``after`` is not before ``before``, or an id is not a UUID.
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
    older_than: float | None = field(default=None, repr=False)  # only for ``Gallery.forget_expired``

    def __post_init__(self) -> None:
        for time in (self.after, self.before):
            if time is not None:
                check_time(time)
        if self.after is not None and self.before is not None and self.after >= self.before:
            raise UserError(f"No time is at or after {self.after} and before {self.before}. Swap the two.")
        check_ids((*self.ids, *self.not_ids))


def make_filter(options: Mapping[str, Any], zone: tzinfo | None = None, ids: Iterable[str] = ()) -> Filter:
    """Return the filter for a user's options.

    Args:
        options: values by the names in ``FILTERS``: lists of strings, times as text, ``labelled``. An empty
            value or None sets no condition. Other names are ignored.
        zone: time zone for times without one; None: the default zone.
        ids: only these crops.

    Raises:
        UserError: a time cannot be read; see ``Filter``.
    """
    fields: dict[str, Any] = {}
    for name, (attribute, _) in FILTERS.items():
        value = options.get(name)
        if value and name in ("after", "before"):
            fields[attribute] = parse_time(value, zone)
        elif value:
            fields[attribute] = value if value is True else tuple(value)
    return Filter(ids=tuple(ids), **fields)


def check_ids(ids: Iterable[str]) -> None:
    """Refuse malformed ids.

    Raises:
        UserError: an id is not a UUID.
    """
    for identity in ids:
        try:
            uuid.UUID(identity)
        except ValueError:
            raise UserError(
                f"'{identity}' is not the id of a crop. Searches print ids: 36 letters, digits and hyphens."
            ) from None


def camera_key(camera: str) -> int:
    """Return the number of a camera: 63 bits of a digest of its name."""
    return int.from_bytes(hashlib.blake2b(camera.encode(), digest_size=8).digest(), "big") >> 1


def to_payload(crop: NewCrop, size: tuple[int, int], now: datetime) -> dict[str, Any]:
    """Return the fields to store with a crop's vector and picture; unknown ones are left out."""
    known: dict[str, Any] = {
        "camera": crop.camera,
        CAMERA_KEY: None if crop.camera is None else camera_key(crop.camera),
        **time_fields(
            None if crop.time is None else crop.time.timestamp(), now.timestamp(), crop.time_guessed
        ),
        "source": crop.source,
        "name": crop.name,
        "person": crop.person,
        "tags": list(dict.fromkeys(crop.tags)),
        "box": None if crop.box is None else list(crop.box),
        "size": list(size),
    }
    return {key: value for key, value in known.items() if value is not None and value not in ("", [])}


def time_fields(taken: float | None, added: float, guessed: bool = False) -> dict[str, float | bool | None]:
    """Return a crop's fields for times; None: to be left out.

    Retention counts from ``since``: when the picture was taken, or when it was added if that time is unknown
    or in the future. ``added`` is left out if both are the same.

    Args:
        taken, added: seconds since 1970 when the picture was taken, and when it was added.
        guessed: whether ``taken`` is a guess.
    """
    return {
        "time": taken,
        "time_guessed": (taken is not None and guessed) or None,
        "since": added if taken is None else min(taken, added),
        "added": None if taken is None or taken > added else added,
    }


def from_payload(identity: str, payload: dict[str, Any]) -> StoredCrop:
    """Return a stored crop; the inverse of ``to_payload``."""
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
        payload.get("time_guessed", False),
    )

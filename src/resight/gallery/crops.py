"""Crops to add to a gallery, crops in it, and filters of them."""

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
"""A picture to read: the bytes of an image file, the file, or pixels uint8 [H, W, 3] (RGB)."""

KEY = "camera_key"
"""Field with a number for each camera: engines filter by it a third faster than by the name."""

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
    "source": ("sources", "cut out of this video, stream or folder; may be repeated"),
    "labelled": ("labelled", "only crops that are labelled with a person"),
}
"""What users filter by, in commands, requests and on the page: name -> field of ``Filter``, description."""


@dataclass(frozen=True, slots=True)
class NewCrop:
    """A crop to add.

    Attributes:
        picture: of one person.
        camera: name of the camera; None if not known.
        time: when the picture was taken, with its time zone.
        source: video, stream or folder that it is from; a filter can name it.
        name: of the crop within its source, such as ``0001_c1.jpg`` or ``frame 120``.
        person: label; None if not labelled.
        tags: words to filter by.
        box: left, top, width and height in the source's frame, in pixels.

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

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, times in ISO 8601."""
        time = None if self.time is None else self.time.isoformat()
        return asdict(self) | {"time": time, "added": self.added.isoformat()}


@dataclass(frozen=True, slots=True)
class Filter:
    """A selection of crops: those that meet all of the conditions. Without a condition: all crops.

    Attributes:
        cameras: taken by one of these.
        not_cameras: taken by none of these.
        after: taken at this time or later; crops without a time do not meet it.
        before: taken before this time, likewise.
        tags: with all of these.
        persons: labelled as one of these.
        sources: cut out of one of these.
        ids: only these crops.
        not_ids: none of these crops.
        labelled: only crops that are labelled with a person.

    Raises:
        UserError: a time has no time zone, no time is between the two, or an id is not a UUID.
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
        check_ids((*self.ids, *self.not_ids))


def make_filter(options: Mapping[str, Any], zone: tzinfo | None = None, ids: Iterable[str] = ()) -> Filter:
    """Return the filter that a user's options describe.

    Args:
        options: values by the names in ``FILTERS``: lists of words, times as text, ``labelled``; one that is
            empty or None sets no condition. Other names are ignored.
        zone: of times without one; None: this machine's.
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
    """Refuse ids that cannot be a crop's.

    Raises:
        UserError: one is not a UUID.
    """
    for identity in ids:
        try:
            uuid.UUID(identity)
        except ValueError:
            raise UserError(
                f"'{identity}' is not the id of a crop. Searches print ids: 36 letters, digits and hyphens."
            ) from None


def camera_key(camera: str) -> int:
    """Return the number that stands for a camera: 63 bits of a digest of its name."""
    return int.from_bytes(hashlib.blake2b(camera.encode(), digest_size=8).digest(), "big") >> 1


def to_payload(crop: NewCrop, size: tuple[int, int], now: datetime) -> dict[str, Any]:
    """Return what is stored with a crop's vector and picture; unknown fields are left out.

    Retention counts from ``since``: the time when the picture was taken, or added if that is not known or in
    the future. ``added`` is left out where both are the same.
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

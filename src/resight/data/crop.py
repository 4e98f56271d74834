"""One picture of a person: its file, the person and the camera."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

JUNK = -1
"""Person label of a box that is ignored: neither right nor wrong (Market-1501's ``-1``)."""

DISTRACTOR = 0
"""Person label of a box that shows none of the persons and counts as wrong (Market-1501's ``0000``)."""


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop.

    Attributes:
        path: the image file.
        person: number of the person, 1 or more; or ``JUNK``, or ``DISTRACTOR``.
        camera: number of the camera, 0 or more; None if it is not known.
        clothes: number of the clothes among those of the person; None if it is not known.
        track: number of the track among those of the person under the camera; None: the crop is on its own.
    """

    path: Path
    person: int
    camera: int | None
    clothes: int | None = None
    track: int | None = None


def track_of(crop: Crop) -> Hashable:
    """Return what the crops of one track have in common; a crop on its own is a track."""
    return crop.path if crop.track is None else (crop.person, crop.camera, crop.track)

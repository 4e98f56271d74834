"""One picture of a person: its file, the person and the camera."""

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
    """

    path: Path
    person: int
    camera: int | None

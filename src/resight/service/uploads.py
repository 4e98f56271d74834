"""Reading uploaded pictures: as ``imaging`` does, with stricter limits, a few at a time."""

from collections.abc import Callable
from dataclasses import replace
from threading import BoundedSemaphore

from resight.gallery.persons import Detect, QueryPerson, cut_person, find_persons, select_person
from resight.image_files import ImageError, ImageLimits, open_image
from resight.imaging import Box, Pixels, decode, shrink
from resight.service.limits import Limits, Refusal
from resight.threads import available_cores

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Formats of uploads: those of browsers, which have few and well-tested decoders."""

MIN_SIDE = 8
"""Smallest height and width of a picture, in pixels."""

SHOWN_SIDE = 1024
"""Largest height and width of an uploaded picture in a display or export, in pixels."""

STATUS = {"empty": 422, "small": 422, "large": 413}
"""HTTP status by the problem of a file; 415 for the others."""


class UploadReader:
    """Reads uploaded pictures, a few at a time to limit memory use.

    Args:
        limits: of a picture.
        detect: detects persons, or None.
    """

    def __init__(self, limits: Limits, detect: Detect | None = None) -> None:
        self.detect = detect
        self._limits = ImageLimits(FORMATS, limits.upload_bytes, limits.pixels, MIN_SIDE)
        self._turns = BoundedSemaphore(max(2, available_cores()))

    def check(self, data: bytes) -> None:
        """Check a file's header before it is decoded.

        Raises:
            Refusal: the file is empty, of another format, animated, or has too many or too few pixels.
        """
        try:
            open_image(data, self._limits)
        except ImageError as error:
            raise _refusal(error) from error

    def read(
        self, data: bytes, choice: int | None = None, preprocess: Callable[[Pixels], Pixels] = lambda one: one
    ) -> QueryPerson:
        """Decode a picture, and cut out the person to search for.

        Args:
            data: the file.
            choice: index of the detected person; by default the one with the highest score.
            preprocess: shrinks the person's pixels before the next large picture is decoded.

        Raises:
            Refusal: see ``check``; or the picture is damaged.
            UserError: there is no such person.
        """
        with self._turns:
            person = select_person(self._decode(data), self.detect, choice)
            return replace(person, pixels=preprocess(person.pixels))

    def whole(self, data: bytes) -> Pixels:
        """Decode a whole picture, and shrink it for display; see ``read``."""
        with self._turns:
            return shrink(self._decode(data), SHOWN_SIDE)

    def persons(self, data: bytes) -> list[tuple[Pixels, Box]]:
        """Return the pixels and the box of every person that the detector finds in a picture.

        Raises:
            Refusal: see ``read``.
        """
        assert self.detect is not None
        with self._turns:
            pixels = self._decode(data)
            return [cut_person(pixels, person) for person in find_persons(self.detect, pixels)]

    def _decode(self, data: bytes) -> Pixels:
        try:
            return decode(data, self._limits)
        except ImageError as error:
            raise _refusal(error) from error


def _refusal(error: ImageError) -> Refusal:
    return Refusal(STATUS.get(error.problem, 415), f"The picture {error}")

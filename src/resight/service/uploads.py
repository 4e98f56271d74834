"""Reading uploaded pictures: as ``imaging`` does, with stricter limits, a few at a time."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import BoundedSemaphore
from typing import TypeVar

from fastapi import UploadFile

from resight.gallery.persons import Detect, QueryPerson, cut_person, find_persons, select_person
from resight.image_files import ImageError, ImageLimits, open_image
from resight.imaging import Box, Pixels, decode, shrink
from resight.service.limits import Limits, Refusal
from resight.threads import available_cores

T = TypeVar("T")

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


def read_each(
    contents: Sequence[bytes],
    files: Sequence[UploadFile],
    read: Callable[[int, bytes], T],
    needed: int | None = None,
) -> tuple[dict[int, T], tuple[tuple[str, str], ...]]:
    """Read uploaded pictures; return what was read, and name and reason of each that cannot be read.

    What was read is by the number of its picture, in order.

    Args:
        contents: of the files.
        files: with their names.
        read: called with the number of a picture and its contents.
        needed: number of a picture that must be readable.

    Raises:
        Refusal: none can be read, or not the one that is needed.
    """
    found: dict[int, T] = {}
    refused: list[tuple[str, Refusal]] = []
    for number, data in enumerate(contents):
        try:
            found[number] = read(number, data)
        except Refusal as refusal:
            if number == needed:
                raise
            refused.append((name_of(files[number]), refusal))
    if refused and not found:
        raise refused[0][1]
    return found, tuple((name, str(refusal.detail)) for name, refusal in refused)


def refusals(refused: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return names and reasons of pictures that were left out as plain data."""
    return [{"name": name, "reason": reason} for name, reason in refused]


def content_of(file: UploadFile) -> bytes:
    """Return the bytes of an uploaded file."""
    return file.file.read()


def name_of(file: UploadFile) -> str:
    """Return the name of an uploaded file, only for display."""
    name = os.path.basename((file.filename or "").replace("\\", "/"))
    return "".join(letter for letter in name if letter.isprintable())[:200]

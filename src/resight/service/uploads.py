"""Uploaded pictures: their contents say what they are, and how large, before they are decoded."""

import io
import os
import warnings
from dataclasses import replace
from threading import BoundedSemaphore

from PIL import Image

from resight.errors import UserError
from resight.gallery.crops import Box
from resight.gallery.persons import Detect, QueryPerson, cut, find_persons, select_person
from resight.imaging import Pixels, decode, resize
from resight.service.limits import Limits, Refusal

READ = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"RIFF": "WEBP",
}
"""First bytes of the kinds of files that are read, as Pillow calls them."""

UNREAD = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP file or an office document",
    b"\x1f\x8b": "a gzip file",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file",
    b"<!DOC": "a web page",
    b"<html": "a web page",
    b"II*\x00": "a TIFF file",
    b"MM\x00*": "a TIFF file",
    b"\x1a\x45\xdf\xa3": "a video",
}
"""First bytes of files that people send by mistake."""

EXPECTED = "A JPEG, PNG, WebP, GIF or BMP picture is expected."
LEAST = 8
"""Height and width of a picture at least, in pixels."""

KEPT_SIDE = 1024
"""Height and width of a picture at most once it was read, in pixels: more than any model looks at."""


class UploadReader:
    """Reads uploaded pictures, a few at a time, so that many large ones do not fill the memory.

    Args:
        limits: of one picture.
        detect: finds persons, or None.
    """

    def __init__(self, limits: Limits, detect: Detect | None = None) -> None:
        self.limits, self.detect = limits, detect
        self._turns = BoundedSemaphore(max(2, len(os.sched_getaffinity(0))))

    def check(self, data: bytes) -> None:
        """Refuse a file by what its beginning says, before it is decoded.

        Raises:
            Refusal: it is empty or no picture that is read, animated, or of too many or too few pixels.
        """
        kind = _kind(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is lower
                image = Image.open(io.BytesIO(data), formats=[kind])
                animated = kind != "JPEG" and getattr(image, "is_animated", False)
        except Image.DecompressionBombError as error:
            raise self._too_large("more") from error
        except Exception as error:  # damaged files make Pillow's readers raise nearly anything
            raise Refusal(
                415, f"The file begins like a {kind} picture, but holds none. {EXPECTED}"
            ) from error
        if animated:
            raise Refusal(415, "The picture is animated. Give a single picture, such as one of its frames.")
        if image.width * image.height > self.limits.pixels:
            raise self._too_large(f"{image.width:,} x {image.height:,}")
        if min(image.width, image.height) < LEAST:
            raise Refusal(
                422,
                f"The picture has {image.width} x {image.height} pixels, too few to show a person: at least "
                f"{LEAST} x {LEAST} are needed.",
            )

    def read(self, data: bytes, choice: int | None = None) -> QueryPerson:
        """Decode a picture, and cut out the person to search for.

        Args:
            data: the file.
            choice: which of the persons that the detector finds; by default the surest.

        Raises:
            Refusal: see ``check``; or it is damaged.
            UserError: there is no such person.
        """
        with self._turns:
            person = select_person(self._decode(data), self.detect, choice)
            return replace(person, pixels=shrunk(person.pixels))

    def whole(self, data: bytes) -> Pixels:
        """Decode a picture, and shrink it; see ``read``."""
        with self._turns:
            return shrunk(self._decode(data))

    def persons(self, data: bytes) -> list[tuple[Pixels, Box]]:
        """Return every person that the detector finds in a picture, with the box in pixels.

        Raises:
            Refusal: see ``read``.
        """
        assert self.detect is not None
        with self._turns:
            pixels = self._decode(data)
            return [cut(pixels, person) for person in find_persons(self.detect, pixels)]

    def _too_large(self, pixels: str) -> Refusal:
        return Refusal(
            413,
            f"The picture has {pixels} pixels; {self.limits.pixels:,} are the most that are read. Cut the "
            "person out, or shrink it.",
        )

    def _decode(self, data: bytes) -> Pixels:
        self.check(data)
        try:
            return decode(data)
        except UserError as error:
            raise Refusal(415, f"The picture {error}") from error


def shrunk(pixels: Pixels) -> Pixels:
    """Return a picture at ``KEPT_SIDE`` or less, so that those of many requests fit into the memory."""
    height, width = pixels.shape[:2]
    scale = min(1.0, KEPT_SIDE / max(height, width))
    return resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))


def _kind(data: bytes) -> str:
    if not data:
        raise Refusal(422, f"The file is empty. {EXPECTED}")
    for start, kind in READ.items():
        if data.startswith(start) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind
    if data[4:8] == b"ftyp":
        what = "a HEIC or AVIF picture" if data[8:12] in (b"heic", b"heix", b"mif1", b"avif") else "a video"
    else:
        what = next(
            (what for start, what in UNREAD.items() if data.lstrip()[:5].startswith(start)), "no picture"
        )
    raise Refusal(415, f"The file is {what}. {EXPECTED}")

"""Pictures to add or search for, and the JPEG file stored for each."""

import hashlib
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from resight.errors import UserError
from resight.gallery.crops import Picture
from resight.image_files import is_plain_jpeg, read_file
from resight.imaging import Pixels, decode_file, encode_jpeg, shrink

MAX_SIDE, MAX_BYTES = 512, 64 * 1024
"""Largest height and width of a stored picture, in pixels; largest JPEG file that is stored unchanged."""


@dataclass(frozen=True)
class Contents:
    """The encoded contents of a picture.

    Attributes:
        picture: as it was given.
        raw: bytes of its file, or of its pixels.
    """

    picture: Picture
    raw: bytes

    @cached_property
    def id(self) -> str:
        """UUID derived from these bytes: equal files have equal ids."""
        return str(uuid.UUID(bytes=hashlib.blake2b(self.raw, digest_size=16).digest()))

    @classmethod
    def of(cls, picture: Picture) -> "Contents":
        """Read a picture's file.

        Raises:
            UserError: it cannot be read, or is too large.
        """
        return cls(picture, _raw(picture))

    def pixels(self) -> Pixels:
        """Decode it: uint8 [H, W, 3].

        Raises:
            UserError: it cannot be decoded; see ``imaging.decode``.
        """
        if not isinstance(self.picture, bytes | Path):
            return self.picture
        return decode_file(self.picture if isinstance(self.picture, Path) else "The picture", self.raw)

    def jpeg(self, pixels: Pixels) -> bytes:
        """Return the JPEG file to store: the original if it is small and has no EXIF data."""
        if is_plain_jpeg(self.raw) and len(self.raw) <= MAX_BYTES and max(pixels.shape[:2]) <= MAX_SIDE:
            return self.raw
        return encode_jpeg(shrink(pixels, MAX_SIDE))


def read_pixels(picture: Picture) -> Pixels:
    """Read and decode a picture; see ``Contents``."""
    return Contents.of(picture).pixels()


def _raw(picture: Picture) -> bytes:
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, Path):
        return read_file(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape or picture.dtype.name != "uint8":
        raise UserError(
            f"Pixels must be uint8 [H, W, 3]; got {picture.dtype} with the shape {list(picture.shape)}."
        )
    return repr(picture.shape).encode() + picture.tobytes()

"""Pictures that come in, and the JPEG that is kept of each."""

import hashlib
import io
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path

import simplejpeg
from PIL import Image

from resight.errors import UserError
from resight.gallery.crops import Picture
from resight.imaging import Pixels, decode, resize

MAX_BYTES = 32 * 2**20
"""Larger image files are refused: no crop of one person is so large."""

KEPT_SIDE, KEPT_BYTES, QUALITY = 512, 64 * 1024, 90
"""Height and width of a kept picture at most, in pixels; bytes up to which a JPEG is kept as it is."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A picture that is not decoded yet.

    Attributes:
        picture: as it was given.
        raw: bytes of its file, or of its pixels.
        id: UUID of these bytes: equal for equal files, wherever they lie.
    """

    picture: Picture
    raw: bytes
    id: str

    @classmethod
    def of(cls, picture: Picture) -> "Contents":
        """Read a picture's file.

        Raises:
            UserError: it cannot be read, or is too large.
        """
        contents = _contents(picture)
        if not isinstance(picture, bytes | Path):
            _refuse_odd_pixels(picture)
        elif len(contents) > MAX_BYTES:
            raise UserError(
                f"{_named(picture)} has {len(contents) / 1e6:,.0f} MB; more than {MAX_BYTES / 1e6:,.0f} MB "
                "are not read. A crop of one person is expected: cut or shrink it first."
            )
        return cls(
            picture, contents, str(uuid.UUID(bytes=hashlib.blake2b(contents, digest_size=16).digest()))
        )

    def pixels(self) -> Pixels:
        """Decode it: uint8 [H, W, 3].

        Raises:
            UserError: there is no whole, single picture, or it has too many pixels.
        """
        if not isinstance(self.picture, bytes | Path):
            return self.picture
        named = _named(self.picture)
        _refuse_animation(self.raw, named)
        try:
            return decode(self.raw)
        except UserError as error:
            raise UserError(f"{named} {error}") from error

    def jpeg(self, pixels: Pixels) -> bytes:
        """Return the JPEG to keep: the file itself where it is small and tells nothing but its picture."""
        height, width = pixels.shape[:2]
        plain = self.raw.startswith(b"\xff\xd8") and b"Exif\0\0" not in self.raw[: 1 << 16]
        if plain and len(self.raw) <= KEPT_BYTES and max(height, width) <= KEPT_SIDE:
            return self.raw
        scale = min(1.0, KEPT_SIDE / max(height, width))
        small = resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))
        encoded: bytes = simplejpeg.encode_jpeg(small.copy(order="C"), QUALITY, "RGB", "444")
        return encoded


def read_pixels(picture: Picture) -> Pixels:
    """Read and decode a picture; see ``Contents``."""
    return Contents.of(picture).pixels()


def _contents(picture: Picture) -> bytes:
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, Path):
        try:
            return picture.read_bytes()
        except OSError as error:
            raise UserError(f"{picture} cannot be read: {error.strerror}.") from error
    return repr(picture.shape).encode() + picture.tobytes()


def _named(picture: Picture) -> str:
    return str(picture) if isinstance(picture, Path) else "The picture"


def _refuse_odd_pixels(pixels: Pixels) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or pixels.dtype.name != "uint8":
        raise UserError(f"Pixels are uint8 [H, W, 3]; got {pixels.dtype} of the shape {list(pixels.shape)}.")


def _refuse_animation(contents: bytes, named: str) -> None:
    if contents.startswith(b"\xff\xd8"):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            frames = getattr(Image.open(io.BytesIO(contents)), "n_frames", 1)
    except Exception:  # whatever is wrong with it, ``decode`` says
        return
    if frames > 1:
        raise UserError(f"{named} holds {frames} pictures. Give a single one.")

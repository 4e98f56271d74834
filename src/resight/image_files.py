"""Which files are accepted as pictures, by their first bytes and their header, before they are decoded."""

import io
import warnings
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import ExifTags, Image

from resight.errors import UserError
from resight.folders import HEIF_EXTRA
from resight.timestamps import confirmed, date_in_name, parse_time, seconds_in_name

FORMATS = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"RIFF": "WEBP",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
    b"P2": "PPM",
    b"P3": "PPM",
    b"P5": "PPM",
    b"P6": "PPM",
    b"\x00\x00\x00\x0cjP": "JPEG2000",
}
"""First bytes of the formats that are read -> Pillow's names."""

BRANDS = {"AVIF": (b"avif", b"avis"), "HEIF": (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")}
"""Pillow's names -> bytes 8 to 12 of a file that has ``ftyp`` before them. HEIF is read by pillow-heif."""

OTHER_FILES = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP file or an office document",
    b"\x1f\x8b": "a gzip file",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file",
    b"<!DOC": "a web page",
    b"<html": "a web page",
    b"\x1a\x45\xdf\xa3": "a video",
}
"""First bytes of files that people give by mistake."""

Problem = Literal["empty", "format", "damaged", "animated", "large", "small"]


class ImageError(UserError):
    """A file that is not accepted; the text follows the file's name: ``... is empty (0 bytes).``

    Attributes:
        problem: why.
    """

    def __init__(self, problem: Problem, text: str) -> None:
        super().__init__(text)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Which image files are accepted.

    Attributes:
        formats: Pillow's names.
        max_bytes, max_pixels: of one file. An 8K frame has 33 million pixels, 100 MB without compression.
        min_side: height and width, in pixels.
    """

    formats: tuple[str, ...] = (*dict.fromkeys(FORMATS.values()), *BRANDS)
    max_bytes: int = 1 << 27
    max_pixels: int = 1 << 26
    min_side: int = 1


LIMITS = ImageLimits()


def read_file(path: Path) -> bytes:
    """Return the bytes of an image file.

    Raises:
        UserError: it cannot be read, or is too large; the sentence names it.
    """
    try:
        if path.stat().st_size > LIMITS.max_bytes:
            raise UserError(f"{path} {_too_many_bytes(path.stat().st_size, LIMITS)}")
        return path.read_bytes()
    except IsADirectoryError:
        raise UserError(f"{path} is a folder. Name picture files, such as {path / '*.jpg'}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def open_image(data: bytes, limits: ImageLimits) -> Image.Image:
    """Read the header of an image file; its pixels are decoded when they are used.

    Raises:
        ImageError: the file is empty, of another format, too large, too small, animated or damaged.
    """
    kind = format_of(data, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            image = Image.open(io.BytesIO(data), formats=[kind])
    except Image.DecompressionBombError as error:
        raise ImageError("large", f"has more than the {limits.max_pixels:,} pixels that are read.") from error
    except Exception as error:  # damaged files make Pillow's readers raise nearly anything
        raise damaged(error) from error
    check_size(image.height, image.width, limits)
    if kind != "JPEG" and getattr(image, "is_animated", False):  # cameras add a preview to a JPEG
        raise ImageError("animated", "is animated or has several pages. Give one picture, such as one frame.")
    return image


def format_of(data: bytes, limits: ImageLimits) -> str:
    """Return Pillow's name of a file's format.

    Raises:
        ImageError: the file is empty, too large, or of a format that is not read.
    """
    if not data:
        raise ImageError("empty", "is empty (0 bytes).")
    if len(data) > limits.max_bytes:
        raise ImageError("large", _too_many_bytes(len(data), limits))
    kind = next((kind for start, kind in FORMATS.items() if data.startswith(start)), None)
    if kind == "WEBP" and data[8:12] != b"WEBP":  # another RIFF file: sound, or a video
        kind = None
    if data[4:8] == b"ftyp":
        kind = next((kind for kind, brands in BRANDS.items() if data[8:12] in brands), None)
    if kind == "HEIF" and kind in limits.formats and not _read_heif():
        raise ImageError("format", f"is a HEIC picture. To read those: {HEIF_EXTRA}")
    if kind in limits.formats:
        return kind
    if kind is not None:
        what = f"a {kind} file"
    elif data[4:8] == b"ftyp":
        what = "a video"
    else:
        begin = data.lstrip()[:5]
        what = next((what for start, what in OTHER_FILES.items() if begin.startswith(start)), "not a picture")
    expected = f"{', '.join(limits.formats[:-1])} or {limits.formats[-1]}"
    raise ImageError("format", f"is {what}. A {expected} file is expected.")


@cache
def _read_heif() -> bool:
    """Let Pillow read HEIC files; return whether the extra for it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def check_size(height: int, width: int, limits: ImageLimits) -> None:
    """Refuse a picture by its height and width.

    Raises:
        ImageError: it has too many or too few pixels.
    """
    if height * width > limits.max_pixels:
        raise ImageError(
            "large",
            f"is {height} x {width} pixels; at most {limits.max_pixels:,} are read. A crop of one person is "
            "expected: cut the person out, or shrink it.",
        )
    if min(height, width) < limits.min_side:
        raise ImageError(
            "small",
            f"is {height} x {width} pixels, too few to show a person: at least {limits.min_side} x "
            f"{limits.min_side} are needed.",
        )


def damaged(error: Exception) -> ImageError:
    """Return the error for a file that a decoder cannot read."""
    if "cannot identify image file" in str(error):  # the rest of Pillow's sentence is a memory address
        return ImageError("damaged", "holds no whole image: its header is damaged.")
    return ImageError("damaged", f"holds no whole image: {str(error).rstrip('.') or type(error).__name__}.")


def is_plain_jpeg(data: bytes) -> bool:
    """Return whether a file is a JPEG without EXIF data, such as orientation, place or a second picture."""
    return data.startswith(b"\xff\xd8") and b"Exif\0\0" not in data[: 1 << 16]


def exif_time(picture: Path | bytes, zone: tzinfo | None = None) -> datetime | None:
    """Return when a photograph was taken, by its EXIF data, or None.

    Args:
        picture: path or bytes of its file.
        zone: of a time without one; None: the default zone.
    """
    try:
        with picture.open("rb") if isinstance(picture, Path) else io.BytesIO(picture) as file:
            head = file.read(1 << 16)
        if is_plain_jpeg(head) or (head.startswith(b"\x89PNG") and b"eXIf" not in head):
            return None  # Pillow takes longer, and decodes the whole PNG
        with Image.open(picture if isinstance(picture, Path) else io.BytesIO(picture)) as image:
            tags = image.getexif().get_ifd(ExifTags.IFD.Exif)
        for name in ("Original", "Digitized"):
            text = str(tags.get(ExifTags.Base[f"DateTime{name}"], "")).replace(":", "-", 2).strip(" \0")
            part = str(tags.get(ExifTags.Base[f"SubsecTime{name}"], "")).strip(" \0")
            offset = str(tags.get(ExifTags.Base[f"OffsetTime{name}"], "")).strip(" \0")
            if text:
                return parse_time(f"{text}.{part:0<6.6}{offset}" if part.isdecimal() else text + offset, zone)
    except Exception:  # damaged files make Pillow's readers raise nearly anything
        pass
    return None


def named_time(picture: Path, zone: tzinfo | None = None) -> tuple[datetime | None, bool]:
    """Return the time in the path of a picture, or None; and whether it is a guess.

    Seconds since 1970 may be a serial number. They are a guess, unless the file was written or the photograph
    taken within a day of them.

    Args:
        picture: path of its file.
        zone: of a name without one; None: the default zone.
    """
    path = picture.absolute().as_posix()
    if (time := date_in_name(path, zone)) is not None:
        return time, False
    if (time := seconds_in_name(path)) is None:
        return None, False
    taken = exif_time(picture, zone)
    others = [] if taken is None else [taken.timestamp()]
    with suppress(OSError):  # whoever reads the picture says that it is not there
        others.append(picture.stat().st_mtime)
    return time, not confirmed(time.timestamp(), others)


def _too_many_bytes(count: int, limits: ImageLimits) -> str:
    return (
        f"has {count / 1e6:,.0f} MB; at most {limits.max_bytes / 1e6:,.0f} MB are read. A crop of one person "
        "is expected: cut the person out, or shrink it."
    )

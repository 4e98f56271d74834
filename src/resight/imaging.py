"""Image files to pixels: RGB, uint8, upright, whatever the file holds."""

import io
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

from resight.errors import UserError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""Endings of image file names, in lower case."""

MAX_PIXELS = 1 << 26
"""Larger images (67 million pixels) are refused: no crop of one person has that many, memory has an end."""

LARGE = 1 << 20
"""Numbers of an image that does not wait for others of its size to be resized with: no crop has that many."""

Pixels = NDArray[np.uint8]


def read_image(path: Path, size: tuple[int, int] | None = None) -> Pixels:
    """Return the image as RGB uint8 [H, W, 3], resized to ``size`` (height, width) if given.

    Raises:
        UserError: the file cannot be read or holds no whole image; the sentence names the file.
    """
    return decode_file(path, read_file(path), size)


def read_file(path: Path) -> bytes:
    """Return the bytes of an image file.

    Raises:
        UserError: it cannot be read; the sentence names it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def decode_file(path: Path, data: bytes, size: tuple[int, int] | None = None) -> Pixels:
    """Return what ``read_image`` does, of a file whose bytes were read before.

    Raises:
        UserError: they are no whole image; the sentence names the file.
    """
    try:
        pixels = decode(data)
    except UserError as error:
        raise UserError(f"{path} {error}") from error
    return pixels if size is None else resize(pixels, size)


def decode(data: bytes) -> Pixels:
    """Return the image that the bytes of a file hold, as RGB uint8 [h, w, 3].

    JPEG goes through simplejpeg, twice as fast as Pillow and equal to the bit. Everything else, and JPEG that
    is CMYK, rotated by EXIF or damaged, goes through Pillow. 16-bit greys are scaled to 8, not clipped; what
    is transparent becomes black.

    Raises:
        UserError: there is no whole image; the sentence is to be put behind the name of the file.
    """
    if not data:
        raise UserError("is empty (0 bytes).")
    if data.startswith(b"\xff\xd8") and b"Exif\0\0" not in data[: 1 << 16]:
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            _refuse_huge(height, width)
            if colours in ("YCbCr", "Gray", "RGB"):
                pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
                return pixels
        except ValueError:
            pass  # Pillow decides what is wrong with it, if anything
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is lower
            image = Image.open(io.BytesIO(data))
        _refuse_huge(image.height, image.width)
        return np.array(_to_rgb(ImageOps.exif_transpose(image)))
    except UserError:
        raise
    except Exception as error:  # damaged files make Pillow's readers raise nearly anything
        raise UserError(f"holds no whole image: {_reason(error)}") from error


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize an image [h, w, 3] to (height, width) = ``size``, bilinear and antialiased."""
    if pixels.shape[:2] == size:
        return pixels
    resized: Pixels = resize_alike(pixels.reshape(1, *pixels.shape), size)[0]  # [None] has slow strides
    return resized


def resize_alike(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize images [N, h, w, 3], each as ``resize`` does.

    PyTorch does what Pillow does, to one level of 255 (at many sizes to the bit), in a tenth of the time for
    many images and in a quarter for one.
    """
    import torch  # here, as whoever reads the headers of images alone waits a second for it
    from torch.nn.functional import interpolate

    images = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy()).permute(0, 3, 1, 2)
    resized = interpolate(images, size, mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())


def resize_all(pictures: Iterable[Pixels], size: tuple[int, int]) -> list[Pixels]:
    """Resize images, each as ``resize`` does: those of one shape together, large ones as they come."""
    found: list[Pixels] = []
    waiting: dict[tuple[int, ...], list[int]] = {}
    for picture in pictures:
        if picture.shape[:2] == size or picture.size > LARGE:
            found.append(resize(picture, size))
        else:
            waiting.setdefault(picture.shape, []).append(len(found))
            found.append(picture)
    for places in waiting.values():
        together = resize_alike(np.stack([found[place] for place in places]), size)
        for place, picture in zip(places, together, strict=True):
            found[place] = picture
    return found


def list_images(folder: Path, *, deep: bool = False) -> list[Path]:
    """Return the image files in the folder (``deep``: and under it), by name; hidden files are left out.

    Raises:
        UserError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be listed: {error.strerror}.") from error

    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if deep and not name.startswith("."))
        paths = (Path(parent, name) for name in files if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    return sorted(found)


def natural(text: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that puts ``cam2`` before ``cam10``."""
    parts = re.split(r"(\d+)", text)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def examples(paths: Iterable[Path], root: Path) -> str:
    """Return up to three of the paths, relative to ``root``, for a message."""
    return ", ".join(str(path.relative_to(root)) for path in sorted(paths)[:3])


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greys; Pillow's own conversion clips them at 255
        grey = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(np.rint(grey).clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError(
            "its pixels are floating-point numbers, whose range is not known; save it with 8 bits"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("RGB")


def _refuse_huge(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise UserError(
            f"is {height} x {width} pixels, more than the {MAX_PIXELS:,} that are read; "
            "a crop of one person is expected, so cut or shrink it first."
        )


def _reason(error: Exception) -> str:
    if "cannot identify image file" in str(error):  # the rest of Pillow's sentence is a memory address
        return "its content is no known image format."
    return f"{str(error).rstrip('.') or type(error).__name__}."

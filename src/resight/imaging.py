"""Pictures: the one way to decode (RGB, uint8, upright), resize, cut and encode them."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

from resight.errors import UserError
from resight.image_files import (
    LIMITS,
    ImageError,
    ImageLimits,
    check_size,
    damaged,
    format_of,
    is_plain_jpeg,
    open_image,
    read_file,
)

LARGE = 1 << 20
"""A picture of more numbers than this is resized alone; crops have fewer."""

QUALITY = 90
"""Quality of JPEG files that are stored, with colours at full resolution (4:4:4)."""

Pixels = NDArray[np.uint8]
"""RGB, [H, W, 3]."""

Box = tuple[int, int, int, int]
"""Left, top, width and height of a part of a picture, in pixels."""


Interpolation = Literal["bilinear", "bicubic", "bilinear-aliased"]
"""Antialiased as Pillow does, or not, as OpenCV's INTER_LINEAR."""


class Resizing(NamedTuple):
    """How a picture comes to another size.

    Attributes:
        interpolation: of its pixels.
        padding: grey value around a picture that keeps its proportions, in the centre; None stretches it.
    """

    interpolation: Interpolation = "bilinear"
    padding: int | None = None


STRETCHED = Resizing()


def read_image(path: Path, size: tuple[int, int] | None = None) -> Pixels:
    """Return the image as RGB uint8 [H, W, 3], resized to ``size`` (height, width) if given.

    Raises:
        UserError: the file cannot be read or is not accepted; the message names it.
    """
    return decode_file(path, read_file(path), size)


def decode_file(name: Path | str, data: bytes, size: tuple[int, int] | None = None) -> Pixels:
    """Do what ``read_image`` does, for the bytes of a file.

    Raises:
        UserError: they are not accepted; the message names the file.
    """
    try:
        pixels = decode(data)
    except ImageError as error:
        raise UserError(f"{name} {error}") from error
    return pixels if size is None else resize(pixels, size)


def decode(data: bytes, limits: ImageLimits = LIMITS) -> Pixels:
    """Return the image in the bytes of a file, upright, as RGB uint8 [h, w, 3].

    JPEG is decoded by simplejpeg, twice as fast as Pillow and bit-identical. Other files, and JPEG files that
    are CMYK, have EXIF data or are damaged, are decoded by Pillow. 16-bit greys are scaled to 8 bits, not
    clipped; transparent parts become black.

    Raises:
        ImageError: the file is empty, of another format, too large, too small, animated or damaged.
    """
    if format_of(data, limits) == "JPEG" and is_plain_jpeg(data):
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            check_size(height, width, limits)
            if colours in ("YCbCr", "Gray", "RGB"):
                pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
                return pixels
        except ValueError:
            pass  # Pillow reports what is wrong, if anything
    image = open_image(data, limits)
    try:
        return np.array(_to_rgb(ImageOps.exif_transpose(image)))
    except Exception as error:  # damaged files make Pillow's readers raise nearly anything
        raise damaged(error) from error


def encode_jpeg(pixels: Pixels, quality: int = QUALITY) -> bytes:
    """Return a picture as a JPEG file."""
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "444")
    return encoded


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Return height and width of a JPEG file."""
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    return height, width


def resize(pixels: Pixels, size: tuple[int, int], how: Resizing = STRETCHED) -> Pixels:
    """Resize an image [h, w, 3] to (height, width) = ``size``, by default bilinear and antialiased."""
    if pixels.shape[:2] == size:
        return pixels
    resized: Pixels = resize_alike(pixels.reshape(1, *pixels.shape), size, how)[0]  # [None] has slow strides
    return resized


def resize_alike(pixels: Pixels, size: tuple[int, int], how: Resizing = STRETCHED) -> Pixels:
    """Resize images [N, h, w, 3], each as ``resize`` does.

    PyTorch agrees with Pillow to one level of 255, seldom two (at many sizes bit for bit), in a tenth of the
    time for many images and in a quarter for one.
    """
    import torch  # here, because importing it takes a second, which reading headers need not wait for
    from torch.nn.functional import interpolate

    inner = size if how.padding is None else _fitted(pixels.shape[1:3], size)
    images = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy()).permute(0, 3, 1, 2)
    mode, _, aliased = how.interpolation.partition("-")
    resized = interpolate(images, inner, mode=mode, antialias=not aliased).permute(0, 2, 3, 1).numpy()
    if inner == size:
        return np.ascontiguousarray(resized)
    canvas = np.full((len(pixels), *size, 3), how.padding, np.uint8)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[:, top : top + inner[0], left : left + inner[1]] = resized
    return canvas


def resize_all(pictures: Iterable[Pixels], size: tuple[int, int], how: Resizing = STRETCHED) -> list[Pixels]:
    """Resize images, each as ``resize`` does: those of one shape together, large ones alone."""
    resized: list[Pixels] = []
    waiting: dict[tuple[int, ...], list[int]] = {}
    for picture in pictures:
        if picture.shape[:2] == size or picture.size > LARGE:
            resized.append(resize(picture, size, how))
        else:
            waiting.setdefault(picture.shape, []).append(len(resized))
            resized.append(picture)
    for places in waiting.values():
        together = resize_alike(np.stack([resized[place] for place in places]), size, how)
        for place, picture in zip(places, together, strict=True):
            resized[place] = picture
    return resized


def _fitted(shape: Sequence[int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest height and width of these proportions within ``size``."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def shrink(pixels: Pixels, side: int) -> Pixels:
    """Return the image with height and width of at most ``side``, in the same proportions."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    return resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))


def pixel_box(edges: Sequence[float], height: int, width: int) -> Box | None:
    """Return the pixels of an image that a box covers, or None if they are outside of it.

    Each edge is rounded to the nearest line between pixels (halves to the right or down), then clipped to the
    image. So a box inside the image that is a pixel wide and high keeps at least one pixel.

    Args:
        edges: left, top, right and bottom of the box, in pixels.
        height, width: of the image.
    """
    left, top, right, bottom = (
        min(max(math.floor(edge + 0.5), 0), limit)
        for edge, limit in zip(edges, (width, height, width, height), strict=True)
    )
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def cut(pixels: Pixels, edges: Sequence[float]) -> tuple[Pixels, Box] | None:
    """Return a copy of the pixels in a box of an image [H, W, 3], and its ``pixel_box``."""
    box = pixel_box(edges, *pixels.shape[:2])
    if box is None:
        return None
    left, top, width, height = box
    return pixels[top : top + height, left : left + width].copy(), box


def natural(text: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that puts ``cam2`` before ``cam10``."""
    parts = re.split(r"(\d+)", text)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), text


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greys; Pillow's own conversion clips them at 255
        grey = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(np.rint(grey).clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; save it with 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("RGB")

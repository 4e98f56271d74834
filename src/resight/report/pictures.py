"""Pictures inside a page: JPEG data URIs, and heat maps over a crop."""

import base64
import math
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resight.imaging import Pixels, encode_jpeg, read_image

THUMBNAIL = (160, 80)
"""Height and width of a crop in ranked lists, in pixels."""

QUALITY = 82

FLAT, NEARLY_FLAT = 1e-5, 0.01
"""Maps are called so if their values differ by less than this share of the largest; the first is rounding."""


def thumbnail(path: Path) -> str:
    """Return the crop as a small JPEG data URI."""
    return data_uri(read_image(path, THUMBNAIL))


def data_uri(pixels: Pixels) -> str:
    """Return pixels uint8 [H, W, 3] as JPEG data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(pixels, QUALITY)).decode()


def heat_overlay(pixels: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """Return the crop in grey under a map, from blue (lowest) to yellow (highest).

    Args:
        pixels: uint8 [H, W, 3].
        heat: float [h, w] of any range; a flat map is drawn in the lowest colour.
    """
    height, width = pixels.shape[:2]
    low, high = float(heat.min()), float(heat.max())
    scaled = np.zeros_like(heat) if _variation(low, high) < FLAT else (heat - low) / (high - low)
    smooth = Image.fromarray(scaled.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    colours = matplotlib.colormaps["plasma"](np.clip(np.asarray(smooth), 0, 1))[..., :3]
    grey = pixels.astype(np.float64) @ (0.299, 0.587, 0.114) / 255
    return np.asarray(255 * (0.4 * grey[..., None] + 0.6 * colours)).astype(np.uint8)


def range_note(low: float, high: float) -> str:
    """Return the range of a map, with digits that tell its ends apart; a second line says if it is flat."""
    variation = _variation(low, high)
    if variation < FLAT:
        return f"{high:.2f}\nflat"
    digits = max(2, -math.floor(math.log10(high - low)))
    return f"{low:.{digits}f}–{high:.{digits}f}" + "\nnearly flat" * (variation < NEARLY_FLAT)


def _variation(low: float, high: float) -> float:
    """Return the range of a map's values as a share of the largest."""
    return (high - low) / (max(abs(low), abs(high)) or 1)


def coloured(values: NDArray[np.float32], size: tuple[int, int]) -> Pixels:
    """Return values [h, w] in [0, 1] as cells of colour, blue for 0 and yellow for 1, at (height, width)."""
    cells = np.asarray(255 * matplotlib.colormaps["plasma"](values)[..., :3]).astype(np.uint8)
    return np.asarray(Image.fromarray(cells).resize(size[::-1], Image.Resampling.NEAREST))

"""Crops without labels, to adapt to: in an order that their names do not decide."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.data.cache import PixelCache, content_digests
from resight.data.crop import Crop
from resight.data.examples import Examples
from resight.imaging import STRETCHED, Resizing
from resight.seeds import derive_seed

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Unlabelled:
    """Crops to adapt to.

    Attributes:
        examples: their pixels; all are of class 0.
        cameras: int64 [N], numbered by their first crops; None if a crop's is not known.
        tracks: int64 [N], numbered by their first crops; -1: the crop is on its own.
    """

    examples: Examples
    cameras: Numbers | None
    tracks: Numbers


def read_unlabelled(
    crops: Sequence[Crop],
    size: tuple[int, int],
    *,
    how: Resizing = STRETCHED,
    folder: Path | None = None,
    skip_unreadable: bool = False,
) -> Unlabelled:
    """Read crops in the order of digests of their files, so that names and their order change nothing.

    Args:
        crops: whose persons are not used. Those of one track have the same camera and track number.
        size: height and width to resize to.
        how: way of resizing.
        folder: of decoded pixels (see ``PixelCache.open``).
        skip_unreadable: leave unreadable images out.

    Raises:
        UserError: an image is unreadable (see ``PixelCache.open``).
    """
    digests = content_digests([crop.path for crop in crops])
    order = sorted(range(len(crops)), key=lambda place: (digests[place], crops[place].camera or 0))
    ordered = [crops[place] for place in order]
    cache = PixelCache.open(ordered, size, how=how, folder=folder, skip_unreadable=skip_unreadable)
    cameras = _numbers([crop.camera for crop in cache.crops])
    tracks = _numbers([None if crop.track is None else (crop.camera, crop.track) for crop in cache.crops])
    identity: dict[str, int | str] = {
        "crops": len(cache.crops),
        "images": Path(str(cache.pixels.filename)).stem,
        "cameras": f"{derive_seed(*cameras.tolist()):x}",
        "tracks": f"{derive_seed(*tracks.tolist()):x}",
    }
    names = [str(crop.path) for crop in cache.crops]
    classes = np.zeros(len(names), np.int64)
    examples = Examples(cache.pixels, cache.aspects, classes, 1, names, identity, cache.skipped, cameras)
    return Unlabelled(examples, None if (cameras < 0).any() else cameras, tracks)


def _numbers(labels: Sequence[Hashable]) -> Numbers:
    """Number labels from 0 by their first appearance; None becomes -1."""
    known: dict[Hashable, int] = {None: -1}
    return np.array([known.setdefault(label, len(known) - 1) for label in labels], dtype=np.int64)

"""What training needs from a data set of either kind: pixels, classes, names for messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.data.benchmark import Benchmark
from resight.data.cache import PixelCache, content_digest
from resight.data.classification import Classification, untrained
from resight.data.crop import Crop
from resight.data.loader import RedrawnPixels
from resight.errors import UserError
from resight.imaging import Pixels, resize
from resight.progress import track
from resight.seeds import derive_seed


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Pictures to train on.

    Attributes:
        pixels: uint8 [N, H, W, 3], RGB; or pictures that are drawn when they are taken.
        aspects: float32 [N], height / width of each picture before it was resized.
        classes: int64 [N], 0 to number - 1.
        number: of classes, or persons.
        names: of the N pictures, for messages.
        identity: identifies these data, as plain data: counts, digests of pictures and labels.
        left_out: path and reason of each unreadable picture.
        cameras: int64 [N], -1 where it is not known; None if none is.
    """

    pixels: Pixels | RedrawnPixels
    aspects: NDArray[np.float32]
    classes: NDArray[np.int64]
    number: int
    names: Sequence[str]
    identity: dict[str, int | str]
    left_out: tuple[tuple[Path, str], ...] = ()
    cameras: NDArray[np.int64] | None = None


def labels_of(data: Benchmark | Classification) -> NDArray[np.int64]:
    """Return person or class, int64 [N], of the training pictures, without reading them.

    Raises:
        UserError: there are fewer than two persons or classes, or a class has no picture.
    """
    if isinstance(data, Classification):
        if sentences := untrained(data):
            raise UserError(f"{data.root}: {' '.join(sentences)}")
        return data.train.classes
    persons = np.array([crop.person for crop in data.train], dtype=np.int64)
    _refuse_one(persons, data.root)
    return persons


def cameras_of(data: Benchmark | Classification) -> NDArray[np.int64] | None:
    """Return the camera of each training picture, int64 [N], -1 where it is not known; None of classes."""
    return _cameras(data.train) if isinstance(data, Benchmark) else None


def _cameras(crops: Sequence[Crop]) -> NDArray[np.int64]:
    return np.array([-1 if crop.camera is None else crop.camera for crop in crops], dtype=np.int64)


def examples_of(
    data: Benchmark | Classification, size: tuple[int, int], *, skip_unreadable: bool = False
) -> Examples:
    """Return the training part at height and width ``size``.

    Raises:
        UserError: there are fewer than two persons or classes, or a class has no picture; an image is
            unreadable (see ``PixelCache.open``).
    """
    if isinstance(data, Classification):
        classes, number = labels_of(data), len(data.classes)
        identity = _identity(classes, number, content_digest(data.train.pixels.tobytes()))
        names = [f"{data.train.file}, picture {row}" for row in range(len(classes))]
        height, width = data.train.pixels.shape[1:3]
        aspects = np.full(len(classes), height / width, dtype=np.float32)
        return Examples(resized(data.train.pixels, size), aspects, classes, number, names, identity)
    cache = PixelCache.open(data.train, size, skip_unreadable=skip_unreadable)
    persons = np.array([crop.person for crop in cache.crops])
    known, classes = np.unique(persons, return_inverse=True)
    _refuse_one(known, data.root)
    # a pixel file is named after the contents of its images, in order
    identity = _identity(persons, len(known), Path(str(cache.pixels.filename)).stem)
    names = [str(crop.path) for crop in cache.crops]
    labels = classes.astype(np.int64)
    cameras = _cameras(cache.crops)
    return Examples(cache.pixels, cache.aspects, labels, len(known), names, identity, cache.skipped, cameras)


def _refuse_one(persons: NDArray[np.int64], root: Path) -> None:
    if (count := len(np.unique(persons))) < 2:
        raise UserError(f"Training needs at least two persons; {root} has {count}.")


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return pictures [N, h, w, 3] at another height and width, in memory."""
    if pixels.shape[1:3] == size:
        return pixels
    title = f"Resizing to {size[0]} x {size[1]}"
    return np.stack([resize(picture, size) for picture in track(pixels, title, len(pixels))])


def _identity(labels: NDArray[np.int64], number: int, images: str) -> dict[str, int | str]:
    return {
        "crops": len(labels),
        "persons": number,
        "images": images,
        "labels": f"{derive_seed(*labels.tolist()):x}",
    }

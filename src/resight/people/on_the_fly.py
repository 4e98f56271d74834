"""People who are drawn while a network is trained on them: no picture is stored, each is seen a few times.

A set is a folder with ``drawing.json``, its settings. Every person passes its cameras without end: a crop is
drawn when it is needed, and another one of the same person in the same camera after it was taken ``SEEN``
times. Which one is taken depends on how often this person and camera came up before, so a training that was
interrupted goes on with the same crops.
"""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resight.data.benchmark import Benchmark
from resight.data.crop import Crop
from resight.data.examples import Examples, labels_of
from resight.errors import UserError
from resight.files import cache_folder, short_digest, write_json
from resight.folders import DRAWING
from resight.imaging import Pixels, resize
from resight.people.crops import World
from resight.people.factors import Factors
from resight.people.plan import PASSAGE, PlanSettings, check

SEEN = 4
"""Times that a crop is taken before another is drawn in its place."""


@dataclass(frozen=True)
class DrawnBenchmark(Benchmark):
    """A set for training whose crops have no files; their paths name person and camera."""

    settings: PlanSettings | None = None


class DrawnPixels:
    """The pixels of a set, drawn when they are taken.

    Args:
        settings: of the set.
        crops: N pairs of a person and a camera.
        size: height and width.

    Raises:
        UserError: the cache has no room for one crop of each pair.
    """

    def __init__(self, settings: PlanSettings, crops: Sequence[Crop], size: tuple[int, int]) -> None:
        self.world = World(settings.seed, size[0], Factors(**settings.factors))
        self.pairs = [(crop.person, (crop.camera or 1) - 1) for crop in crops]
        self.shape = (len(crops), *size, 3)
        self._number = np.full(len(crops), -1, dtype=np.int64)
        bytes_needed = int(np.prod(self.shape))
        folder = cache_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                os.posix_fallocate(file.fileno(), 0, bytes_needed)  # or a full disk would end the process
                self._stored = np.memmap(file, np.uint8, "r+", shape=self.shape)
        except OSError as error:
            raise UserError(
                f"The last crop of each of {len(crops):,} pairs of person and camera needs "
                f"{bytes_needed / 1e6:,.0f} MB in {folder}: {error.strerror or error}. Free space, set "
                "RESIGHT_CACHE to another folder, or draw fewer persons or cameras."
            ) from error

    def __len__(self) -> int:
        """Return the number of pairs of a person and a camera."""
        return len(self.pairs)

    def crops(self, items: NDArray[np.int64], earlier: NDArray[np.int64]) -> Pixels:
        """Return crops, uint8 [B, H, W, 3].

        Args:
            items: int64 [B], pairs.
            earlier: int64 [B], how often each was taken before.
        """
        found = np.empty((len(items), *self.shape[1:]), dtype=np.uint8)
        for row, (item, number) in enumerate(zip(items.tolist(), (earlier // SEEN).tolist(), strict=True)):
            if self._number[item] != number:
                drawn = self.world.crop(*self.pairs[item], *divmod(number, PASSAGE))
                self._stored[item] = resize(np.asarray(drawn.image), self.shape[1:3])
                self._number[item] = number
            found[row] = self._stored[item]
        return found


def write_drawing(folder: Path, settings: PlanSettings) -> None:
    """Make the folder of a set, unless it is there.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            if is_drawn(folder) and _read(folder) == settings:
                return
            raise UserError(f"{folder} exists and is not this set. Name a new or empty folder.")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write {folder}: {error.strerror}. Choose another folder.") from error
    write_json(folder / DRAWING, asdict(settings))


def is_drawn(folder: Path) -> bool:
    """Return whether the folder is a set that is drawn in training."""
    return (folder / DRAWING).is_file()


def open_drawn(folder: Path) -> DrawnBenchmark:
    """Open a set for training.

    Raises:
        UserError: its settings are damaged or of another version.
    """
    settings = _read(folder)
    crops = [
        Crop(folder / f"{person:04d}_c{camera + 1}", person, camera + 1)
        for person in range(1, settings.persons + 1)
        for camera in settings.cameras_of(person)
    ]
    return DrawnBenchmark(
        name=folder.name,
        root=folder,
        train=tuple(crops),
        camera_names={camera: f"drawn {camera}" for camera in range(1, settings.cameras + 1)},
        notes=(f"Crops are drawn in training, and each is seen {SEEN} times at most.",),
        opened={"paths": [str(folder.absolute())], "readers": []},
        settings=settings,
    )


def drawn_examples(data: DrawnBenchmark, size: tuple[int, int]) -> Examples:
    """Return what training needs of a set, at height and width ``size``."""
    assert data.settings is not None
    height, width = size
    known, classes = np.unique(labels_of(data), return_inverse=True)
    cameras = np.array([crop.camera for crop in data.train], dtype=np.int64)
    identity: dict[str, int | str] = {
        "crops": len(data.train),
        "persons": len(known),
        "images": short_digest(json.dumps(asdict(data.settings), sort_keys=True).encode()),
    }
    aspects = np.full(len(data.train), height / width, dtype=np.float32)
    names = [str(crop.path) for crop in data.train]
    pixels = DrawnPixels(data.settings, data.train, size)
    return Examples(pixels, aspects, classes.astype(np.int64), len(known), names, identity, cameras=cameras)


def _read(folder: Path) -> PlanSettings:
    try:
        found = PlanSettings(**json.loads((folder / DRAWING).read_text()))
        numbers = found.persons, found.cameras, found.crops, found.test_persons, found.seed, found.height
        expected = check(*numbers, Factors(**found.factors), found.cameras_per_person)
        if found != expected:
            raise ValueError(f"its drawing has the number {found.drawing}, now it is {expected.drawing}")
    except (OSError, ValueError, TypeError, UserError) as error:
        raise UserError(
            f"{folder / DRAWING} is damaged or of another version of Resight: {error}. Make the set again."
        ) from error
    return found

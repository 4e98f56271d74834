"""A model of 48 numbers without a network, crops of plain noise, a disk, and what is run to be killed.

As a script: python gallery_fakes.py add GALLERY SEED, forget GALLERY PERSON, compact GALLERY WHEN,
or reembed GALLERY KILL_AT.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.evaluation.cameras import CameraStatistics
from resight.gallery.adding import Added
from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery
from resight.gallery.stores import edge, folder
from resight.gallery.stores.picture_store import PictureStore
from resight.gallery.stores.store import StorageBackend
from resight.imaging import Pixels, resize_all

Somewhere = Callable[[], StorageBackend]
"""Opens the same place again and again; the one before must be closed, as a folder has one user."""

START = datetime(2024, 5, 31, 12, tzinfo=UTC)


class Fake:
    """Describes a picture by its pixels, shrunk to 4 x 4; as another model, in another order."""

    def __init__(self, name: str = "fake", kill_at: int = 0) -> None:
        self.name, self.weights, self.width = name, None, 48
        self.fingerprint, self.on_cpu = (name * 32)[:32], True
        self.calls, self.kill_at, self.precision = 0, kill_at, "float32"

    def preprocess(self, pictures: Iterable[Pixels]) -> list[Pixels]:
        """Shrink them."""
        return resize_all(pictures, (4, 4))

    def __call__(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return centred pixels."""
        self.calls += 1
        if self.calls == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        vectors = np.stack([picture.reshape(-1).astype(np.float32) - 127.3 for picture in pictures])
        return vectors if self.name == "fake" else vectors[:, ::-1].copy()


@dataclass(frozen=True)
class Disk:
    """A file system of its own, in memory, which can be made smaller and larger."""

    path: Path

    def resize(self, size: int) -> None:
        """Give it so many bytes."""
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)

    def leave(self, free: int) -> None:
        """Make it so full that so many bytes are free."""
        self.resize(shutil.disk_usage(self.path).used + free)


def noise(seed: int, person: int | None = None, strength: float = 12) -> Pixels:
    """Return pixels [16, 8, 3]: a person is four colours, its crops differ by noise."""
    generator = np.random.default_rng([seed, 7])
    if person is None:
        return generator.integers(0, 256, (16, 8, 3), dtype=np.uint8)
    colours = np.random.default_rng(person).integers(30, 226, (4, 1, 3)).repeat(4, 0)
    pixels = colours + generator.normal(0, strength, (16, 8, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def ids(opened: Gallery, where: Filter = Filter()) -> dict[str, str]:  # noqa: B008 (frozen)
    """Return the ids of crops by their names."""
    return {crop.name: crop.id for crop in opened.page(where, 10_000)[0]}


def people(persons: int = 8, cameras: int = 3, each: int = 2, **more: Any) -> list[NewCrop]:
    """Return labelled crops of some persons, a second apart."""
    found = []
    for person in range(persons):
        for camera in range(cameras):
            for _ in range(each):
                at = len(found)
                time = datetime.fromtimestamp(START.timestamp() + at, UTC)
                found.append(
                    NewCrop(
                        noise(at, person),
                        camera=f"cam{camera}",
                        time=time,
                        source="video.mp4",
                        name=str(at),
                        person=f"p{person}",
                        **more,
                    )
                )
    return found


def camera_statistics(crops: Sequence[NewCrop], model: Fake | None = None) -> CameraStatistics:
    """Return the exact means of the crops' cameras."""
    return CameraStatistics.fit(embedded(crops, model), [crop.camera for crop in crops])


def embedded(crops: Sequence[NewCrop], model: Fake | None = None) -> NDArray[np.float32]:
    """Return the unit vectors of crops of pixels."""
    model = model or Fake()
    vectors = model(model.preprocess(crop.picture for crop in crops))  # type: ignore[misc]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def add_until_killed(place: Path, seed: int) -> None:
    """Add crops batch after batch, forget and compact now and then; print the ids that are stored."""
    choose = random.Random(seed)
    edge.FLUSH_SECONDS = 0.05

    def stored(batch: Added) -> None:
        print("stored", *(identity for identity in batch.ids if identity), flush=True)

    with Gallery.open(place, Fake(), create=True, graph_from=400) as gallery:
        gallery.embed([noise(0)])  # PyTorch is loaded now, and not when the first crop is added
        print("open", flush=True)
        for round_ in range(1_000_000):
            base = (seed * 1000 + round_) * 1000
            kept = (NewCrop(noise(base + at), camera=f"c{at % 3}", source="kept") for at in range(130))
            gallery.add(kept, stored)
            gallery.add([NewCrop(noise(base + 500), source=f"forgotten-{base}")])
            gallery.forget(Filter(sources=(f"forgotten-{base}",)))
            if choose.random() < 0.5:
                print("compacting", flush=True)
                gallery.compact()


def forget_until_killed(place: Path, person: str) -> None:
    """Forget a person; be killed when the engine has deleted the crops and their pictures are still there."""
    PictureStore.delete = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    with Gallery.open(place) as gallery:
        gallery.forget(Filter(persons=(person,)))


def compact_until_killed(place: Path, when: str) -> None:
    """Compact; be killed while crops are copied, while the copy is merged, or when it has taken the place."""
    kind, method = {
        "copying": (edge.EdgeStore, "put"),
        "merging": (edge.EdgeStore, "compact"),
        "swapped": (folder.FolderBackend, "drop_store"),
    }[when]
    original = getattr(kind, method)

    def then_killed(*arguments: Any) -> None:
        if when != "swapped":
            original(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    with Gallery.open(place) as gallery:
        setattr(kind, method, then_killed)
        gallery.compact()


if __name__ == "__main__":
    what, place, number = sys.argv[1:]
    if what == "add":
        add_until_killed(Path(place), int(number))
    elif what == "forget":
        forget_until_killed(Path(place), number)
    elif what == "compact":
        compact_until_killed(Path(place), number)
    else:
        with Gallery.open(place) as opened:
            opened.reembed(Fake("other", kill_at=int(number)))

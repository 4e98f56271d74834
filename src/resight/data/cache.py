"""The decoded cache: every crop decoded and resized once, then read as one memory map.

A pixel file is named after the *contents* of its images and the size, so it is never out of date. A second
file, named after every image's path, size, inode and times, finds it without reading the images again. Only
one process builds at a time, under a lock that the kernel releases when the process ends, into a temporary
file that is renamed when it is complete: temporary files found under the lock are leftovers of killed
processes.
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from resight.data.crop import Crop
from resight.errors import UserError
from resight.files import cache_folder, sole_use, whole_file, write_json
from resight.imaging import STRETCHED, Pixels, Resizing, decode, resize
from resight.progress import Bar
from resight.threads import available_cores

T = TypeVar("T")

FORMAT = "2"
"""Version, part of every key: increased when decoded pixels or the files' format change."""

CHUNK = 256
"""Crops decoded between two writes."""

TEMPORARY = re.compile(r"\.(stat-)?[0-9a-f]{32}\.(pixels|json)\..*")
"""Names of ``whole_file``'s temporary files of the cache."""

SETTLED_NS = 2_000_000_000
"""A file younger than this may change within one tick of the clock: its times are not trusted yet."""


@dataclass(frozen=True, slots=True)
class PixelCache:
    """Decoded pixels of crops.

    Attributes:
        crops: those of the pixels, in the order of the call.
        pixels: uint8 [N, H, W, 3], RGB, read-only.
        aspects: float32 [N], height / width of each image before it was resized.
        skipped: path and reason of each crop that could not be read.
    """

    crops: tuple[Crop, ...]
    pixels: np.memmap[Any, np.dtype[np.uint8]]
    aspects: NDArray[np.float32]
    skipped: tuple[tuple[Path, str], ...] = ()

    @classmethod
    def open(
        cls,
        crops: Sequence[Crop],
        size: tuple[int, int],
        *,
        how: Resizing = STRETCHED,
        folder: Path | None = None,
        skip_unreadable: bool = False,
    ) -> "PixelCache":
        """Find the decoded pixels of the crops, or decode them.

        Args:
            crops: at least one.
            size: height and width to resize to.
            how: way of resizing.
            folder: of decoded pixels; ``cache_folder()`` by default. It may be emptied at any time.
            skip_unreadable: leave unreadable images out instead of raising.

        Raises:
            UserError: there is no crop, an image is unreadable (the first is named, all are counted), or the
                folder cannot be written.
        """
        if not crops:
            raise UserError("There are no crops to read: this part of the data set is empty.")
        store = _Store(folder or cache_folder(), [crop.path for crop in crops], size, how)
        path, unreadable, shapes = store.find() or store.build()
        skipped = tuple((crops[index].path, reason) for index, reason in unreadable.items())
        if skipped and (not skip_unreadable or len(skipped) == len(crops)):
            raise UserError(_refusal(skipped, len(crops)))
        kept = tuple(crop for index, crop in enumerate(crops) if index not in unreadable)
        heights, widths = np.array(shapes, dtype=np.float32).T
        pixels = np.memmap(path, np.uint8, "r", shape=(len(kept), *size, 3))
        return cls(kept, pixels, heights / widths, skipped)


def content_digest(data: bytes) -> str:
    """Return a hash of these bytes: 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def content_digests(paths: Sequence[Path]) -> list[str]:
    """Return a hash of each file's content; ``unreadable`` for a file that cannot be read."""

    def digest(path: Path) -> str:
        try:
            return content_digest(path.read_bytes())
        except OSError:
            return "unreadable"

    with ThreadPoolExecutor(workers()) as pool, Bar("Reading images", len(paths)) as bar:
        return list(_advance(pool.map(digest, paths), bar))


class _Decoded(NamedTuple):
    """A pixel file; the positions of unreadable images, and why; height and width of the others' images."""

    path: Path
    unreadable: dict[int, str]
    shapes: list[tuple[int, int]]


class _Store:
    """The files of one list of images at one size: ``KEY.pixels``, ``KEY.json`` and ``stat-KEY.json``."""

    def __init__(self, folder: Path, paths: list[Path], size: tuple[int, int], how: Resizing) -> None:
        self.folder, self.paths, self.size, self.how = folder, paths, size, how
        self.decided = (FORMAT, *size, *(() if how == STRETCHED else how))
        self.crop_bytes = size[0] * size[1] * 3
        self.started_ns = time.time_ns()
        self.alias: Path | None = None
        if (stats := self._stats()) is not None:
            self.alias = folder / f"stat-{stats}.json"

    def find(self) -> _Decoded | None:
        """Return the pixel file, if the paths and times of the images are known."""
        known = _load(self.alias)
        return None if known is None else self._complete(known["key"])

    def build(self) -> _Decoded:
        """Read all images, and decode them unless there are pixels of the same contents."""
        self._make_folder()
        busy = f"Another process decodes crops into {self.folder}: waiting for it."
        try:
            with sole_use(self.folder / "lock", waiting=busy):
                self._remove_leftovers()
                found = self.find()  # the process that held the lock may have built it
                if found is not None:
                    return found
                digests = content_digests(self.paths)
                key = _digest(*self.decided, *digests)
                found = self._complete(key) or self._decode(key, digests)
                if self.alias is not None:
                    write_json(self.alias, {"key": key})
                return found
        except UserError as error:
            if isinstance(error.__cause__, OSError):
                raise UserError(f"{error} {self._advice()}") from error
            raise

    def _complete(self, key: str) -> _Decoded | None:
        """Return the pixel file of this key, if it is there and complete."""
        pixels, info = self.folder / f"{key}.pixels", _load(self.folder / f"{key}.json")
        if info is None or not pixels.exists():
            return None
        unreadable = {int(index): reason for index, reason in info["unreadable"].items()}
        whole = pixels.stat().st_size == (len(self.paths) - len(unreadable)) * self.crop_bytes
        return _Decoded(pixels, unreadable, info["shapes"]) if whole else None

    def _stats(self) -> str | None:
        """Return a hash of the images' file metadata; None if it cannot be trusted.

        Programs cannot set the change time, so every change of contents is noticed.
        """
        parts: list[object] = [*self.decided]
        for path in self.paths:
            try:
                stat = path.stat()
            except OSError:
                return None
            if self.started_ns - stat.st_ctime_ns < SETTLED_NS:
                return None
            parts += [path.absolute(), stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
        return _digest(*parts)

    def _decode(self, key: str, digests: list[str]) -> _Decoded:
        unreadable: dict[int, str] = {}
        shapes: list[tuple[int, int]] = []
        pixels = self.folder / f"{key}.pixels"
        title = f"Decoding crops to {self.size[0]} x {self.size[1]}"
        self._refuse_small_disk()
        with (
            whole_file(pixels) as partial,
            partial.open("wb") as stream,
            ThreadPoolExecutor(workers()) as pool,
            Bar(title, len(self.paths)) as bar,
        ):
            for start in range(0, len(self.paths), CHUNK):
                positions = range(start, min(start + CHUNK, len(self.paths)))
                decoded = pool.map(self._pixels_of, (self.paths[i] for i in positions), digests[start:])
                for position, result in zip(positions, _advance(decoded, bar), strict=True):
                    if isinstance(result, str):
                        unreadable[position] = result
                    else:
                        image, shape = result
                        stream.write(image.data)
                        shapes.append(shape)
            stream.close()
            with whole_file(self.folder / f"{key}.json") as info:
                info.write_text(json.dumps({"unreadable": unreadable, "shapes": shapes}))
        return _Decoded(pixels, unreadable, shapes)

    def _pixels_of(self, path: Path, digest: str) -> tuple[Pixels, tuple[int, int]] | str:
        """Return the decoded image and its height and width in the file; or why it cannot be decoded."""
        try:
            data = path.read_bytes()
        except OSError as error:
            return f"cannot be read: {error.strerror}."
        if content_digest(data) != digest:
            raise UserError(
                f"{path} changed while it was read. Run again when no program writes there any more."
            )
        try:
            image = decode(data)
            return resize(image, self.size, self.how), (image.shape[0], image.shape[1])
        except UserError as error:
            return str(error)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it will hold pictures of people
        except OSError as error:
            raise UserError(f"Cannot make {self.folder}: {error.strerror}. {self._advice()}") from error

    def _remove_leftovers(self) -> None:
        """Remove the temporary files of killed processes."""
        for path in self.folder.iterdir():
            if TEMPORARY.fullmatch(path.name):
                path.unlink()

    def _refuse_small_disk(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < len(self.paths) * self.crop_bytes:
            raise UserError(f"{self.folder} has {free / 1e9:.2f} GB free. {self._advice()}")

    def _advice(self) -> str:
        need = len(self.paths) * self.crop_bytes / 1e9
        height, width = self.size
        return (
            f"The pixels of {len(self.paths):,} crops at {height} x {width} take {need:.2f} GB; "
            "set the environment variable RESIGHT_CACHE to use another folder."
        )


def workers() -> int:
    """Return how many threads read and decode images."""
    return min(16, available_cores())  # more would wait for the interpreter's lock more than they decode


def _digest(*parts: object) -> str:
    return content_digest("\n".join(map(str, parts)).encode("utf-8", "surrogateescape"))


def _load(path: Path | None) -> Any:
    """Return the value of a JSON file, or None if it does not exist."""
    try:
        return None if path is None else json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _advance(results: Iterable[T], bar: Bar) -> Iterator[T]:
    for result in results:
        yield result
        bar.advance()


def _refusal(skipped: tuple[tuple[Path, str], ...], total: int) -> str:
    (path, reason), count = skipped[0], len(skipped)
    if count == total:
        return f"None of the {total:,} crops can be read. The first, {path}, {reason}"
    more = "" if count == 1 else f" {count - 1} more of {total:,} cannot be read either."
    return f"{path} {reason}{more} Repair or remove what is damaged, or leave it out with --skip-unreadable."

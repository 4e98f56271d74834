"""Listing the crops to embed: of a data set, a folder, or a list of paths; with or without labels."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resight.data.crop import Crop
from resight.data.opening import FALLBACK, READERS, open_benchmark, read_benchmark
from resight.errors import UserError
from resight.imaging import IMAGE_SUFFIXES, list_images

Part = Literal["train", "query", "gallery", "all"]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CropList:
    """Crops to embed, in order.

    Attributes:
        source: their folder or list.
        part: of the data set.
        paths: absolute path of each of the N crops.
        persons: int64 [N]; None if they are not known.
        cameras: int64 [N]; None if they are not known.
        names: person -> its label in the data set, where that is not the number itself.
        notes: sentences about how they were read.
    """

    source: Path
    part: Part
    paths: tuple[Path, ...]
    persons: Labels | None = None
    cameras: Labels | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return a hash of these paths and labels in this order: 32 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            digest.update(os.fsencode(path) + b"\0")
        for labels in (self.persons, self.cameras):
            digest.update(b"none" if labels is None else labels.tobytes())
        return digest.hexdigest()


def crops_to_embed(
    path: Path,
    *,
    part: Part = "all",
    unlabelled: bool = False,
    reader: str | None = None,
    listing: Path | None = None,
    pattern: str | None = None,
    split: int | None = None,
    holdout: int | None = None,
) -> CropList:
    """List crops to embed.

    Args:
        path: a data set in any layout that a reader knows; a folder with one sub-folder per person; a folder
            of images; or a text file of image paths, one per line, relative to the file's own folder.
        part: of a data set; ``all`` is its training part, queries and gallery, each crop once. A plain folder
            has other parts only if persons are held out, as in training.
        unlabelled: take every image under the folder, whatever its layout, and no labels. A folder of images
            without sub-folders that no reader knows is always unlabelled.
        reader, listing, pattern, split, holdout: as in ``open_benchmark``.

    Raises:
        UserError: there is no such file or folder, or no image in it, or the options do not fit it; or as
            ``open_benchmark``.
    """
    path = path.expanduser()
    options: dict[str, Any] = {
        "reader": reader,
        "listing": listing,
        "pattern": pattern,
        "split": split,
        "holdout": holdout,
    }
    given = [f"--{name}" for name, value in options.items() if value is not None]
    given += ["--part"] * (part != "all")
    if path.is_file() or unlabelled:
        if given:
            kind = "A list of paths" if path.is_file() else "An unlabelled folder"
            raise UserError(f"{kind} has no labels and no parts, so {', '.join(given)} cannot be used.")
        return _listed(path) if path.is_file() else _pictures(path, ())
    if not given and _is_plain(path):
        note = (
            f"The images in {path} are in no sub-folders, so their persons are not known: they get no person "
            "labels. --pattern or --reader reads labels from file names."
        )
        return _pictures(path, (note,))
    return _labelled(path, part, options)


def _labelled(path: Path, part: Part, options: Mapping[str, Any]) -> CropList:
    if part == "all" and options["listing"] is None and options["holdout"] is None:
        reader, pattern = options["reader"], options["pattern"]
        if pattern is not None and reader is not None:
            raise UserError("Give a --pattern, or name a --reader, not both: a pattern is read by 'folder'.")
        benchmark = read_benchmark(path, reader, pattern, options["split"], pairs=False)
    else:
        benchmark = open_benchmark(path, **options)
    parts: dict[str, Sequence[Crop]] = {
        "train": benchmark.train,
        "query": benchmark.query,
        "gallery": benchmark.gallery,
    }
    crops = tuple(dict.fromkeys(chain(*parts.values()))) if part == "all" else tuple(parts[part])
    if not crops:
        there = ", ".join(f"{name} {len(some):,}" for name, some in parts.items())
        raise UserError(f"{path} has no crops in its part '{part}'. Crops in its parts: {there}.")
    cameras = [crop.camera for crop in crops]
    return CropList(
        path,
        part,
        tuple(crop.path.absolute() for crop in crops),
        np.array([crop.person for crop in crops], dtype=np.int64),
        None if None in cameras else np.array(cameras, dtype=np.int64),
        benchmark.names,
        benchmark.notes,
    )


def _is_plain(folder: Path) -> bool:
    """Return whether a folder has images, no sub-folders, and no layout that a reader knows."""
    if not folder.is_dir() or any(child.is_dir() for child in folder.glob("[!.]*")):
        return False
    known = (READERS.build(name) for name in READERS.names() if name != FALLBACK)
    return bool(list_images(folder)) and not any(reader.recognises(folder) for reader in known)


def _pictures(folder: Path, notes: tuple[str, ...]) -> CropList:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. Name the folder that holds the crops.")
    paths = list_images(folder, deep=True)
    if not paths:
        raise UserError(f"{folder} holds no image file ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return CropList(folder, "all", tuple(path.absolute() for path in paths), notes=notes)


def _listed(file: Path) -> CropList:
    if file.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(
            f"{file} is an image. Name a folder of images, or a text file of paths, one per line."
        )
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"The list {file} cannot be read: {error.strerror}.") from error
    if "\0" in text:
        raise UserError(f"{file} is no text file. A list has the paths of images, one per line.")
    folder = file.absolute().parent
    paths = [folder / line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not paths:
        raise UserError(f"The list {file} is empty. Write the paths of images into it, one per line.")
    again = len(paths) - len(set(paths))
    note = f"{again:,} paths in {file} are there more than once, and are embedded as often."
    return CropList(file, "all", tuple(paths), notes=(note,) * bool(again))

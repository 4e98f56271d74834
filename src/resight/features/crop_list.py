"""Lists of crops to embed: from a data set, a folder or a list of paths, with or without labels."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resight.data.accounting import count_left_out
from resight.data.crop import Crop
from resight.data.opening import FALLBACK, READERS, open_benchmark, read_benchmark
from resight.errors import UserError
from resight.folders import IMAGE_SUFFIXES, list_images, no_images, sub_folders
from resight.left_out import LeftOut

FIRST = 10
"""Lines of a list that are looked at to tell it from a table, which has the same columns in all."""

STREAMS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
"""Folders of a process's own open files."""

Part = Literal["train", "query", "gallery", "all"]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CropList:
    """Crops to embed, in order.

    Attributes:
        source: folder or list of the crops; the working directory for a list that comes through a pipe.
        part: part of the data set.
        paths: absolute paths of the N crops.
        persons: int64 [N]; None if not known.
        cameras: int64 [N]; None if not known.
        clothes: int64 [N]; None if not known.
        names: person -> label in the data set, where it differs from the number.
        camera_names: camera -> label in the data set, where it differs from the number.
        notes: messages for the user.
        left_out: files in the folder that are not in the list, by reason.
    """

    source: Path
    part: Part
    paths: tuple[Path, ...]
    persons: Labels | None = None
    cameras: Labels | None = None
    clothes: Labels | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    camera_names: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)

    def digest(self) -> str:
        """Return a digest of the paths and labels in their order: 32 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            digest.update(os.fsencode(path) + b"\0")
        for labels in (self.persons, self.cameras):
            digest.update(b"none" if labels is None else labels.tobytes())
        digest.update(b"" if self.clothes is None else self.clothes.tobytes())
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
    camera_pattern: str | None = None,
) -> CropList:
    """List crops to embed.

    Args:
        path: a data set that a reader recognises; a folder with one sub-folder per person; a folder of
            images; or a text file or pipe of image paths, one per line, relative to the file's folder, or
            for a pipe to the working directory.
        part: part of a data set; ``all`` is the training part, queries and gallery, each crop once. A plain
            folder is divided into parts by holding out persons, as in training.
        unlabelled: list every image in the folder and its sub-folders, without labels. This is the default
            for a folder that no reader recognises and that has no sub-folders.
        reader, listing, pattern, split, holdout: see ``open_benchmark``.
        camera_pattern: see ``read_benchmark``.

    Raises:
        UserError: there is no such file or folder, it has no image, or the options do not apply to it; see
            also ``open_benchmark``.
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
    is_list = path.exists() and not path.is_dir()  # a pipe is no regular file
    if is_list or unlabelled:
        if given:
            kind = "A list of paths" if is_list else "An unlabelled folder"
            raise UserError(f"{kind} has no labels and no parts, so {', '.join(given)} cannot be used.")
        return _listed(path) if is_list else _pictures(path, ())
    if not given and _is_plain(path):
        note = (
            f"The images in {path} are not in sub-folders, so they get no person labels. If their names "
            "contain labels, read them with --pattern or --reader."
        )
        return _pictures(path, (note,))
    return _labelled(path, part, options, camera_pattern)


def _labelled(path: Path, part: Part, options: Mapping[str, Any], camera_pattern: str | None) -> CropList:
    if part == "all" and options["listing"] is None and options["holdout"] is None:
        reader, pattern = options["reader"], options["pattern"]
        if pattern is not None and reader is not None:
            raise UserError("Give a --pattern, or name a --reader, not both: a pattern is read by 'folder'.")
        benchmark = read_benchmark(
            path, reader, pattern, options["split"], pairs=False, camera_pattern=camera_pattern
        )
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
    cameras, clothes = [crop.camera for crop in crops], [crop.clothes for crop in crops]
    persons = np.array([crop.person for crop in crops], dtype=np.int64)
    return CropList(
        path,
        part,
        tuple(crop.path.absolute() for crop in crops),
        persons if persons.any() else None,  # all 0: nobody is labelled
        None if None in cameras else np.array(cameras, dtype=np.int64),
        None if None in clothes else np.array(clothes, dtype=np.int64),
        benchmark.names,
        benchmark.camera_names,
        benchmark.notes,
        count_left_out(benchmark, crops, f"a crop of another part than '{part}'"),
    )


def _is_plain(folder: Path) -> bool:
    """Return whether a folder has images, no sub-folders, and is not recognised by a reader."""
    if not folder.is_dir() or sub_folders(folder):
        return False
    known = (READERS.build(name) for name in READERS.names() if name != FALLBACK)
    return bool(list_images(folder)) and not any(reader.recognises(folder) for reader in known)


def _pictures(folder: Path, notes: tuple[str, ...]) -> CropList:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. Name the folder of the crops.")
    left_out = LeftOut()
    paths = list_images(folder, deep=True, left_out=left_out)
    if not paths:
        raise no_images(folder)
    return CropList(folder, "all", tuple(path.absolute() for path in paths), notes=notes, left_out=left_out)


def _listed(file: Path) -> CropList:
    if _is_image(file.name):
        raise UserError(
            f"{file} is an image. Name a folder of images, or a text file of paths, one per line."
        )
    # /dev/stdin may be a regular file, but its paths are not those of a folder /dev
    streamed = not file.is_file() or file.absolute().parent in STREAMS
    if streamed and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"Several processes cannot read one pipe, {file}. Write the list to a file.")
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"The list {file} cannot be read: {error.strerror}.") from error
    if "\0" in text:
        raise UserError(f"{file} is not a text file. A list has the paths of images, one per line.")
    folder = Path.cwd() if streamed else file.absolute().parent
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not lines:
        raise UserError(f"The list {file} is empty. Write image paths into it, one per line.")
    _refuse_table(file, lines[:FIRST], folder)
    paths = [folder / line for line in lines]
    again = len(paths) - len(set(paths))
    note = f"{again:,} paths in {file} are repetitions. Each is embedded again."
    return CropList(folder if streamed else file, "all", tuple(paths), notes=(note,) * bool(again))


def _refuse_table(file: Path, lines: Sequence[str], folder: Path) -> None:
    """Refuse a table: lines with a path of an image and something else; names of images may have commas."""
    for line, separator in product(lines, ",;|\t "):
        if _is_row(line, separator, folder) and not os.path.exists(folder / line):
            raise UserError(
                f"{file} is a table: it has the line {line[:120]!r}. A list has the path of one image in "
                "each line, and nothing else. Write the column of paths to a file of its own, without its "
                "heading. Labels are read from the names of folders and files (--pattern), not from tables."
            )


def _is_row(line: str, separator: str, folder: Path) -> bool:
    """Return whether a line looks like a row of a table."""
    *others, last = [cell for part in line.split(separator) if (cell := part.strip(" \"'"))] or [""]
    image, ends = any(map(_is_image, others)), bool(others) and os.path.isfile(folder / last)
    if separator == " ":  # names of images may have spaces
        return (image and not _is_image(last)) or (ends and all(map(str.isdecimal, others)))
    return image or ends


def _is_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES

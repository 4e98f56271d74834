"""Listing the pictures in a folder, and what else is there."""

import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

from resight.errors import UserError
from resight.left_out import LeftOut
from resight.program import command_line

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIF_EXTRA = "pip install 'resight[heic]'"

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_OTHERS = {".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".gif", ".avif", ".jp2"}
_HEIF = HEIF_SUFFIXES if importlib.util.find_spec("pillow_heif") else set()
IMAGE_SUFFIXES = frozenset(_JPEG | _OTHERS | _HEIF)
"""Endings of the names of image files that are read, in lower case."""

DRAWING = "drawing.json"
"""Name of the file of a set whose crops are drawn in training (see ``people.on_the_fly``)."""

_RAW = {".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2"}
UNREAD_SUFFIXES = frozenset(_RAW | {".svg", ".psd", ".jxl", ".exr", ".hdr", ".tga", ".pcx", ".ico", ".eps"})
"""Endings of the names of pictures that are not read."""

MADE_BY_OTHERS = frozenset(
    (
        *("@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "@recently-snapshot", "@sharebin"),
        *("__macosx", "$recycle.bin", "system volume information", "lost+found", "thumbnails", "thumbs"),
    )
)
"""Folders, in lower case, in which file servers, archivers and viewers keep thumbnails and deleted files."""


class ImageFiles(Sequence[Path]):
    """Paths of pictures, in order; each path is made when it is asked for, which most of a listing's time is.

    Attributes:
        names: the same as text.
    """

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> "ImageFiles": ...
    def __getitem__(self, index: int | slice) -> "Path | ImageFiles":
        return ImageFiles(self.names[index]) if isinstance(index, slice) else Path(self.names[index])

    def __iter__(self) -> Iterator[Path]:
        return map(Path, self.names)


def list_images(folder: Path, *, deep: bool = False, left_out: LeftOut | None = None) -> ImageFiles:
    """Return the pictures in the folder (``deep``: and under it), in the order of their paths.

    Hidden files and folders, and folders that file servers and archivers make, are left out. A link to a
    folder is followed once, and only to a place outside of ``folder``, whose own folders are listed anyway.

    Args:
        folder: the folder.
        deep: list its sub-folders too.
        left_out: counts all other files in and under it, those of other kinds by the ending of their name;
            examples are relative to the folder.

    Raises:
        UserError: a folder cannot be listed.
    """
    return ImageFiles(_Walk(folder, deep, left_out).files())


class _Walk:
    """One listing; see ``list_images``."""

    def __init__(self, folder: Path, deep: bool, left_out: LeftOut | None) -> None:
        self.root = os.fspath(folder)
        self.deep, self.left_out = deep, left_out
        self.real = os.path.realpath(self.root)
        self.followed: set[tuple[int, int]] = set()
        self.seen = set(IMAGE_SUFFIXES)  # and those in upper case, once one was seen

    def files(self) -> list[str]:
        found: list[str] = []
        waiting: list[str | list[str]] = [self.root]
        while waiting:
            part = waiting.pop()
            if isinstance(part, list):
                found += part
            else:
                waiting += reversed(self._list(part))
        return found

    def _list(self, folder: str) -> list[str | list[str]]:
        """Return the pictures and the folders to list in a folder, by name."""
        names: list[str] = []
        folders: set[str] = set()
        seen = self.seen
        prefix = "" if folder == "." else os.path.join(folder, "")
        for entry in _scan(folder):
            name = entry.name
            if entry.is_file(follow_symlinks=False):
                if name[name.rfind(".") :] in seen and name[0] != ".":
                    names.append(name)
                else:
                    self._file(name, prefix, names)
            elif _is_folder(entry):
                if self._enters(entry):
                    names.append(name)
                    folders.add(name)
            elif entry.is_symlink() and os.path.isfile(entry.path):
                self._file(name, prefix, names)
            else:
                kind = "a link to nothing" if entry.is_symlink() else "no regular file"
                self._count(kind, prefix + name)
        names.sort()
        if not folders:
            return [[prefix + name for name in names]]
        parts: list[str | list[str]] = []
        for name in names:
            if name in folders:
                parts.append(prefix + name)
            elif parts and isinstance(parts[-1], list):
                parts[-1].append(prefix + name)
            else:
                parts.append([prefix + name])
        return parts

    def _file(self, name: str, prefix: str, names: list[str]) -> None:
        """Take a file as a picture or count it, by its name."""
        suffix = os.path.splitext(name)[1].lower()
        if name.startswith("."):
            reason = "a hidden file: its name begins with a dot"
        elif suffix in IMAGE_SUFFIXES:
            names.append(name)
            self.seen.add(name[-len(suffix) :])
            return
        elif suffix in HEIF_SUFFIXES:
            reason = f"a {suffix} picture, which is read after: {HEIF_EXTRA}"
        elif suffix in UNREAD_SUFFIXES:
            reason = f"a {suffix} picture, a format that is not read"
        else:
            reason = f"no picture: {suffix}" if suffix else "no picture: a name without an ending"
        self._count(reason, prefix + name)

    def _enters(self, entry: "os.DirEntry[str]") -> bool:
        """Return whether a folder is listed; if not, count the files in it."""
        if (reason := no_folder_of_crops(entry.name)) is None and not self.deep:
            reason = "in a sub-folder, where only the files beside it are read"
        if reason is None and entry.is_symlink():
            real, status = os.path.realpath(entry.path), entry.stat()
            nested = any(os.path.commonpath(pair) in pair for pair in [(real, self.real)])
            if nested or (status.st_dev, status.st_ino) in self.followed:
                self._count("a link to a folder that is listed already", entry.path)
                return False
            self.followed.add((status.st_dev, status.st_ino))
        if reason is not None and self.left_out is not None:
            if entry.is_symlink():
                self._count(reason, entry.path)
                return False
            for parent, folders, files in os.walk(entry.path):
                links = (name for name in folders if os.path.islink(os.path.join(parent, name)))
                for name in (*files, *links):
                    self._count(reason, os.path.join(parent, name))
        return reason is None

    def _count(self, reason: str, path: str) -> None:
        if self.left_out is not None:
            self.left_out.add(reason, os.path.relpath(path, self.root))


def no_folder_of_crops(name: str) -> str | None:
    """Return why a folder of this name holds no crops, or None if it may."""
    if name.startswith("."):
        return f"in a hidden folder: {name}"
    return f"in {name}: made by a file server or viewer" if name.lower() in MADE_BY_OTHERS else None


def no_images(folder: Path) -> UserError:
    """Return the error for a folder without pictures, which says what else is in and under it."""
    if (folder / DRAWING).is_file():
        return UserError(
            f"{folder} has no pictures: its people are drawn while a network is trained on them, and only "
            "'resight train' takes it. For pictures, make a set without --on-the-fly: "
            f"{command_line('synthesize', 'FOLDER')}"
        )
    left_out = LeftOut()
    list_images(folder, deep=True, left_out=left_out)
    there = "; ".join(f"{row['count']:,} x {row['reason']}" for row in left_out.as_list()[:5])
    expected = f"Files with these endings are read: {', '.join(sorted(IMAGE_SUFFIXES))}."
    return UserError(f"{folder} contains no image file{f', but {there}' if there else ''}. {expected}")


def sub_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that may hold crops, by name.

    Raises:
        UserError: the folder cannot be listed.
    """
    inner = (entry for entry in _scan(os.fspath(folder)) if _is_folder(entry))
    return [folder / name for name in sorted(entry.name for entry in inner) if not no_folder_of_crops(name)]


def examples(paths: Iterable[Path], root: Path) -> str:
    """Return up to three of the paths, relative to ``root``, for a message."""
    return ", ".join(str(path.relative_to(root)) for path in sorted(paths)[:3])


def _scan(folder: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be listed: {error.strerror}.") from error


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False

"""Plain folders: one sub-folder per person, or files with paths that a regular expression reads."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from resight.data.benchmark import EVERY_OTHER_IMAGE, Benchmark, Protocol
from resight.data.benchmarks.market_layout import NAME as MARKET_NAME
from resight.data.crop import DISTRACTOR, JUNK, Crop
from resight.data.opening import READERS
from resight.data.splitting import make_test
from resight.errors import UserError
from resight.folders import examples, list_images, no_images
from resight.imaging import natural

PARTS = {
    "train": ("train", "bounding_box_train"),
    "query": ("query",),
    "gallery": ("gallery", "test", "bounding_box_test"),
}
"""Folders of a given split; at least two of the parts must be there."""

EXAMPLE = r"--pattern '(?P<person>\d+)_cam(?P<camera>\d+)'"


@dataclass(frozen=True, slots=True)
class _Labelled:
    path: Path
    person: str
    camera: str | None


@READERS.register("folder")
class Folder:
    """One sub-folder per person, images anywhere under it; or the same in train, query and gallery (or test).

    Args:
        pattern: regular expression with named groups person and/or camera, searched in each file's path.
        pairs: refuse a set of one person only, or of one image per person.
    """

    source = None

    def __init__(self, *, pattern: str | None = None, pairs: bool = True) -> None:
        self.pattern, self.pairs = pattern, pairs

    def recognises(self, root: Path) -> bool:
        """Return True: any folder will do."""
        return True

    def read(self, root: Path) -> Benchmark:
        """Return crops with persons numbered from 1 in natural order of their labels (``2`` before ``10``).

        Cameras come from the pattern, or from Market-1501 file names where all files have such names. Camera
        labels that are not numbers are numbered from 1 in natural order. ``-1`` is junk; ``0000`` is a
        distractor if it is in the gallery of a given split only.

        Raises:
            UserError: there is no image, the pattern is wrong or does not match every file, there is one
                person only, or one image per person.
        """
        pattern, folders = self.pattern, _parts(root)
        files = {part: list_images(folder, deep=True) for part, folder in folders.items()}
        paths = [path for found in files.values() for path in found]
        if not paths:
            raise no_images(root)
        expression = _expression(pattern, paths)
        labels = {
            part: {path: _label(path, root, folders[part], expression) for path in found}
            for part, found in files.items()
        }
        read = {part: [label for label in found.values() if label] for part, found in labels.items()}
        unread = [path for found in labels.values() for path, label in found.items() if label is None]
        notes = _left_alone(root, folders)
        if unread and pattern is not None:
            raise UserError(
                f"{len(unread)} of {len(paths)} images in {root} cannot be read with --pattern '{pattern}': "
                f"{examples(unread, root)}. It is searched in the path after {root}/, and must give the "
                "person unless a sub-folder does. Correct it, or move these images away."
            )
        if len(unread) == len(paths):
            raise UserError(
                f"The {len(paths)} images in {root} are in no sub-folders: {examples(paths, root)}. "
                f"Put each person's images into a folder, or give a pattern for the names, such as {EXAMPLE}."
            )
        if unread:
            notes.append(
                f"{len(unread)} images that are in no person's folder are left out: {examples(unread, root)}."
            )
        if expression is MARKET_NAME:
            notes.append("Cameras are read from the file names, which have Market-1501 form.")
        if self.pairs:
            everyone = [item for items in read.values() for item in items]
            _refuse_hopeless(root, everyone, given_split=len(read) > 1)
        return _benchmark(root, read, notes)


def _parts(root: Path) -> dict[str, Path]:
    """Return the folders of a given split, or the root as the training part."""
    found: dict[str, Path] = {}
    for part, names in PARTS.items():
        for name in names:
            if (root / name).is_dir():
                found.setdefault(part, root / name)
    return found if len(found) > 1 else {"train": root}


def _left_alone(root: Path, folders: Mapping[str, Path]) -> list[str]:
    if len(folders) == 1:
        return []
    used = set(folders.values())
    others = [child.name for child in sorted(root.iterdir()) if child.is_dir() and child not in used]
    return [f"Folders that are not part of the split are ignored: {', '.join(others)}."] if others else []


def _expression(pattern: str | None, paths: Iterable[Path]) -> re.Pattern[str] | None:
    """Return the expression that reads labels from paths; None if only sub-folders are labels."""
    if pattern is None:
        return MARKET_NAME if all(MARKET_NAME.fullmatch(path.name) for path in paths) else None
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--pattern '{pattern}' is no regular expression: {error}. Try {EXAMPLE}.") from None
    if not {"person", "camera"} & expression.groupindex.keys():
        raise UserError(f"--pattern '{pattern}' has neither a group 'person' nor 'camera'. Try {EXAMPLE}.")
    return expression


def _label(path: Path, root: Path, folder: Path, expression: re.Pattern[str] | None) -> _Labelled | None:
    """Read one path; None if the expression does not match or there is no person."""
    inside = path.relative_to(folder).parts
    labels: dict[str, str | None] = {"person": inside[0] if len(inside) > 1 else None}
    if expression is not None:
        found = expression.search(path.relative_to(root).as_posix())
        if found is None or ("camera" in expression.groupindex and found["camera"] is None):
            return None
        named = found.groupdict()
        labels |= {"camera": named["camera"]} if expression is MARKET_NAME else named
    return None if labels["person"] is None else _Labelled(path, labels["person"], labels.get("camera"))


def _benchmark(root: Path, parts: dict[str, list[_Labelled]], notes: list[str]) -> Benchmark:
    everyone = [item for items in parts.values() for item in items]
    persons = _number_persons(parts)
    cameras = _number_cameras(everyone, notes)
    crops = {
        part: tuple(
            Crop(item.path, persons[item.person], None if item.camera is None else cameras[item.camera])
            for item in items
        )
        for part, items in parts.items()
    }
    query, gallery, protocol = crops.get("query", ()), crops.get("gallery", ()), Protocol()
    if gallery and not query:
        others = [crop for crop in gallery if crop.person <= 0]
        query, gallery, protocol, reason = make_test([crop for crop in gallery if crop.person > 0], others)
        notes += ["There is no query folder: queries are chosen among the crops of the test folder.", *reason]
    elif not cameras:
        protocol = EVERY_OTHER_IMAGE
        if query:
            notes.append(
                "Cameras are not known, so every gallery image of the person counts "
                f"(protocol '{protocol.name}', easier than the cross-camera rule)."
            )
    return Benchmark(
        name=root.resolve().name,
        root=root,
        train=crops.get("train", ()),
        query=query,
        gallery=gallery,
        protocol=protocol,
        names={number: name for name, number in persons.items() if number > 0},
        notes=tuple(notes),
    )


def _number_persons(parts: dict[str, list[_Labelled]]) -> dict[str, int]:
    labels = {part: {item.person for item in items} for part, items in parts.items()}
    everyone = set().union(*labels.values())
    special = {"-1": JUNK}
    if "0000" in labels.pop("gallery", ()) and not any("0000" in others for others in labels.values()):
        special["0000"] = DISTRACTOR
    names = sorted(everyone - special.keys(), key=natural)
    return {name: number for number, name in enumerate(names, 1)} | special


def _number_cameras(everyone: list[_Labelled], notes: list[str]) -> dict[str, int]:
    labels = sorted({item.camera for item in everyone if item.camera is not None}, key=natural)
    if all(label.isdecimal() for label in labels):
        return {label: int(label) for label in labels}
    numbers = {label: number for number, label in enumerate(labels, 1)}
    shown = ", ".join(f"{label} = {number}" for label, number in list(numbers.items())[:10])
    notes.append(f"{len(labels)} camera labels are numbered: {shown}{', ...' if len(labels) > 10 else ''}.")
    return numbers


def _refuse_hopeless(root: Path, everyone: list[_Labelled], *, given_split: bool) -> None:
    images = Counter(item.person for item in everyone)
    if len(images) == 1:
        (person,) = images
        inner = root / person
        hint = f" If its sub-folders are the persons, name {inner} instead." if inner.is_dir() else ""
        raise UserError(
            f"All {len(everyone)} images in {root} are of one person, '{person}': two are needed.{hint}"
        )
    if max(images.values()) == 1 and not given_split:
        raise UserError(
            f"Each of the {len(images)} persons in {root} has a single image: there is no pair to learn from "
            "or to match. At least two images per person are needed."
        )

"""Plain folders: one sub-folder a person, or any files whose paths a regular expression reads."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from resight.data.benchmark import EVERY_OTHER_IMAGE, Benchmark, Protocol
from resight.data.benchmarks.market1501 import NAME as MARKET_NAME
from resight.data.crop import DISTRACTOR, JUNK, Crop
from resight.data.images import IMAGE_SUFFIXES, examples, list_images, natural
from resight.data.opening import READERS
from resight.data.splitting import make_test
from resight.errors import UserError

PARTS = {
    "train": ("train", "bounding_box_train"),
    "query": ("query",),
    "gallery": ("gallery", "test", "bounding_box_test"),
}
"""Names of the folders of a split that the set brings along; at least two of the parts must be there."""

EXAMPLE = r"--pattern '(?P<person>\d+)_cam(?P<camera>\d+)'"


@dataclass(frozen=True, slots=True)
class _Labelled:
    path: Path
    person: str
    camera: str | None


@READERS.register("folder")
class Folder:
    """One sub-folder a person, images anywhere under it; or that in train, query and gallery (or test)."""

    def recognises(self, root: Path) -> bool:
        """Tell whether there is a sub-folder to take for a person."""
        return any(child.is_dir() for child in root.iterdir())

    def read(self, root: Path, pattern: str | None) -> Benchmark:
        """Return crops with persons numbered from 1 in natural order of their labels (``2`` before ``10``).

        Cameras come from ``pattern``, or from Market-1501 file names where all files have such names. Camera
        labels that are not numbers are numbered from 1 in natural order. ``-1`` is junk; ``0000`` is a
        distractor where it occurs in the gallery of a given split only.

        Raises:
            UserError: there is no image, the pattern is wrong or does not match every file, there is one
                person only, or one image a person.
        """
        folders = _parts(root)
        files = {part: list_images(folder, deep=True) for part, folder in folders.items()}
        paths = [path for found in files.values() for path in found]
        if not paths:
            raise UserError(f"{root} holds no image file ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        if pattern is None:
            expression = (
                MARKET_NAME if all(MARKET_NAME.fullmatch(path.name) for path in paths) else re.compile("")
            )
            groups = {"camera"} & expression.groupindex.keys()
        else:
            expression = _compile(pattern)
            groups = {"person", "camera"} & expression.groupindex.keys()
        labelled: dict[str, list[_Labelled]] = {}
        unread = []
        for part, found in files.items():
            labelled[part] = []
            for path in found:
                label = _label(path, root, folders[part], expression, groups)
                if label is None:
                    unread.append(path)
                else:
                    labelled[part].append(label)
        notes = []
        if unread:
            if pattern is not None:
                raise UserError(_unmatched(unread, len(paths), root, pattern, groups))
            if len(unread) == len(paths):
                raise UserError(
                    f"The {len(paths)} images in {root} lie in no sub-folders, for instance "
                    f"{examples(paths, root)}. Put each person's images into a folder of their own, or say "
                    f"how to read the names, such as {EXAMPLE}."
                )
            notes.append(
                f"{len(unread)} images outside any person's folder are left out: {examples(unread, root)}."
            )
        if pattern is None and groups:
            notes.append("Cameras are read from the file names, which have Market-1501 form.")
        return _benchmark(root, labelled, notes)


def _parts(root: Path) -> dict[str, Path]:
    """Return the folders of a split that the set brings along, or the root as the training part."""
    found: dict[str, Path] = {}
    for part, names in PARTS.items():
        for name in names:
            if (root / name).is_dir():
                found.setdefault(part, root / name)
    return found if len(found) > 1 else {"train": root}


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"--pattern '{pattern}' is no regular expression: {error}. Expected such as {EXAMPLE}."
        ) from None
    if not {"person", "camera"} & expression.groupindex.keys():
        raise UserError(
            f"--pattern '{pattern}' has neither a group 'person' nor 'camera'. Expected such as {EXAMPLE}."
        )
    return expression


def _label(
    path: Path, root: Path, folder: Path, expression: re.Pattern[str], groups: set[str]
) -> _Labelled | None:
    """Read one path; None where the expression does not match or no sub-folder names the person."""
    found = expression.search(path.relative_to(root).as_posix())
    if found is None or any(found[group] is None for group in groups):
        return None
    inside = path.relative_to(folder).parts
    if "person" not in groups and len(inside) < 2:
        return None
    return _Labelled(
        path,
        person=found["person"] if "person" in groups else inside[0],
        camera=found["camera"] if "camera" in groups else None,
    )


def _unmatched(unread: list[Path], total: int, root: Path, pattern: str, groups: set[str]) -> str:
    wanted = "match" if "person" in groups else "match, or lie in no sub-folder that names the person"
    return (
        f"{len(unread)} of {total} images in {root} do not {wanted}: {examples(unread, root)}. "
        f"The --pattern '{pattern}' is searched in the path behind {root}/. Mend it, or move the images away."
    )


def _benchmark(root: Path, parts: dict[str, list[_Labelled]], notes: list[str]) -> Benchmark:
    everyone = [item for items in parts.values() for item in items]
    persons = _number_persons(parts)
    _refuse_hopeless(root, everyone, given_split=len(parts) > 1)
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
    if "0000" in labels.get("gallery", ()) and not any(
        "0000" in labels[part] for part in labels.keys() - {"gallery"}
    ):
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
        hint = (
            f" If its sub-folders are the persons, name {root / person} instead."
            if (root / person).is_dir()
            else ""
        )
        raise UserError(
            f"All {len(everyone)} images in {root} are of one person, '{person}': two are needed.{hint}"
        )
    if max(images.values()) == 1 and not given_split:
        raise UserError(
            f"Each of the {len(images)} persons in {root} has a single image: there is no pair to learn "
            f"from or "
            "to match. Two images a person are needed, better more."
        )

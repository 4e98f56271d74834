"""Plain folders: one sub-folder per person, or files with paths that a regular expression reads."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resight.data.benchmark import EVERY_OTHER_IMAGE, Benchmark, Protocol
from resight.data.crop import DISTRACTOR, JUNK, Crop
from resight.data.labels import NUMBERED
from resight.data.layout import Parts, PathLayout, infer, level_of, search, unlabelled
from resight.data.opening import READERS
from resight.data.split_folders import split_parts
from resight.data.splitting import make_test
from resight.errors import UserError
from resight.folders import list_images, no_images
from resight.imaging import natural
from resight.names import readable

EXAMPLE = r"--pattern '(?P<person>\d+)_cam(?P<camera>\d+)'"

JUNK_LABELS = ("-1", "-2", "00-1")


@dataclass(frozen=True, slots=True)
class _Labelled:
    path: Parts
    person: str | None
    camera: str | None
    clothes: str | None = None
    track: str | None = None


@READERS.register("folder")
class Folder:
    """One sub-folder per person, images anywhere under it; or the same in train, query and gallery (or test).

    Args:
        pattern: regular expression with named groups person and/or camera (and clothes, track), searched in
            each file's path below the folder; if it does not match, with the folder's own name before it.
        pairs: refuse a set of one person only, of one image per person, or without labels of persons.
    """

    source = None

    def __init__(self, *, pattern: str | None = None, pairs: bool = True) -> None:
        self.pattern, self.pairs = pattern, pairs

    def recognises(self, root: Path) -> bool:
        """Return True: any folder will do."""
        return True

    def read(self, root: Path) -> Benchmark:
        """Return crops with persons numbered from 1 in natural order of their labels (``2`` before ``10``).

        The layout is inferred (see ``data.layout``); a note says from what. Camera labels that are not
        numbers are numbered from 1 in natural order. ``-1`` is junk. ``0000`` in the gallery of a given split
        is a distractor unless a query has it. Where nobody is labelled, all crops are distractors.

        Raises:
            UserError: there is no image, two layouts fit, the pattern is wrong or does not match every file,
                there is one person only, or one image per person.
        """
        names = list_images(root, deep=True).names
        if not names:
            raise no_images(root)
        start = len(str(root / "x")) - 1
        paths = [tuple(name[start:].split("/")) for name in names]
        parts, others = split_parts(paths, root)
        chosen = [path for path in paths if path[0] in parts] if parts else paths
        groups = _groups(self.pattern)
        named, layout = self._layout(chosen, root, outer=bool(parts))
        by_name = layout.form is not None or "person" in groups
        read: dict[str, list[_Labelled]] = defaultdict(list)
        unread = []
        for path, match in zip(chosen, named, strict=True):
            label = _label(path, layout, match)
            if label is None or (label.person is None and (by_name or layout.person is not None)):
                unread.append(path)
            else:
                read[parts.get(path[0], "train")].append(label)
        if unread and self.pattern is not None:
            raise UserError(
                f"{len(unread)} of {len(paths)} images in {root} cannot be read with --pattern "
                f"'{self.pattern}': {_shown(unread)}. It is searched in the path after {root}/, and must "
                "give the person unless a sub-folder does. Correct it, or move these images away."
            )
        everyone = [item for items in read.values() for item in items]
        if all(item.person is None and item.camera is None for item in everyone):
            raise UserError(
                f"The {len(chosen)} images in {root} are in no sub-folders: {_shown(chosen)}. "
                f"Put each person's images into a folder, or give a pattern for the names, such as {EXAMPLE}."
            )
        if (self.pairs or self.pattern is None) and all(item.person is None for item in everyone):
            raise unlabelled(root, layout, chosen)
        if self.pairs:
            _refuse_hopeless(root, everyone, given_split=len(read) > 1)
        notes = [f"{layout.evidence}."] if layout.evidence else []
        if others:
            notes.append(f"Folders that are not part of the split are ignored: {', '.join(sorted(others))}.")
        if unread:
            notes.append(
                f"{len(unread)} images that are in no person's folder are left out: {_shown(unread)}."
            )
        _place_validation(read, notes)
        return _benchmark(root, read, notes)

    def _layout(
        self, paths: Sequence[Parts], root: Path, *, outer: int
    ) -> tuple[list[dict[str, str | None] | None], PathLayout]:
        """Return what the pattern reads of each path (None: it does not match), and the layout."""
        if self.pattern is None:
            return [{}] * len(paths), infer(paths, root, outer)
        expression, texts = re.compile(self.pattern), ["/".join(path) for path in paths]
        matches = search(expression, texts, root)
        named = [None if match is None else match.groupdict() for match in matches]
        if "person" in expression.groupindex:
            return named, PathLayout()
        return named, infer(paths, root, outer, camera=level_of(matches, texts))


def _groups(pattern: str | None) -> set[str]:
    """Return the names of a pattern's groups."""
    if pattern is None:
        return set()
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise UserError(f"--pattern '{pattern}' is no regular expression: {error}. Try {EXAMPLE}.") from None
    if not {"person", "camera"} & groups:
        raise UserError(f"--pattern '{pattern}' has neither a group 'person' nor 'camera'. Try {EXAMPLE}.")
    return groups


def _label(path: Parts, layout: PathLayout, named: dict[str, str | None] | None) -> _Labelled | None:
    """Return the labels of one path; None if the pattern does not match, or has no camera for it."""
    if named is None or named.get("camera", "") is None:
        return None

    def folder(level: int | None) -> str | None:
        return path[level] if level is not None and 0 <= level < len(path) - 1 else None

    if layout.form is not None and (found := layout.form.fullmatch(path[-1])) is not None:
        labels = found.groupdict() if layout.person is None else found.groupdict() | {"person": None}
        named = labels | named
    person, camera = named.get("person"), named.get("camera")
    others = named.get("clothes"), named.get("track")
    return _Labelled(path, person or folder(layout.person), camera or folder(layout.camera), *others)


def _place_validation(parts: dict[str, list[_Labelled]], notes: list[str]) -> None:
    """Make the part ``val`` a part to train on or, if it has other persons and is alone, the test part."""
    if "val" not in parts:
        return
    crops = parts.pop("val")
    train, persons = ({item.person for item in items} for items in (parts.get("train", []), crops))
    if "query" in parts or "gallery" in parts or persons <= train:
        parts["train"] = [*parts.get("train", []), *crops]
        why = "the same persons" if persons <= train else "persons of its own, and there is a test part"
        notes.append(f"The part 'val' has {why}: it is trained on.")
    else:
        parts["gallery"] = crops
        notes.append(
            "The part 'val' has other persons than 'train', and no other part is a test: it is the test."
        )


def _benchmark(root: Path, parts: dict[str, list[_Labelled]], notes: list[str]) -> Benchmark:
    if zeros := _distractors(parts):
        gallery = parts["gallery"]
        parts["gallery"] = [replace(item, person=None) if item.person in zeros else item for item in gallery]
    everyone = [item for items in parts.values() for item in items]
    labels = {item.person for item in everyone if item.person is not None} - set(JUNK_LABELS)
    names = {name: number for name, number in _number(labels).items() if name is not None}
    persons = names | dict.fromkeys(JUNK_LABELS, JUNK)
    cameras = _number_cameras(everyone, notes)
    clothes, tracks = _number({item.clothes for item in everyone}), _number({item.track for item in everyone})

    def crop(item: _Labelled) -> Crop:
        camera = None if item.camera is None else cameras[item.camera]
        person = DISTRACTOR if item.person is None else persons[item.person]
        return Crop(
            root.joinpath(*item.path), person, camera, clothes.get(item.clothes), tracks.get(item.track)
        )

    crops = {part: tuple(map(crop, items)) for part, items in parts.items()}
    query, tested, protocol = crops.get("query", ()), crops.get("gallery", ()), Protocol()
    if tested and not query:
        others = [crop for crop in tested if crop.person <= 0]
        query, tested, protocol, reason = make_test([crop for crop in tested if crop.person > 0], others)
        notes += ["There is no query folder: queries are chosen among the crops of the test folder.", *reason]
    elif not cameras:
        protocol = EVERY_OTHER_IMAGE
        if query:
            notes.append(
                "Cameras are not known, so every gallery image of the person counts "
                f"(protocol '{protocol.name}', easier than the cross-camera rule)."
            )
    return Benchmark(
        name=readable(root.resolve().name),
        root=root,
        train=crops.get("train", ()),
        query=query,
        gallery=tested,
        protocol=protocol,
        camera_names={number: readable(name) for name, number in cameras.items() if name != str(number)},
        names={number: readable(name) for name, number in names.items()},
        notes=tuple(notes),
    )


def _number(labels: Iterable[str | None]) -> dict[str | None, int]:
    """Number labels from 1 in natural order; None is no label."""
    names = sorted((label for label in labels if label is not None), key=natural)
    return {name: number for number, name in enumerate(names, 1)}


def _distractors(parts: dict[str, list[_Labelled]]) -> set[str | None]:
    """Return the labels of the number 0, unless a query has one or there is no query."""
    zeros = {item.person for item in parts.get("gallery", []) if item.person and not item.person.strip("0")}
    queries = {item.person for item in parts.get("query", [])}
    return set() if not queries or zeros & queries else set(zeros)


def _number_cameras(everyone: list[_Labelled], notes: list[str]) -> dict[str, int]:
    labels = sorted({item.camera for item in everyone if item.camera is not None}, key=natural)
    if all(label.isdecimal() for label in labels):
        return {label: int(label) for label in labels}
    numbers = {label: number for number, label in enumerate(labels, 1)}
    shown = ", ".join(f"{label} = {number}" for label, number in list(numbers.items())[:10])
    notes.append(f"{len(labels)} camera labels {NUMBERED}: {shown}{', ...' if len(labels) > 10 else ''}.")
    return numbers


def _refuse_hopeless(root: Path, everyone: list[_Labelled], *, given_split: bool) -> None:
    images = Counter(item.person or "" for item in everyone)
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


def _shown(paths: Sequence[Parts]) -> str:
    return ", ".join("/".join(path) for path in paths[:3])

"""MSMT17 (Wei et al., CVPR 2018), version 1 and version 2."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from resight.data.benchmark import Benchmark, DataSource, Published, PublishedCounts
from resight.data.crop import Crop
from resight.data.opening import READERS
from resight.errors import UserError
from resight.folders import examples, list_images

FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
LISTS = {"train": 0, "val": 0, "query": 1, "gallery": 1}
"""The set's lists -> which of the two folders their paths are in."""

LINE = re.compile(r"(?P<path>(?:\S+/)?\d+_\d+_(?P<camera>\d+)_[^\s/]+)\s+(?P<person>\d+)")
"""``0000/0000_000_01_0303morning_0008_0.jpg 0``: path with person, image and camera; then the person.

The camera is the third number of the file's name: thousands of names continue with ``_0033_1_ex.jpg``.
"""

COUNTS = {
    "train": PublishedCounts(32621, 1041),
    "query": PublishedCounts(11659, 3060),
    "gallery": PublishedCounts(82161, 3060),
}
MIXUPS = {
    "The images of list_val.txt are missing: published figures train on list_train.txt and list_val.txt.": {
        "train": PublishedCounts(30248)
    }
}


@READERS.register("msmt17")
class MSMT17:
    """MSMT17: 4,101 persons, 15 cameras; version 1, or version 2 with masked faces.

    Args:
        version: V1 (folders train, test), V2 (mask_train_v2, mask_test_v2), or auto: whichever is there.
        validation: train on list_train.txt and list_val.txt, as published figures do; or leave the latter
            out.
    """

    source = DataSource(
        "MSMT17",
        "https://www.pkuvmc.com/dataset.html",
        "For academic research only, under a release agreement that the owners send; no redistribution.",
    )

    def __init__(
        self,
        *,
        version: Literal["auto", "V1", "V2"] = "auto",
        validation: Literal["train", "leave-out"] = "train",
    ) -> None:
        self.version = version
        self.validation = validation

    def recognises(self, root: Path) -> bool:
        """Return whether the lists of query and gallery are there."""
        return all((root / f"list_{name}.txt").is_file() for name in ("query", "gallery"))

    def read(self, root: Path) -> Benchmark:
        """Return the parts of the lists; persons are numbered from 1, test persons last.

        Raises:
            UserError: a list or a folder is missing, or a list has another form.
        """
        version = self._version(root)
        folders = [root / folder for folder in FOLDERS[version]]
        there = {path for folder in folders if folder.is_dir() for path in list_images(folder, deep=True)}
        listed = {name: _read(root / f"list_{name}.txt", folders[part]) for name, part in LISTS.items()}
        shift = max((crop.person for name in ("train", "val") for crop in listed[name]), default=0)
        for name in ("query", "gallery"):
            listed[name] = [replace(crop, person=crop.person + shift) for crop in listed[name]]
        everything = {crop.path for crops in listed.values() for crop in crops}
        notes = [f"Version {version}: {' and '.join(FOLDERS[version])}."]
        _say_what_differs(notes, root, everything, there)
        found = {name: [crop for crop in crops if crop.path in there] for name, crops in listed.items()}
        counts = COUNTS if self.validation == "train" else COUNTS | {"train": PublishedCounts(30248, 1041)}
        return Benchmark(
            name=root.resolve().name,
            root=root,
            train=(*found["train"], *(found["val"] if self.validation == "train" else ())),
            query=tuple(found["query"]),
            gallery=tuple(found["gallery"]),
            names={crop.person: f"test {crop.person - shift - 1:04}" for crop in found["gallery"]},
            notes=tuple(notes),
            published=Published(self.source, counts, MIXUPS if self.validation == "train" else {}),
        )

    def _version(self, root: Path) -> Literal["V1", "V2"]:
        there = [name for name, folders in FOLDERS.items() if any((root / part).is_dir() for part in folders)]
        if self.version == "auto" and len(there) == 1:
            return "V1" if there == ["V1"] else "V2"
        if self.version in there and self.version != "auto":
            return self.version
        expected = "; ".join(f"{name}: {', '.join(folders)}" for name, folders in FOLDERS.items())
        if self.version == "auto" and there:
            raise UserError(f"{root} holds both versions of MSMT17. Choose one: version=V1 or version=V2.")
        wanted = "either version" if self.version == "auto" else f"version {self.version}"
        found = f"; the folders of version {there[0]} are there" if there else ""
        raise UserError(f"The folders of {wanted} of MSMT17 are not in {root}{found}. Expected: {expected}.")


def _read(path: Path, folder: Path) -> list[Crop]:
    if not path.is_file():
        raise UserError(f"{path} is missing: the lists of MSMT17 assign images to parts.")
    crops = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), 1):
        if not line.strip():
            continue
        found = LINE.fullmatch(line.strip())
        if found is None:
            raise UserError(
                f"Line {number} of {path} is '{line[:80]}'; expected a path and a person, such as "
                "'0000/0000_000_01_0303morning_0008_0.jpg 0'."
            )
        crops.append(Crop(folder / found["path"], int(found["person"]) + 1, int(found["camera"])))
    return crops


def _say_what_differs(notes: list[str], root: Path, listed: set[Path], there: set[Path]) -> None:
    for paths, what in (
        (listed - there, "images that the lists name are missing"),
        (there - listed, "images are in no list and are left out"),
    ):
        if paths:
            notes.append(f"{len(paths):,} {what}, such as {examples(paths, root)}.")
    if not listed & there:
        raise UserError(
            f"None of the {len(listed):,} images in the lists of {root} is there, such as "
            f"{min(listed)}. Are the lists and the folders of one version, and of one archive?"
        )

"""The folders of a given split: which part each is, by its name."""

import re
from collections.abc import Sequence
from pathlib import Path

from resight.data.layout import Parts, folder_option, some, two_readings

PARTS = {
    "train": ("trainall", "train", "training", "trainset"),
    "val": ("val", "valid", "validation"),
    "query": ("query", "queries", "probe"),
    "gallery": ("gallery", "test", "testing", "testset"),
}
"""Part of a split -> names of its folder, the preferred one first, apart from punctuation and ``image_``,
``bounding_box_`` and the like before it."""


def part_of(folder: str) -> str | None:
    """Return the part of a split that a folder of this name is, if it is one."""
    return next((part for part, names in PARTS.items() if _plain(folder) in names), None)


def split_parts(paths: Sequence[Parts], root: Path) -> tuple[dict[str, str], set[str]]:
    """Tell which of the outermost folders are parts of a split: train, val, query and gallery.

    Returns:
        Folder -> part, empty if there is no split; and the other folders, which are not read.

    Raises:
        UserError: one folder is named as a part of a split, and others are not.
    """
    tops = {path[0] for path in paths if len(path) > 1}
    named = {folder: part for folder in tops if (part := part_of(folder)) is not None}
    best: dict[str, str] = {}
    for folder, part in sorted(named.items(), key=lambda item: PARTS[item[1]].index(_plain(item[0]))):
        best.setdefault(part, folder)
    if len(best) == 1 and len(tops) > len(named):
        (folder,) = best.values()
        if any(path[0] == folder and len(path) > 2 for path in paths):
            raise two_readings(
                root,
                f"'{folder}' is named as a part of a split, {some(tops - {folder})} are not",
                {
                    "it is": f"name {root / folder} alone",
                    "it is a person as they are": folder_option(0),
                },
            )
        return {}, set()
    if len(best) == 1:
        return dict.fromkeys(best.values(), "train"), set()
    if _plain(best.get("train", "")) == "trainall":
        best.pop("val", None)
    parts = {folder: part for part, folder in best.items()} if best else {}
    return parts, tops - parts.keys() if parts else set()


def _plain(folder: str) -> str:
    """Return the name of a split's folder without what is put before it."""
    name = re.sub(r"^(?:images?|img|bounding_box|bbox|crops?)[\W_]", "", folder.lower())
    return re.sub(r"[\W_]", "", name)

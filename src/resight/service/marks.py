"""Marks: users' decisions about which crops show the same person.

*Same* is stored as the label ``person`` of a crop, *different* as the tag ``not:PERSON``, because it does not
say which other person the crop shows. Both are deleted with the crop.
"""

import csv
import io
import re
import secrets
import zipfile
from collections.abc import Sequence
from typing import IO

from resight.errors import UserError
from resight.gallery.corrections import NOT
from resight.gallery.crops import Filter, StoredCrop
from resight.gallery.gallery import Gallery

GENERATED = re.compile("person-[0-9a-f]{4}")
"""Names of persons that nobody has named."""


def mark(
    gallery: Gallery, crops: Sequence[str], *, query: Sequence[str] = (), person: str = "", same: bool | None
) -> tuple[str, list[StoredCrop]]:
    """Mark crops as showing the person of a query or not; return the person's name and the crops.

    Args:
        gallery: of the crops.
        crops: ids of the crops to mark.
        query: ids of the query's crops; unlabelled ones get the name.
        person: name; by default that of the query's crops, or a new one. A person whose name was made here is
            renamed.
        same: whether it is the same person; None removes the mark.

    Raises:
        UserError: a crop is not in the gallery, or the query's crops are labelled as another person or as
            several.
    """
    queries = gallery.get(query)
    named = list(dict.fromkeys(crop.person for crop in queries if crop.person is not None))
    if same is not None and len(named) > 1:
        raise UserError(
            f"The crops that you search for are labelled as {len(named)} persons, {' and '.join(named)}. If "
            "these are one person, rename one of them first."
        )
    if same is not None and person and named and person != named[0]:
        if not GENERATED.fullmatch(named[0]):
            raise UserError(
                f"The crops that you search for are labelled as '{named[0]}'. If this person is called "
                f"'{person}', rename '{named[0]}' first; if not, correct the labels of single crops."
            )
        gallery.rename(named[0], person)
    marked = gallery.get(crops)
    if not person:
        if same and not named:
            named = [crop.person for crop in marked if crop.person is not None]
        person = named[0] if named else _new_name(gallery)
    if same is not None and (unnamed := [crop.id for crop in queries if crop.person is None]):
        gallery.label(unnamed, person)
    if same:
        gallery.label(crops, person)
    elif taken_back := [crop.id for crop in marked if crop.person == person]:
        gallery.label(taken_back, None)
    no = NOT + person
    for crop in marked:
        others = [tag for tag in crop.tags if tag != no]
        tags = [*others, no] if same is False else others
        if tags != list(crop.tags):
            gallery.tag([crop.id], tags)
    return person, gallery.get(crops)


def different_from(crop: StoredCrop) -> list[str]:
    """Return the persons that a crop is marked as not showing."""
    return [tag.removeprefix(NOT) for tag in crop.tags if tag.startswith(NOT)]


def write_labels(gallery: Gallery, file: IO[bytes]) -> int:
    """Write the labelled crops to a ZIP; ``resight train --data`` can read it after unpacking.

    There is a folder for each person. If all cameras are known, file names have the form of Market-1501,
    which includes the camera. ``labels.csv`` describes each file; ``different.csv`` lists the marks
    *different*.

    Returns:
        the number of crops.
    """
    crops = list(gallery.crops(Filter(labelled=True)))
    known = all(crop.camera is not None for crop in crops)
    cameras = _numbers([crop.camera or "" for crop in crops])
    persons = _numbers([crop.person or "" for crop in crops])
    folders = _folders(list(persons))
    rows = []
    with zipfile.ZipFile(file, "w") as archive:  # JPEG files cannot be compressed further
        for number, crop in enumerate(crops):
            person, camera = crop.person or "", crop.camera or ""
            name = (
                f"{persons[person]:04d}_c{cameras[camera]}s1_{number:06d}_00.jpg"
                if known
                else f"{number:06d}.jpg"
            )
            path = f"{folders[person]}/{name}"
            archive.writestr(path, gallery.picture(crop.id))
            rows.append([path, person, camera, "" if crop.time is None else crop.time.isoformat(), crop.id])
        archive.writestr("labels.csv", table(["file", "person", "camera", "time", "id"], rows))
        different = [
            [crop.id, crop.person or "", tag.removeprefix(NOT)]
            for tag in gallery.values("tags")
            if tag.startswith(NOT)
            for crop in gallery.crops(Filter(tags=(tag,)))
        ]
        archive.writestr("different.csv", table(["id", "person", "is_not"], different))
    return len(crops)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as CSV, with cells quoted that a spreadsheet would interpret as formulas."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
        cells = [str(cell) for cell in row]
        writer.writerow(["'" + cell if cell.startswith(("=", "+", "-", "@")) else cell for cell in cells])
    return buffer.getvalue()


def plain(name: str) -> str:
    """Return a text as a file name of letters, digits and hyphens."""
    return re.sub(r"[^\w-]+", "-", name).strip("-")[:60] or "x"


def _folders(persons: Sequence[str]) -> dict[str, str]:
    """Return a folder for each person; the prefix makes names such as ``query`` and ``-1`` safe."""
    taken: dict[str, str] = {}
    for person in persons:
        folder = f"person_{plain(person)}"
        while folder in taken.values():
            folder += "_"
        taken[person] = folder
    return taken


def _numbers(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)), 1)}


def _new_name(gallery: Gallery) -> str:
    taken = gallery.values("person")
    while (name := f"person-{secrets.token_hex(2)}") in taken:
        pass
    return name

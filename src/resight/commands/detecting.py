"""Detectors that commands take, and the persons on pictures that they name."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.gallery.persons import Detect, QueryPerson


def load_detector(path: Path) -> "Detect":
    """Return what finds persons by a YOLOX network in an ONNX file."""
    from resight.ingest.detector import Detector

    return Detector.open(path).detect


def query_persons(pictures: Sequence[Path], detector: Path | None, choice: int | None) -> list["QueryPerson"]:
    """Return who is searched for on pictures of one person; where it could be somebody else, say so.

    Args:
        pictures: files.
        detector: ONNX file; None takes the pictures as they are.
        choice: number of the person on the first picture; by default the surest.
    """
    from resight.gallery.persons import select_person
    from resight.gallery.pictures import read_pixels

    if choice is not None and (detector is None or not pictures):
        raise UserError("--choice is the number of a person that a --detector finds in the first picture.")
    detect = None if detector is None else load_detector(detector)
    found = []
    for number, path in enumerate(pictures):
        person = select_person(read_pixels(path), detect, choice if number == 0 else None)
        count, other = len(person.persons or ()), " (--choice takes another one)" if number == 0 else ""
        if person.persons is not None and not count:
            say(f"Note: the detector finds no person in {path}; the whole picture is searched for.")
        elif person.chosen is not None and count > 1:
            say(
                f"Note: of {count} persons in {path}, counted from 0, {person.chosen} is searched for{other}."
            )
        found.append(person)
    return found

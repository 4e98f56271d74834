"""The option ``--detector``: find the query persons in pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.gallery.persons import Detect, QueryPerson


def load_detector(path: Path) -> "Detect":
    """Return the detector in an ONNX file of a YOLOX network."""
    from resight.ingest.detector import Detector

    return Detector.open(path).detect


def query_persons(pictures: Sequence[Path], detector: Path | None, choice: int | None) -> list["QueryPerson"]:
    """Return the query persons in pictures of one person; say so where another person could be meant.

    Args:
        pictures: files.
        detector: ONNX file; None takes the pictures as they are.
        choice: number of the person in the first picture; by default the one with the highest score.
    """
    from resight.gallery.persons import select_person
    from resight.gallery.pictures import read_pixels

    if choice is not None and (detector is None or not pictures):
        raise UserError(
            "--choice is the number of a person in the first picture: give a --detector and a picture."
        )
    detect = None if detector is None else load_detector(detector)
    found = []
    for number, path in enumerate(pictures):
        person = select_person(read_pixels(path), detect, choice if number == 0 else None)
        count, other = len(person.persons or ()), " (--choice selects another)" if number == 0 else ""
        if person.persons is not None and not count:
            say(f"Note: the detector finds no person in {path}. The whole picture is used.")
        elif person.chosen is not None and count > 1:
            say(
                f"Note: {count} persons are in {path}; number {person.chosen}, from 0, is searched "
                f"for{other}."
            )
        found.append(person)
    return found

"""Detectors that commands take, and the persons on pictures that they name."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import UserError
from resight.progress import say

if TYPE_CHECKING:
    from resight.gallery.persons import Detect, Sought


def load_detector(path: Path) -> "Detect":
    """Return what finds persons by a YOLOX network in an ONNX file."""
    from resight.ingest.detector import Detector

    return Detector.open(path).detect


def sought_on(pictures: Sequence[Path], detector: Path | None, choice: int | None) -> list["Sought"]:
    """Return who is searched for on pictures of one person; where it could be somebody else, say so.

    Args:
        pictures: files.
        detector: ONNX file; None takes the pictures as they are.
        choice: number of the person on the first picture; by default the surest.
    """
    from resight.gallery.persons import seek
    from resight.gallery.pictures import read_pixels

    if choice is not None and (detector is None or not pictures):
        raise UserError("--choice is the number of a person that a --detector finds in the first picture.")
    detect = None if detector is None else load_detector(detector)
    found = []
    for number, path in enumerate(pictures):
        sought = seek(read_pixels(path), detect, choice if number == 0 else None)
        count, other = len(sought.persons or ()), " (--choice takes another one)" if number == 0 else ""
        if sought.persons is not None and not count:
            say(f"Note: the detector finds no person in {path}; the whole picture is searched for.")
        elif sought.chosen is not None and count > 1:
            say(
                f"Note: of {count} persons in {path}, counted from 0, {sought.chosen} is searched for{other}."
            )
        found.append(sought)
    return found

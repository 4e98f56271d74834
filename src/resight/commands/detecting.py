"""The option ``--detector``: detecting the query persons in pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import UserError
from resight.left_out import LeftOut
from resight.progress import say, say_left_out

if TYPE_CHECKING:
    from resight.gallery.persons import Detect, QueryPerson


def load_detector(path: Path | None, person_class: str | None) -> "Detect | None":
    """Return the detector in a file if there is one, and print what is guessed about it."""
    from resight.ingest.detectors.detector import Detector

    if path is None:
        if person_class is not None:
            raise UserError("--person-class is a class of a detector: also give a --detector.")
        return None
    detector = Detector.open(path, person=person_class)
    for note in detector.notes:
        say(f"Note: {note}")
    return detector.detect


def query_persons(
    pictures: Sequence[Path],
    detector: Path | None,
    person_class: str | None,
    choice: int | None,
    left_out: LeftOut,
) -> "dict[int, QueryPerson]":
    """Return the query persons in pictures of one person, by the numbers of their pictures.

    Notes are printed if there are several persons in a picture, or none. Pictures that cannot be read are
    left out.

    Args:
        pictures: files.
        detector: its file; None uses the whole pictures.
        person_class: name or number of the detector's class "person".
        choice: index of the person in the first picture; by default the one with the highest score.
        left_out: counts the pictures that cannot be read.

    Raises:
        UserError: no picture can be read, or not the first one and there is a choice.
    """
    from resight.gallery.persons import select_person
    from resight.gallery.pictures import read_pixels

    if choice is not None and (detector is None or not pictures):
        raise UserError(
            "--choice is the number of a person in the first picture: also give a --detector and a picture."
        )
    detect = load_detector(detector, person_class)
    found: dict[int, QueryPerson] = {}
    errors: list[UserError] = []
    for number, path in enumerate(pictures):
        try:
            pixels = read_pixels(path)
        except UserError as error:
            if number == 0 and choice is not None:
                raise
            errors.append(error)
            left_out.add_unreadable(path, error)
            continue
        person = select_person(pixels, detect, choice if number == 0 else None)
        count, other = len(person.persons or ()), " (--choice selects another)" if number == 0 else ""
        if person.persons is not None and not count:
            say(f"Note: the detector found no person in {path}. The whole picture is used.")
        elif person.chosen is not None and count > 1:
            say(
                f"Note: the detector found {count} persons in {path}. The search is for number "
                f"{person.chosen}, counted from 0{other}."
            )
        found[number] = person
    if errors and not found:
        raise errors[0]
    say_left_out(list(map(str, errors)))
    return found

"""The persons that a detector finds in a picture, and the one who is searched for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.gallery.crops import Box
from resight.imaging import Pixels

Detect = Callable[[Pixels], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Finds persons: boxes [N, 4] (left, top, right, bottom) and scores [N], surest first."""

ALREADY_CUT = 0.6
"""A person whose box is at least this share of the picture has been cut out already."""


@dataclass(frozen=True, slots=True)
class DetectedPerson:
    """Somebody in a picture: left, top, width and height in fractions of it, and the detector's score."""

    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, slots=True)
class QueryPerson:
    """Who is searched for on a picture.

    Attributes:
        pixels: of that person.
        persons: that the detector finds in the whole picture, surest first; None without a detector.
        chosen: which of them ``pixels`` shows; None where it is the whole picture.
    """

    pixels: Pixels
    persons: tuple[DetectedPerson, ...] | None = None
    chosen: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what the detector found as plain data."""
        persons = self.persons
        return {
            "persons": None if persons is None else [{"box": one.box, "score": one.score} for one in persons],
            "chosen": self.chosen,
        }


def select_person(pixels: Pixels, detect: Detect | None, choice: int | None = None) -> QueryPerson:
    """Cut out who is searched for on a picture.

    Args:
        pixels: uint8 [H, W, 3].
        detect: finds persons; None takes the picture as it is.
        choice: number of the person; by default the surest, unless the picture shows little else.

    Raises:
        UserError: there is no such person.
    """
    if detect is None:
        return QueryPerson(pixels)
    persons = find_persons(detect, pixels)
    if choice is not None and not 0 <= choice < len(persons):
        raise UserError(
            f"There is no person {choice} in the picture: the detector finds {len(persons)}, counted from 0."
        )
    if not persons or (choice is None and persons[0].box[2] * persons[0].box[3] >= ALREADY_CUT):
        return QueryPerson(pixels, persons)
    chosen = choice or 0
    return QueryPerson(cut(pixels, persons[chosen])[0], persons, chosen)


def find_persons(detect: Detect, pixels: Pixels) -> tuple[DetectedPerson, ...]:
    """Return the persons in a picture [H, W, 3], surest first."""
    height, width = pixels.shape[:2]
    boxes, scores = detect(pixels)
    return tuple(
        DetectedPerson((left / width, top / height, (right - left) / width, (bottom - top) / height), score)
        for (left, top, right, bottom), score in zip(boxes.tolist(), scores.tolist(), strict=True)
    )


def cut(pixels: Pixels, person: DetectedPerson) -> tuple[Pixels, Box]:
    """Return the part of a picture [H, W, 3] that shows a person, at least a pixel of it, and its box."""
    height, width = pixels.shape[:2]
    left, top = min(int(person.box[0] * width), width - 1), min(int(person.box[1] * height), height - 1)
    right = max(left + 1, round((person.box[0] + person.box[2]) * width))
    bottom = max(top + 1, round((person.box[1] + person.box[3]) * height))
    return np.ascontiguousarray(pixels[top:bottom, left:right]), (left, top, right - left, bottom - top)

"""Detecting the persons in a picture, and choosing the one to search for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import UserError
from resight.imaging import Box, Pixels, cut, pixel_box

Detect = Callable[[Pixels], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Detects persons: boxes [N, 4] (left, top, right, bottom, in pixels) and scores [N], highest first."""

ALREADY_CUT = 0.6
"""A picture counts as a crop if the person's box fills at least this share of it."""


@dataclass(frozen=True, slots=True)
class DetectedPerson:
    """A person in a picture.

    Attributes:
        edges: left, top, right and bottom of the box, in pixels.
        share: left, top, width and height in fractions of the picture.
        score: of the detector.
    """

    edges: tuple[float, float, float, float]
    share: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, slots=True)
class QueryPerson:
    """A person to search for.

    Attributes:
        pixels: of that person.
        persons: all persons detected in the picture, highest score first; None without a detector.
        chosen: index of the person in ``pixels``; None if they are the whole picture.
    """

    pixels: Pixels
    persons: tuple[DetectedPerson, ...] | None = None
    chosen: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the detections as plain data."""
        persons = self.persons
        return {
            "persons": None
            if persons is None
            else [{"box": person.share, "score": person.score} for person in persons],
            "chosen": self.chosen,
        }


def select_person(pixels: Pixels, detect: Detect | None, choice: int | None = None) -> QueryPerson:
    """Cut the person to search for out of a picture.

    Args:
        pixels: uint8 [H, W, 3].
        detect: detects persons; None uses the whole picture.
        choice: index of the person; by default the one with the highest score, or the whole picture if that
            person fills most of it.

    Raises:
        UserError: there is no such person.
    """
    if detect is None:
        return QueryPerson(pixels)
    persons = find_persons(detect, pixels)
    if choice is not None and not 0 <= choice < len(persons):
        raise UserError(
            f"There is no person {choice} in the picture: the detector found {len(persons)}, counted from 0."
        )
    if not persons or (choice is None and persons[0].share[2] * persons[0].share[3] >= ALREADY_CUT):
        return QueryPerson(pixels, persons)
    chosen = choice or 0
    return QueryPerson(cut_person(pixels, persons[chosen])[0], persons, chosen)


def find_persons(detect: Detect, pixels: Pixels) -> tuple[DetectedPerson, ...]:
    """Return the persons in a picture [H, W, 3], highest score first."""
    height, width = pixels.shape[:2]
    boxes, scores = detect(pixels)
    return tuple(
        DetectedPerson(
            (left, top, right, bottom),
            (left / width, top / height, (right - left) / width, (bottom - top) / height),
            score,
        )
        for (left, top, right, bottom), score in zip(boxes.tolist(), scores.tolist(), strict=True)
        if pixel_box((left, top, right, bottom), height, width)
    )


def cut_person(pixels: Pixels, person: DetectedPerson) -> tuple[Pixels, Box]:
    """Return a detected person's pixels, and their box in the picture."""
    part = cut(pixels, person.edges)
    assert part is not None  # ``find_persons`` drops empty boxes
    return part

"""Checking pictures and classes before training: counts, and what would spoil a score."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from resight.data.benchmark import PublishedCounts
from resight.data.classification import Classification, Pictures, untrained
from resight.data.published import describe, differences

WORDS = {"crops": "pictures", "persons": "classes"}


@dataclass(frozen=True, slots=True)
class ClassPart:
    """Counts of one part.

    Attributes:
        pictures: all of them.
        classes: number of classes with pictures.
        fewest, most: pictures of a class.
        height, width: of every picture, in pixels.
    """

    pictures: int
    classes: int
    fewest: int
    most: int
    height: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationCheck:
    """What was found.

    Attributes:
        classification: what was checked.
        parts: counts of ``train`` and ``test``.
        problems: sentences about what makes the set unusable.
        warnings: sentences about what else a user should know.
    """

    classification: Classification
    parts: dict[str, ClassPart]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        found = self.classification
        return {
            "name": found.name,
            "path": str(found.root),
            "protocol": "classification",
            "usable": not self.problems,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "notes": list(found.notes),
            "published": None
            if found.published is None
            else describe(found.published, _counts(self.parts), WORDS),
            "parts": {name: asdict(part) for name, part in self.parts.items()},
        }


def check_classification(found: Classification) -> ClassificationCheck:
    """Count pictures and classes, and find classes without pictures and duplicate pictures."""
    parts = {"train": _part(found.train), "test": _part(found.test)}
    warnings = differences(found.published, _counts(parts), WORDS) if found.published is not None else []
    return ClassificationCheck(
        found, parts, tuple(untrained(found)), (*warnings, *_copies(found.train, found.test))
    )


def _part(pictures: Pictures) -> ClassPart:
    numbers = np.unique(pictures.classes, return_counts=True)[1]
    return ClassPart(
        len(pictures), len(numbers), int(numbers.min()), int(numbers.max()), *pictures.pixels.shape[1:3]
    )


def _counts(parts: dict[str, ClassPart]) -> dict[str, PublishedCounts]:
    return {name: PublishedCounts(part.pictures, part.classes) for name, part in parts.items()}


def _copies(train: Pictures, test: Pictures) -> list[str]:
    """Return sentences about pictures with the same pixels."""
    trained, tested = (
        Counter(picture.tobytes() for picture in pictures.pixels) for pictures in (train, test)
    )
    found = []
    if copies := (trained + tested).total() - len(trained + tested):
        found.append(f"{copies} pictures are exact copies of others.")
    if both := sum(tested[picture] for picture in tested.keys() & trained.keys()):
        found.append(f"{both} pictures of the test are in the training part too.")
    return found

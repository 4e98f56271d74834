"""What every family of detectors says about itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from resight.inference.runtimes.graph import Array
from resight.ingest.boxes import Floats
from resight.ingest.detectors.input_format import InputFormat

Outputs = Mapping[str, Array]
"""A network's outputs by name, for one picture."""

COCO = {80: 0, 90: 1, 91: 1}
"""Number of classes of a network that was trained on COCO -> its class "person": 80 in a row, or COCO's own
numbers, which begin at 1 and have gaps."""


class Family(ABC):
    """A network that was recognised as one of a family.

    Attributes:
        outputs: what the family's networks return, for messages.
        suppresses: whether several boxes of a person come out, of which the best must be chosen.
        numbering: numbers of the class "person" in known networks, for messages.
        formats: which its input may have; where there are several, a trial decides.
        classes: number of classes; None if the outputs do not tell.
    """

    outputs: ClassVar[str]
    suppresses: ClassVar[bool] = False
    numbering: ClassVar[str] = "0 in most networks"
    formats: tuple[InputFormat, ...]
    classes: int | None = None

    @classmethod
    @abstractmethod
    def recognise(cls, outputs: Outputs, size: tuple[int, int]) -> "Family | None":
        """Return the network if its outputs for a grey picture of ``size`` are of this family, else None."""

    @abstractmethod
    def read(self, outputs: Outputs, person: int) -> tuple[Floats, Floats]:
        """Return boxes [N, 4] (left, top, right, bottom, in pixels of the input) and a class's scores [N]."""

    def unnamed_person(self) -> tuple[int, str] | None:
        """Return the class "person" of a network that does not name its classes, and why; None if unknown."""
        if self.classes == 1:
            return 0, ""
        if self.classes in COCO:
            return COCO[self.classes], f"with {self.classes} of them, as in COCO"
        return 0, "as in COCO"


def only(outputs: Outputs, dimensions: int) -> Array | None:
    """Return the first picture's part of a network's only output, if it has so many dimensions, else None."""
    (value, *others) = outputs.values()
    return None if others or value.ndim != dimensions or len(value) != 1 else value[0]


def corners(centred: Array) -> Floats:
    """Convert boxes [N, 4] (centre x, centre y, width, height) to left, top, right, bottom."""
    centres, sides = centred[:, :2].astype(np.float64), centred[:, 2:4].astype(np.float64)
    return np.concatenate([centres - sides / 2, centres + sides / 2], 1)


def cell_counts(size: tuple[int, int]) -> list[int]:
    """Return how many cells networks of three and of four levels (P6) have for an input of this size."""
    return [len(grid(size, strides)) for strides in STRIDES]


STRIDES = ((8, 16, 32), (8, 16, 32, 64))
"""Pixels between cells for each level; the second tuple is for P6 networks."""


def grid(size: tuple[int, int], strides: tuple[int, ...]) -> Floats:
    """Return the cells [A, 3] (x and y in cells, stride), row by row for each level."""
    levels = []
    for stride in strides:
        y, x = np.mgrid[: size[0] // stride, : size[1] // stride].reshape(2, -1)
        levels.append(np.stack([x, y, np.full_like(x, stride)], 1))
    return np.concatenate(levels).astype(np.float64)

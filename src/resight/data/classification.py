"""Classification data sets, for SAL's Table 4: the other kind next to ``Benchmark``.

A classification has no queries, gallery, persons or cameras: the test set has other pictures of the classes
that were trained, and the score is how often the right class is predicted. In training, classes take the
place of persons: a network has one logit per class, and terms get classes as ``persons``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.data.benchmark import Published, Reader
from resight.imaging import Pixels
from resight.registry import Registry


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures of one size, each with a class.

    Attributes:
        file: the file that they are from, for messages.
        pixels: uint8 [N, H, W, 3], RGB.
        classes: int64 [N], from 0.
    """

    file: Path
    pixels: Pixels
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """A data set of pictures and classes.

    Attributes:
        name, root, notes, published, opened: as in ``Benchmark``; published counts are of ``train`` and
            ``test``, with classes in the place of persons.
        classes: the name of each class.
        train, test: pictures of these classes.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    train: Pictures
    test: Pictures
    notes: tuple[str, ...] = ()
    published: Published | None = None
    opened: Mapping[str, Any] = field(default_factory=dict)


def untrained(found: Classification) -> list[str]:
    """Return a sentence if a class has no picture to train on: a network could never predict it."""
    names = [name for number, name in enumerate(found.classes) if not (found.train.classes == number).any()]
    if not names:
        return []
    return [
        f"{len(names)} of {len(found.classes)} classes have no picture to train on, such as "
        f"{', '.join(names[:3])}: the set is not whole."
    ]


CLASSIFICATIONS: Registry[Reader[Classification]] = Registry("reader", "resight.data.classifications")

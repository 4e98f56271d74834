"""SSD with OpenVINO's DetectionOutput: [1, 1, N, 7]: picture, class, score, left, top, right, bottom.

Source: openvinotoolkit/open_model_zoo, ``models/intel/person-detection-retail-0013/README.md`` and
``person-detection-0200/README.md``: BGR from 0 to 255, stretched; boxes in fractions of the picture; the
picture is -1 after the last box. Class "person" is 1 in the former, 0 in the latter.
"""

import numpy as np

from resight.ingest.boxes import Floats
from resight.ingest.detectors.family import Family, Outputs, only
from resight.ingest.detectors.input_format import InputFormat


class SSD(Family):
    """An SSD network of Open Model Zoo.

    Args:
        size: height and width of the input.
        seen: classes of its boxes in a grey picture.
    """

    outputs = "SSD: [1, 1, boxes, 7]"
    numbering = "1 in person-detection-retail-0013, 0 in person-detection-0200 to -0203"
    formats = (InputFormat("BGR from 0 to 255", "stretch", "bgr", 255),)

    def __init__(self, size: tuple[int, int], seen: set[int]) -> None:
        self._size, self._seen = size, seen

    @classmethod
    def recognise(cls, outputs: Outputs, size: tuple[int, int]) -> "SSD | None":
        """See ``Family``."""
        rows = only(outputs, 4)
        if rows is None or rows.shape[0] != 1 or rows.shape[2] != 7:
            return None
        found = rows[0][(rows[0, :, 0] >= 0) & (rows[0, :, 2] > 0)]
        return cls(size, set(found[:, 1].astype(int).tolist()))

    def read(self, outputs: Outputs, person: int) -> tuple[Floats, Floats]:
        """See ``Family``."""
        (value,) = outputs.values()
        rows = value[0, 0].astype(np.float64)
        rows = rows[(rows[:, 0] >= 0) & (rows[:, 1] == person)]
        return rows[:, 3:] * np.tile(self._size[::-1], 2), rows[:, 2]

    def unnamed_person(self) -> tuple[int, str] | None:
        """See ``Family``."""
        return (min(self._seen), "") if len(self._seen) == 1 else None

"""End-to-end YOLO: one output [1, boxes, 6]: left, top, right, bottom, score, class; chosen by the network.

Source: Ultralytics, guide "End-to-end detection" (YOLO26; YOLOv10 and files exported with ``nms=True`` have
the same output). RGB from 0 to 1 in the centre of a grey input, as for other YOLO networks.
"""

import numpy as np

from resight.ingest.boxes import Floats
from resight.ingest.detectors.family import Family, Outputs, only
from resight.ingest.detectors.yolo import RGB


class EndToEndYOLO(Family):
    """A YOLO network that chooses the best box of each thing itself."""

    outputs = "YOLO26, YOLOv10: [1, boxes, 6]"
    formats = (RGB,)

    @classmethod
    def recognise(cls, outputs: Outputs, size: tuple[int, int]) -> "EndToEndYOLO | None":
        """See ``Family``."""
        rows = only(outputs, 3)
        if rows is None or rows.shape[1] != 6:
            return None
        scores, classes = rows[:, 4], rows[:, 5]
        return cls() if np.all((scores >= 0) & (scores <= 1) & (classes % 1 == 0)) else None

    def read(self, outputs: Outputs, person: int) -> tuple[Floats, Floats]:
        """See ``Family``."""
        (value,) = outputs.values()
        rows = value[0].astype(np.float64)
        rows = rows[rows[:, 5] == person]
        return rows[:, :4], rows[:, 4]

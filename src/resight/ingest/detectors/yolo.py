"""YOLOv5 to YOLO11: a box and the classes' probabilities for each cell, in pixels of the input.

Sources, by output:
[1, 4 + classes, cells]: YOLOv8, YOLO11 and YOLOv5u (ultralytics/ultralytics, ``engine/exporter.py``, and the
guide "End-to-end detection": ``(N, nc + 4, 8400)``);
[1, 3 cells, 5 + classes] with objectness: YOLOv5 (ultralytics/yolov5, ``models/yolo.py``) and YOLOv7;
[1, cells, 5 + classes] with objectness 1: YOLOv6 (meituan/YOLOv6, ``yolov6/models/effidehead.py``).
All take RGB from 0 to 1 in the centre of a grey input (``LetterBox``; YOLOv6's ``Inferer.process_image``).
"""

import numpy as np

from resight.inference.runtimes.graph import Array
from resight.ingest.boxes import Floats
from resight.ingest.detectors.family import Family, Outputs, cell_counts, corners, only
from resight.ingest.detectors.input_format import InputFormat

RGB = InputFormat("RGB from 0 to 1", "centre")


class YOLO(Family):
    """A YOLO network of Ultralytics' or YOLOv6's kind.

    Args:
        classes: number of classes.
        objectness: whether it comes before the classes.
    """

    outputs = (
        "YOLOv8 and YOLO11: [1, 4 + classes, cells]; YOLOv5 to YOLOv7: [1, cells or 3 cells, 5 + classes]"
    )
    suppresses = True
    formats = (RGB,)

    def __init__(self, classes: int, objectness: bool) -> None:
        self.classes, self._objectness = classes, objectness

    @classmethod
    def recognise(cls, outputs: Outputs, size: tuple[int, int]) -> "YOLO | None":
        """See ``Family``."""
        rows = only(outputs, 3)
        if rows is None:
            return None
        counts = cell_counts(size)
        if rows.shape[1] in counts and rows.shape[0] > 4:
            return cls(len(rows) - 4, False)
        per_anchor = len(rows) in [3 * count for count in counts]
        if rows.shape[1] > 5 and (per_anchor or (len(rows) in counts and np.all(rows[:, 4] == 1))):
            return cls(rows.shape[1] - 5, True)
        return None

    def read(self, outputs: Outputs, person: int) -> tuple[Floats, Floats]:
        """See ``Family``."""
        (value,) = outputs.values()
        rows: Array = value[0] if self._objectness else value[0].T
        scores = rows[:, 4] * rows[:, 5 + person] if self._objectness else rows[:, 4 + person]
        return corners(rows), scores.astype(np.float64)

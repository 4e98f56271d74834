"""YOLOX: one output [1, cells, 5 + classes]: box, objectness, the classes' probabilities.

Source: Ge et al., "YOLOX" (arXiv 2107.08430); files of its ``tools/export_onnx.py``, with or without
``--decode_in_inference``. Its networks since version 0.1.1 take BGR from 0 to 255; older ones and ByteTrack's
(ifzhang/ByteTrack, ``yolox/data/data_augment.py``, ``preproc``) take RGB with ImageNet's mean and deviation.
Nothing in a file tells which.
"""

import numpy as np

from resight.ingest.boxes import Floats
from resight.ingest.detectors.family import STRIDES, Family, Outputs, corners, grid, only
from resight.ingest.detectors.input_format import InputFormat, imagenet


class YOLOX(Family):
    """A YOLOX network.

    Args:
        cells: [A, 3], one for each row.
        decoded: whether the rows are in pixels. If not, x and y are offsets in cells from the row's cell, and
            width and height are logarithms.
        classes: number of classes.
    """

    outputs = "YOLOX: [1, cells, 5 + classes]"
    suppresses = True
    formats = (InputFormat("BGR from 0 to 255", "corner", "bgr", 255), imagenet("corner"))

    def __init__(self, cells: Floats, decoded: bool, classes: int) -> None:
        self._cells, self._decoded, self.classes = cells, decoded, classes

    @classmethod
    def recognise(cls, outputs: Outputs, size: tuple[int, int]) -> "YOLOX | None":
        """See ``Family``."""
        rows = only(outputs, 3)
        if rows is None or rows.shape[1] < 6:
            return None
        grids = (grid(size, strides) for strides in STRIDES)
        cells = next((cells for cells in grids if len(cells) == len(rows)), None)
        # YOLOv6 has the same shape, and objectness 1 everywhere
        if cells is None or np.any((rows[:, 4:] < 0) | (rows[:, 4:] > 1)) or np.all(rows[:, 4] == 1):
            return None
        in_pixels = np.median(np.abs(rows[:, :2] / cells[:, 2:] - cells[:, :2]))
        return cls(cells, bool(in_pixels < np.median(np.abs(rows[:, :2]))), rows.shape[1] - 5)

    def read(self, outputs: Outputs, person: int) -> tuple[Floats, Floats]:
        """See ``Family``."""
        (value,) = outputs.values()
        rows = value[0].astype(np.float64)
        boxes = rows[:, :4]
        if not self._decoded:
            stride = self._cells[:, 2:]
            sides = np.exp(np.minimum(boxes[:, 2:], 20))  # prevents overflow; larger than any picture
            boxes = np.concatenate([boxes[:, :2] + self._cells[:, :2], sides], 1) * stride
        return corners(boxes), rows[:, 4] * rows[:, 5 + person]

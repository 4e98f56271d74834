"""RF-DETR, RT-DETR and D-FINE with outputs in fractions: centre x, centre y, width and height of each box.

Sources, by outputs:
``dets`` [1, N, 4] and ``labels`` [1, N, classes], logits: RF-DETR (roboflow/rf-detr,
``rfdetr/deploy/export.py``, ``rfdetr/models/lwdetr.py``; RGB with ImageNet's mean and deviation,
``rfdetr/detr.py``; COCO's own numbers, in which a person is 1);
``logits`` and ``pred_boxes``: the same of Hugging Face's RT-DETR and D-FINE (RGB from 0 to 1);
[1, N, 4 + classes], probabilities: Ultralytics' RT-DETR (``models/rtdetr/predict.py``; RGB from 0 to 1).
All stretch the picture. The probability of a class is the logistic function of its logit.
"""

import numpy as np

from resight.inference.runtimes.graph import Array
from resight.ingest.boxes import Floats
from resight.ingest.detectors.family import COCO, Family, Outputs, corners, only
from resight.ingest.detectors.input_format import InputFormat, imagenet
from resight.ingest.detectors.rt_detr import STRETCHED


class DETR(Family):
    """A network whose boxes are fractions of the picture.

    Args:
        size: height and width of the input.
        classes: number of classes.
        boxes: name of the output with the boxes; None if the classes are in the same.
        formats: see ``Family``.
    """

    outputs = "RF-DETR, RT-DETR: [1, boxes, 4] and [1, boxes, classes]; or [1, boxes, 4 + classes]"

    numbering = "in RF-DETR 0 or 1, by its version, if it was trained on one class"

    def __init__(
        self, size: tuple[int, int], classes: int, boxes: str | None, formats: tuple[InputFormat, ...]
    ) -> None:
        self._size, self.classes, self._boxes, self.formats = size, classes, boxes, formats

    @classmethod
    def recognise(cls, outputs: Outputs, size: tuple[int, int]) -> "DETR | None":
        """See ``Family``."""
        rows = only(outputs, 3)
        if rows is not None:
            fits = rows.shape[1] > 4 and _fractions(rows)
            return cls(size, rows.shape[1] - 4, None, (STRETCHED,)) if fits else None
        if len(outputs) != 2 or any(value.ndim != 3 or len(value) != 1 for value in outputs.values()):
            return None
        one, other = outputs.values()
        boxes = [name for name, value in outputs.items() if value.shape[2] == 4 and _fractions(value)]
        if not boxes or one.shape[1] != other.shape[1]:
            return None
        (classes,) = (value.shape[2] for name, value in outputs.items() if name != boxes[0])
        either = (imagenet("stretch"),) if boxes[0] == "dets" else (STRETCHED, imagenet("stretch"))
        return cls(size, classes, boxes[0], either)

    def read(self, outputs: Outputs, person: int) -> tuple[Floats, Floats]:
        """See ``Family``."""
        if self._boxes is None:
            (value,) = outputs.values()
            boxes, scores = value[0], value[0, :, 4 + person].astype(np.float64)
        else:
            boxes = outputs[self._boxes][0]
            (logits,) = (value[0] for name, value in outputs.items() if name != self._boxes)
            scores = 1 / (1 + np.exp(-np.clip(logits[:, person].astype(np.float64), -50, 50)))
        return corners(boxes) * np.tile(self._size[::-1], 2), scores

    def unnamed_person(self) -> tuple[int, str] | None:
        """See ``Family``; RF-DETR's networks of own classes may have one more, as number 0."""
        return None if self._boxes == "dets" and self.classes not in COCO else super().unnamed_person()


def _fractions(values: Array) -> bool:
    return bool(np.all((values >= 0) & (values <= 1)))

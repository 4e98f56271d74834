"""RT-DETR and D-FINE with their own exports: ``labels`` [1, N], ``boxes`` [1, N, 4], ``scores`` [1, N].

Sources: lyuwenyu/RT-DETR (``rtdetrv2_pytorch/references/deploy/rtdetrv2_onnxruntime.py``), Peterande/D-FINE
(``tools/deployment/export_onnx.py``, ``src/zoo/dfine/postprocessor.py``). The boxes are left, top, right and
bottom in pixels of ``orig_target_sizes`` (width, height), a second input. RGB from 0 to 1, stretched.
"""

import numpy as np

from resight.ingest.boxes import Floats
from resight.ingest.detectors.family import Family, Outputs
from resight.ingest.detectors.input_format import InputFormat

STRETCHED = InputFormat("RGB from 0 to 1", "stretch")


class RTDETR(Family):
    """An RT-DETR or D-FINE network that chooses its boxes itself."""

    outputs = "RT-DETR and D-FINE: labels [1, boxes], boxes [1, boxes, 4], scores [1, boxes]"
    formats = (STRETCHED,)

    @classmethod
    def recognise(cls, outputs: Outputs, size: tuple[int, int]) -> "RTDETR | None":
        """See ``Family``."""
        if outputs.keys() != {"labels", "boxes", "scores"}:
            return None
        count = outputs["labels"].shape[-1]
        shapes = [outputs[name].shape for name in ("labels", "boxes", "scores")]
        return cls() if shapes == [(1, count), (1, count, 4), (1, count)] else None

    def read(self, outputs: Outputs, person: int) -> tuple[Floats, Floats]:
        """See ``Family``."""
        persons = outputs["labels"][0] == person
        return outputs["boxes"][0][persons].astype(np.float64), outputs["scores"][0][persons].astype(
            np.float64
        )

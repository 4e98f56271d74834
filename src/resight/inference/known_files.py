"""Files of other toolkits whose preprocessing is known, recognised by the names of input and output.

Sources are in docs/guides/models.md.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from resight.inference.preprocessing import RAW_PIXELS


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A kind of file.

    Attributes:
        name: name shown to users.
        suffix: suffix of the file, in lower case.
        input: name of its input.
        output: name of the output that is the embedding.
        preprocessing: settings of ``Preprocessing`` that are not the defaults.
    """

    name: str
    suffix: str
    input: str
    output: str
    preprocessing: dict[str, Any] = field(default_factory=dict)


KNOWN_FILES = (
    KnownFile("Open Model Zoo", ".xml", "data", "reid_embedding", {"colours": "bgr", **RAW_PIXELS}),
    KnownFile("Open Model Zoo, older", ".xml", "data", "descriptor", {"colours": "bgr", **RAW_PIXELS}),
    # its first layer normalises each channel, so range, mean and deviation do not matter
    KnownFile("Open Model Zoo, source of 0287", ".onnx", "data", "reid_embedding"),
    KnownFile("NVIDIA TAO", ".onnx", "input", "fc_pred", {"deviation": (0.226, 0.226, 0.226)}),
    KnownFile("boxmot or torchreid", ".onnx", "images", "output"),
    KnownFile("boxmot or torchreid", ".xml", "images", "output"),
)


def recognise(suffix: str, source: str, outputs: Collection[str]) -> KnownFile | None:
    """Return the kind of a file with this input and these outputs, or None if it is unknown."""
    for known in KNOWN_FILES:
        if (known.suffix, known.input) == (suffix, source) and known.output in outputs:
            return known
    return None

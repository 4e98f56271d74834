"""Files of others that tell by the names of their inputs and outputs how crops are fed to them.

Sources are in docs/guides/models-of-others.md.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from resight.inference.preprocessing import PLAIN


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A kind of file.

    Attributes:
        name: shown to users.
        suffix: of the file, in lower case.
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
    KnownFile("Open Model Zoo", ".xml", "data", "reid_embedding", {"colours": "bgr", **PLAIN}),
    KnownFile("Open Model Zoo, older", ".xml", "data", "descriptor", {"colours": "bgr", **PLAIN}),
    # its first layer normalises each channel, so range, mean and deviation make no difference
    KnownFile("Open Model Zoo, source of 0287", ".onnx", "data", "reid_embedding"),
    KnownFile("NVIDIA TAO", ".onnx", "input", "fc_pred", {"deviation": (0.226, 0.226, 0.226)}),
    KnownFile("boxmot or torchreid", ".onnx", "images", "output"),
    KnownFile("boxmot or torchreid", ".xml", "images", "output"),
)


def recognise(suffix: str, source: str, outputs: Collection[str]) -> KnownFile | None:
    """Return the kind of a file with this input and these outputs, or None where they are not known."""
    for known in KNOWN_FILES:
        if (known.suffix, known.input) == (suffix, source) and known.output in outputs:
            return known
    return None

"""How a picture becomes the input of a detector: size, order and range of the colours."""

from typing import Literal, NamedTuple

import numpy as np

from resight.imaging import Pixels, resize
from resight.inference.runtimes.graph import Array
from resight.ingest.boxes import Floats

PADDING = 114
"""Grey value of the padding around a picture."""


class Placement(NamedTuple):
    """Where a picture lies in a network's input: its pixel (x, y) is at ``scale * (x, y) + shift``."""

    scale: Floats
    shift: Floats

    def restore(self, edges: Floats) -> Floats:
        """Return boxes [N, 4] of the network's input in pixels of the picture."""
        return np.asarray((edges - np.tile(self.shift, 2)) / np.tile(self.scale, 2))


class InputFormat(NamedTuple):
    """How a picture becomes the input of a network.

    Attributes:
        words: what messages call it.
        fit: in the top left corner or the centre of a grey input, or stretched over all of it.
        colours: order of the channels.
        largest: value of a white pixel before mean and deviation.
        mean, deviation: of the channels, in units of ``largest``.
    """

    words: str
    fit: Literal["corner", "centre", "stretch"]
    colours: Literal["rgb", "bgr"] = "rgb"
    largest: Literal[1, 255] = 1
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def prepare(self, image: Pixels, size: tuple[int, int]) -> tuple[Array, Placement]:
        """Return a network's input float32 [1, 3, H, W] for a picture uint8 [h, w, 3], and the placement."""
        canvas, placement = self.place(image, size)
        ordered = canvas[..., ::-1] if self.colours == "bgr" else canvas
        values: Array = ordered.transpose(2, 0, 1)[None].astype(np.float32)
        if self.largest != 255 or any(self.mean):
            factor = self.largest / 255 / np.array(self.deviation, np.float32)
            shift = np.array(self.mean, np.float32) / np.array(self.deviation, np.float32)
            values = values * factor[:, None, None] - shift[:, None, None]
        return np.ascontiguousarray(values, np.float32), placement

    def place(self, image: Pixels, size: tuple[int, int]) -> tuple[Pixels, Placement]:
        """Return the picture as uint8 [H, W, 3] of ``size``, its colours unchanged, and the placement."""
        shape = np.array(image.shape[:2])
        if self.fit == "stretch":
            return resize(image, size), Placement((np.array(size) / shape)[::-1], np.zeros(2))
        scale = float(np.min(np.array(size) / shape))
        height, width = (max(1, int(side * scale)) for side in shape)
        top, left = (0, 0) if self.fit == "corner" else ((size[0] - height) // 2, (size[1] - width) // 2)
        canvas = np.full((*size, 3), PADDING, np.uint8)
        canvas[top : top + height, left : left + width] = resize(image, (height, width))
        return canvas, Placement(np.full(2, scale), np.array([left, top], np.float64))


def imagenet(fit: Literal["corner", "stretch"]) -> InputFormat:
    """Return the format with ImageNet's mean and deviation of the colours."""
    words = "RGB with ImageNet's mean and deviation"
    return InputFormat(words, fit, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))

"""MobileNet V1 (Howard et al., 2017)."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from resight.models.trunk import TRUNKS, Trunk
from resight.models.trunks.start import initialise
from resight.models.units import ConvUnit

LAYERS = {"layer1": (128, 2), "layer2": (256, 2), "layer3": (512, 6), "layer4": (1024, 2)}
"""Layer -> number of channels and of units (Table 1: each layer begins with a stride of 2)."""


@TRUNKS.register("mobilenet")
class MobileNet(Trunk):
    """MobileNet V1 without its classifier: thirteen units in four layers, with strides 4, 8, 16 and 32.

    The stem is the 3x3 convolution and the first unit.

    Args:
        width: factor of all channels (Section 3.3, "width multiplier"); the paper has 1, 0.75, 0.5, 0.25.
    """

    def __init__(self, *, width: Annotated[float, Field(gt=0, le=4, multiple_of=0.125)] = 1.0) -> None:
        super().__init__()
        self.channels = {name: round(channels * width) for name, (channels, _) in LAYERS.items()}
        self.strides = {name: 4 << number for number, name in enumerate(LAYERS)}
        first, inputs = round(32 * width), round(64 * width)
        self.first = nn.Sequential(ConvUnit(3, first, 3, stride=2), _separable(first, inputs))
        for name, outputs in self.channels.items():
            units = [_separable(inputs, outputs, stride=2)]
            units += [_separable(outputs, outputs) for _ in range(LAYERS[name][1] - 1)]
            self.add_module(name, nn.Sequential(*units))
            inputs = outputs
        initialise(self)

    def stem(self, images: Tensor) -> Tensor:
        """Return [B, 64 * width, H / 2, W / 2] for images [B, 3, H, W]."""
        return self.first(images)  # type: ignore[no-any-return]


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 depthwise convolution with this stride and a 1x1 convolution (Fig. 3)."""
    return nn.Sequential(ConvUnit(inputs, inputs, 3, stride, groups=inputs), ConvUnit(inputs, outputs))

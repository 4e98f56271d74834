"""MobileNetV2 (Sandler et al., CVPR 2018), with torchvision's parameter names."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from resight.models.trunk import TRUNKS, Trunk
from resight.models.trunks.start import grouped_by_stride, initialise, rounded
from resight.models.units import ConvUnit

ROWS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of the first block (Table 2)."""

FLAT = {
    "1": {"0": "0.0", "1": "0.1", "3": "1", "4": "2"},
    "": {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"},
}
"""Position in a block in the earliest files -> torchvision's; for block 1, and for the others."""

unit = partial(ConvUnit, activation=nn.ReLU6)


@TRUNKS.register("mobilenet-v2")
class MobileNetV2(Trunk):
    """MobileNetV2 without its classifier, in four layers with strides 4, 8, 16 and 32; 1,280 output channels.

    Args:
        width: factor of all channels, except that the last layer never has fewer than 1,280.
        form: ``torchvision``; or ``torchreid``, where the first block has an expansion convolution, too, and
            numbers of channels are rounded down instead of to multiples of 8.
    """

    def __init__(
        self,
        *,
        width: Annotated[float, Field(gt=0, le=4)] = 1.0,
        form: Literal["torchvision", "torchreid"] = "torchvision",
    ) -> None:
        super().__init__()
        plain = form == "torchvision"
        self.imagenet = "mobilenet-v2" if width == 1 and plain else ""
        whole: Callable[[float], int] = rounded if plain else int
        inputs = whole(32 * width)
        features: list[nn.Module] = [unit(3, inputs, 3, stride=2)]
        strides, channels = [2], [inputs]
        for expansion, wide, blocks, first in ROWS:
            outputs = whole(wide * width)
            for stride in (first, *[1] * (blocks - 1)):
                features.append(
                    InvertedResidual(inputs, outputs, stride, expansion, expansion > 1 or not plain)
                )
                strides.append(stride)
                channels.append(outputs)
                inputs = outputs
        last = whole(1280 * max(1.0, width))
        self.features = nn.Sequential(*features, unit(inputs, last))
        self.parts, self.channels, self.strides = grouped_by_stride([*strides, 1], [*channels, last])
        initialise(self)

    def stem(self, images: Tensor) -> Tensor:
        """Return [B, 16 * width, H / 2, W / 2] for images [B, 3, H, W]."""
        return self.layer("stem", images)

    @staticmethod
    def own_names(names: Sequence[str]) -> list[str]:
        """Return torchvision's names for tensors of the earliest files, whose blocks are not nested."""
        if not any(re.fullmatch(r"features\.\d+\.conv\.0\.weight", name) for name in names):
            return list(names)

        def nested(found: re.Match[str]) -> str:
            places = FLAT["1" if found[1] == "1" else ""]
            return f"features.{found[1]}.conv.{places.get(found[2], found[2])}."

        return [re.sub(r"^features\.(\d+)\.conv\.(\d)\.", nested, name) for name in names]


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, linear projection; a shortcut if the shapes allow it (Fig. 4d).

    Args:
        inputs, outputs: channels of input and output.
        stride: of the depthwise convolution.
        expansion: factor of the channels inside the block.
        expands: whether there is an expansion convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, expands: bool) -> None:
        super().__init__()
        inner = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        expand = [unit(inputs, inner)] if expands else []
        depthwise, project = unit(inner, inner, 3, stride, inner), ConvUnit(inner, outputs, activation=None)
        self.conv = nn.Sequential(*expand, depthwise, *project)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, outputs, H / stride, W / stride] for features [B, inputs, H, W]."""
        residual: Tensor = self.conv(features)
        return features + residual if self.shortcut else residual

"""MobileNetV3 (Howard et al., ICCV 2019), with torchvision's parameter names."""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from resight.models.trunk import TRUNKS, Trunk
from resight.models.trunks.start import grouped_by_stride, initialise, rounded
from resight.models.units import ConvUnit

Row = tuple[int, int, int, bool, bool, int]

ROWS: dict[str, tuple[Row, ...]] = {
    "large": (
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        (5, 120, 40, True, False, 1),
        (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 480, 112, True, True, 1),
        (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2),
        (5, 960, 160, True, True, 1),
        (5, 960, 160, True, True, 1),
    ),
    "small": (
        (3, 16, 16, True, False, 2),
        (3, 72, 24, False, False, 2),
        (3, 88, 24, False, False, 1),
        (5, 96, 40, True, True, 2),
        (5, 240, 40, True, True, 1),
        (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1),
        (5, 144, 48, True, True, 1),
        (5, 288, 96, True, True, 2),
        (5, 576, 96, True, True, 1),
        (5, 576, 96, True, True, 1),
    ),
}
"""Kernel, channels inside, output channels, squeeze-and-excitation, h-swish, stride (Tables 1 and 2)."""

norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
"""As torchvision trained its weights. The paper's momentum of 0.99 is 0.01 in PyTorch's convention."""


@TRUNKS.register("mobilenet-v3")
class MobileNetV3(Trunk):
    """MobileNetV3 up to pooling, in four layers with strides 4, 8, 16 and 32.

    The fully-connected layer after pooling is part of torchvision's classifier, and is left out.

    Args:
        size: ``large``, whose last layer has 960 channels, or ``small``, with 576.
        width: factor of all channels.
    """

    def __init__(
        self, *, size: Literal["large", "small"] = "large", width: Annotated[float, Field(gt=0, le=4)] = 1.0
    ) -> None:
        super().__init__()
        self.imagenet = f"mobilenet-v3-{size}" if width == 1 else ""
        inputs = rounded(16 * width)
        features: list[nn.Module] = [ConvUnit(3, inputs, 3, stride=2, activation=nn.Hardswish, norm=norm)]
        strides, channels = [2], [inputs]
        for kernel, inner, outputs, excite, swish, stride in ROWS[size]:
            inner, outputs = rounded(inner * width), rounded(outputs * width)
            features.append(InvertedResidualV3(inputs, inner, outputs, kernel, stride, excite, swish))
            strides.append(stride)
            channels.append(outputs)
            inputs = outputs
        last = 6 * inputs
        features.append(ConvUnit(inputs, last, activation=nn.Hardswish, norm=norm))
        self.features = nn.Sequential(*features)
        self.parts, self.channels, self.strides = grouped_by_stride([*strides, 1], [*channels, last])
        initialise(self)

    def stem(self, images: Tensor) -> Tensor:
        """Return [B, 16 * width, H / 2, W / 2] for images [B, 3, H, W]."""
        return self.layer("stem", images)


class InvertedResidualV3(nn.Module):
    """Expansion, depthwise convolution, squeeze-and-excitation, linear projection, and a shortcut (Fig. 4).

    Args:
        inputs, inner, outputs: number of channels of the input, inside the block, and of the output.
        kernel, stride: size and stride of the depthwise convolution.
        excite: whether it has squeeze-and-excitation.
        swish: whether the activation is h-swish instead of ReLU.
    """

    def __init__(
        self, inputs: int, inner: int, outputs: int, kernel: int, stride: int, excite: bool, swish: bool
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and inputs == outputs
        unit = partial(ConvUnit, activation=nn.Hardswish if swish else nn.ReLU, norm=norm)
        self.block = nn.Sequential(
            *([] if inner == inputs else [unit(inputs, inner)]),
            unit(inner, inner, kernel, stride, inner),
            *([SqueezeExcitation(inner)] if excite else []),
            ConvUnit(inner, outputs, activation=None, norm=norm),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, outputs, H / stride, W / stride] for features [B, inputs, H, W]."""
        residual: Tensor = self.block(features)
        return features + residual if self.shortcut else residual


class SqueezeExcitation(nn.Module):
    """Weights channels by their means over the map (Section 5.3), by a hidden layer of a quarter of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, rounded(channels // 4), 1)
        self.fc2 = nn.Conv2d(self.fc1.out_channels, channels, 1)
        self.activation = nn.ReLU(inplace=True)
        self.scale_activation = nn.Hardsigmoid(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return features [B, C, H, W] times their weights [B, C, 1, 1] in [0, 1]."""
        hidden = self.activation(self.fc1(self.avgpool(features)))
        return features * self.scale_activation(self.fc2(hidden))  # type: ignore[no-any-return]

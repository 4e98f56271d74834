"""Building units of convolutional networks; each keeps the size of a map or halves it, rounding up."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ConvUnit(nn.Sequential):
    """Convolution without bias, batch normalisation and (unless ``activation`` is None) an activation.

    Args:
        inputs, outputs, kernel, stride, groups: of the convolution, which pads by half its kernel.
        activation: makes the activation, which works in place.
        norm: function of the number of channels that returns the normalisation.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: Callable[..., nn.Module] | None = nn.ReLU,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        kind = _StridedDepthwise if groups > 1 and stride > 1 else nn.Conv2d
        layers = [
            kind(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
            norm(outputs),
        ]
        super().__init__(*layers, *([] if activation is None else [activation(inplace=True)]))


class _StridedDepthwise(nn.Conv2d):
    """Depthwise convolution that trains in float32 on a CPU, 10 times as fast as in bfloat16."""

    def forward(self, images: Tensor) -> Tensor:
        if images.dtype == torch.bfloat16 and images.device.type == "cpu" and torch.is_grad_enabled():
            with torch.autocast("cpu", enabled=False):
                return super().forward(images.float()).to(images.dtype)
        return super().forward(images)


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """Return instance normalisation with a weight and a bias for each channel."""
    return nn.InstanceNorm2d(channels, affine=True)


class DepthwiseUnit(nn.Sequential):
    """1x1 convolution, then a 3x3 depthwise convolution with the stride (HAN, Fig. 4c).

    This order and these kinds reproduce the FLOPs of HAN's Table 1.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(ConvUnit(inputs, outputs), ConvUnit(outputs, outputs, 3, stride, groups=outputs))


class ResidualBottleneck(nn.Module):
    """Residual bottleneck with half the width inside, the stride in its 3x3 and a projection as shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = outputs // 2
        self.residual = nn.Sequential(
            ConvUnit(inputs, inner),
            ConvUnit(inner, inner, 3, stride),
            ConvUnit(inner, outputs, activation=None),
        )
        self.shortcut = ConvUnit(inputs, outputs, stride=stride, activation=None)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        """Return [B, outputs, H / stride, W / stride] for images [B, inputs, H, W]."""
        return self.relu(self.residual(images) + self.shortcut(images))  # type: ignore[no-any-return]


class InceptionA(nn.Module):
    """Four streams of a quarter of the width each, stride 1 (the unit of HA-CNN, after Xiao et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        quarter = outputs // 4
        self.streams = nn.ModuleList(
            nn.Sequential(ConvUnit(inputs, quarter), ConvUnit(quarter, quarter, 3)) for _ in range(3)
        )
        self.streams.append(nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1), ConvUnit(inputs, quarter)))

    def forward(self, images: Tensor) -> Tensor:
        """Return [B, outputs, H, W] for images [B, inputs, H, W]."""
        return torch.cat([stream(images) for stream in self.streams], dim=1)


class InceptionB(nn.Module):
    """Three streams of a quarter, a quarter and half of the width, stride 2 (the unit of HA-CNN)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        quarter = outputs // 4
        self.streams = nn.ModuleList(
            [
                nn.Sequential(ConvUnit(inputs, quarter), ConvUnit(quarter, quarter, 3, stride=2)),
                nn.Sequential(
                    ConvUnit(inputs, quarter),
                    ConvUnit(quarter, quarter, 3),
                    ConvUnit(quarter, quarter, 3, stride=2),
                ),
                nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1), ConvUnit(inputs, 2 * quarter)),
            ]
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return [B, outputs, H / 2, W / 2] for images [B, inputs, H, W]."""
        return torch.cat([stream(images) for stream in self.streams], dim=1)

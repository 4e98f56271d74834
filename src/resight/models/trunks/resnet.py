"""ResNet (He et al., CVPR 2016) with any strides and dilations, and torchvision's parameter names."""

from itertools import accumulate
from operator import mul
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from resight.models.trunk import TRUNKS, Trunk
from resight.models.trunks.start import initialise
from resight.models.units import instance_norm

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks in layer1..layer4 for each depth (He et al., Table 1)."""

WIDTHS = (64, 128, 256, 512)

NON_LOCAL = {
    18: {"layer2": 1, "layer3": 1},
    50: {"layer2": 2, "layer3": 3},
    101: {"layer2": 2, "layer3": 9},
}
"""Depth -> layer -> number of blocks, its last ones, that a non-local block follows."""

Stride = Literal[1, 2]
Dilation = Annotated[int, Field(ge=1)]


@TRUNKS.register("resnet")
class ResNet(Trunk):
    """ResNet-18, 50 or 101 without its classifier: ``layer1`` .. ``layer4``.

    The stride of a bottleneck is in its 3x3 convolution. A dilated layer computes the same as a strided one,
    on a finer grid: the convolution whose stride was removed has the dilation of the previous layer, and
    those after it that of its own layer. So ImageNet weights fit, and the receptive field is that of the
    strided network, as in SAL (Section III-A: dilation doubles *after* every original downsampling) and in
    SONA (Section 2.1, from Yu et al., CVPR 2017). SAL and SONA: strides 1, 2, 1, 1 and dilations 1, 1, 2, 4.

    Args:
        depth: number of weighted layers.
        width: factor of all channels; the published networks have 1.
        strides, dilations: those of layer1 .. layer4.
        stem: ``imagenet``, a 7x7 convolution and max pooling with stride 2 each; ``unpadded``, the same
            without padding in the max pooling (fast-reid); or ``cifar``, a 3x3 convolution with stride 1 for
            images of 32x32 (SAL, Table 4).
        norm: ``batch``; or additional instance normalisation (Pan et al., "Two at Once", ECCV 2018), for
            cameras that were not trained on: ``ibn-a``, for half of the channels after the first convolution
            of each block in layer1 .. layer3; ``ibn-b``, after the stem's convolution and after the last sum
            in layer1 and in layer2.
        non_local: non-local blocks after the last two blocks of layer2 and the last three of layer3, as in
            fast-reid; with depth 101, the last nine of layer3, and with 18, the last one of each.
    """

    normalised_by: ClassVar = {"conv1": "bn1"}

    def __init__(
        self,
        *,
        depth: Literal[18, 50, 101] = 50,
        width: Annotated[float, Field(gt=0, le=4, multiple_of=0.125)] = 1.0,
        strides: tuple[Stride, Stride, Stride, Stride] = (1, 2, 2, 2),
        dilations: tuple[Dilation, Dilation, Dilation, Dilation] = (1, 1, 1, 1),
        stem: Literal["imagenet", "unpadded", "cifar"] = "imagenet",
        norm: Literal["batch", "ibn-a", "ibn-b"] = "batch",
        non_local: bool = False,
    ) -> None:
        super().__init__()
        self.depth = depth
        published = width == 1 and norm == "batch" and not non_local
        self.imagenet = f"resnet{depth}" if published else ""
        widths = [int(channels * width) for channels in WIDTHS]
        kernel, stride = (3, 1) if stem == "cifar" else (7, 2)
        self.conv1 = nn.Conv2d(3, widths[0], kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = instance_norm(widths[0]) if norm == "ibn-b" else nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = {
            "imagenet": nn.MaxPool2d(3, stride=2, padding=1),
            "unpadded": nn.MaxPool2d(3, stride=2, ceil_mode=True),
            "cifar": nn.Identity(),
        }[stem]

        names = [f"layer{number}" for number in range(1, 5)]
        self.channels = {}
        inputs, entry = widths[0], 1
        for name, blocks, inside, stride, dilation in zip(
            names, BLOCKS[depth], widths, strides, dilations, strict=True
        ):
            outputs = inside if depth == 18 else inside * Bottleneck.expansion
            first = self._block(inputs, inside, stride, entry, dilation)
            rest = [self._block(outputs, inside, 1, dilation, dilation) for _ in range(blocks - 1)]
            if norm == "ibn-a" and name != "layer4":
                for block in (first, *rest):
                    block.bn1 = HalfInstanceNorm(inside)
            if norm == "ibn-b" and name in ("layer1", "layer2"):
                rest[-1].IN = instance_norm(outputs)
            self.add_module(name, nn.Sequential(first, *rest))
            self.channels[name] = outputs
            inputs, entry = outputs, dilation
        for name, count in NON_LOCAL[depth].items() if non_local else ():
            parts = (NonLocalSum(self.channels[name]) for _ in range(count))
            self.add_module(f"NL_{name[-1]}", nn.ModuleList(parts))
        start = 1 if stem == "cifar" else 4
        self.strides = dict(zip(names, [start * step for step in accumulate(strides, mul)], strict=True))
        initialise(self)

    def stem(self, images: Tensor) -> Tensor:
        """Return [B, C, H / 4, W / 4] for images [B, 3, H, W]; [B, C, H, W] with the CIFAR stem."""
        return self.maxpool(self.relu(self.bn1(self.conv1(images))))  # type: ignore[no-any-return]

    def layer(self, name: str, features: Tensor) -> Tensor:
        """Apply a layer to the output [B, C, H, W] of the one before it, or of the stem."""
        blocks, non_local = self._modules[name], self._modules.get(f"NL_{name[-1]}")
        if not isinstance(blocks, nn.Sequential) or not isinstance(non_local, nn.ModuleList):
            return super().layer(name, features)
        plain = len(blocks) - len(non_local)
        for number, block in enumerate(blocks):
            features = self.apply_block(name, block, features)
            if number >= plain:
                features = self.apply_block(name, non_local[number - plain], features)
        return features

    def _block(self, inputs: int, width: int, stride: int, entry: int, dilation: int) -> nn.Module:
        if self.depth == 18:
            return BasicBlock(inputs, width, stride, entry, dilation)
        return Bottleneck(inputs, width, stride, entry)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut.

    Args:
        inputs, width: number of channels of input and output.
        stride: stride of the first convolution and the shortcut.
        entry: dilation of the first convolution.
        dilation: dilation of the second convolution.
    """

    normalised_by: ClassVar = {"conv1": "bn1", "conv2": "bn2"}

    def __init__(self, inputs: int, width: int, stride: int, entry: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=entry, dilation=entry, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(inputs, width, stride)
        self.IN: nn.Module = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, width, H / stride, W / stride] for features [B, inputs, H, W]."""
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.bn2(self.conv2(residual))
        return self.relu(self.IN(residual + self.downsample(features)))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut, which is a projection if sizes differ.

    Args:
        inputs: number of channels of the input.
        width: number of channels inside; the output has four times as many.
        stride: stride of the 3x3 convolution and the shortcut.
        dilation: dilation of the 3x3 convolution.
    """

    expansion = 4
    normalised_by: ClassVar = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3"}

    def __init__(self, inputs: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(inputs, outputs, stride)
        self.IN: nn.Module = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, 4 * width, H / stride, W / stride] for features [B, inputs, H, W]."""
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        return self.relu(self.IN(residual + self.downsample(features)))  # type: ignore[no-any-return]


class HalfInstanceNorm(nn.Module):
    """Instance normalisation of the first half of the channels, batch normalisation of the others (IBN-a)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.IN = instance_norm(channels // 2)
        self.BN = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, C, H, W] for features [B, C, H, W]."""
        first, second = features.tensor_split(2, dim=1)
        return torch.cat((self.IN(first), self.BN(second)), dim=1)


class NonLocalSum(nn.Module):
    """Non-local block with a dot product (Wang et al., CVPR 2018, Eq. 4), one channel wide as in fast-reid.

    With one channel, the products of all pairs of positions need not be computed: each position's output is
    its theta times the mean over positions of phi times g.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g, self.theta, self.phi = (nn.Conv2d(channels, 1, 1) for _ in range(3))
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)  # at first, the features stay as they are
        self.W = nn.Sequential(nn.Conv2d(1, channels, 1), norm)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, C, H, W] for features [B, C, H, W]."""
        mean = (self.phi(features) * self.g(features)).mean((2, 3), keepdim=True)
        return features + self.W(self.theta(features) * mean)  # type: ignore[no-any-return]


def _projection(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return the shortcut: the identity if input and output have the same shape, else a projection."""
    if inputs == outputs and stride == 1:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

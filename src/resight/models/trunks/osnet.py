"""OSNet (Zhou et al., ICCV 2019), OSNet-IBN and OSNet-AIN (TPAMI 2021), under torchreid's parameter names."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from resight.models.trunk import TRUNKS, Trunk
from resight.models.trunks.start import initialise
from resight.models.units import instance_norm

CHANNELS = (64, 256, 384, 512)
"""Channels of conv1 .. conv4 (Table 1)."""

STREAMS = "abcd"
"""Streams of a block; the t-th has a receptive field of 2t + 1 pixels (Section 3.2: T = 4)."""

REDUCTION = 16
"""Factor by which the gate's hidden layer is narrower than its input (Section 3.2)."""

Place = Literal["inside", "after"] | None
"""Where a block has instance normalisation: in the residual, after the sum with the shortcut, or nowhere."""

BLOCKS: dict[str, tuple[Place, ...]] = {
    "batch": (None,) * 6,
    "ibn": ("after", "after", None, None, None, None),
    "ain": ("inside", "inside", None, "inside", "inside", None),
}
"""Normalisation -> the places in the six blocks, two each of conv2, conv3 and conv4."""

PARTS = {
    "layer1": ("conv2.0", "conv2.1"),
    "layer2": ("conv2.2", "conv3.0", "conv3.1"),
    "layer3": ("conv3.2", "conv4.0", "conv4.1"),
    "layer4": ("conv5",),
}
"""Layer -> the parts of conv2 .. conv5 in it: each begins with the transition before its blocks."""


@TRUNKS.register("osnet")
class OSNet(Trunk):
    """OSNet up to conv5, after which the paper pools: ``layer1`` .. ``layer4`` are its conv2 .. conv5.

    Its fully-connected layer of 512 belongs to the head. layer2 and layer3 begin with a transition (1x1
    convolution and 2x2 average pooling), so that each layer ends with its blocks; in the names of parameters,
    a transition is the last part of conv2 or conv3.

    Args:
        width: factor of all channels (the paper's beta: 1, 0.75, 0.5 and 0.25).
        norm: ``batch``; or additional instance normalisation, for cameras that were not trained on: ``ibn``,
            in conv1 and after both blocks of conv2; ``ain``, in conv1 and inside the four blocks that an
            architecture search chose (Zhou et al., "Learning Generalisable Omni-Scale Representations for
            Person Re-Identification", TPAMI 2021).
    """

    def __init__(
        self,
        *,
        width: Annotated[float, Field(gt=0, le=4, multiple_of=0.125)] = 1.0,
        norm: Literal["batch", "ibn", "ain"] = "batch",
    ) -> None:
        super().__init__()
        first, second, third, fourth = (round(channels * width) for channels in CHANNELS)
        places = BLOCKS[norm]
        begin = nn.BatchNorm2d if norm == "batch" else instance_norm
        self.conv1 = ConvNorm(3, first, 7, stride=2, norm=begin)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.conv2 = nn.Sequential(*_blocks(first, second, places[:2]), _transition(second))
        self.conv3 = nn.Sequential(*_blocks(second, third, places[2:4]), _transition(third))
        self.conv4 = nn.Sequential(*_blocks(third, fourth, places[4:]))
        self.conv5 = ConvNorm(fourth, fourth)
        self.parts = PARTS
        self.channels = {"layer1": second, "layer2": third, "layer3": fourth, "layer4": fourth}
        self.strides = {"layer1": 4, "layer2": 8, "layer3": 16, "layer4": 16}
        initialise(self)

    def stem(self, images: Tensor) -> Tensor:
        """Return [B, 64 * width, H / 4, W / 4] for images [B, 3, H, W]."""
        return self.maxpool(self.conv1(images))  # type: ignore[no-any-return]

    @staticmethod
    def own_names(names: Sequence[str]) -> list[str]:
        """Return our names for tensors of torchreid's OSNet-AIN, which is a separate network there."""

        def stream(found: re.Match[str]) -> str:
            letter = STREAMS[int(found[1])]
            return f".conv2{letter}." if letter == "a" else f".conv2{letter}.{found[2]}."

        renamed = (re.sub(r"\.conv2\.([0-3])\.layers\.(\d)\.", stream, name) for name in names)
        return [re.sub(r"^pool([23])\.0\.", r"conv\1.2.0.", name) for name in renamed]


class ConvNorm(nn.Module):
    """Convolution without bias, normalisation and, unless ``relu`` is false, ReLU; with torchreid's names."""

    normalised_by: ClassVar = {"conv": "bn"}

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        relu: bool = True,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = norm(outputs)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return [B, outputs, H / stride, W / stride] for images [B, inputs, H, W]."""
        return self.relu(self.bn(self.conv(images)))  # type: ignore[no-any-return]


class Lite(nn.Module):
    """Lite 3x3: a linear 1x1 convolution and a 3x3 depthwise convolution (Section 3.1, Fig. 3b)."""

    normalised_by: ClassVar = {"conv2": "bn"}

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, C, H, W] for features [B, C, H, W]."""
        return self.relu(self.bn(self.conv2(self.conv1(features))))  # type: ignore[no-any-return]


class OmniScale(nn.Module):
    """Residual block of four scales, weighted per channel by one shared gate (Section 3.2, Fig. 4b).

    ``relu(shortcut(x) + conv3(sum over t of gate(s_t) * s_t))`` with ``s_t = Lite^t(conv1(x))``.
    The shortcut is a projection if the numbers of channels differ.

    Args:
        inputs, outputs: number of channels of input and output; inside, there are outputs / 4.
        instance: where instance normalisation is; ``inside`` replaces the batch normalisation of conv3.
    """

    def __init__(self, inputs: int, outputs: int, instance: Place = None) -> None:
        super().__init__()
        inner = outputs // 4
        self.instance = instance
        self.conv1 = ConvNorm(inputs, inner)
        self.conv2a = Lite(inner)
        for scale, letter in enumerate(STREAMS[1:], 2):
            self.add_module(f"conv2{letter}", nn.Sequential(*(Lite(inner) for _ in range(scale))))
        self.gate = Gate(inner)
        linear = nn.Identity if instance == "inside" else nn.BatchNorm2d
        self.conv3 = ConvNorm(inner, outputs, relu=False, norm=linear)
        self.downsample = nn.Identity() if inputs == outputs else ConvNorm(inputs, outputs, relu=False)
        self.IN = instance_norm(outputs) if instance else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, outputs, H, W] for features [B, inputs, H, W]."""
        squeezed = self.conv1(features)
        first, *others = (self.gate(getattr(self, f"conv2{letter}")(squeezed)) for letter in STREAMS)
        residual, shortcut = self.conv3(sum(others, start=first)), self.downsample(features)
        if self.instance == "inside":
            return functional.relu(self.IN(residual) + shortcut)
        return functional.relu(self.IN(residual + shortcut))


class Gate(nn.Module):
    """Unified aggregation gate: weights the channels of a stream by their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        # pooled features are positive and similar for all images, so a unit that starts below zero would stay
        # there
        nn.init.ones_(self.fc1.bias)  # type: ignore[arg-type]
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features [B, C, H, W] times their weights [B, C, 1, 1] in (0, 1)."""
        hidden = self.relu(self.fc1(self.global_avgpool(features)))
        return features * self.fc2(hidden).sigmoid()  # type: ignore[no-any-return]


def _blocks(inputs: int, outputs: int, places: Sequence[Place]) -> list[OmniScale]:
    return [OmniScale(outputs if number else inputs, outputs, place) for number, place in enumerate(places)]


def _transition(channels: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(channels, channels), nn.AvgPool2d(2))

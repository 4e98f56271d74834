"""OSNet (Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019)."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from resight.models.trunk import TRUNKS, Trunk
from resight.models.trunks.start import initialise
from resight.models.units import ConvUnit

CHANNELS = (64, 256, 384, 512)
"""Of conv1 .. conv4 (Table 1)."""

STREAMS = 4
"""Streams of a block; stream t sees 2t + 1 pixels (Section 3.2: T = 4)."""

REDUCTION = 16
"""By which the gate's hidden layer is narrower than what it gates (Section 3.2)."""


@TRUNKS.register("osnet")
class OSNet(Trunk):
    """OSNet up to conv5, where the paper pools: ``layer1`` .. ``layer4`` are its conv2 .. conv5.

    Its FC of 512 is a network's matter, not the trunk's. A transition, 1x1 convolution and 2x2 average
    pooling, begins conv3 and conv4, so that a layer ends with its own blocks.

    Args:
        width: multiplies all channels (the paper's beta: 1, 0.75, 0.5 and 0.25).
    """

    def __init__(self, *, width: Annotated[float, Field(gt=0, le=4, multiple_of=0.125)] = 1.0) -> None:
        super().__init__()
        first, second, third, fourth = (round(channels * width) for channels in CHANNELS)
        self.first = nn.Sequential(
            ConvUnit(3, first, 7, stride=2), nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        )
        self.layer1 = nn.Sequential(OmniScale(first, second), OmniScale(second, second))
        self.layer2 = nn.Sequential(_transition(second), OmniScale(second, third), OmniScale(third, third))
        self.layer3 = nn.Sequential(_transition(third), OmniScale(third, fourth), OmniScale(fourth, fourth))
        self.layer4 = ConvUnit(fourth, fourth)
        self.channels = {"layer1": second, "layer2": third, "layer3": fourth, "layer4": fourth}
        self.strides = {"layer1": 4, "layer2": 8, "layer3": 16, "layer4": 16}
        initialise(self)

    def stem(self, images: Tensor) -> Tensor:
        """Return [B, 64 * width, H / 4, W / 4] for images [B, 3, H, W]."""
        return self.first(images)  # type: ignore[no-any-return]


class OmniScale(nn.Module):
    """Residual block of four scales, weighed channel by channel by one shared gate (Section 3.2, Fig. 4b).

    ``relu(shortcut(x) + expand(sum over t of gate(s_t) * s_t))`` with ``s_t = Lite^t(squeeze(x))``.
    The shortcut is a projection where channels differ.

    Args:
        inputs, outputs: channels that come in and that go out; a quarter of the latter inside.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = outputs // 4
        self.squeeze = ConvUnit(inputs, inner)
        self.streams = nn.ModuleList(
            nn.Sequential(*(_lite(inner) for _ in range(scale))) for scale in range(1, STREAMS + 1)
        )
        self.gate = Gate(inner)
        self.expand = ConvUnit(inner, outputs, relu=False)
        self.shortcut = nn.Identity() if inputs == outputs else ConvUnit(inputs, outputs, relu=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, outputs, H, W] for features [B, inputs, H, W]."""
        squeezed = self.squeeze(features)
        first, *others = (self.gate(stream(squeezed)) for stream in self.streams)
        scales = sum(others, start=first)
        return functional.relu(self.expand(scales) + self.shortcut(features))


class Gate(nn.Module):
    """Unified aggregation gate: weighs the channels of a stream by what the stream sees as a whole."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = nn.Conv2d(channels, max(1, channels // REDUCTION), 1)
        # Pooled features are positive and alike for all images: a unit below zero at the start never wakes.
        nn.init.ones_(hidden.bias)  # type: ignore[arg-type]
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            hidden,
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden.out_channels, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features [B, C, H, W] times the weights [B, C, 1, 1] in (0, 1) that they give."""
        return features * self.weigh(features)  # type: ignore[no-any-return]


def _lite(channels: int) -> nn.Sequential:
    """Return a Lite 3x3: a linear 1x1 convolution, then a 3x3 depthwise one (Section 3.1, Fig. 3b)."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1, bias=False), *ConvUnit(channels, channels, 3, groups=channels)
    )


def _transition(channels: int) -> nn.Sequential:
    return nn.Sequential(ConvUnit(channels, channels), nn.AvgPool2d(2))

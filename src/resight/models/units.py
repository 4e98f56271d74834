"""Building units of convolutional networks: a recipe picks one by name."""

import torch
from torch import Tensor, nn


class ConvUnit(nn.Sequential):
    """Convolution without bias, batch normalisation and (unless ``relu`` is off) ReLU; padding keeps the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        if relu:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class DepthwiseUnit(nn.Sequential):
    """1x1 convolution, then a 3x3 depthwise convolution that carries the stride (HAN, Fig. 4c).

    The order and the kinds are the ones that reproduce the FLOPs of HAN's Table 1.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(ConvUnit(inputs, outputs), ConvUnit(outputs, outputs, 3, stride, groups=outputs))

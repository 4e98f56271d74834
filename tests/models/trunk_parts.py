"""Running a trunk by itself."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from resight.models.trunk import TRUNKS, Trunk


class Alone(nn.Module):
    """A trunk as a module with a ``forward``: the maps of all its layers."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(maps(self.trunk, images))


def maps(trunk: Trunk, images: Tensor) -> Iterator[Tensor]:
    """Yield the map of each layer, in order."""
    features = trunk.stem(images)
    for layer in trunk.channels:
        features = trunk.layer(layer, features)
        yield features


def shapes(name: str, size: tuple[int, int], /, **settings: object) -> list[tuple[int, ...]]:
    """Return the shape (C, H, W) of each layer, after checking that the trunk says the same of itself."""
    with torch.device("meta"):
        trunk = TRUNKS.build(name, **settings)
        found = [tuple(features.shape[1:]) for features in maps(trunk, torch.empty(1, 3, *size))]
    claimed = [
        (trunk.channels[layer], *(-(-pixels // trunk.strides[layer]) for pixels in size))
        for layer in trunk.channels
    ]
    assert found == claimed
    return found


def cost(name: str, size: tuple[int, int], /, **settings: object) -> tuple[int, int]:
    """Return parameters and multiply-adds."""
    with torch.device("meta"):
        trunk = TRUNKS.build(name, **settings).eval()
        with FlopCounterMode(display=False) as counter:
            list(maps(trunk, torch.empty(1, 3, *size)))
    return sum(parameter.numel() for parameter in trunk.parameters()), counter.get_total_flops() // 2

"""HAN, the harmonious attention network (Li, Zhu and Gong, IJCV 2019), which extends HA-CNN (CVPR 2018)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from resight.models.attention.harmonious import HardAttention, SoftAttention
from resight.models.attention.regions import cut_regions
from resight.models.heads import Head
from resight.models.network import MODELS, Network
from resight.models.representation import Representation
from resight.models.units import ConvUnit, DepthwiseUnit

STEM = 32
REGIONS = 4
STRIDES = {"small": (2, 1, 1), "medium": (1, 2, 1), "large": (1, 1, 2)}
LEVELS = ("level1", "level2", "level3")

Width = Annotated[int, Field(ge=16)]


@MODELS.register("han")
class HAN(Network):
    """Global branch and four local streams, joined by three levels of harmonious attention (Fig. 1)."""

    variants: ClassVar = {
        "han-small": {"size": "small"},
        "han-medium": {"size": "medium"},
        "han-large": {"size": "large"},
    }

    def __init__(
        self,
        persons: int,
        *,
        size: Literal["small", "medium", "large"] = "small",
        input_size: tuple[int, int] = (160, 64),
        widths: tuple[Width, Width, Width] = (128, 256, 384),
        feature_size: Annotated[int, Field(ge=2, multiple_of=2)] = 1024,
        spatial: bool = True,
        channel: bool = True,
        regions: bool = True,
        interaction: bool = True,
        local: bool = True,
    ) -> None:
        super().__init__(input_size)
        self.interaction = interaction
        half = feature_size // 2
        inputs = (STEM, *widths[:2])
        self.stem = ConvUnit(3, STEM, 3, stride=2)
        self.global_blocks = nn.ModuleList(
            nn.Sequential(*(DepthwiseUnit(c if i == 0 else d, d, s) for i, s in enumerate(STRIDES[size])))
            for c, d in zip(inputs, widths, strict=True)
        )
        self.soft = (
            nn.ModuleList(SoftAttention(d, spatial, channel) for d in widths) if spatial or channel else None
        )
        self.global_head = Head(widths[2], half, persons)
        maps = [halved(input_size)]
        for _ in range(2):
            maps.append(halved(maps[-1]))
        parts = [(round(0.3 * maps[0][0]), round(0.875 * maps[0][1]))]
        for _ in range(2):
            parts.append(halved(parts[-1]))
        self.maps, self.parts = maps, parts
        self.local_blocks = None
        if local:
            self.local_blocks = nn.ModuleList(
                DepthwiseUnit(c, d, 2) for c, d in zip(inputs, widths, strict=True)
            )
            self.hard = nn.ModuleList(
                HardAttention(d, REGIONS, p[0] / m[0]) for d, p, m in zip(widths, parts, maps, strict=True)
            )
            self.local_head = Head(REGIONS * widths[2], half, persons)

    def forward(self, images: Tensor) -> Representation:
        features = self.stem(images)
        streams: Tensor | None = None
        found = Representation({})
        for level, block in enumerate(self.global_blocks):
            before = features
            features = block(before)
            signature = features.mean((2, 3))
            if self.local_blocks is not None:
                part, whole = self.parts[level], self.maps[level]
                centres = self.hard[level](signature)
                if streams is None:
                    streams = cut_regions(before, centres, part)
                elif self.interaction:
                    streams = streams + cut_regions(before, centres, part)
                streams = self.local_blocks[level](streams)
                half = torch.tensor([part[1] / whole[1], part[0] / whole[0]], device=centres.device)
                found.regions[LEVELS[level]] = (torch.cat([centres - half, centres + half], dim=-1) + 1) / 2
            if self.soft is not None:
                attention = self.soft[level](features, signature)
                features = features * attention
                found.attention[f"soft{level + 1}"] = attention.mean(1)
        found.branches["global"] = self.global_head(features.mean((2, 3)))
        if streams is not None:
            found.branches["local"] = self.local_head(streams.mean((2, 3)).view(len(images), -1))
        return found


def halved(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a map after a stride of 2."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2

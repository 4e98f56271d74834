"""HAN, the harmonious attention network (Li, Zhu and Gong, IJCV 2019), which extends HA-CNN (CVPR 2018)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from resight.models.attention.harmonious import FixedRegions, HardAttention, SoftAttention
from resight.models.attention.regions import cut_regions, resample_regions
from resight.models.heads import Head
from resight.models.network import MODELS, Descriptor, Network, Views
from resight.models.pooling import pooled
from resight.models.representation import Representation
from resight.models.trunk import AttentionParts, Attentions
from resight.models.units import ConvUnit, DepthwiseUnit, InceptionA, InceptionB, ResidualBottleneck

Size = Literal["small", "medium", "large"]
Unit = Literal["depthwise", "inception", "residual"]
Extent = Annotated[int, Field(ge=32)]
Width = Annotated[int, Field(ge=16, multiple_of=16)]

LEVELS = ("level1", "level2", "level3")
STEM = 32
REGIONS = 4
REGION_SHARE = (0.3, 0.875)
WHOLE_WIDTH = (0.25, 1.0)
"""Share of height and width that a region covers: in HAN, and in torchreid's HA-CNN."""

STRIDES: dict[Size, tuple[int, ...]] = {"small": (2, 1, 1), "medium": (1, 2, 1), "large": (1, 1, 2)}


@MODELS.register("han")
class HAN(Network):
    """Global branch and four local streams, joined by three levels of harmonious attention (Fig. 1).

    Where the paper is silent: every convolution is followed by batch normalisation and ReLU, also in the
    attention modules. At level l the regions are cut out of the *input* of global block l, at the places that
    the attention after that block predicts: level 1 reads the stem's output, and levels 2 and 3 add regions
    of the attended output of the block before (Eq. 8). A region covers 30 % of the height and 87.5 % of the
    width, which gives the published 24x28, 12x14 and 6x7.

    Representation: branches ``global`` and ``local``; maps ``soft1`` to ``soft3``, the mean over channels of
    the attention (Fig. 7), if there is spatial attention; regions and features ``level1`` to ``level3``.

    Args:
        num_persons: number of identity classes.
        size: position of the stride in the global blocks (Table 1); depthwise units only.
        unit: of the blocks (Table 12). A global block is three depthwise units, or two of the
            others with strides 1 and 2; a local block is one unit of stride 2.
        version: ``han``; or ``ha-cnn``, torchreid's implementation of HA-CNN, whose blocks are ``inception``:
            a region covers 25 % of the height and the whole width, but is resized to 24x28, 12x14 and 6x7,
            and maps of spatial attention are enlarged with aligned corners.
        input_size: height and width of the crops in pixels.
        widths: channels of the blocks of levels 1 to 3.
        feature_size: size of the whole descriptor, half of it from each branch (Fig. 6); without the local
            branch, all of it from the global one.
        spatial, channel: soft attention over positions and over channels (SSA and SCA in Table 9).
        regions: learn the places of the regions (HRA in Table 9); else they stay where they tile the body.
        region_rate: factor of the regions' movement; 1 in the paper, less for Adam (see ``HardAttention``).
        interaction: levels 2 and 3 add regions of the global branch to the local one (CAIL in Table 10).
        local: have a local branch.
        classifier: have identity classifiers; a recipe without cross-entropy needs none.
        attention: further modules after the ``stem`` and after the soft attention of ``level1`` to
            ``level3``.
        views, descriptor: see ``Network``.
    """

    variants: ClassVar = {
        "han-small": {"size": "small"},
        "han-medium": {"size": "medium"},
        "han-large": {"size": "large"},
        "han-inception": {"unit": "inception"},
        "han-residual": {"unit": "residual"},
        "ha-cnn": {"version": "ha-cnn", "unit": "inception"},
    }

    def __init__(
        self,
        num_persons: int,
        *,
        size: Size = "small",
        unit: Unit = "depthwise",
        version: Literal["han", "ha-cnn"] = "han",
        input_size: tuple[Extent, Extent] = (160, 64),
        widths: tuple[Width, Width, Width] = (128, 256, 384),
        feature_size: Annotated[int, Field(ge=2, multiple_of=2)] = 1024,
        spatial: bool = True,
        channel: bool = True,
        regions: bool = True,
        region_rate: Annotated[float, Field(gt=0)] = 1.0,
        interaction: bool = True,
        local: bool = True,
        classifier: bool = True,
        attention: AttentionParts = None,
        views: Views = "one",
        descriptor: Descriptor = "unit",
    ) -> None:
        super().__init__(input_size, views, descriptor)
        inputs = (STEM, *widths[:2])
        shapes = list(zip(inputs, widths, strict=True))
        branch_size = feature_size // 2 if local else feature_size
        classes = num_persons if classifier else None

        self.stem = ConvUnit(3, STEM, 3, stride=2)
        self.global_blocks = nn.ModuleList(global_block(unit, size, *shape) for shape in shapes)
        self.soft = nn.ModuleList(
            SoftAttention(width, spatial, channel, aligned=version == "ha-cnn")
            for width in widths
            if spatial or channel
        )
        self.shows_soft = spatial
        self.attentions = Attentions({"stem": STEM} | dict(zip(LEVELS, widths, strict=True)), attention)
        self.global_head = Head(widths[2], branch_size, classes)

        self.map_sizes, self.region_sizes = geometry(input_size)
        self.version, self.interaction = version, interaction
        self.local_blocks = nn.ModuleList(local_block(unit, *shape) for shape in shapes if local)
        self.hard = nn.ModuleList()
        if local:
            for level in range(3 if interaction else 1):
                share, _ = self._share(self.map_sizes[level], self.region_sizes[level])
                self.hard.append(
                    HardAttention(widths[level], REGIONS, share, region_rate)
                    if regions
                    else FixedRegions(REGIONS, share)
                )
            self.local_head = Head(REGIONS * widths[2], branch_size, classes)

    def forward(self, images: Tensor) -> Representation:
        """Process normalised images float [B, 3, H, W]; in training, of any size."""
        found = Representation({})
        maps, regions = self.map_sizes, self.region_sizes
        if self.training:
            maps, regions = geometry((images.shape[2], images.shape[3]))
        features = self.attentions.attend("stem", self.stem(images), found)
        streams: Tensor | None = None
        for level, block in enumerate(self.global_blocks):
            before, features = features, block(features)
            signature = pooled(features)
            if level < len(self.hard):
                centres = self.hard[level](signature)
                share = self._share(maps[level], regions[level])
                found.regions[LEVELS[level]] = _boxes(centres, share)
                if self.version == "ha-cnn":
                    cut = resample_regions(before, centres, share, regions[level])
                else:
                    cut = cut_regions(before, centres, regions[level])
                streams = cut if streams is None else streams + cut
            if streams is not None:
                streams = self.local_blocks[level](streams)
            if self.soft:
                attention = self.soft[level](features, signature)
                features = features * attention
                if self.shows_soft:
                    found.attention[f"soft{level + 1}"] = attention.mean(1)
            features = self.attentions.attend(LEVELS[level], features, found)
            found.features[LEVELS[level]] = features
        found.branches["global"] = self.global_head(pooled(features))
        if streams is not None:
            found.branches["local"] = self.local_head(pooled(streams).view(images.shape[0], -1))
        return found

    def _share(self, whole: tuple[int, int], region: tuple[int, int]) -> tuple[float, float]:
        """Return the share of height and width of a map that a region of this size covers."""
        if self.version == "ha-cnn":
            return WHOLE_WIDTH
        return region[0] / whole[0], region[1] / whole[1]


def global_block(unit: Unit, size: Size, inputs: int, outputs: int) -> nn.Module:
    """Return a block of the global branch, which halves the map (Fig. 4b; Table 12)."""
    if unit == "inception":
        return nn.Sequential(InceptionA(inputs, outputs), InceptionB(outputs, outputs))
    if unit == "residual":
        return nn.Sequential(ResidualBottleneck(inputs, outputs, 1), ResidualBottleneck(outputs, outputs, 2))
    widths = (inputs, outputs, outputs)
    return nn.Sequential(
        *(DepthwiseUnit(width, outputs, stride) for width, stride in zip(widths, STRIDES[size], strict=True))
    )


def local_block(unit: Unit, inputs: int, outputs: int) -> nn.Module:
    """Return a block of the local streams, one unit that halves the map (Fig. 4a)."""
    if unit == "inception":
        return InceptionB(inputs, outputs)
    return (ResidualBottleneck if unit == "residual" else DepthwiseUnit)(inputs, outputs, 2)


def geometry(input_size: tuple[int, int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the sizes of the maps that regions are cut from, and of the regions, at levels 1 to 3."""
    maps = [_halved(input_size)]
    first_region = (round(REGION_SHARE[0] * maps[0][0]), round(REGION_SHARE[1] * maps[0][1]))
    regions = [first_region]
    for _ in range(2):
        maps.append(_halved(maps[-1]))
        regions.append(_halved(regions[-1]))  # so that regions fit the output of the local block
    return maps, regions


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def _boxes(centres: Tensor, share: tuple[float, float]) -> Tensor:
    """Return (left, top, right, bottom) [B, T, 4] in fractions of the image for centres [B, T, 2].

    Args:
        centres: (x, y) from -1 to 1.
        share: of height and width that a region covers.
    """
    reach = centres.new_tensor(share[::-1])
    return (torch.cat([centres - reach, centres + reach], dim=-1) + 1) / 2

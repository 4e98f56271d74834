"""Dropping whole blocks of a feature map in training: DropBlock, DropBlock+ and batch feature erasing."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn
from torch.nn import functional

from resight.draws import draw
from resight.registry import Registry

DROPS: Registry[nn.Module] = Registry("drop", "resight.models")

Side = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Part = Annotated[float, Field(gt=0, le=1)]


def _named_or_none(value: object) -> object:
    return None if value is None else DROPS.complete(value)


DropPart = Annotated[Mapping[str, Any] | None, BeforeValidator(_named_or_none)]
"""A drop in a recipe: a name, or ``{name: dropblock+, share: 0.2}``; None for none."""


@DROPS.register("dropblock+")
class DropBlock(nn.Module):
    """Zero blocks of the map, at random places in each image.

    DropBlock (Ghiasi et al., NeurIPS 2018, Algorithm 1) with a height and a width instead of one side (SONA,
    Section 2.1 and Section 3.2: 5 and 8, gamma 0.1). As the rate at which blocks are placed, that gamma would
    drop four fifths of the map. So it is taken as the share to drop, DropBlock's 1 - keep_prob, which gives
    the rate::

        rate = share / (h w)  *  H W / ((H - h + 1) (W - w + 1))

    0.00485 on a 48x16 map. Blocks overlap, so a little less is dropped: 9.4 % there. Blocks are inside the
    map; on a smaller map, the block has the map's size. At test time nothing is dropped.

    The defaults are DropBlock+: SONA "applies the mask" to the features, so there is one mask per image, and
    kept values are not rescaled (before a maximum, rescaling makes training values larger than test values).

    Args:
        height, width: h and w, in positions of the map.
        share: of the map that would be dropped without overlaps.
        shared: draw one mask for all channels of an image; else one for each channel.
        rescale: divide kept values by the kept share of the batch, as in Algorithm 1.
    """

    def __init__(
        self,
        *,
        height: Side = 5,
        width: Side = 8,
        share: Share = 0.1,
        shared: bool = True,
        rescale: bool = False,
    ) -> None:
        super().__init__()
        self.height, self.width, self.share = height, width, share
        self.shared, self.rescale = shared, rescale

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, C, H, W] for features [B, C, H, W]."""
        if not self.training:
            return features
        kept = draw(len(features), lambda batch: self._factors(features, batch))
        return features * kept.to(features.dtype)

    def mask(self, features: Tensor) -> Tensor:
        """Draw the mask of features [B, C, H, W]: float32, 0 in a block, else 1.

        [B, 1, H, W] if channels share a mask, else [B, C, H, W].
        """
        return draw(len(features), lambda batch: self._mask(features, batch))

    def _factors(self, features: Tensor, batch: int) -> Tensor:
        kept = self._mask(features, batch)
        return kept / kept.mean().clamp(min=1 / kept.numel()) if self.rescale else kept

    def _mask(self, features: Tensor, batch: int) -> Tensor:
        """Draw a mask for as many images as ``batch``, with maps like these features."""
        _, channels, rows, columns = features.shape
        height, width = min(self.height, rows), min(self.width, columns)
        size = (batch, 1 if self.shared else channels, rows - height + 1, columns - width + 1)
        placed = (torch.rand(size, device=features.device) < self.rate(rows, columns)).float()
        around = (width - 1, width - 1, height - 1, height - 1)
        return 1 - functional.max_pool2d(functional.pad(placed, around), (height, width), stride=1)

    def rate(self, rows: int, columns: int) -> float:
        """Return the rate at which blocks are placed, at each place where they fit, on a map of this size."""
        height, width = min(self.height, rows), min(self.width, columns)
        places = (rows - height + 1) * (columns - width + 1)
        return self.share / (height * width) * (rows * columns) / places


@DROPS.register("dropblock")
def dropblock(*, side: Side = 5, share: Share = 0.1, shared: bool = False, rescale: bool = True) -> DropBlock:
    """DropBlock as in its authors' code: square blocks, a mask for each channel, rescaled."""
    return DropBlock(height=side, width=side, share=share, shared=shared, rescale=rescale)


@DROPS.register("bfe")
class BatchFeatureErasing(nn.Module):
    """Zero one rectangle, the same for all images and channels of a batch (Dai et al., BFE, 2018).

    Its place is drawn anew for each batch. Kept values are not rescaled. At test time nothing is dropped.

    Args:
        height, width: of the rectangle, as shares of the map's, rounded to whole positions.
    """

    def __init__(self, *, height: Part = 0.3, width: Part = 1.0) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, C, H, W] for features [B, C, H, W]."""
        return features * self.mask(features).to(features.dtype) if self.training else features

    def mask(self, features: Tensor) -> Tensor:
        """Draw the mask of features [B, C, H, W]: float32 [1, 1, H, W], 0 in the rectangle, else 1."""
        rows = _stretch(features.shape[2], self.height, features.device)
        columns = _stretch(features.shape[3], self.width, features.device)
        return 1 - (rows[:, None] & columns).float()[None, None]


def _stretch(size: int, part: float, device: torch.device) -> Tensor:
    """Draw a range of positions: bool [size], true in the range."""
    length = round(part * size)
    start = torch.randint(size - length + 1, (), device=device)
    line = torch.arange(size, device=device)
    return (line >= start) & (line < start + length)

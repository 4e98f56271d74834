"""Harmonious attention: soft over pixels and channels, hard over regions (HAN, Sec. 3.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from resight.device import full_precision
from resight.errors import UserError
from resight.models.pooling import flattened, pooled
from resight.models.trunk import ATTENTIONS, Attention
from resight.models.units import ConvUnit


class SpatialAttention(nn.Module):
    """Attention over positions, the same for all channels (Fig. 2b, Eq. 4): 10 convolution parameters.

    Args:
        aligned: enlarge the coarse map so that its corners stay in the corners.
    """

    def __init__(self, aligned: bool = False) -> None:
        super().__init__()
        self.aligned = aligned
        self.conv = ConvUnit(1, 1, 3, stride=2)
        self.scale = ConvUnit(1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, 1, H, W] for features [B, C, H, W]."""
        coarse = self.conv(flattened(features))
        size = features.shape[2:]
        return self.scale(functional.interpolate(coarse, size, mode="bilinear", align_corners=self.aligned))  # type: ignore[no-any-return]


class ChannelAttention(nn.Module):
    """Attention over channels, the same for all positions (Fig. 2c, Eqs. 5-6): 2 c^2 / r parameters."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.squeeze = ConvUnit(channels, inner)
        self.excite = ConvUnit(inner, channels)

    def forward(self, signature: Tensor) -> Tensor:
        """Return [B, C, 1, 1] for the mean over positions [B, C]."""
        return self.excite(self.squeeze(signature[:, :, None, None]))  # type: ignore[no-any-return]


class SoftAttention(nn.Module):
    """Factorised attention over positions and channels, blended by a 1x1 convolution (Fig. 2a, Eq. 3).

    Every convolution is followed by batch normalisation and ReLU, so that the map, a sigmoid, is in [0.5, 1].
    With one factor, there is nothing to blend: the map is the factor's sigmoid.

    Args:
        channels: C of the features.
        spatial, channel: which factors to use; at least one.
        aligned: see ``SpatialAttention``.
    """

    def __init__(
        self, channels: int, spatial: bool = True, channel: bool = True, aligned: bool = False
    ) -> None:
        super().__init__()
        self.spatial = SpatialAttention(aligned) if spatial else None
        self.channel = ChannelAttention(channels) if channel else None
        self.blend = ConvUnit(channels, channels) if spatial and channel else None

    def forward(self, features: Tensor, signature: Tensor) -> Tensor:
        """Return the map, broadcastable to features [B, C, H, W], in [0.5, 1].

        Args:
            features: [B, C, H, W].
            signature: mean of the features over positions [B, C].
        """
        factors = []
        if self.spatial is not None:
            factors.append(self.spatial(features))
        if self.channel is not None:
            factors.append(self.channel(signature))
        if self.blend is None:
            return torch.sigmoid(factors[0])
        pixels, channels = (
            factor.permute(0, 2, 3, 1) for factor in factors
        )  # their product is channels_last
        return torch.sigmoid(self.blend((pixels * channels).permute(0, 3, 1, 2)))


@ATTENTIONS.register("harmonious")
class Harmonious(Attention):
    """HAN's soft attention after any layer (Sec. 3.2, Eq. 3): the features times a map in [0.5, 1].

    Returns the map's mean over channels, if there is spatial attention (Fig. 7).

    Args:
        channels: C of the layer, 16 or more.
        spatial, channel: attention over positions and over channels; at least one.

    Raises:
        UserError: both are off.
    """

    def __init__(self, channels: int, *, spatial: bool = True, channel: bool = True) -> None:
        super().__init__()
        if not (spatial or channel):
            raise UserError("harmonious attention needs spatial or channel, and both are false.")
        self.soft = SoftAttention(channels, spatial, channel)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return attended features [B, C, H, W] and the map [B, H, W], or None without spatial attention."""
        attention = self.soft(features, pooled(features))
        return features * attention, None if self.soft.spatial is None else attention.mean(1)


class HardAttention(nn.Module):
    """Centres of T regions of fixed size (Fig. 2d, Eq. 7): 2 T c weights.

    Initially the weights are zero, and the biases put the regions one below the other, from head to feet.
    The biases are ours and have no weight decay.

    Args:
        channels: c of the channel signature.
        regions: T.
        share: of the image's height that a region covers.
        rate: factor of the regions' movement away from their initial places: 1 in the paper. With Adam, which
            takes equally long steps for small and large gradients, regions at 1 soon move to the edges of the
            image and stay there.
    """

    start: Tensor

    def __init__(self, channels: int, regions: int, share: float, rate: float = 1.0) -> None:
        super().__init__()
        self.rate = rate
        self.place = nn.Linear(channels, 2 * regions)
        self.register_buffer("start", torch.atanh(tiling(regions, share)).flatten(), persistent=False)
        nn.init.zeros_(self.place.weight)
        with torch.no_grad():
            self.place.bias.copy_(self.start)
        self.place.bias.decays = False  # type: ignore[attr-defined]  # 0 is the middle of the picture

    def forward(self, signature: Tensor) -> Tensor:
        """Return the centres (x, y) [B, T, 2] in [-1, 1] for the mean over positions [B, c].

        Always in float32: bfloat16 would place regions only to a tenth of a pixel.
        """
        with full_precision(signature.device):
            moved = self.place(signature.to(self.place.weight.dtype)) - self.start
            return torch.tanh(self.start + self.rate * moved).view(signature.shape[0], -1, 2)


class FixedRegions(nn.Module):
    """The initial regions of hard attention, for a network that does not learn their places."""

    centres: Tensor

    def __init__(self, regions: int, share: float) -> None:
        super().__init__()
        self.register_buffer("centres", tiling(regions, share))

    def forward(self, signature: Tensor) -> Tensor:
        """Return the centres (x, y) [B, T, 2] for the mean over positions [B, c]."""
        return self.centres.expand(signature.shape[0], -1, -1)


def tiling(regions: int, share: float) -> Tensor:
    """Return centres (x, y) [T, 2] of regions spread evenly from the upper to the lower edge of the image.

    Args:
        regions: T.
        share: of the image's height that a region covers.
    """
    reach = max(0.0, 1 - share)
    return torch.stack([torch.zeros(regions), torch.linspace(-reach, reach, regions)], dim=1)

"""Modules that change the style of a map, the means and deviations of its channels, for unknown cameras."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from resight.draws import draw
from resight.models.trunk import ATTENTIONS, Attention
from resight.models.units import instance_norm

EPSILON = 1e-6
"""Added to variances, as in the authors' code of MixStyle."""


@ATTENTIONS.register("instance-norm")
class InstanceNorm(Attention):
    """Instance normalisation with weight and bias, which removes each crop's style.

    After early layers, as in IBN-Net-b (Pan et al., ECCV 2018) and OSNet-IBN; later ones need the style to
    tell persons apart. Returns no map.

    Args:
        channels: of the layer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = instance_norm(channels)

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """Normalise each channel of each of the features [B, C, H, W]."""
        return self.norm(features), None


@ATTENTIONS.register("mixstyle")
class MixStyle(Attention):
    """Mix the style of each crop with that of another one of the batch (Zhou et al., ICLR 2021, Section 2.2).

    With mean mu and deviation sigma of each channel over the positions, and another crop x'::

        gamma = share sigma(x) + (1 - share) sigma(x'),   beta = share mu(x) + (1 - share) mu(x')
        MixStyle(x) = gamma (x - mu(x)) / sigma(x) + beta

    The share is drawn from Beta(alpha, alpha); x' comes from a random permutation of the batch ("random
    shuffle"), or of its part where a batch is computed in parts. No gradient goes through mu and sigma, as in
    the authors' code. Each crop is mixed with probability ``p`` (theirs: the whole batch or nothing). The
    paper has it after the first two or three layers. At test time it does nothing. Returns no map.

    Args:
        channels: of the layer.
        p: probability of each crop.
        alpha: of the beta distribution; the smaller, the nearer the shares are to 0 or 1.
    """

    def __init__(
        self,
        channels: int,
        *,
        p: Annotated[float, Field(ge=0, le=1)] = 0.5,
        alpha: Annotated[float, Field(gt=0)] = 0.1,
    ) -> None:
        super().__init__()
        self.p, self.alpha = p, alpha

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """Mix the styles of features [B, C, H, W] in training."""
        if not self.training:
            return features, None
        with torch.no_grad():
            exact = features.float()
            mean = exact.mean((2, 3), keepdim=True)
            deviation = (exact.var((2, 3), correction=0, keepdim=True) + EPSILON).sqrt()
            chances, keys, shares = draw(len(features), self._sample, dim=1).to(features.device)
            share = torch.where(chances < self.p, shares, 1).view(-1, 1, 1, 1)
            other = keys.argsort()
            scale = (share * deviation + (1 - share) * deviation[other]) / deviation
            shift = share * mean + (1 - share) * mean[other] - scale * mean
        return features * scale.to(features.dtype) + shift.to(features.dtype), None

    def _sample(self, rows: int) -> Tensor:
        """Return uniform numbers that choose crops and order them, and shares: [3, rows], on the CPU."""
        alpha = torch.full((rows,), self.alpha, device="cpu")
        shares = torch.distributions.Beta(alpha, alpha).sample()
        return torch.cat([torch.rand(2, rows, device="cpu"), shares[None]])

"""Averages of feature maps."""

import torch
from torch import Tensor, nn

LEAST = 1e-6
"""Smallest feature whose power is taken: smaller ones, and negative ones, count as this."""


def pooled(features: Tensor) -> Tensor:
    """Return the mean over positions [B, C] of features [B, C, H, W].

    Computed as a divided sum: its gradient is a view, while that of ``mean`` is a new map in the wrong memory
    order.
    """
    return features.sum((2, 3)) / (features.shape[2] * features.shape[3])


def flattened(features: Tensor) -> Tensor:
    """Return the mean over channels [B, 1, H, W] of features [B, C, H, W], as cheaply as ``pooled``."""
    return features.sum(1, keepdim=True) / features.shape[1]


class GeneralisedMean(nn.Module):
    """Generalised mean over positions, with a learned power (Radenovic et al., TPAMI 2019, Eq. 3).

    Args:
        power: initial power; 1 is the mean, and the larger it is, the nearer the result is to the maximum.
    """

    def __init__(self, power: float = 3.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([float(power)]))

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, C] for features [B, C, H, W]."""
        return pooled(features.clamp(min=LEAST).pow(self.p)).pow(1 / self.p)

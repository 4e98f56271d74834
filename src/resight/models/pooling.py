"""Averages of feature maps."""

from torch import Tensor


def pooled(features: Tensor) -> Tensor:
    """Return the mean over positions [B, C] of features [B, C, H, W].

    Computed as a divided sum: its gradient is a view, while that of ``mean`` is a new map in the wrong memory
    order.
    """
    return features.sum((2, 3)) / (features.shape[2] * features.shape[3])


def flattened(features: Tensor) -> Tensor:
    """Return the mean over channels [B, 1, H, W] of features [B, C, H, W], as cheaply as ``pooled``."""
    return features.sum(1, keepdim=True) / features.shape[1]
